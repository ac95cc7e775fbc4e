package agent

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/board/boardtest"
	"lockerfleet/wire"
)

// hanging is a lock whose driver has lost its timer: the coil stays on until somebody says Safe.
type hanging struct {
	mu   sync.Mutex
	on   time.Time
	last time.Duration // how long the coil was on
	stop chan struct{}
}

func (l *hanging) Fire(context.Context, time.Duration) error {
	l.mu.Lock()
	l.on, l.stop = time.Now(), make(chan struct{})
	stop := l.stop
	l.mu.Unlock()
	<-stop
	return nil
}

func (l *hanging) Safe() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		close(l.stop)
		l.stop, l.last = nil, time.Since(l.on)
	}
	return nil
}

// inputs are the inputs of a cabinet.
type inputs struct {
	mu       sync.Mutex
	state    board.PowerState
	tampered bool
	broken   bool
}

func (i *inputs) set(do func(*inputs)) { i.mu.Lock(); defer i.mu.Unlock(); do(i) }

func (i *inputs) Power() (board.PowerState, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state, nil
}

func (i *inputs) Tampered() (bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.broken {
		return true, errors.New("no answer")
	}
	return i.tampered, nil
}

// voice is lamp and buzzer.
type voice struct {
	mu    sync.Mutex
	light board.Light
	tone  board.Tone
}

func (v *voice) Light(l board.Light) error { v.mu.Lock(); defer v.mu.Unlock(); v.light = l; return nil }
func (v *voice) Sound(t board.Tone) error  { v.mu.Lock(); defer v.mu.Unlock(); v.tone = t; return nil }

func (h *hub) alarms() map[wire.Alarm]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	live := map[wire.Alarm]int{}
	for _, e := range h.events {
		switch e.Type {
		case wire.EvAlarm:
			live[e.Alarm] = e.C
		case wire.EvClear:
			delete(live, e.Alarm)
		}
	}
	return live
}

// Rule 3: the second guard switches a coil off whose own timer is lost, and its door is suspect.
func TestTheSecondGuardSwitchesACoilOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, d := newHub(), boardtest.NewDouble(3)
		o := options(h, d, memoryJournal(t), "000000000000000a")
		lock := new(hanging)
		o.Board.Compartments[1].Lock = lock
		stop := start(t, o)
		time.Sleep(time.Second)
		h.unlock(2, "cmd-1")
		time.Sleep(2 * time.Second)
		lock.mu.Lock()
		on := lock.last
		lock.mu.Unlock()
		if want := (400 + GuardMS) * time.Millisecond; on != want {
			t.Errorf("the coil was on for %v, want %v", on, want)
		}
		if got := h.stages("cmd-1"); got != "accepted failed" {
			t.Errorf("stages %q, want accepted failed", got)
		}
		if c, alive := h.alarms()[wire.AlarmCoil]; !alive || c != 2 {
			t.Errorf("alarms %v, want coil at door 2", h.alarms())
		}
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// Rules 19 and 20 on a board: inputs of the cabinet reach the mind, lamp and siren answer, and a
// tamper contact that cannot be read is tampering.
func TestTheCabinetIsWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, d := newHub(), boardtest.NewDouble(3)
		in, v := &inputs{state: board.PowerState{Source: board.PowerMains}}, new(voice)
		o := options(h, d, memoryJournal(t), "000000000000000a")
		o.Board.Power, o.Board.Tamper, o.Board.Indicator, o.Board.Buzzer = in, in, v, v
		o.Config.Lamp, o.Config.Buzzer = true, true
		stop := start(t, o)
		heard := func() (board.Light, board.Tone) {
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.light, v.tone
		}
		time.Sleep(3 * time.Second)
		if l, s := heard(); l != board.LightOff || s != "" || len(h.alarms()) != 0 {
			t.Errorf("all is well: lamp %s, siren %q, alarms %v", l, s, h.alarms())
		}
		in.set(func(i *inputs) { i.state.Source = board.PowerBattery })
		time.Sleep(3 * time.Second)
		if l, s := heard(); l != board.LightBlink || s != "" {
			t.Errorf("on the battery: lamp %s, siren %q", l, s)
		}
		in.set(func(i *inputs) { i.broken = true })
		time.Sleep(3 * time.Second)
		if _, s := heard(); s != board.ToneAlarm {
			t.Errorf("tamper contact cut: siren %q", s)
		}
		if a := h.alarms(); len(a) != 2 {
			t.Errorf("alarms %v, want mains and tamper", a)
		}
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}
