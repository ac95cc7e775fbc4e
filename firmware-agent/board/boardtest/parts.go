package boardtest

import (
	"fmt"
	"testing"
	"time"

	"lockerfleet/firmware-agent/board"
)

// quick is how long a call may take that must return within a few milliseconds. It leaves room for
// a busy machine; in a bubble of virtual time only waiting counts.
const quick = 200 * time.Millisecond

// aWhile is longer than any machine rests.
const aWhile = 10 * time.Minute

// within fails when do takes longer than a driver may keep the agent.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	start := time.Now()
	do()
	if took := time.Since(start); took > quick {
		t.Errorf("%s took %s: it must not wait", what, took)
	}
}

// ClimateRig is a climate unit under test. Everything runs in a bubble of virtual time.
type ClimateRig struct {
	Climate board.Climate
	Modes   []board.ClimateMode // what the unit can do besides being off
	// Power is what its cooler and heater get, in percent.
	Power func() (cool, heat int)
	Close func() error
}

// RunClimate tests a climate unit that has been off for ten minutes, in a bubble.
func RunClimate(t *testing.T, r ClimateRig) {
	t.Helper()
	off := func(when string) {
		t.Helper()
		if cool, heat := r.Power(); cool != 0 || heat != 0 {
			t.Errorf("%s the unit cools with %d and heats with %d percent", when, cool, heat)
		}
	}
	off("at the start")
	for _, mode := range []board.ClimateMode{board.ClimateCool, board.ClimateHeat} {
		can := false
		for _, m := range r.Modes {
			can = can || m == mode
		}
		within(t, "drive", func() {
			if err := r.Climate.Drive(board.Stage{Mode: mode}); (err == nil) != can {
				t.Errorf("drive %s: %v", mode, err)
			}
		})
		if !can {
			off(fmt.Sprintf("asked to %s, which it cannot,", mode))
			continue
		}
		time.Sleep(aWhile)
		s, err := r.Climate.Actual()
		cool, heat := r.Power()
		if err != nil || s.Mode != mode || (mode == board.ClimateCool) != (cool > 0) || (mode == board.ClimateHeat) != (heat > 0) {
			t.Errorf("ten minutes of %s: it says %+v, %v and cools with %d and heats with %d percent", mode, s, err, cool, heat)
		}
		for range 3 {
			within(t, "safe", func() {
				if err := r.Climate.Safe(); err != nil {
					t.Errorf("safe: %v", err)
				}
			})
		}
		off("after safe")
		time.Sleep(aWhile)
		off("ten minutes after safe")
	}
	for _, bad := range []int{-1, 101} {
		if r.Climate.Drive(board.Stage{Mode: board.ClimateOff, Percent: bad}) == nil {
			t.Errorf("%d percent were taken", bad)
		}
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	off("after close")
}

// RunDisplay tests a display. shown is what people read on it now, settle lets it draw.
func RunDisplay(t *testing.T, d board.Display, shown func() string, settle func()) {
	t.Helper()
	show := func(s board.Screen) {
		t.Helper()
		within(t, "show", func() {
			if err := d.Show(s); err != nil {
				t.Errorf("show: %v", err)
			}
		})
	}
	show(board.Screen{Lines: [2]string{"first"}})
	settle()
	first := shown()
	for i := range 20 {
		show(board.Screen{Lines: [2]string{fmt.Sprintf("number %d", i)}})
	}
	show(board.Screen{Code: "4711", Lines: [2]string{"last"}, QR: "LF1:x"})
	settle()
	last := shown()
	if first == "" || last == "" || first == last {
		t.Errorf("people read %q, then %q", first, last)
	}
	show(board.Screen{})
	settle()
	if got := shown(); got == last {
		t.Errorf("a cleared display still shows %q", got)
	}
	show(board.Screen{Lines: [2]string{"first"}, For: 5 * time.Second})
	settle()
	if got := shown(); got != first {
		t.Errorf("people read %q, want %q again", got, first)
	}
	time.Sleep(6 * time.Second)
	settle()
	if got := shown(); got == first {
		t.Errorf("after its time the screen still shows %q", got)
	}
}

// RunSensor tests the reading of a slow sensor: read must not wait, must tell an error while
// broken is true, and a value again afterwards. It runs in a bubble.
func RunSensor(t *testing.T, read func() error, break_ func(broken bool)) {
	t.Helper()
	within(t, "read", func() {
		if err := read(); err != nil {
			t.Errorf("a good sensor: %v", err)
		}
	})
	break_(true)
	time.Sleep(2 * time.Minute)
	within(t, "read", func() {
		if read() == nil {
			t.Error("a sensor broken for two minutes still tells a value")
		}
	})
	break_(false)
	time.Sleep(2 * time.Minute)
	if err := read(); err != nil {
		t.Errorf("a mended sensor: %v", err)
	}
}
