// Package hardware opens a board profile: every lock, switch and sensor by the driver its
// profile names, and gives one board.Board made of them all.
package hardware

import (
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/coil"
	"lockerfleet/firmware-agent/internal/gpio"
	"lockerfleet/locker"
)

// lines requests lines of the machine.
type lines interface {
	Output(l *board.Line, activeLow bool) (gpio.Output, error)
	Input(l *board.Line, activeLow bool, debounce time.Duration, changed func()) (gpio.Input, error)
}

// buses opens I2C buses by their device path.
type buses func(dev string) (i2c.BusCloser, error)

// Open requests every line and bus of the profile and returns the board with all coils off.
// When anything is missing it gives everything back; the error lists all that is missing.
func Open(p *board.Profile) (*board.Board, error) { return open(p, gpio.Chips{}, openBus) }

// opening gathers what must be given back.
type opening struct {
	lines   lines
	changed chan struct{}
	closers []func() error
	errs    []error
}

func open(p *board.Profile, ls lines, bs buses) (*board.Board, error) {
	o := &opening{lines: ls, changed: make(chan struct{}, 1)}
	b := &board.Board{Changed: o.changed, Release: o.release}
	o.locks(p, b)
	o.switches(p, b)
	o.thermometers(p, b, bs)
	if len(o.errs) > 0 {
		return nil, errors.Join(append(o.errs, o.release())...)
	}
	return b, nil
}

// locks come first and all of them: a coil is held off before anything else is looked at.
func (o *opening) locks(p *board.Profile, b *board.Board) {
	for i := range p.Compartments {
		c := &p.Compartments[i]
		b.Compartments = append(b.Compartments, board.Compartment{No: c.No})
		out, err := o.lines.Output(&c.Lock.Line, c.Lock.Active == "low")
		if err != nil {
			o.missing("lock of compartment %d: %w", c.No, err)
			continue
		}
		l := coil.New(pin{out}, time.Duration(c.Lock.MaxPulse))
		b.Compartments[i].Lock = l
		o.closers = append(o.closers, l.Close)
	}
}

func (o *opening) switches(p *board.Profile, b *board.Board) {
	for i := range p.Compartments {
		c, to := &p.Compartments[i], &b.Compartments[i]
		if s := o.contact(c.No, "door", &c.Door.Line, c.Door.ClosedIs, c.Door.Debounce); s != nil {
			to.Door = door{s}
		}
		if c.Bolt != nil {
			if s := o.contact(c.No, "bolt", &c.Bolt.Line, c.Bolt.Means, c.Bolt.Debounce); s != nil {
				to.Bolt = bolt{s}
			}
		}
		if c.Presence != nil {
			if s := o.contact(c.No, "presence", &c.Presence.Line, c.Presence.Means, c.Presence.Debounce); s != nil {
				to.Presence = presence{s}
			}
		}
	}
}

// contact requests a switch. level is the electrical level that counts as active.
func (o *opening) contact(no int, what string, l *board.Line, level string, debounce board.Duration) gpio.Input {
	in, err := o.lines.Input(l, level == "low", time.Duration(debounce), o.signal)
	if err != nil {
		o.missing("%s of compartment %d: %w", what, no, err)
		return nil
	}
	o.closers = append(o.closers, in.Close)
	return in
}

func (o *opening) missing(format string, args ...any) {
	o.errs = append(o.errs, fmt.Errorf(format, args...))
}

// signal tells that some line changed. The level is read afterwards: an edge is a hint.
func (o *opening) signal() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// release gives back in the reverse order of opening.
func (o *opening) release() error {
	var errs []error
	for i := len(o.closers) - 1; i >= 0; i-- {
		errs = append(errs, o.closers[i]())
	}
	o.closers = nil
	return errors.Join(errs...)
}

// pin is an output line as the switch of a coil.
type pin struct{ gpio.Output }

// On makes the line active.
func (p pin) On(time.Duration) error { return p.SetValue(1) }

// Off makes the line inactive.
func (p pin) Off() error { return p.SetValue(0) }

// door, bolt and presence give a switch its meaning.
type (
	door     struct{ gpio.Input }
	bolt     struct{ gpio.Input }
	presence struct{ gpio.Input }
)

// Door reads the level now.
func (d door) Door() (locker.DoorState, error) {
	return meaning(d.Input, "door", locker.DoorClosed, locker.DoorOpen, locker.DoorUnknown)
}

// Bolt reads the level now.
func (b bolt) Bolt() (locker.LockState, error) {
	return meaning(b.Input, "bolt", locker.Locked, locker.Unlocked, locker.LockUnknown)
}

// Content reads the level now.
func (p presence) Content() (locker.Content, error) {
	return meaning(p.Input, "presence", locker.Present, locker.Empty, locker.ContentUnknown)
}

func meaning[T any](in gpio.Input, what string, active, idle, unknown T) (T, error) {
	switch v, err := in.Value(); {
	case err != nil:
		return unknown, fmt.Errorf("read %s: %w", what, err)
	case v == 1:
		return active, nil
	case v == 0:
		return idle, nil
	default:
		return unknown, fmt.Errorf("read %s: the line has level %d", what, v)
	}
}
