//go:build race

package agent

// underRace says that the race detector is on: long tests of one goroutine leave it out.
const underRace = true
