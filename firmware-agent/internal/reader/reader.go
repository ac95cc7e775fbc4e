// Package reader takes what people present: cards at Wiegand readers, with or without a keypad,
// and bar codes at serial scanners. Damaged or incomplete input is dropped, never guessed. What
// is read is secret and is not logged.
package reader

import (
	"sync"
	"time"

	"lockerfleet/firmware-agent/board"
)

// Bounds of what waits for somebody to take it; more is dropped.
const (
	waitingCards = 4
	waitingKeys  = 16
)

// deliverAfter is how long nothing must come before a frame is delivered. It is longer than
// Silence, which counts in the kernel's times, because edges may reach us late on a busy machine.
const deliverAfter = 50 * time.Millisecond

// Cards is a board.Reader on two Wiegand lines, and a board.Keypad when the reader has keys. The
// owner of the lines calls Edge; Close stops its timer.
type Cards struct {
	cards chan board.Credential
	keys  chan rune

	mu      sync.Mutex
	wiegand Wiegand
	silence *time.Timer
	closed  bool
}

// NewCards returns a reader that waits for edges.
func NewCards() *Cards {
	return &Cards{cards: make(chan board.Credential, waitingCards), keys: make(chan rune, waitingKeys)}
}

// Credentials delivers cards.
func (c *Cards) Credentials() <-chan board.Credential { return c.cards }

// Keys delivers the keys of a reader that has some.
func (c *Cards) Keys() <-chan rune { return c.keys }

// Edge takes the next edge of either line.
func (c *Cards) Edge(e Edge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if f, ok := c.wiegand.Take(e); ok {
		c.deliver(f)
	}
	if c.silence == nil {
		c.silence = time.AfterFunc(deliverAfter, c.silent)
	} else {
		c.silence.Reset(deliverAfter)
	}
}

func (c *Cards) silent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.wiegand.End(); ok && !c.closed {
		c.deliver(f)
	}
}

// deliver is called with mu held.
func (c *Cards) deliver(f Frame) {
	if card, ok := f.Card(); ok {
		select {
		case c.cards <- card:
		default:
		}
	}
	if key, ok := f.Key(); ok {
		select {
		case c.keys <- key:
		default:
		}
	}
}

// Close makes later edges count for nothing.
func (c *Cards) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.silence != nil {
		c.silence.Stop()
	}
	return nil
}
