// Package climate judges temperatures: which band goods need, how long they were outside it and
// when they are no longer safe, and what a unit should do about it. It is pure: each function takes
// what was known, one sample and the time, and answers what is known after it. Board and control
// center share it.
//
// The presets follow food rules as they are commonly read (Food Code 3-501.16, Directive
// 89/108/EEC, the food hygiene regulations of the United Kingdom). Which one is right at a site is
// the operator's responsibility. Air is not goods: a probe in a buffer follows the goods better
// than a bare one.
package climate

import (
	"fmt"

	"lockerfleet/locker"
)

// Times of the rules in milliseconds.
const (
	ExcursionMS = 5 * 60_000      // outside with the door closed for longer than this is an excursion
	ChilledMS   = 4 * 60 * 60_000 // chilled or frozen goods outside for so long are unsafe
	HotMS       = 2 * 60 * 60_000 // hot goods outside for so long are unsafe
	DoorOpenMS  = 30_000          // a door open longer than this stops the unit
	MinOffMS    = 180_000         // a unit that stopped rests so long
	LossMS      = 60_000          // without a measurement for so long, the sensor is lost
	GapMS       = 15 * 60_000     // longest time between two samples that is counted as sampled
	stepMC      = 500             // hysteresis: a unit starts this far before the limit ...
	depthMC     = 2000            // ... and stops this far inside it
	Lowest      = -60_000         // thousandths of a degree; colder readings are no temperatures
	Highest     = 125_000         // hotter ones neither
)

// Band is what air must keep to. A limit that is not set does not bind.
type Band struct {
	Name     string
	HasLow   bool
	Low      locker.MilliCelsius
	HasHigh  bool
	High     locker.MilliCelsius
	UnsafeMS int64 // outside for so long in all makes goods unsafe; 0 = never
}

// Bands lists the presets. The first of a class is its default.
func Bands() []Band {
	return []Band{
		{Name: "frozen", HasHigh: true, High: -18_000, UnsafeMS: ChilledMS},
		{Name: "chilled", HasHigh: true, High: 5_000, UnsafeMS: ChilledMS},
		{Name: "chilled-uk", HasHigh: true, High: 8_000, UnsafeMS: ChilledMS},
		{Name: "chilled-poultry", HasHigh: true, High: 4_000, UnsafeMS: ChilledMS},
		{Name: "chilled-mince", HasHigh: true, High: 2_000, UnsafeMS: ChilledMS},
		{Name: "hot", HasLow: true, Low: 63_000, UnsafeMS: HotMS},
		{Name: "hot-us", HasLow: true, Low: 57_000, UnsafeMS: HotMS},
		{Name: "ambient", HasLow: true, Low: 5_000, HasHigh: true, High: 25_000},
	}
}

// ParseBand finds a preset by name. The name of a class is its default.
func ParseBand(name string) (Band, error) {
	for _, b := range Bands() {
		if b.Name == name {
			return b, nil
		}
	}
	return Band{}, fmt.Errorf("temperature band %q: allowed are frozen, chilled, chilled-uk, chilled-poultry, chilled-mince, hot, hot-us, ambient", name)
}

// Zero reports whether nothing is asked of the temperature.
func (b Band) Zero() bool { return !b.HasLow && !b.HasHigh }

// Outside reports whether t breaks a limit of b.
func (b Band) Outside(t locker.MilliCelsius) bool {
	return b.HasHigh && t > b.High || b.HasLow && t < b.Low
}

// Sample is one look at a compartment. At only has to rise.
type Sample struct {
	At   int64 // ms
	Has  bool  // T was measured
	T    locker.MilliCelsius
	Open bool // the door is not closed
}

// plausible reports whether T is a temperature at all.
func (s Sample) plausible() bool { return s.Has && s.T >= Lowest && s.T <= Highest }

// Account is how long goods were outside their band. The zero value is new goods.
type Account struct {
	OutsideMS int64 `json:"out,omitzero"`  // with the door closed, or not measured
	OpenMS    int64 `json:"open,omitzero"` // outside with the door open
	Unsafe    bool  `json:"unsafe,omitzero"`
}

// Watch is what is known of the air in one compartment in this life. The zero value knows nothing.
type Watch struct {
	seen   bool
	at     int64 // newest sample
	out    bool  // it was outside, or not measured
	since  int64 // when the run of samples outside with the door closed began, 0 for none
	heard  int64 // newest measurement
	Excess bool  // an excursion lasts
	Lost   bool  // the sensor says nothing
}

// Judge takes a sample of goods. The time before it counts by what was seen at its beginning. A time
// longer than GapMS was not watched: a unit without power only drifts towards the room, so when the
// air is inside its band after it, it was inside all the while, else it counts as outside.
func Judge(b Band, w Watch, a Account, s Sample) (Watch, Account) {
	if b.Zero() {
		return w, a
	}
	out := !s.plausible() || b.Outside(s.T)
	if w.seen && s.At > w.at {
		a = a.spend(b, w, s, out)
	}
	w.sense(s)
	w.excursion(out, s)
	w.seen, w.at, w.out = true, s.At, out
	return w, a
}

// After judges the time a bank was away before its first sample.
func After(b Band, a Account, away int64, s Sample) Account {
	if b.Zero() || away <= 0 || s.plausible() && !b.Outside(s.T) {
		return a
	}
	return a.add(b, away, s.Open)
}

func (a Account) spend(b Band, w Watch, s Sample, out bool) Account {
	passed := s.At - w.at
	was := w.out
	if passed > GapMS {
		was = out
	}
	if !was {
		return a
	}
	return a.add(b, passed, s.Open)
}

func (a Account) add(b Band, ms int64, open bool) Account {
	if open {
		a.OpenMS += ms
	} else {
		a.OutsideMS += ms
	}
	a.Unsafe = a.Unsafe || b.UnsafeMS > 0 && a.OutsideMS+a.OpenMS >= b.UnsafeMS
	return a
}

// sense notes whether the sensor speaks.
func (w *Watch) sense(s Sample) {
	if !w.seen || s.plausible() {
		w.heard = s.At
	}
	w.Lost = !s.plausible() && s.At-w.heard >= LossMS
}

// excursion notes how long the air is outside behind a closed door.
func (w *Watch) excursion(out bool, s Sample) {
	switch {
	case !out || !s.plausible():
		w.since, w.Excess = 0, false
	case s.Open:
		w.since = 0
	case w.since == 0:
		w.since = s.At
	}
	if w.since > 0 && s.At-w.since > ExcursionMS {
		w.Excess = true
	}
}

// Mode is what a unit shall do.
type Mode string

// The modes; the empty one was not decided yet.
const (
	Off  Mode = "off"
	Cool Mode = "cool"
	Heat Mode = "heat"
)

// Unit is where a unit stands. The zero value has just been switched on at the mains and rests.
type Unit struct {
	Mode    Mode
	OffAt   int64 // when it stopped
	started bool
	opened  int64 // since when the door is open, 0 while closed
}

// Control decides what a unit does next. It stops when the temperature is not known, when the door
// is open for DoorOpenMS, and on the battery; after a stop it rests for MinOffMS, because a
// compressor that starts against pressure burns. The machine's own cut-out in hardware is needed
// besides.
func Control(b Band, u Unit, s Sample, battery bool) Unit {
	if !u.started {
		u.started, u.OffAt, u.Mode = true, s.At, Off
	}
	switch {
	case !s.Open:
		u.opened = 0
	case u.opened == 0:
		u.opened = max(s.At, 1)
	}
	want := wanted(b, u.Mode, s)
	if !s.plausible() || battery || u.opened > 0 && s.At-u.opened >= DoorOpenMS {
		want = Off
	}
	switch {
	case want == u.Mode:
	case want == Off:
		u.Mode, u.OffAt = Off, s.At
	case u.Mode == Off && s.At-u.OffAt >= MinOffMS:
		u.Mode = want
	case u.Mode != Off: // from heating to cooling only through a rest
		u.Mode, u.OffAt = Off, s.At
	}
	return u
}

// wanted is the mode by temperature alone: a unit starts shortly before the limit is reached and
// runs until it is well inside.
func wanted(b Band, now Mode, s Sample) Mode {
	low, high := b.Low, b.High
	switch {
	case b.HasHigh && s.T > high-stepMC:
		return Cool
	case b.HasLow && s.T < low+stepMC:
		return Heat
	case now == Cool && b.HasHigh && s.T > high-depthMC:
		return Cool
	case now == Heat && b.HasLow && s.T < low+depthMC:
		return Heat
	}
	return Off
}
