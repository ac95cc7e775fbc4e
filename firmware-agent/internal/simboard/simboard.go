// Package simboard is a bank without hardware for trying out and testing the agent's binary: its
// doors and goods are moved by lines on a unix socket, every coil pulse is appended to a file with
// its time in unix ms and on the agent's monotonic clock ("door 3 pulse 1 at 1795334400000 up 5012"),
// and the world outlives the agent in another, so that killing the process changes nothing in it.
//
// Orders, one a line, answered by one line each ("ok" or "error: ..."):
//
//	open 3          open door 3 whatever its lock says
//	pull 3          open door 3 if its coil moved in the last 10 s
//	close 3         close it
//	put 3 1200      put 1200 g in
//	take 3          take everything out
//	code 3 123456   type a code at the panel
//	break 3, fix 3  break and mend the door's sensor
//	stat            doors, goods, pulses and the panel's text as one line of JSON
package simboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/uptime"
	"lockerfleet/locker"
)

// pullWithin is how long after a pulse a door can be pulled open.
const pullWithin = 10 * time.Second

// cell is one compartment of the world, as the world file keeps it.
type cell struct {
	No     int          `json:"no"`
	Open   bool         `json:"open"`
	Broken bool         `json:"broken,omitempty"`
	Grams  locker.Grams `json:"g"`
	Pulses int          `json:"pulses"`
	Pulsed time.Time    `json:"pulsed,omitzero"`

	world *world
	stop  chan struct{} // closed to end the running pulse
}

// world is the simulated bank.
type world struct {
	conf    board.Sim
	up      func() int64 // the clock that the agent's events carry
	mu      sync.Mutex
	cells   []*cell
	screen  board.Screen
	changed chan struct{}
	codes   chan board.Code
	coils   *os.File
	socket  net.Listener
	conns   map[net.Conn]bool
	closed  bool
	work    sync.WaitGroup
}

// Open makes the board of a profile whose driver is board.DriverSim.
func Open(p *board.Profile) (*board.Board, error) {
	w := &world{
		conf: p.Sim, up: uptime.Clock(),
		changed: make(chan struct{}, 1), codes: make(chan board.Code, 4), conns: map[net.Conn]bool{},
	}
	if err := w.load(); err != nil {
		return nil, err
	}
	if p.Sim.Coils != "" {
		f, err := os.OpenFile(p.Sim.Coils, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, fmt.Errorf("simulated board: pulses: %w", err)
		}
		w.coils = f
	}
	if err := w.listen(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	b := &board.Board{Changed: w.changed, Panel: w, Release: w.close}
	for _, c := range w.cells {
		b.Compartments = append(b.Compartments, board.Compartment{No: c.No, Lock: c, Door: c, Presence: c, Scale: c})
	}
	return b, nil
}

// load takes the world as the last process left it, or makes closed, empty doors.
func (w *world) load() error {
	for i := range w.conf.Compartments {
		w.cells = append(w.cells, &cell{No: i + 1, world: w})
	}
	if w.conf.World == "" {
		return nil
	}
	b, err := os.ReadFile(w.conf.World)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var old []cell
	if err == nil {
		err = json.Unmarshal(b, &old)
	}
	if err != nil {
		return fmt.Errorf("simulated board: world: %w", err)
	}
	for i, c := range old {
		if i < len(w.cells) {
			*w.cells[i] = c
			w.cells[i].No, w.cells[i].world = i+1, w
		}
	}
	return nil
}

// save is called with mu held. The world file is replaced in one step, so that a killed process
// leaves the old or the new one.
func (w *world) save() error {
	if w.conf.World == "" {
		return nil
	}
	b, err := json.Marshal(w.cells)
	if err != nil {
		return fmt.Errorf("simulated board: world: %w", err)
	}
	tmp := w.conf.World + ".new"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return fmt.Errorf("simulated board: world: %w", err)
	}
	if err := os.Rename(tmp, w.conf.World); err != nil {
		return fmt.Errorf("simulated board: world: %w", err)
	}
	return nil
}

// change does something to one door and tells the agent that its sensors moved.
func (w *world) change(no int, f func(*cell) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if no < 1 || no > len(w.cells) {
		return fmt.Errorf("there is no door %d", no)
	}
	if err := f(w.cells[no-1]); err != nil {
		return err
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
	return w.save()
}

func (w *world) close() error {
	w.mu.Lock()
	w.closed = true
	for c := range w.conns {
		_ = c.Close() // its reader ends and says no more
	}
	w.mu.Unlock()
	var err error
	if w.socket != nil {
		err = w.socket.Close()
	}
	w.work.Wait()
	if w.coils != nil {
		err = errors.Join(err, w.coils.Close())
	}
	return err
}

// Codes delivers codes typed over the socket.
func (w *world) Codes() <-chan board.Code { return w.codes }

// Show keeps the newest screen for stat.
func (w *world) Show(s board.Screen) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.screen = s
	return nil
}

var (
	errFiring = errors.New("the coil is on already")
	errBroken = errors.New("the sensor is broken")
)

// Fire records the pulse before it counts as given, then lets it last.
func (c *cell) Fire(ctx context.Context, pulse time.Duration) error {
	stop, err := c.on()
	if err != nil {
		return err
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

func (c *cell) on() (<-chan struct{}, error) {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if c.stop != nil {
		return nil, errFiring
	}
	if c.world.coils != nil {
		_, err := fmt.Fprintf(c.world.coils, "door %d pulse %d at %d up %d\n", c.No, c.Pulses+1, time.Now().UnixMilli(), c.world.up())
		if err != nil {
			return nil, fmt.Errorf("simulated coil: %w", err)
		}
	}
	stop := make(chan struct{})
	c.stop = stop
	c.Pulses++
	c.Pulsed = time.Now()
	if c.world.conf.Springs && !c.Open {
		c.Open = true
		select {
		case c.world.changed <- struct{}{}:
		default:
		}
	}
	return stop, c.world.save()
}

// Safe ends the pulse.
func (c *cell) Safe() error {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if c.stop != nil {
		close(c.stop)
		c.stop = nil
	}
	return nil
}

// Door is what the contact says.
func (c *cell) Door() (locker.DoorState, error) {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	switch {
	case c.Broken:
		return locker.DoorUnknown, errBroken
	case c.Open:
		return locker.DoorOpen, nil
	}
	return locker.DoorClosed, nil
}

// Content is what the light barrier says.
func (c *cell) Content() (locker.Content, error) {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if c.Grams > 0 {
		return locker.Present, nil
	}
	return locker.Empty, nil
}

// Weigh is what the scale says.
func (c *cell) Weigh() (locker.Grams, error) {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	return c.Grams, nil
}
