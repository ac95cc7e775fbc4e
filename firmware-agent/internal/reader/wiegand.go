package reader

import (
	"math/bits"
	"strconv"
	"time"

	"lockerfleet/firmware-agent/board"
)

// Times of Wiegand: pulses of 50 to 100 us come every 1 to 2 ms (CDVI and ZK manuals), and a
// frame ends with silence.
const (
	// Silence ends a frame.
	Silence = 30 * time.Millisecond
	// nearest is the least time between two pulses. What is nearer is a disturbance, which rings
	// on both lines at once.
	nearest = 150 * time.Microsecond
)

// maxBits is the longest frame; a longer one is dropped.
const maxBits = 64

// Edge is a falling edge of one of the two lines.
type Edge struct {
	One bool          // it came on D1
	At  time.Duration // the kernel's monotonic time of it
	Seq uint32        // counts the edges of both lines; a gap means that edges were lost
}

// Frame is a group of bits between two silences.
type Frame struct {
	Bits uint64 // the first bit is the highest of Len
	Len  int
}

// Wiegand gathers edges to frames. It is pure; the zero value is ready. A frame with a lost edge,
// with edges too near to each other or with more than 64 bits is dropped as a whole: a shortened
// number would be that of somebody else.
type Wiegand struct {
	frame Frame
	bad   bool
	last  Edge
	begun bool // last is valid
}

// Take takes the next edge. When a silence came before it, it returns the frame that ended.
func (w *Wiegand) Take(e Edge) (ended Frame, ok bool) {
	if w.begun && e.At-w.last.At >= Silence {
		ended, ok = w.End()
		w.bad = false
	} else if w.begun && w.frame.Len == 0 {
		w.bad = true // the frame was ended too early: this is the rest of it
	}
	if w.begun && (e.Seq != w.last.Seq+1 || e.At-w.last.At < nearest) {
		w.bad = true
	}
	w.last, w.begun = e, true
	if w.frame.Len++; w.frame.Len > maxBits {
		w.bad, w.frame.Len = true, maxBits
	}
	w.frame.Bits <<= 1
	if e.One {
		w.frame.Bits |= 1
	}
	return ended, ok
}

// End tells that silence has lasted, and returns the frame before it.
func (w *Wiegand) End() (Frame, bool) {
	f, ok := w.frame, !w.bad && w.frame.Len > 0
	w.frame = Frame{}
	return f, ok
}

// Card checks the parity of a frame of 26 or 34 bits: even over its first half, odd over its
// second. ok is false for any other frame.
func (f Frame) Card() (c board.Credential, ok bool) {
	if f.Len != 26 && f.Len != 34 {
		return c, false
	}
	half := f.Len / 2
	low := f.Bits & (1<<half - 1)
	high := f.Bits >> half
	if bits.OnesCount64(high)%2 != 0 || bits.OnesCount64(low)%2 != 1 {
		return c, false
	}
	data := f.Bits >> 1 & (1<<(f.Len-2) - 1)
	return board.Credential{Kind: board.CredentialCard, Subject: strconv.FormatUint(data, 10), Bits: data, Len: f.Len - 2}, true
}

// Key is the key of a reader with a keypad: a frame of 4 bits, or of 8 whose first half is the
// complement of the second. 10 is the star or escape key, 11 the enter key.
func (f Frame) Key() (rune, bool) {
	v := f.Bits & 0x0f
	if f.Len != 4 && (f.Len != 8 || f.Bits>>4 != ^v&0x0f) {
		return 0, false
	}
	switch {
	case v <= 9:
		return rune('0' + v), true
	case v == 10:
		return '*', true
	case v == 11:
		return '#', true
	}
	return 0, false
}
