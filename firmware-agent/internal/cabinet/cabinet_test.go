package cabinet

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/poll"
)

var errWire = errors.New("wire off")

// line is both ends of a line.
type line struct {
	mu  sync.Mutex
	v   int
	err error
}

func (l *line) SetValue(v int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.v = v
	}
	return l.err
}

func (l *line) Value() (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.v, l.err }

func (l *line) put(v int, err error) { l.mu.Lock(); defer l.mu.Unlock(); l.v, l.err = v, err }

// watch draws two seconds of the line, a character each 50 ms.
func watch(l *line) string {
	var b strings.Builder
	time.Sleep(beat / 2)
	for range 40 {
		v, _ := l.Value()
		b.WriteByte("_#"[v])
		time.Sleep(beat)
	}
	time.Sleep(beat / 2)
	return b.String()
}

func TestSignals(t *testing.T) {
	t.Parallel()
	lamp, buzzer := line{}, line{}
	light := func(p board.Light) func(*Lamp, *Buzzer) error {
		return func(l *Lamp, _ *Buzzer) error { return l.Light(p) }
	}
	sound := func(p board.Tone) func(*Lamp, *Buzzer) error {
		return func(_ *Lamp, b *Buzzer) error { return b.Sound(p) }
	}
	synctest.Test(t, func(t *testing.T) {
		l, b := NewLamp(&lamp, time.Now), NewBuzzer(&buzzer, time.Now)
		loop := poll.Start(Beat(l, b))
		defer func() { _ = loop.Close() }()
		for _, tt := range []struct {
			name string
			play func(*Lamp, *Buzzer) error
			line *line
			want string
		}{
			{"off", light(board.LightOff), &lamp, "________________________________________"},
			{"on", light(board.LightOn), &lamp, "########################################"},
			{"blink", light(board.LightBlink), &lamp, "##########__________##########__________"},
			{"locate", light(board.LightLocate), &lamp, "##__##______________##__##______________"},
			{"off again", light(board.LightOff), &lamp, "________________________________________"},
			{"ok", sound(board.ToneOK), &buzzer, "##______________________________________"},
			{"no", sound(board.ToneNo), &buzzer, "###__###__###___________________________"},
			{"alarm", sound(board.ToneAlarm), &buzzer, "##########__________##########__________"},
			{"silent", sound(board.ToneOff), &buzzer, "________________________________________"},
		} {
			if err := tt.play(l, b); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if got := watch(tt.line); got != tt.want {
				t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
			}
		}
		if l.Light("rainbow") == nil || b.Sound("opera") == nil {
			t.Error("unknown patterns were taken")
		}
	})
}

func TestSignalsComeBackWhenTheirLineDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &line{err: errWire}
		l := NewLamp(w, time.Now)
		loop := poll.Start(Beat(l))
		defer func() { _ = loop.Close() }()
		if err := l.Light(board.LightOn); !errors.Is(err, errWire) {
			t.Errorf("got %v", err)
		}
		w.put(0, nil)
		time.Sleep(2 * beat)
		if v, _ := w.Value(); v != 1 {
			t.Error("the lamp is off after its line came back")
		}
		w.put(0, nil) // the chip that drives it has restarted
		time.Sleep(remind + beat)
		if v, _ := w.Value(); v != 1 {
			t.Error("the lamp is off after its chip restarted")
		}
	})
}

func TestSupply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		mains, low line
		noLow      bool
		want       board.PowerState
		err        bool
	}{
		{name: "mains", mains: line{v: 1}, want: board.PowerState{Source: board.PowerMains}},
		{name: "battery", want: board.PowerState{Source: board.PowerBattery}},
		{name: "low", low: line{v: 1}, want: board.PowerState{Source: board.PowerBattery, Low: true}},
		{name: "nothing tells", noLow: true, want: board.PowerState{Source: board.PowerBattery}},
		{name: "mains not read", mains: line{err: errWire}, err: true},
		{name: "low not read", mains: line{v: 1}, low: line{err: errWire}, want: board.PowerState{Source: board.PowerMains, Low: true}, err: true},
	}
	for i := range tests {
		tt := &tests[i]
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := Supply{Mains: &tt.mains, Low: &tt.low}
			if tt.noLow {
				s.Low = nil
			}
			if got, err := s.Power(); got != tt.want || (err != nil) != tt.err {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	closed, off, cut := &line{}, &line{v: 1}, &line{err: errWire}
	for _, tt := range []struct {
		name string
		c    Covers
		want bool
		err  bool
	}{
		{"closed", Covers{closed, closed}, false, false},
		{"one off", Covers{closed, off}, true, false},
		{"one not read", Covers{cut, closed}, true, true},
	} {
		if got, err := tt.c.Tampered(); got != tt.want || (err != nil) != tt.err {
			t.Errorf("%s: got %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}
