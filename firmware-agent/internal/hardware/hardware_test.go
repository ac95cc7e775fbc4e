package hardware

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/board/boardtest"
	"lockerfleet/firmware-agent/internal/chiptest"
	"lockerfleet/firmware-agent/internal/coil"
	"lockerfleet/firmware-agent/internal/gpio"
	"lockerfleet/firmware-agent/internal/lockbus"
	"lockerfleet/firmware-agent/internal/serial"
	"lockerfleet/firmware-agent/lockbustest"
	"lockerfleet/locker"
)

// bench is a made-up machine with lines by name and one bus.
type bench struct {
	mu      sync.Mutex
	pins    map[string]*fakePin
	missing map[string]bool
	bus     *chiptest.Bus
	air     *chiptest.SHT
	chips   map[uint16]*chiptest.Expander
	rs485   *lockbustest.Bank
}

type fakePin struct {
	m       *bench
	level   int // electrical
	low     bool
	rises   int
	refuse  error // answers of SetValue and Value
	stuck   int   // SetValue(0) calls that still fail
	closed  bool
	changed func()
}

func newBench() *bench {
	m := &bench{
		pins: map[string]*fakePin{}, missing: map[string]bool{}, bus: chiptest.NewBus(), chips: map[uint16]*chiptest.Expander{},
		air: &chiptest.SHT{Command: []byte{0x24, 0x00}, Settle: 15 * time.Millisecond, Now: time.Now, MilliC: 25_000, Noise: true},
	}
	m.bus.Put(0x44, m.air)
	return m
}

func (m *bench) request(l *board.Line, low bool, changed func()) (*fakePin, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.missing[l.String()] {
		return nil, errors.New("line " + l.String() + " not found")
	}
	p := &fakePin{m: m, low: low, changed: changed}
	if low {
		p.level = 1
	}
	m.pins[l.String()] = p
	return p, nil
}

func (m *bench) Output(l *board.Line, low bool) (gpio.Output, error) { return m.request(l, low, nil) }

func (m *bench) Input(l *board.Line, low bool, _ time.Duration, changed func()) (gpio.Input, error) {
	return m.request(l, low, changed)
}

func (m *bench) Level(l *board.Line, low bool) (gpio.Input, error) { return m.request(l, low, nil) }

func (m *bench) OpenDrain(l *board.Line) (gpio.Output, error) { return m.request(l, true, nil) }

func (m *bench) Edges(d0, _ *board.Line, _ func(bool, time.Duration, uint32)) (io.Closer, error) {
	return m.request(d0, true, nil)
}

func (p *fakePin) active() bool { return (p.level == 1) != p.low }

func (p *fakePin) SetValue(v int) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.closed {
		return errors.New("closed line")
	}
	if p.refuse != nil {
		return p.refuse
	}
	if v == 0 && p.stuck > 0 {
		p.stuck--
		return errors.New("bus busy")
	}
	if v == 1 && !p.active() {
		p.rises++
	}
	p.level = v
	if p.low {
		p.level = 1 - v
	}
	return nil
}

func (p *fakePin) Value() (int, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.refuse != nil {
		return 0, p.refuse
	}
	if p.active() {
		return 1, nil
	}
	return 0, nil
}

func (p *fakePin) Close() error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.closed = true
	return nil
}

func demo(t *testing.T) *board.Profile { return load(t, "gpio-demo.yaml") }

func load(t *testing.T, name string) *board.Profile {
	t.Helper()
	p, err := board.LoadProfile("../../../configs/boards/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// machine is the bench as what a profile is opened on.
func (m *bench) machine() machine {
	return machine{
		lines: m,
		i2c:   func(string) (i2c.BusCloser, error) { return m.bus, nil },
		serial: func(_ string, c serial.Config) (lockbus.Port, error) {
			if m.rs485 == nil {
				return nil, errors.New("no such line")
			}
			return serial.Open(m.rs485.Path, c)
		},
	}
}

func (m *bench) open(t *testing.T, p *board.Profile) *board.Board {
	t.Helper()
	b, err := m.machine().open(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestGPIOBoardPassesTheBoardSuite(t *testing.T) {
	t.Parallel()
	for _, active := range []string{"high", "low"} {
		t.Run("active "+active, func(t *testing.T) {
			t.Parallel()
			boardtest.Run(t, func(t *testing.T) boardtest.Rig {
				p, m := demo(t), newBench()
				for i := range p.Compartments {
					p.Compartments[i].Lock.Active = active
				}
				b := m.open(t, p)
				magnet := func(no int) *fakePin { return m.pins[p.Compartments[no-1].Lock.String()] }
				contact := func(no int) *fakePin { return m.pins[p.Compartments[no-1].Door.String()] }
				return boardtest.Rig{
					Board:   b,
					Coil:    func(no int) bool { m.mu.Lock(); defer m.mu.Unlock(); return magnet(no).active() },
					Pulses:  func(no int) int { m.mu.Lock(); defer m.mu.Unlock(); return magnet(no).rises },
					SetDoor: func(no int, s locker.DoorState) { m.setDoor(contact(no), s) },
					Elapse:  func(d time.Duration) { <-time.After(d) },
				}
			})
		})
	}
}

func (m *bench) setDoor(p *fakePin, s locker.DoorState) {
	m.mu.Lock()
	p.refuse, p.level = nil, 1 // closed pulls the line low
	switch s {
	case locker.DoorClosed:
		p.level = 0
	case locker.DoorUnknown:
		p.refuse = errors.New("remote I/O error")
	case locker.DoorOpen, locker.DoorAjar:
	}
	m.mu.Unlock()
	p.changed()
}

func TestCoilIsSwitchedOffByTheGuardWhenTheLineDoesNotObey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, m := demo(t), newBench()
		b := m.open(t, p)
		line := m.pins[p.Compartments[0].Lock.String()]
		line.stuck = 3
		if err := b.Compartments[0].Lock.Fire(t.Context(), 400*time.Millisecond); err == nil {
			t.Error("a pulse that could not be ended is reported as good")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if v, _ := line.Value(); v != 0 {
			t.Error("the coil is still on a second later")
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenNamesEverythingThatIsMissing(t *testing.T) {
	t.Parallel()
	p, m := demo(t), newBench()
	m.missing["pinctrl-bcm2711 GPIO17"] = true
	m.missing["mcp23017 offset 9"] = true
	m.bus.Put(0x44, nil)
	_, err := m.machine().open(p, nil)
	for _, want := range []string{"lock of compartment 1: line pinctrl-bcm2711 GPIO17 not found", "door of compartment 4", "thermometer upper", "remote I/O error"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	for name, pin := range m.pins {
		if !pin.closed || pin.active() && strings.Contains(name, "GPIO24") {
			t.Errorf("%s is not given back: %+v", name, pin)
		}
	}
	if !m.bus.Closed() {
		t.Error("the bus is not given back")
	}
}

func TestThisMachineSaysReadablyWhatItLacks(t *testing.T) {
	t.Parallel()
	p := demo(t)
	p.Compartments[0].Lock.Chip = "no-such-chip"
	_, err := Open(p, nil)
	if err == nil || !strings.Contains(err.Error(), "lock of compartment 1: line no-such-chip GPIO17 not found") {
		t.Errorf("got %v", err)
	}
}

func TestThermometersOfTheProfileAreRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, m := demo(t), newBench()
		b := m.open(t, p)
		th := b.Compartments[1].Thermometer
		if got, err := th.Temperature(); err != nil || got < 24_990 || got > 25_010 {
			t.Errorf("got %d, %v; want about 25000", got, err)
		}
		m.bus.Dead(true)
		time.Sleep(2 * time.Minute)
		if got, err := th.Temperature(); err == nil {
			t.Errorf("a dead bus measures %d", got)
		}
		m.bus.Dead(false)
		time.Sleep(time.Minute)
		if got, err := th.Temperature(); err != nil {
			t.Errorf("after the bus is back: %d, %v", got, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// An edge that was queued before, or comes late, says nothing: the level is read.
func TestAnEdgeIsAHintAndTheLevelIsTheTruth(t *testing.T) {
	t.Parallel()
	p, m := demo(t), newBench()
	b := m.open(t, p)
	line := m.pins[p.Compartments[0].Door.String()]
	m.setDoor(line, locker.DoorClosed)
	for range 100 {
		line.changed()
	}
	if s, err := b.Compartments[0].Door.Door(); s != locker.DoorClosed || err != nil {
		t.Errorf("after stale edges the door is %s, %v", s, err)
	}
	<-b.Changed
	select {
	case <-b.Changed:
		t.Error("edges queue up behind a slow reader")
	default:
	}
}

func TestTwoPulsesAtOnceAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, m := demo(t), newBench()
		b := m.open(t, p)
		l := b.Compartments[0].Lock
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Fire(ctx, 400*time.Millisecond) }()
		synctest.Wait()
		if err := l.Fire(t.Context(), 400*time.Millisecond); !errors.Is(err, coil.ErrFiring) {
			t.Errorf("got %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("first pulse: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Fire(t.Context(), time.Second); !errors.Is(err, coil.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}
