// Package lockbus drives lock boards and relay boards on RS-485: boards that switch the coils
// themselves and are told by frames which door to open.
//
// A family is one layout of frames, as pure functions of bytes. A Bus is one pair of wires: one
// goroutine asks, one question is on its way at a time, every answer must come from the board
// that was asked. A question about state is asked up to three times. An unlock is sent once and
// never again, because an unlock without an answer may have moved the lock; what it did is read
// back from the doors.
//
// Opening several doors at once cannot be said here. The families have frames for it; no
// function makes them, and a Door cannot hold the numbers that mean "all".
package lockbus

import (
	"errors"
	"fmt"
	"time"

	"lockerfleet/firmware-agent/board"
)

// Family is one layout of frames.
type Family struct {
	// Name is what a profile calls it.
	Name string
	board.Proto
	codec codec
}

// Find returns the family that a profile calls name.
func Find(name string) (*Family, error) {
	c, known := codecs[name]
	if !known {
		return nil, fmt.Errorf("proto %q: allowed are %v", name, Names())
	}
	return &Family{Name: name, Proto: board.Protos[name], codec: c}, nil
}

// Names lists the families.
func Names() []string { return board.ProtoNames() }

var codecs = map[string]codec{"kr16": kr16{}, "wkly": wkly{}, "xor5": xor5{}, "modbus": modbus{}, "modbus-flash": modbus{flash: true}}

// Door addresses one lock of one board. Only Family.Door makes one. Its channel counts from 0
// and is always that of a single lock, so the number that means "all locks" to some families
// has no Door.
type Door struct{ board, index uint8 }

// Door returns the door at the printed channel, counted from 1, of a board.
func (f *Family) Door(address, channel int) (Door, error) {
	if address < f.FirstBoard || address > f.LastBoard {
		return Door{}, fmt.Errorf("board %d: %s boards have addresses %d to %d", address, f.Name, f.FirstBoard, f.LastBoard)
	}
	if channel < 1 || channel > f.Channels {
		return Door{}, fmt.Errorf("channel %d: %s boards have channels 1 to %d, as printed on the board", channel, f.Name, f.Channels)
	}
	return Door{uint8(address), uint8(channel - 1)}, nil
}

// String names the door for people.
func (d Door) String() string { return fmt.Sprintf("board %d channel %d", d.board, int(d.index)+1) }

// Status is what a board says of its channels: bit 0 is channel 1. What a bit means is the
// profile's to say, because sellers wire the same board both ways.
type Status struct {
	Locks    uint64
	Presence uint64 // families with Presence only
	Coils    uint64 // relay boards only: which coils are on
}

// exchange is one question and how to read its answer. read looks at bytes that begin with a
// frame; errShort asks for more of them, errNoise says that they are something else.
type exchange struct {
	what  string
	frame []byte
	read  func(b []byte, s *Status) error
}

// codec makes the exchanges of a family.
type codec interface {
	// status asks for the state of the first channels of a board.
	status(board uint8, channels int) []exchange
	// unlock opens one door. A relay board that can time the pulse itself ends it after pulse.
	unlock(d Door, pulse time.Duration) exchange
}

// relays are codecs of boards whose coils can be switched off.
type relays interface {
	// off switches one coil off.
	off(d Door) exchange
	// clear switches all coils of a board off.
	clear(board uint8, channels int) exchange
}

// Errors of reading an answer.
var (
	errShort = errors.New("the answer is not complete")
	errNoise = errors.New("the bytes are not the answer")
	// ErrRefused is an answer by which a board says that it did not do what it was told.
	ErrRefused = errors.New("the board refuses")
)

// find looks for the answer of an exchange in what came in. A frame may follow noise, because
// the wires are undriven while the direction turns.
func (e *exchange) find(b []byte, s *Status) error {
	for i := range b {
		if err := e.read(b[i:], s); err == nil || errors.Is(err, ErrRefused) {
			return err
		}
	}
	return errShort
}

// begins compares a prefix: a mismatch is noise, too few bytes are short.
func begins(b []byte, want ...byte) error {
	for i, w := range want {
		if i >= len(b) {
			return errShort
		}
		if b[i] != w {
			return errNoise
		}
	}
	return nil
}

// sized wants n bytes.
func sized(b []byte, n int) error {
	if len(b) < n {
		return errShort
	}
	return nil
}

func xor(b []byte) (x byte) {
	for _, v := range b {
		x ^= v
	}
	return x
}

func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}

// below keeps the bits of the first n channels.
func below(bits uint64, n int) uint64 { return bits & (1<<n - 1) }
