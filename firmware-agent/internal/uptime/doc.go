// Package uptime is the agent's monotonic clock: milliseconds that never go back and that no setting
// of the wall clock moves. All processes of one machine read the same clock, so that what two of them
// (or two lives of one) wrote down can be put in order.
package uptime
