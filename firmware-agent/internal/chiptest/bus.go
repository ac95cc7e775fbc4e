// Package chiptest has chips made of registers, for tests of their drivers: an I2C bus with
// faults, thermometers, converters, an expander for PWM, displays. A fake behaves as the
// datasheet says where a driver could tell the difference, also when the driver does wrong: an
// unknown command is no acknowledge.
package chiptest

import (
	"errors"
	"fmt"
	"sync"

	"periph.io/x/conn/v3/physic"
)

// Chip answers the transactions to one address. The bus calls it with its lock held.
type Chip interface {
	Tx(w, r []byte) error
}

// Errors of a bus.
var (
	ErrNoAck = errors.New("remote I/O error")
	ErrDead  = errors.New("input/output error: the bus hangs")
)

// Bus is an I2C bus with chips. It implements i2c.BusCloser and is safe for concurrent use.
type Bus struct {
	mu     sync.Mutex
	chips  map[uint16]Chip
	dead   bool
	fail   int
	flip   int
	count  int
	closed bool
}

// NewBus returns a bus without chips.
func NewBus() *Bus { return &Bus{chips: map[uint16]Chip{}} }

// Put connects a chip; nil takes the one at addr away.
func (b *Bus) Put(addr uint16, c Chip) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.chips, addr)
	if c != nil {
		b.chips[addr] = c
	}
}

// Do changes something in a chip while no transaction runs.
func (b *Bus) Do(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// Dead makes every transaction fail, or mends the bus.
func (b *Bus) Dead(dead bool) { b.Do(func() { b.dead = dead }) }

// Fail makes the next n transactions fail.
func (b *Bus) Fail(n int) { b.Do(func() { b.fail = n }) }

// Flip inverts the lowest bit of the last byte of the next n answers.
func (b *Bus) Flip(n int) { b.Do(func() { b.flip = n }) }

// Count is how many transactions there were.
func (b *Bus) Count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// Closed tells whether the bus was given back.
func (b *Bus) Closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// Tx hands the transaction to the chip at addr.
func (b *Bus) Tx(addr uint16, w, r []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	if b.closed || b.dead {
		return ErrDead
	}
	if b.fail > 0 {
		b.fail--
		return ErrNoAck
	}
	c := b.chips[addr]
	if c == nil {
		return fmt.Errorf("address %#x: %w", addr, ErrNoAck)
	}
	if err := c.Tx(w, r); err != nil {
		return err
	}
	if len(r) > 0 && b.flip > 0 {
		b.flip--
		r[len(r)-1] ^= 1
	}
	return nil
}

// SetSpeed does nothing.
func (b *Bus) SetSpeed(physic.Frequency) error { return nil }

// Close makes later transactions fail.
func (b *Bus) Close() error {
	b.Do(func() { b.closed = true })
	return nil
}

func (b *Bus) String() string { return "chiptest" }
