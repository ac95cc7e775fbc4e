// Package coil gives pulses to lock coils and makes sure that they end: by the pulse's own timer,
// by a guard beside it when that fails, and again until the line obeys. What switches the coil,
// a GPIO line, a pin of an expander or a relay on a bus, is a Line.
package coil

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lockerfleet/firmware-agent/board"
)

// guardAfter is how long after the end of its pulse a coil is switched off a second time, by
// another goroutine, and then again at this interval until the line obeys.
const guardAfter = 100 * time.Millisecond

// Errors of Fire.
var (
	ErrFiring = errors.New("the coil is on already")
	ErrClosed = errors.New("the lock is closed")
)

// Line switches one coil. The coil is off when the Line is handed over.
type Line interface {
	// On switches the coil on. A line that can end the pulse by itself does so after pulse.
	On(pulse time.Duration) error
	// Off switches the coil off, whatever it did before.
	Off() error
	// Close gives the line back after the last Off.
	Close() error
}

// Lock is a coil on one line. It is a board.Lock and safe for concurrent use.
type Lock struct {
	most time.Duration

	mu     sync.Mutex
	line   Line
	stop   chan struct{} // closed to end the running pulse; nil while there is none
	guard  *time.Timer
	closed bool
	// suspect is set when the guard had to act on this pulse: the normal way off did not work.
	suspect bool
}

// New makes a lock whose pulses last at most most; 0 means board.MaxPulse, and nothing is longer.
func New(line Line, most time.Duration) *Lock {
	if most <= 0 || most > board.MaxPulse {
		most = board.MaxPulse
	}
	return &Lock{line: line, most: most}
}

// Fire switches the coil on for one pulse. Off comes from here, and from the guard when this
// goroutine is stuck or the line does not obey.
func (l *Lock) Fire(ctx context.Context, pulse time.Duration) error {
	pulse = min(pulse, l.most)
	stop, err := l.on(pulse)
	if err != nil {
		return err
	}
	end := time.NewTimer(pulse)
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
	case <-stop:
	}
	if err := l.Safe(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.suspect {
		return errors.New("the coil had to be switched off by its guard")
	}
	return nil
}

// on arms the guard before the coil, so that no moment is without one. While a bus takes its time
// the longest pulse counts, from then on this one.
func (l *Lock) on(pulse time.Duration) (<-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.stop != nil:
		return nil, ErrFiring
	}
	stop := make(chan struct{})
	l.stop, l.suspect = stop, false
	l.guard = time.AfterFunc(board.MaxPulse+guardAfter, l.overdue)
	if err := l.line.On(pulse); err != nil {
		return nil, errors.Join(fmt.Errorf("switch the coil on: %w", err), l.off())
	}
	l.guard.Reset(pulse + guardAfter)
	return stop, nil
}

// Safe switches the coil off and ends a running pulse.
func (l *Lock) Safe() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	return l.off()
}

// off is called with mu held. When the line does not obey, the guard goes on trying.
func (l *Lock) off() error {
	if l.stop != nil {
		close(l.stop)
		l.stop = nil
	}
	if err := l.line.Off(); err != nil {
		if l.guard == nil {
			l.guard = time.AfterFunc(guardAfter, l.overdue)
		}
		return fmt.Errorf("switch the coil off: %w", err)
	}
	if l.guard != nil {
		l.guard.Stop()
		l.guard = nil
	}
	return nil
}

// overdue is the guard: the coil should be off by now.
func (l *Lock) overdue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.guard == nil {
		return
	}
	l.guard = nil
	l.suspect = true
	_ = l.off() // it plans the next try itself
}

// Close switches off and gives the line back. It may be called again.
func (l *Lock) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	err := l.off()
	if l.guard != nil {
		l.guard.Stop()
	}
	l.closed = true
	return errors.Join(err, l.line.Close())
}
