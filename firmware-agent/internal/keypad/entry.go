package keypad

import (
	"strconv"
	"strings"
	"time"

	"lockerfleet/firmware-agent/board"
)

// Bounds of what is typed.
const (
	maxDoorDigits = 4
	maxCodeDigits = 12
)

// patience is how long a person may think between two keys.
const patience = 20 * time.Second

// Keys with a meaning.
const (
	keyEnter = '#'
	keyClear = '*'
)

// Entry is what a person is typing: the number of the door, enter, the code, enter. It is pure;
// the zero value waits for somebody. Clear empties what is typed, and when nothing is, goes back
// to the door. Twenty seconds without a key forget everything: what one person typed is not for
// the next.
type Entry struct {
	door, code string
	inCode     bool
	last       time.Time
}

// Key takes a key pressed at now. When it completes an entry, ok is true.
func (e *Entry) Key(k rune, now time.Time) (typed board.Code, ok bool) {
	e.Expire(now)
	e.last = now
	switch {
	case k == keyClear:
		e.clear()
	case k == keyEnter:
		return e.enter()
	case k < '0' || k > '9':
	case e.inCode && len(e.code) < maxCodeDigits:
		e.code += string(k)
	case !e.inCode && len(e.door) < maxDoorDigits:
		e.door += string(k)
	}
	return board.Code{}, false
}

func (e *Entry) clear() {
	if e.inCode && e.code == "" {
		e.inCode = false
		return
	}
	if e.inCode {
		e.code = ""
		return
	}
	e.door = ""
}

func (e *Entry) enter() (board.Code, bool) {
	if !e.inCode {
		e.inCode = e.door != ""
		return board.Code{}, false
	}
	no, err := strconv.Atoi(e.door)
	if e.code == "" || err != nil {
		return board.Code{}, false
	}
	typed := board.Code{Compartment: no, Text: e.code}
	*e = Entry{}
	return typed, true
}

// Expire forgets what was typed too long ago, and tells whether there was something.
func (e *Entry) Expire(now time.Time) bool {
	if !e.Busy() || now.Sub(e.last) < patience {
		return false
	}
	*e = Entry{}
	return true
}

// Busy tells whether somebody is typing.
func (e *Entry) Busy() bool { return e.door != "" || e.inCode }

// Screen is what the person is asked. The code is not shown, only how long it is.
func (e *Entry) Screen() board.Screen {
	if e.inCode {
		return board.Screen{Lines: [2]string{"Code for door " + e.door + ", then #", strings.Repeat("*", len(e.code))}}
	}
	return board.Screen{Lines: [2]string{"Number of your door, then #", e.door}}
}
