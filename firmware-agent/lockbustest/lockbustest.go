//go:build linux

// Package lockbustest is a bank of lock boards without hardware: it speaks the frames of each
// family from the boards' side over a pseudo terminal, moves doors, and can flip bits on the
// wires, keep silent or open the wrong door. It shares no code with the driver, so that a frame
// both sides read wrongly alike is a vector file's matter and no accident.
package lockbustest

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"lockerfleet/internal/ptytest"
)

// Channels is how many doors a simulated board has.
const Channels = 16

// Options are properties of the simulated boards. Their zero values are those of good boards.
type Options struct {
	// Pulse is how long a coil is on; 0 means 500 ms.
	Pulse time.Duration
	// Springs makes a door swing open when its coil moves.
	Springs bool
	// Dies makes a board fall silent as soon as it was told to unlock.
	Dies bool
	// Cross makes a board open another channel than it was told: from, to.
	Cross map[int]int
}

// Key names one channel, both as printed: the address of its board and a number from 1.
type Key struct{ Board, Channel int }

// Bank is the boards on one line.
type Bank struct {
	// Path is the serial line to open.
	Path string

	line    *ptytest.Line
	speak   family
	options Options

	mu      sync.Mutex
	noise   *rand.Rand // nil while the wires are quiet
	flip    float64
	boards  map[int]*unit
	unlocks []Key
	done    chan struct{}
}

type unit struct {
	silent bool
	open   [Channels + 1]bool
	full   [Channels + 1]bool
	pulses [Channels + 1]int
	until  [Channels + 1]time.Time // when its coil goes off; far away for a plain relay
}

// family reads one question at the start of b. used 0 asks for more bytes; a question that is
// none for any board has no answer.
type family func(bank *Bank, b []byte) (used int, answer []byte)

// Start serves boards with these addresses until the test ends. name is the family as profiles
// call it: kr16, wkly, xor5, modbus or modbus-flash.
func Start(t testing.TB, name string, o Options, boards ...int) *Bank {
	t.Helper()
	speak := map[string]family{"kr16": kr16, "wkly": wkly, "xor5": xor5, "modbus": modbus, "modbus-flash": modbus}[name]
	if speak == nil {
		t.Fatalf("no simulated family %q", name)
	}
	if o.Pulse == 0 {
		o.Pulse = 500 * time.Millisecond
	}
	line := ptytest.Open(t)
	b := &Bank{Path: line.Path, line: line, speak: speak, options: o, boards: map[int]*unit{}, done: make(chan struct{})}
	for _, address := range boards {
		b.boards[address] = &unit{}
	}
	go b.serve()
	t.Cleanup(func() {
		_ = line.Close() // ends serve
		<-b.done
	})
	return b
}

// serve answers until the line is closed.
func (b *Bank) serve() {
	defer close(b.done)
	buf, in := make([]byte, 0, 512), make([]byte, 256)
	for {
		n, err := b.line.Read(in)
		if err != nil {
			return
		}
		buf = append(buf, b.damage(in[:n])...)
		for len(buf) > 0 {
			used, answer := b.take(buf)
			if used == 0 {
				break
			}
			buf = append(buf[:0], buf[used:]...)
			if len(answer) == 0 {
				continue
			}
			if _, err := b.line.Write(b.damage(answer)); err != nil {
				return
			}
		}
		if len(buf) > 256 {
			buf = buf[:0]
		}
	}
}

// take reads a question; a byte that begins none is dropped.
func (b *Bank) take(buf []byte) (int, []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.speak(b, buf)
}

// damage turns bits by chance.
func (b *Bank) damage(in []byte) []byte {
	out := append([]byte(nil), in...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.noise == nil {
		return out
	}
	for i := range out {
		for bit := range 8 {
			if b.noise.Float64() < b.flip {
				out[i] ^= 1 << bit
			}
		}
	}
	return out
}

// board is the unit that answers at an address; nil for silence. It is called with mu held.
func (b *Bank) board(address byte) *unit {
	u := b.boards[int(address)]
	if u == nil || u.silent {
		return nil
	}
	return u
}

// fire moves a coil. It is called with mu held.
func (b *Bank) fire(u *unit, address byte, channel int, pulse time.Duration) {
	b.unlocks = append(b.unlocks, Key{int(address), channel})
	if to, crossed := b.options.Cross[channel]; crossed {
		channel = to
	}
	u.silent = u.silent || b.options.Dies
	u.pulses[channel]++
	u.until[channel] = time.Now().Add(pulse)
	if b.options.Springs {
		u.open[channel] = true
	}
}

func (b *Bank) change(k Key, f func(u *unit)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b.boards[k.Board])
}

// Noise turns each bit on the wires, both ways, with this chance. seed begins the chance.
func (b *Bank) Noise(flip float64, seed uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flip, b.noise = flip, rand.New(rand.NewPCG(seed, 1))
}

// SetDoor opens or closes a door.
func (b *Bank) SetDoor(k Key, open bool) { b.change(k, func(u *unit) { u.open[k.Channel] = open }) }

// Put puts something into a compartment or takes it out.
func (b *Bank) Put(k Key, full bool) { b.change(k, func(u *unit) { u.full[k.Channel] = full }) }

// Silence makes a board answer no more, or again.
func (b *Bank) Silence(board int, silent bool) {
	b.change(Key{Board: board}, func(u *unit) { u.silent = silent })
}

// Coil reports whether a coil is on.
func (b *Bank) Coil(k Key) (on bool) {
	b.change(k, func(u *unit) { on = time.Now().Before(u.until[k.Channel]) })
	return on
}

// Pulses counts how often a coil was switched on.
func (b *Bank) Pulses(k Key) (n int) {
	b.change(k, func(u *unit) { n = u.pulses[k.Channel] })
	return n
}

// Open reports whether a door is open.
func (b *Bank) Open(k Key) (open bool) {
	b.change(k, func(u *unit) { open = u.open[k.Channel] })
	return open
}

// Unlocks returns every unlock that the boards understood, in order, as it was told.
func (b *Bank) Unlocks() []Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Key(nil), b.unlocks...)
}

// bits packs one bit a channel, channel 1 first.
func bits(from [Channels + 1]bool, invert bool) (v uint32) {
	for i := range Channels {
		if from[i+1] != invert {
			v |= 1 << i
		}
	}
	return v
}

// at reports that b holds want at index i as far as it goes.
func at(b []byte, i int, want byte) bool { return len(b) <= i || b[i] == want }
