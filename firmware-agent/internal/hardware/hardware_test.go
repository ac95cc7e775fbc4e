package hardware

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/board/boardtest"
	"lockerfleet/firmware-agent/internal/coil"
	"lockerfleet/firmware-agent/internal/gpio"
	"lockerfleet/locker"
)

// machine is a made-up machine with lines by name and one bus.
type machine struct {
	mu      sync.Mutex
	pins    map[string]*fakePin
	missing map[string]bool
	bus     *fakeBus
}

type fakePin struct {
	m       *machine
	level   int // electrical
	low     bool
	rises   int
	refuse  error // answers of SetValue and Value
	stuck   int   // SetValue(0) calls that still fail
	closed  bool
	changed func()
}

func newMachine() *machine {
	return &machine{pins: map[string]*fakePin{}, missing: map[string]bool{}, bus: newFakeBus()}
}

func (m *machine) request(l *board.Line, low bool, changed func()) (*fakePin, error) {
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

func (m *machine) Output(l *board.Line, low bool) (gpio.Output, error) { return m.request(l, low, nil) }

func (m *machine) Input(l *board.Line, low bool, _ time.Duration, changed func()) (gpio.Input, error) {
	return m.request(l, low, changed)
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

// fakeBus has one SHT3x at 0x44.
type fakeBus struct {
	mu     sync.Mutex
	data   [6]byte
	err    error
	closed bool
}

func newFakeBus() *fakeBus {
	b := &fakeBus{}
	b.set(0x6666)
	return b
}

func (b *fakeBus) set(raw uint16) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = [6]byte{byte(raw >> 8), byte(raw), 0, 0x80, 0, 0}
	b.data[2], b.data[5] = crc8(b.data[:2]), crc8(b.data[3:5])
}

func (b *fakeBus) String() string                  { return "fake" }
func (b *fakeBus) SetSpeed(physic.Frequency) error { return nil }
func (b *fakeBus) Close() error                    { b.mu.Lock(); defer b.mu.Unlock(); b.closed = true; return nil }

func (b *fakeBus) Tx(addr uint16, w, r []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	if addr != 0x44 {
		return errors.New("no answer")
	}
	copy(r, b.data[:])
	return nil
}

func demo(t *testing.T) *board.Profile {
	t.Helper()
	p, err := board.LoadProfile("../../../configs/boards/gpio-demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (m *machine) open(t *testing.T, p *board.Profile) *board.Board {
	t.Helper()
	b, err := open(p, m, func(string) (i2c.BusCloser, error) { return m.bus, nil })
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
				p, m := demo(t), newMachine()
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

func (m *machine) setDoor(p *fakePin, s locker.DoorState) {
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
		p, m := demo(t), newMachine()
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
	p, m := demo(t), newMachine()
	m.missing["pinctrl-bcm2711 GPIO17"] = true
	m.missing["mcp23017 offset 9"] = true
	m.bus.err = errors.New("no acknowledge")
	_, err := open(p, m, func(string) (i2c.BusCloser, error) { return m.bus, nil })
	for _, want := range []string{"lock of compartment 1: line pinctrl-bcm2711 GPIO17 not found", "door of compartment 4", "thermometer upper on /dev/i2c-1", "no acknowledge"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	for name, pin := range m.pins {
		if !pin.closed || pin.active() && strings.Contains(name, "GPIO24") {
			t.Errorf("%s is not given back: %+v", name, pin)
		}
	}
	if !m.bus.closed {
		t.Error("the bus is not given back")
	}
}

func TestThisMachineSaysReadablyWhatItLacks(t *testing.T) {
	t.Parallel()
	p := demo(t)
	p.Compartments[0].Lock.Chip = "no-such-chip"
	_, err := Open(p)
	if err == nil || !strings.Contains(err.Error(), "lock of compartment 1: line no-such-chip GPIO17 not found") {
		t.Errorf("got %v", err)
	}
}

func TestThermometerIsUnknownWhenItFailsOrIsOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, m := demo(t), newMachine()
		b := m.open(t, p)
		th := b.Compartments[1].Thermometer
		if got, err := th.Temperature(); err != nil || got != 25_000 {
			t.Errorf("got %d, %v; want 25000", got, err)
		}
		m.bus.set(0x0000) // -45 degrees: below what the chip can measure
		time.Sleep(samplePeriod + time.Second)
		if got, err := th.Temperature(); err == nil {
			t.Errorf("an impossible %d was believed", got)
		}
		m.bus.set(0x8000)
		m.bus.mu.Lock()
		m.bus.data[1] ^= 1
		m.bus.mu.Unlock()
		time.Sleep(samplePeriod)
		if got, err := th.Temperature(); err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("damaged bytes gave %d, %v", got, err)
		}
		m.bus.set(0x8000)
		time.Sleep(samplePeriod)
		if got, err := th.Temperature(); err != nil || got < 42_500 || got > 42_502 {
			t.Errorf("got %d, %v; want about 42501", got, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTwoPulsesAtOnceAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, m := demo(t), newMachine()
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

// FuzzSHT3x feeds the decoder of outside bytes.
func FuzzSHT3x(f *testing.F) {
	f.Add([]byte{0x66, 0x66, 0x93, 0x80, 0x00, 0xa2})
	f.Fuzz(func(t *testing.T, in []byte) {
		var b [6]byte
		copy(b[:], in)
		if got, err := decodeSHT3x(b); err == nil && (got < sht3xLeast || got > sht3xMost) {
			t.Errorf("%x gave %d", b, got)
		}
	})
}
