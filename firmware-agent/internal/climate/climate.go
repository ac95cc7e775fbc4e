// Package climate switches the machines that cool and heat a compartment: compressors and heaters
// on relays, Peltier elements and fans on pulse-width modulation.
//
// It does not decide what is wanted, and it protects the machines whatever it is told: a
// compressor rests three minutes between runs and after every start of the agent, it is never
// driven with a part of its power, a heater is on only while a sensor proves that air moves, and
// cooling and heating are never on together. A thermal cut-out in hardware is required besides;
// software does not replace it.
package climate

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"lockerfleet/firmware-agent/board"
)

// Power switches one machine.
type Power interface {
	// Set gives the machine percent of its power, 0 to 100. It returns within some milliseconds.
	Set(percent int) error
}

// Output is an output line. 1 is on.
type Output interface{ SetValue(int) error }

// Input is an input line. 1 is active.
type Input interface{ Value() (int, error) }

// Relay is a Power with two states on a line.
type Relay struct{ Line Output }

// Set closes the relay for every percent above 0.
func (r Relay) Set(percent int) error {
	v := 0
	if percent > 0 {
		v = 1
	}
	return r.Line.SetValue(v)
}

// Parts are the machines of a unit. Those not fitted are nil.
type Parts struct {
	Cool, Heat, Fan Power
	// Compressor says that Cool is one: it rests and knows no part of its power.
	Compressor bool
	// MinOff is the rest of a compressor; below MinRest it is MinRest.
	MinOff time.Duration
	// Air is active while air moves: the tacho of a fan behind a monostable, or an airflow
	// switch. Without it nothing heats.
	Air Input
}

const (
	// MinRest is the shortest rest of a compressor: until the pressure in its circuit has
	// levelled, its motor stalls when it is started.
	MinRest = 180 * time.Second
	// airWithin is how long a fan may take until air moves.
	airWithin = 10 * time.Second
	// overrun is how long the fan goes on after heating, to cool the heater down.
	overrun = 30 * time.Second
	// turn is how long both directions are off before the other one begins.
	turn = 5 * time.Second
	// stepPeriod is how often the unit looks after its machines, refreshEvery how often it tells
	// them again what they are to do, because a driver chip may have restarted.
	stepPeriod   = 250 * time.Millisecond
	refreshEvery = 5 * time.Second
)

var (
	errNoCool = errors.New("it cannot cool")
	errNoHeat = errors.New("it cannot heat")
	errNoAir  = errors.New("no air moves: the heater stays off; look after the fan")
)

// Unit is a board.Climate. Step must run on a loop; the rest may be called by anybody.
type Unit struct {
	name  string
	parts Parts
	now   func() time.Time

	mu     sync.Mutex
	state  state
	on     powers // what the machines were told
	told   time.Time
	failed error // of the last switching
	noAir  error
}

// NewUnit returns a unit whose machines are off. name is what its errors call it. A heater needs
// a fan and Air.
func NewUnit(name string, parts Parts, now func() time.Time) (*Unit, error) {
	if parts.Cool == nil && parts.Heat == nil && parts.Fan == nil {
		return nil, fmt.Errorf("climate %s: it has no machine", name)
	}
	if parts.Heat != nil && (parts.Fan == nil || parts.Air == nil) {
		return nil, fmt.Errorf("climate %s: a heater needs a fan and a sensor that proves that air moves", name)
	}
	parts.MinOff = max(parts.MinOff, MinRest)
	u := &Unit{name: name, parts: parts, now: now}
	u.state.coolOff, u.state.heatOff = now(), now()
	if err := u.Safe(); err != nil {
		return nil, err
	}
	return u, nil
}

// Drive asks for a stage.
func (u *Unit) Drive(s board.Stage) error {
	switch {
	case s.Mode == board.ClimateCool && u.parts.Cool == nil:
		return fmt.Errorf("climate %s: %w", u.name, errNoCool)
	case s.Mode == board.ClimateHeat && u.parts.Heat == nil:
		return fmt.Errorf("climate %s: %w", u.name, errNoHeat)
	case s.Percent < 0 || s.Percent > 100:
		return fmt.Errorf("climate %s: %d percent: 0 to 100 are allowed, 0 meaning full", u.name, s.Percent)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.want = s
	u.act(u.now())
	return u.failed
}

// Actual is what the machines do.
func (u *Unit) Actual() (board.Stage, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := board.Stage{Mode: board.ClimateOff, Fan: u.on.fan > 0}
	switch {
	case u.on.cool > 0:
		s.Mode, s.Percent = board.ClimateCool, u.on.cool
	case u.on.heat > 0:
		s.Mode, s.Percent = board.ClimateHeat, u.on.heat
	}
	return s, errors.Join(u.failed, u.noAir)
}

// Safe switches everything off, the fan that cools a heater down too.
func (u *Unit) Safe() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.want = board.Stage{Mode: board.ClimateOff}
	u.told = time.Time{}
	u.apply(powers{}, u.now())
	u.state.blowOut = time.Time{}
	return u.failed
}

// Step looks after the machines.
func (u *Unit) Step(now time.Time) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.act(now)
	return stepPeriod
}

// act is called with mu held.
func (u *Unit) act(now time.Time) {
	air, err := u.air()
	p, ok := u.state.plan(&u.parts, air, now)
	u.noAir = nil
	if !ok {
		u.noAir = errors.Join(fmt.Errorf("climate %s: %w", u.name, errNoAir), err)
	}
	u.apply(p, now)
}

// air tells whether air is proven to move.
func (u *Unit) air() (bool, error) {
	if u.parts.Air == nil {
		return false, nil
	}
	v, err := u.parts.Air.Value()
	if err != nil {
		return false, fmt.Errorf("read airflow: %w", err)
	}
	return v == 1, nil
}

// apply switches off before it switches on. When a machine does not obey, all others are switched
// off and it is tried again at the next step.
func (u *Unit) apply(p powers, now time.Time) {
	again := u.failed != nil || now.Sub(u.told) >= refreshEvery
	if !again && p == u.on {
		return
	}
	var errs []error
	if p.heat == 0 {
		errs = append(errs, set("heater", u.parts.Heat, 0))
	}
	if p.cool == 0 {
		errs = append(errs, set("cooler", u.parts.Cool, 0))
	}
	errs = append(errs, set("fan", u.parts.Fan, p.fan))
	if p.heat > 0 {
		errs = append(errs, set("heater", u.parts.Heat, p.heat))
	}
	if p.cool > 0 {
		errs = append(errs, set("cooler", u.parts.Cool, p.cool))
	}
	u.failed = errors.Join(errs...)
	if u.failed != nil {
		u.failed = fmt.Errorf("climate %s: %w", u.name, errors.Join(u.failed, set("heater", u.parts.Heat, 0), set("cooler", u.parts.Cool, 0)))
		p.heat, p.cool = 0, 0
	}
	u.state.note(u.on, p, now)
	u.on, u.told = p, now
}

func set(what string, m Power, percent int) error {
	if m == nil {
		return nil
	}
	if err := m.Set(percent); err != nil {
		return fmt.Errorf("switch %s to %d percent: %w", what, percent, err)
	}
	return nil
}
