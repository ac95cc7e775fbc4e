package world

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/locker"
)

// Codes delivers what people typed.
func (w *World) Codes() <-chan board.Code { return w.codes }

// Show puts a screen on the panel.
func (w *World) Show(s board.Screen) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.screen, w.until = s, w.opts.Now().Add(s.For)
	w.shown++
	if w.news != nil {
		close(w.news)
		w.news = nil
	}
	return nil
}

// Screen is what the panel shows, the zero Screen when it has gone dark, and how many screens were
// shown so far.
func (w *World) Screen() (board.Screen, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.opts.Now().Before(w.until) {
		return board.Screen{}, w.shown
	}
	return w.screen, w.shown
}

// AwaitScreen waits for a screen newer than the given count of screens.
func (w *World) AwaitScreen(ctx context.Context, after uint64) (board.Screen, error) {
	var s board.Screen
	err := w.await(ctx, func() bool {
		s = w.screen
		return w.shown > after
	})
	return s, err
}

// Type enters a compartment and a code at the panel. It reports false when the panel has not taken
// the entries before this one.
func (w *World) Type(no int, code string) bool {
	select {
	case w.codes <- board.Code{Compartment: no, Text: code}:
		return true
	default:
		return false
	}
}

// Scans delivers what was held before the scanner.
func (w *World) Scans() <-chan string { return w.scans }

// Credentials delivers cards that were held before the reader.
func (w *World) Credentials() <-chan board.Credential { return w.cards }

// Present holds a card of so many data bits before the reader. It reports false when the bank has
// not taken those before this one.
func (w *World) Present(number uint64, bits int) bool {
	select {
	case w.cards <- board.Credential{Kind: board.CredentialCard, Subject: strconv.FormatUint(number, 10), Bits: number, Len: bits}:
		return true
	default:
		return false
	}
}

// Scan holds a picture before the scanner. It reports false when the bank has not taken those
// before this one.
func (w *World) Scan(text string) bool {
	select {
	case w.scans <- text:
		return true
	default:
		return false
	}
}

// Pull opens the door of compartment no as soon as its bolt is withdrawn. An open door stays
// open. When ctx ends first the error is ErrLocked.
func (w *World) Pull(ctx context.Context, no int) error {
	if err := w.await(ctx, func() bool { return w.tryOpen(no) }); err != nil {
		return fmt.Errorf("pull door %d: %w: %w", no, ErrLocked, err)
	}
	return nil
}

// tryOpen opens a door that is not held. The lock is held.
func (w *World) tryOpen(no int) bool {
	c := w.cell(no)
	if c == nil || !c.open && !c.released {
		return false
	}
	if !c.open {
		c.openNow()
		w.tell()
	}
	return true
}

// Force opens the door of compartment no whatever the bolt does.
func (w *World) Force(no int) error {
	return w.change(no, func(c *cell) { c.openNow() })
}

// Put places goods of g grams, more than 0, into compartment no; its door must be open.
func (w *World) Put(no int, g locker.Grams) error {
	if g <= 0 {
		return fmt.Errorf("put %d g into compartment %d: goods have a weight", g, no)
	}
	return w.reach(no, func(c *cell) { c.grams = g })
}

// Take takes everything out of compartment no; its door must be open.
func (w *World) Take(no int) (locker.Grams, error) {
	var took locker.Grams
	err := w.reach(no, func(c *cell) { took, c.grams = c.grams, 0 })
	return took, err
}

// reach does something inside an open compartment.
func (w *World) reach(no int, do func(*cell)) error {
	shut := false
	err := w.change(no, func(c *cell) {
		if shut = !c.open; !shut {
			do(c)
		}
	})
	if shut {
		err = fmt.Errorf("reach into compartment %d: %w", no, ErrShut)
	}
	return err
}

// Close closes the door of compartment no; its bolt engages. A contact that bounces needs a few
// milliseconds.
func (w *World) Close(ctx context.Context, no int) error {
	bounce := false
	err := w.change(no, func(c *cell) {
		bounce = c.fault&Bounce != 0 && c.open
		c.shut()
	})
	if err != nil || !bounce {
		return err
	}
	for range bounces {
		pause(ctx, bounceTime)
		_ = w.change(no, func(c *cell) { c.open = !c.open }) // the compartment exists
	}
	return w.change(no, (*cell).shut)
}

// pause lets d pass, or less when ctx ends: a door comes to rest whoever watches.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// shut closes the door.
func (c *cell) shut() {
	c.settleHeat()
	c.open = false
	c.released = c.fault&Loose != 0
}

// Air sets the temperature of the air in a compartment, as a bag of ice or the sun does.
func (w *World) Air(no int, t locker.MilliCelsius) error {
	return w.change(no, func(c *cell) { c.inside, c.heatAt = t, w.opts.Now() })
}

// Inside is the true weight of what is in compartment no; 0 is nothing.
func (w *World) Inside(no int) locker.Grams {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.cell(no); c != nil {
		return c.grams
	}
	return 0
}

// IsOpen reports whether the door of compartment no is open in truth.
func (w *World) IsOpen(no int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cell(no)
	return c != nil && c.open
}

// AwaitDoor waits until the door of compartment no is open, or closed.
func (w *World) AwaitDoor(ctx context.Context, no int, open bool) error {
	return w.await(ctx, func() bool {
		c := w.cell(no)
		return c != nil && c.open == open
	})
}

// await waits until met, which is asked with the lock held after every change, or until ctx ends.
func (w *World) await(ctx context.Context, met func() bool) error {
	for {
		w.mu.Lock()
		if met() {
			w.mu.Unlock()
			return nil
		}
		if w.news == nil {
			w.news = make(chan struct{})
		}
		news := w.news
		w.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
