package sensor

import (
	"errors"
	"fmt"
	"time"
)

// Bounds say what a sensor can possibly deliver. A zero value of a bound that may be switched off
// says so below.
type Bounds struct {
	Least, Most int64         // what is outside cannot be
	Rate        int64         // most change in a second; 0 does not look at changes
	Slack       int64         // change that is always believed, on top of Rate
	Repeat      int           // equal raw readings in a row that mean the chip is stuck; 0 does not count them
	Fresh       time.Duration // a value older than this is unknown
}

// badReadings is how many readings in a row must be bad before a value is unknown, and how many
// must agree with each other before a jump is believed.
const badReadings = 3

var errNoReading = errors.New("no reading yet")

// Filter believes or refuses the readings of one sensor. It is pure: it knows no clock and no
// chip. The zero Filter believes nothing; make one with NewFilter. It is not safe for concurrent
// use.
//
// One bad reading is forgiven and the value before it stays; three in a row make the value
// unknown. A jump faster than the sensor can follow is a bad reading, until three readings tell
// the same story: then the world has changed. A chip that repeats itself to the last bit is
// unknown at once, because it has stopped measuring and would go on for ever.
type Filter struct {
	b     Bounds
	value int64
	at    time.Time // of value; zero while nothing was believed
	err   error     // of the newest bad reading
	bad   int       // bad readings since the last good one

	raw   int64
	same  int // readings equal to raw
	jump  int64
	jumpd time.Time
	agree int // readings that agree with jump
}

// NewFilter returns a filter that has seen nothing.
func NewFilter(b Bounds) *Filter { return &Filter{b: b, err: errNoReading} }

// Take judges the reading v that a chip made at at from raw. The error says why it is refused.
func (f *Filter) Take(raw, v int64, at time.Time) error {
	if f.stuck(raw) {
		f.bad = badReadings
		return f.refuse(fmt.Errorf("the same reading %d times over: the sensor is stuck", f.same))
	}
	if v < f.b.Least || v > f.b.Most {
		return f.refuse(fmt.Errorf("%d is outside %d to %d", v, f.b.Least, f.b.Most))
	}
	if !f.at.IsZero() && !f.follows(v, at, f.value, f.at) && !f.persists(v, at) {
		return f.refuse(fmt.Errorf("%d after %d in %s is faster than can be", v, f.value, at.Sub(f.at).Round(time.Millisecond)))
	}
	f.value, f.at, f.bad, f.err, f.agree = v, at, 0, nil, 0
	return nil
}

// Fail tells of a reading that could not be made.
func (f *Filter) Fail(err error) { _ = f.refuse(err) }

func (f *Filter) refuse(err error) error {
	f.bad = min(f.bad+1, badReadings)
	f.err = err
	return err
}

// Value is what is believed at now, or why nothing is.
func (f *Filter) Value(now time.Time) (int64, error) {
	switch {
	case f.at.IsZero(), f.bad >= badReadings:
		return 0, f.err
	case now.Sub(f.at) > f.b.Fresh:
		return 0, fmt.Errorf("the newest reading is %s old", now.Sub(f.at).Round(time.Second))
	}
	return f.value, nil
}

// stuck counts repetitions.
func (f *Filter) stuck(raw int64) bool {
	if raw != f.raw || f.same == 0 {
		f.raw, f.same = raw, 0
	}
	f.same++
	return f.b.Repeat > 0 && f.same >= f.b.Repeat
}

// follows tells whether v at at can come after w at wat.
func (f *Filter) follows(v int64, at time.Time, w int64, wat time.Time) bool {
	if f.b.Rate == 0 {
		return true
	}
	change := v - w
	if change < 0 {
		change = -change
	}
	return change <= f.b.Slack+f.b.Rate*at.Sub(wat).Milliseconds()/1000
}

// persists counts readings that agree about a jump.
func (f *Filter) persists(v int64, at time.Time) bool {
	if f.agree > 0 && f.follows(v, at, f.jump, f.jumpd) {
		f.agree++
	} else {
		f.agree = 1
	}
	f.jump, f.jumpd = v, at
	return f.agree >= badReadings
}
