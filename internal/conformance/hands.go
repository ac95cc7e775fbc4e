package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"lockerfleet/locker"
	"lockerfleet/wire"
)

// Hands do at the device what the kit cannot. A nil func is nobody to do it: the rows that need it
// are not applicable. Each returns when it is done or ctx ends; the kit then looks at what the
// device says.
type Hands struct {
	// Open pulls the door of a compartment that has been unlocked. It may be nil where springs
	// open doors.
	Open func(ctx context.Context, no int) error
	// Close closes the door.
	Close func(ctx context.Context, no int) error
	// Type enters a compartment and a code at the panel.
	Type func(ctx context.Context, no int, code string) error
	// Restart stops the device's program, or its power, and starts it again.
	Restart func(ctx context.Context) error
}

// Commands are hands made of command lines. Each is run by the shell, with LOCKERFLEET_DOOR and
// LOCKERFLEET_CODE in its environment, and ends when it is done. Empty is nobody.
func Commands(open, shut, typed, restart string) Hands {
	h := Hands{}
	if open != "" {
		h.Open = func(ctx context.Context, no int) error { return shell(ctx, open, no, "") }
	}
	if shut != "" {
		h.Close = func(ctx context.Context, no int) error { return shell(ctx, shut, no, "") }
	}
	if typed != "" {
		h.Type = func(ctx context.Context, no int, code string) error { return shell(ctx, typed, no, code) }
	}
	if restart != "" {
		h.Restart = func(ctx context.Context) error { return shell(ctx, restart, 0, "") }
	}
	return h
}

func shell(ctx context.Context, line string, no int, code string) error {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	c.Env = append(os.Environ(), "LOCKERFLEET_DOOR="+strconv.Itoa(no), "LOCKERFLEET_CODE="+code)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w: %s", line, err, strings.TrimSpace(string(out[:min(len(out), 500)])))
	}
	return nil
}

// errNo says that the person at the device will not do it.
var errNo = errors.New("the person at the device answered no")

// Person are hands of somebody who is told on w what to do and answers on r: an empty line when it
// is done, "no" when it cannot be done. Closing needs no answer, the device tells of it.
func Person(r io.Reader, w io.Writer) Hands {
	lines := make(chan string)
	go func() { // it ends with r
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	ask := func(ctx context.Context, format string, args ...any) error {
		fmt.Fprintf(w, ">> "+format+" Then press Enter; type no to leave it out.\n", args...)
		select {
		case line, open := <-lines:
			if !open || strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "n") {
				return errNo
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return Hands{
		Open: func(ctx context.Context, no int) error {
			fmt.Fprintf(w, ">> Pull door %d open now, if it does not spring open.\n", no)
			return nil
		},
		Close: func(ctx context.Context, no int) error { return ask(ctx, "Close door %d.", no) },
		Type: func(ctx context.Context, no int, code string) error {
			return ask(ctx, "Enter compartment %d and code %s at the panel.", no, code)
		},
		Restart: func(ctx context.Context) error { return ask(ctx, "Turn the device off and on again.") },
	}
}

// open lets the hands pull a door and waits until the device says that it is open.
func (b *bench) open(ctx context.Context, no int) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.DoorWait)
	defer cancel()
	if b.o.Hands.Open != nil {
		if err := b.o.Hands.Open(ctx, no); err != nil {
			return fmt.Errorf("open door %d: %w", no, err)
		}
	}
	if !b.await(ctx, b.o.DoorWait, func() bool { return b.isOpen(no) }) {
		return fmt.Errorf("no snapshot shows door %d open", no)
	}
	return nil
}

// isOpen reports what the newest snapshot says. The lock is held.
func (b *bench) isOpen(no int) bool {
	s, _ := b.snaps.last()
	for _, c := range s.Compartments {
		if c.C == no {
			return c.Door == locker.DoorOpen || c.Door == locker.DoorAjar
		}
	}
	return false
}

// shut lets the hands close a door and waits until the device says that it is closed.
func (b *bench) shut(ctx context.Context, no int) error {
	if b.o.Hands.Close == nil {
		return errors.New("nobody closes the door")
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.DoorWait)
	defer cancel()
	if err := b.o.Hands.Close(ctx, no); err != nil {
		return fmt.Errorf("close door %d: %w", no, err)
	}
	if !b.await(ctx, b.o.DoorWait, func() bool { return !b.isOpen(no) }) {
		return fmt.Errorf("no snapshot shows door %d closed", no)
	}
	return nil
}

// closeDoors closes what a row left open. What stays open is told by the rows that need it closed.
func (b *bench) closeDoors(ctx context.Context) {
	// An opening that is under way shows its door, or ends, in a moment.
	b.await(ctx, answerWithin, func() bool { return !b.underWay() || b.anyOpen() })
	b.mu.Lock()
	s, _ := b.snaps.last()
	b.mu.Unlock()
	for _, c := range s.Compartments {
		if c.Door == locker.DoorOpen || c.Door == locker.DoorAjar {
			_ = b.shut(ctx, c.C)
		}
	}
}

// closing finds what a command's door was measured to hold. The lock is held.
func (b *bench) closing(at int, cmd string) (wire.Event, bool) {
	return b.eventSince(at, func(e wire.Event) bool { return e.Type == wire.EvClosing && e.Cmd == locker.CommandID(cmd) })
}

// underWay reports whether a command was accepted and has not ended. The lock is held.
func (b *bench) underWay() bool {
	for _, stages := range b.ends {
		if len(stages) > 0 && !final(stages[len(stages)-1]) {
			return true
		}
	}
	return false
}

// anyOpen reports whether the newest snapshot shows an open door. The lock is held.
func (b *bench) anyOpen() bool {
	s, _ := b.snaps.last()
	for _, c := range s.Compartments {
		if c.Door == locker.DoorOpen || c.Door == locker.DoorAjar {
			return true
		}
	}
	return false
}
