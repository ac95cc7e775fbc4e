// Package boardtest holds the tests that any board must pass, and a small board for tests of
// what stands above boards.
package boardtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/locker"
)

// Rig is a board under test together with hands on its world.
type Rig struct {
	Board *board.Board
	// Coil reports whether the coil of a compartment is on right now.
	Coil func(no int) bool
	// Pulses counts how often a coil was switched on.
	Pulses func(no int) int
	// SetDoor moves a door. Unknown breaks its sensor. It returns when a reader can see it.
	SetDoor func(no int, s locker.DoorState)
	// Elapse lets time pass.
	Elapse func(time.Duration)
	// BoardTimed says that the pulse is timed by a board of its own: nothing the agent does ends
	// it early, and it must still end within board.MaxPulse.
	BoardTimed bool
}

// Run tests the board that open makes. open is called once for each subtest and registers its
// own cleanup.
func Run(t *testing.T, open func(t *testing.T) Rig) {
	t.Helper()
	for _, tt := range []struct {
		name string
		run  func(*testing.T, Rig)
	}{
		{"starts with every coil off", startsOff},
		{"a pulse ends by itself", pulseEnds},
		{"a pulse is never longer than the cap", pulseCapped},
		{"a pulse ends with its context", pulseCut},
		{"safe ends a pulse", safeEndsPulse},
		{"safe may be repeated", safeRepeats},
		{"doors are read as they are", doorsRead},
		{"a broken sensor is unknown, not closed", brokenSensor},
		{"a change is signalled", changeSignalled},
		{"close leaves every coil off", closeSafe},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

func startsOff(t *testing.T, r Rig) {
	last := 0
	for _, c := range r.Board.Compartments {
		if c.No <= last || c.Lock == nil || c.Door == nil {
			t.Fatalf("compartment %d after %d: numbers rise, lock and door are fitted", c.No, last)
		}
		last = c.No
		if r.Coil(c.No) || r.Pulses(c.No) > 0 {
			t.Errorf("coil %d was switched on by opening the board", c.No)
		}
	}
	if last == 0 {
		t.Fatal("the board has no compartment")
	}
}

// fire starts a pulse and returns its end.
func fire(r Rig, ctx context.Context, pulse time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.Board.Compartments[0].Lock.Fire(ctx, pulse) }()
	return done
}

func first(r Rig) int { return r.Board.Compartments[0].No }

// stillOn reports that the coil of the first compartment is on when it should be off. A board that
// times the pulse began it when it had read the frame, a little after the agent.
func stillOn(r Rig) bool {
	for range 50 {
		if !r.Coil(first(r)) {
			return false
		}
		if !r.BoardTimed {
			return true
		}
		<-time.After(10 * time.Millisecond)
	}
	return true
}

func mustEnd(t *testing.T, r Rig, done <-chan error, within time.Duration) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("fire: %v", err)
		}
	case <-time.After(within):
		t.Fatalf("the pulse did not end within %s", within)
	}
	if stillOn(r) {
		t.Error("fire returned with the coil on")
	}
	if n := r.Pulses(first(r)); n != 1 {
		t.Errorf("the coil was switched on %d times, want once", n)
	}
}

func pulseEnds(t *testing.T, r Rig) {
	done := fire(r, t.Context(), 400*time.Millisecond) // long enough for a busy machine to look in its middle
	r.Elapse(20 * time.Millisecond)
	if !r.Coil(first(r)) {
		t.Error("the coil is off in the middle of its pulse")
	}
	mustEnd(t, r, done, time.Second)
}

func pulseCapped(t *testing.T, r Rig) {
	mustEnd(t, r, fire(r, t.Context(), time.Hour), board.MaxPulse+time.Second)
}

func pulseCut(t *testing.T, r Rig) {
	ctx, cancel := context.WithCancel(t.Context())
	done := fire(r, ctx, board.MaxPulse)
	r.Elapse(20 * time.Millisecond)
	cancel()
	within := board.MaxPulse / 2
	if r.BoardTimed {
		within = board.MaxPulse + 500*time.Millisecond
	}
	mustEnd(t, r, done, within)
}

func safeEndsPulse(t *testing.T, r Rig) {
	done := fire(r, t.Context(), board.MaxPulse)
	r.Elapse(20 * time.Millisecond)
	if err := r.Board.Safe(); err != nil {
		t.Errorf("safe: %v", err)
	}
	if !r.BoardTimed && r.Coil(first(r)) {
		t.Error("the coil is on after safe")
	}
	<-done
	if stillOn(r) {
		t.Error("the coil came on again after safe")
	}
}

func safeRepeats(t *testing.T, r Rig) {
	for range 3 {
		if err := r.Board.Safe(); err != nil {
			t.Errorf("safe: %v", err)
		}
	}
	for _, c := range r.Board.Compartments {
		if r.Pulses(c.No) > 0 {
			t.Errorf("safe switched coil %d on", c.No)
		}
	}
}

func doorsRead(t *testing.T, r Rig) {
	d := r.Board.Compartments[0].Door
	for _, want := range []locker.DoorState{locker.DoorOpen, locker.DoorClosed, locker.DoorOpen} {
		r.SetDoor(first(r), want)
		if got, err := d.Door(); got != want || err != nil {
			t.Errorf("door is %s (%v), want %s", got, err, want)
		}
	}
}

func brokenSensor(t *testing.T, r Rig) {
	r.SetDoor(first(r), locker.DoorUnknown)
	if got, err := r.Board.Compartments[0].Door.Door(); got != locker.DoorUnknown || err == nil {
		t.Errorf("a broken sensor says %q, %v; want unknown and an error", got, err)
	}
}

func changeSignalled(t *testing.T, r Rig) {
	if r.Board.Changed == nil {
		t.Skip("this board is polled only")
	}
	drain(r.Board.Changed)
	r.SetDoor(first(r), locker.DoorOpen)
	select {
	case <-r.Board.Changed:
	case <-time.After(2 * time.Second):
		t.Error("an opened door was not signalled")
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

func closeSafe(t *testing.T, r Rig) {
	done := fire(r, t.Context(), board.MaxPulse)
	r.Elapse(20 * time.Millisecond)
	if err := r.Board.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	<-done
	if stillOn(r) {
		t.Error("the coil is on after close")
	}
}

// Double is a board in memory whose doors are moved by a test. Its methods are safe for
// concurrent use.
type Double struct {
	mu      sync.Mutex
	cells   []*cell
	changed chan struct{}
	codes   chan board.Code
	screens []board.Screen
}

type cell struct {
	double *Double
	no     int
	door   locker.DoorState
	full   locker.Content
	grams  locker.Grams
	stop   chan struct{} // closed by Safe; nil while the coil is off
	pulses int
	broken bool
	// springs opens the door as soon as the coil moves, as an ejector does.
	springs bool
}

// NewDouble returns a board of n closed, empty compartments numbered from 1.
func NewDouble(n int) *Double {
	d := &Double{changed: make(chan struct{}, 1), codes: make(chan board.Code, 4)}
	for i := range n {
		d.cells = append(d.cells, &cell{double: d, no: i + 1, door: locker.DoorClosed, full: locker.Empty})
	}
	return d
}

// Board is the double as a board. It may be asked for again after a restart.
func (d *Double) Board() *board.Board {
	b := &board.Board{Changed: d.changed, Panel: d}
	for _, c := range d.cells {
		b.Compartments = append(b.Compartments, board.Compartment{No: c.no, Lock: c, Door: c, Presence: c, Scale: c})
	}
	return b
}

func (d *Double) change(no int, f func(*cell)) {
	d.mu.Lock()
	f(d.cells[no-1])
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// SetDoor moves the door of compartment no; unknown breaks its sensor.
func (d *Double) SetDoor(no int, s locker.DoorState) { d.change(no, func(c *cell) { c.door = s }) }

// Put places goods of g grams in compartment no; 0 takes everything out.
func (d *Double) Put(no int, g locker.Grams) {
	d.change(no, func(c *cell) {
		c.grams, c.full = g, locker.Present
		if g == 0 {
			c.full = locker.Empty
		}
	})
}

// Spring makes the door of compartment no open when its coil moves.
func (d *Double) Spring(no int) { d.change(no, func(c *cell) { c.springs = true }) }

// Break makes the lock of compartment no answer with an error.
func (d *Double) Break(no int) { d.change(no, func(c *cell) { c.broken = true }) }

// Type enters a code at the panel.
func (d *Double) Type(no int, code string) { d.codes <- board.Code{Compartment: no, Text: code} }

// Codes delivers what Type entered.
func (d *Double) Codes() <-chan board.Code { return d.codes }

// Show keeps s for Screens.
func (d *Double) Show(s board.Screen) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.screens = append(d.screens, s)
	return nil
}

// Screens returns everything that was shown.
func (d *Double) Screens() []board.Screen {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]board.Screen(nil), d.screens...)
}

// Pulses counts how often the coil of compartment no was switched on.
func (d *Double) Pulses(no int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cells[no-1].pulses
}

// Coil reports whether the coil of compartment no is on.
func (d *Double) Coil(no int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cells[no-1].stop != nil
}

var errBroken = errDouble("broken on purpose")

type errDouble string

func (e errDouble) Error() string { return string(e) }

// Fire gives a pulse.
func (c *cell) Fire(ctx context.Context, pulse time.Duration) error {
	stop := make(chan struct{})
	c.double.mu.Lock()
	if c.broken || c.stop != nil {
		c.double.mu.Unlock()
		return errBroken
	}
	c.stop = stop
	c.pulses++
	springs := c.springs
	c.double.mu.Unlock()
	if springs {
		c.double.SetDoor(c.no, locker.DoorOpen)
	}
	end := time.NewTimer(min(pulse, board.MaxPulse))
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
	case <-stop:
	}
	return c.Safe()
}

// Safe ends a pulse.
func (c *cell) Safe() error {
	c.double.mu.Lock()
	defer c.double.mu.Unlock()
	if c.stop != nil {
		close(c.stop)
		c.stop = nil
	}
	return nil
}

func (c *cell) Door() (locker.DoorState, error) {
	c.double.mu.Lock()
	defer c.double.mu.Unlock()
	if c.door == locker.DoorUnknown {
		return locker.DoorUnknown, errBroken
	}
	return c.door, nil
}

func (c *cell) Content() (locker.Content, error) {
	c.double.mu.Lock()
	defer c.double.mu.Unlock()
	return c.full, nil
}

func (c *cell) Weigh() (locker.Grams, error) {
	c.double.mu.Lock()
	defer c.double.mu.Unlock()
	return c.grams, nil
}
