// Package cabinet drives what furniture has besides doors: lamps, a buzzer, the contacts of its
// supply and of its own covers.
package cabinet

import (
	"errors"
	"fmt"

	"lockerfleet/firmware-agent/board"
)

// Output is an output line. 1 is on.
type Output interface{ SetValue(int) error }

// Input is an input line. 1 is active. It is debounced where it comes from.
type Input interface{ Value() (int, error) }

// Supply is a board.PowerInput of contacts: those of a supply with a battery, or of a relay that
// the mains holds. It is safe for concurrent use when its lines are.
type Supply struct {
	Mains Input // active while the mains is there
	Low   Input // active while the battery is low; nil when nothing tells
}

// Power reads the contacts. A low contact that cannot be read counts as low: a shot that resets
// the computer in the middle is worse than none.
func (s Supply) Power() (board.PowerState, error) {
	state := board.PowerState{Source: board.PowerBattery}
	mains, err := s.Mains.Value()
	switch {
	case err != nil:
		state.Source, err = board.PowerUnknown, fmt.Errorf("read mains: %w", err)
	case mains == 1:
		state.Source = board.PowerMains
	}
	if s.Low == nil {
		return state, err
	}
	low, lowErr := s.Low.Value()
	state.Low = low == 1
	if lowErr != nil {
		state.Low, lowErr = true, fmt.Errorf("read low battery: %w", lowErr)
	}
	return state, errors.Join(err, lowErr)
}

// Covers is a board.Tamper of contacts, active while a cover is off. They should be wired so that
// a cut cable is active.
type Covers []Input

// Tampered is true while any cover is off or any contact cannot be read.
func (c Covers) Tampered() (bool, error) {
	var off bool
	var errs []error
	for i, in := range c {
		v, err := in.Value()
		if err != nil {
			errs = append(errs, fmt.Errorf("read tamper contact %d: %w", i+1, err))
		}
		off = off || v == 1 || err != nil
	}
	return off, errors.Join(errs...)
}
