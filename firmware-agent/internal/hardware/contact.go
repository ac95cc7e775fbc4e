package hardware

import (
	"fmt"
	"time"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/gpio"
	"lockerfleet/locker"
)

// switches requests the GPIO lines of doors, bolts and presence sensors.
func (o *opening) switches() {
	for i := range o.p.Compartments {
		c, to := &o.p.Compartments[i], &o.b.Compartments[i]
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

// contact requests a switch on a GPIO line; nil for parts of other drivers. level is the
// electrical level that counts as active.
func (o *opening) contact(no int, what string, l *board.Line, level string, debounce board.Duration) gpio.Input {
	if l.Driver != board.DriverGPIO {
		return nil
	}
	in, err := o.lines.Input(l, level == "low", time.Duration(debounce), o.signal)
	if err != nil {
		o.missing("%s of compartment %d: %w", what, no, err)
		return nil
	}
	o.closers = append(o.closers, in.Close)
	return in
}

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
