package fleet

import "time"

// Bounds of the clock estimate.
const (
	// clockWindow is how long a difference between two clocks counts. Crystals of 200 ppm part
	// by 24 ms in it.
	clockWindow = 120 * time.Second
	// SilentAfter is the silence after which a bank counts as gone: one keep-alive of its session.
	SilentAfter = 30 * time.Second
	// HeartbeatEvery is what every hello asks banks for. Two heartbeats in a row may be lost, and the
	// third be 3 s late, before the bank counts as silent.
	HeartbeatEvery = 9 * time.Second
	// clockGuard is taken off every deadline: drift of both crystals within the window and the
	// longest command, and the rounding to milliseconds.
	clockGuard = 100 * time.Millisecond
	// maxSamples bounds the memory of a clock. A clock that runs at the same speed needs one.
	maxSamples = 8
)

// Clock estimates the difference between a bank's monotonic clock and ours, for one boot and
// epoch. The zero value knows nothing. It is not safe for concurrent use.
type Clock struct {
	samples [maxSamples]sample // falling differences, oldest first
	n       int
	heard   time.Duration // when the newest message was received, on our clock
	known   bool
}

type sample struct {
	at   time.Duration // when received, on our monotonic clock
	diff int64         // the agent's ms minus ours
}

// Observe learns from a message written at up (ms on the agent's clock) and received at at on our
// own monotonic clock.
func (c *Clock) Observe(up int64, at time.Duration) {
	s := sample{at: at, diff: up - at.Milliseconds()}
	c.heard, c.known = max(c.heard, at), true
	c.forget(at)
	for c.n > 0 && c.samples[c.n-1].diff <= s.diff {
		c.n--
	}
	if c.n == maxSamples { // losing the largest only makes deadlines earlier
		c.drop()
	}
	c.samples[c.n] = s
	c.n++
}

func (c *Clock) forget(at time.Duration) {
	for c.n > 0 && at-c.samples[0].at > clockWindow {
		c.drop()
	}
}

func (c *Clock) drop() {
	copy(c.samples[:], c.samples[1:c.n])
	c.n--
}

// Fresh reports whether the bank was heard within SilentAfter before at.
func (c *Clock) Fresh(at time.Duration) bool { return c.known && at-c.heard <= SilentAfter }

// Agent estimates the agent's clock at at: never later than it truly is. ok is false when nothing
// within the window is known.
func (c *Clock) Agent(at time.Duration) (up int64, ok bool) {
	for _, s := range c.samples[:c.n] {
		if at-s.at <= clockWindow {
			return s.diff + at.Milliseconds(), true
		}
	}
	return 0, false
}

// Deadline is the count of the agent's clock after which a command made at at must not begin: ttl
// from then, never later. ok is false when the bank was not heard lately.
func (c *Clock) Deadline(at, ttl time.Duration) (dl int64, ok bool) {
	up, ok := c.Agent(at)
	if !ok || !c.Fresh(at) {
		return 0, false
	}
	return up + (ttl - clockGuard).Milliseconds(), true
}
