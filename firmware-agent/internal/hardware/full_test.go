package hardware

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/chiptest"
	"lockerfleet/firmware-agent/internal/gpio"
	"lockerfleet/firmware-agent/internal/lockbus"
	"lockerfleet/firmware-agent/internal/sensor"
	"lockerfleet/firmware-agent/internal/serial"
	"lockerfleet/locker"
)

// showroom is a bench with everything full.yaml names.
type showroom struct {
	*bench
	p       *board.Profile
	pins16  *chiptest.Expander
	lcd     *chiptest.LCD
	oled    *chiptest.SSD1306
	pwm     *chiptest.PCA9685
	cell    *chiptest.HX711
	nau     *chiptest.NAU7802
	paper   *chiptest.SSD1680
	scanner *scannerLine
	pressed string // key of the keypad that is held
	rows    [4]bool
	edge    func(bool, time.Duration, uint32)
	w1      string
	cold    *chiptest.SHT
	hot     *chiptest.AHT20
	at      time.Duration // of the newest pulse of the reader
	seq     uint32
}

// closing makes a line of what a chip offers.
type closing struct {
	in  interface{ Value() (int, error) }
	out interface{ SetValue(int) error }
}

func (c closing) Value() (int, error)  { return c.in.Value() }
func (c closing) SetValue(v int) error { return c.out.SetValue(v) }
func (c closing) Close() error         { return nil }

// row and column are the lines of the keypad.
type row struct {
	s *showroom
	n int
}

func (r row) SetValue(v int) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.rows[r.n] = v == 1
	return nil
}

type column struct {
	s *showroom
	n int
}

func (c column) Value() (int, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for r, legend := range c.s.p.Front.Keypad.Legend {
		if c.s.rows[r] && c.s.pressed != "" && legend[c.n:c.n+1] == c.s.pressed {
			return 1, nil
		}
	}
	return 0, nil
}

func (s *showroom) Output(l *board.Line, low bool) (gpio.Output, error) {
	switch l.Line {
	case "GPIO11":
		return closing{out: s.cell.Clock()}, nil
	case "GPIO25":
		return closing{out: s.paper.Command()}, nil
	case "GPIO17":
		return closing{out: s.paper.Reset()}, nil
	}
	return s.bench.Output(l, low)
}

func (s *showroom) Level(l *board.Line, low bool) (gpio.Input, error) {
	switch l.Line {
	case "GPIO8":
		return closing{in: s.cell}, nil
	case "GPIO24":
		return closing{in: s.paper.Busy()}, nil
	}
	for i, c := range s.p.Front.Keypad.Columns {
		if l.Line == c.Line {
			return closing{in: column{s, i}}, nil
		}
	}
	return s.bench.Level(l, low)
}

func (s *showroom) OpenDrain(l *board.Line) (gpio.Output, error) {
	for i, r := range s.p.Front.Keypad.Rows {
		if l.Line == r.Line {
			return closing{out: row{s, i}}, nil
		}
	}
	return nil, errors.New("no row of the keypad: " + l.Line)
}

func (s *showroom) Edges(d0, d1 *board.Line, edge func(bool, time.Duration, uint32)) (io.Closer, error) {
	s.edge = edge
	return s.bench.Edges(d0, d1, edge)
}

// scannerLine is the serial line of the scanner.
type scannerLine struct {
	in     chan string
	closed chan struct{}
}

func (l *scannerLine) SetReadDeadline(time.Time) error { return nil }
func (l *scannerLine) Flush() error                    { return nil }
func (l *scannerLine) Write(b []byte) (int, error)     { return len(b), nil }
func (l *scannerLine) Close() error                    { close(l.closed); return nil }
func (l *scannerLine) Read(b []byte) (int, error) {
	select {
	case s := <-l.in:
		return copy(b, s), nil
	case <-l.closed:
		return 0, os.ErrClosed
	}
}

// wire1 writes what the kernel shows of a 1-wire thermometer of 21.5 degrees.
func wire1(t *testing.T, id string) string {
	t.Helper()
	b := []byte{0x58, 0x01, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10, 0}
	b[8] = chiptest.CRCMaxim(b[:8])
	dir := t.TempDir()
	text := fmt.Sprintf("% x : crc=%02x YES\n% x t=21500\n", b, b[8], b)
	if err := os.Mkdir(filepath.Join(dir, id), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, id, "w1_slave"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func furnish(t *testing.T) *showroom {
	t.Helper()
	p := load(t, "full.yaml")
	s := &showroom{
		bench: newBench(), p: p, pins16: chiptest.NewExpander("pca9555"), lcd: &chiptest.LCD{Cols: 20, Rows: 4}, oled: &chiptest.SSD1306{},
		pwm: chiptest.NewPCA9685(), cell: chiptest.NewHX711(time.Now, 12500*time.Microsecond), nau: &chiptest.NAU7802{Now: time.Now, Counts: 1200 + 40*500 + 250},
		paper:   &chiptest.SSD1680{Now: time.Now, Refresh: 2 * time.Second},
		scanner: &scannerLine{in: make(chan string), closed: make(chan struct{})},
		w1:      wire1(t, "28-01143ba557aa"),
		cold:    &chiptest.SHT{Command: []byte{0xfd}, Now: time.Now, MilliC: 4000, Noise: true},
		hot:     &chiptest.AHT20{Now: time.Now, MilliC: 65_000},
	}
	probe := &chiptest.DS18B20{ROM: [8]byte{0x28, 0x52, 0x82, 0x31, 0x01, 0x00, 0x00, 0x7a}, MilliC: 6500}
	for addr, c := range map[uint16]chiptest.Chip{
		0x21: s.pins16, 0x27: s.lcd, 0x3c: s.oled, 0x40: s.pwm, sensor.NAU7802Addr: s.nau,
		0x44: s.cold,
		0x45: &chiptest.SHT{Command: []byte{0x24, 0}, Now: time.Now, MilliC: 12_000, Noise: true},
		0x38: s.hot,
		0x18: &chiptest.DS2482{Now: time.Now, Chips: []*chiptest.DS18B20{probe}},
	} {
		s.bus.Put(addr, c)
	}
	s.cell.Load(8351+421*15, true)
	return s
}

func (s *showroom) machine() machine {
	m := s.bench.machine()
	m.lines, m.w1 = s, s.w1
	m.serial = func(string, serial.Config) (lockbus.Port, error) { return s.scanner, nil }
	m.spi = func(string) (spiWire, error) { return spiPaper{s.paper}, nil }
	return m
}

type spiPaper struct{ *chiptest.SSD1680 }

func (spiPaper) Close() error { return nil }

func (s *showroom) press(keys string) {
	for _, k := range keys {
		for _, held := range []string{string(k), ""} {
			s.mu.Lock()
			s.pressed = held
			s.mu.Unlock()
			time.Sleep(50 * time.Millisecond)
		}
	}
}

func (s *showroom) text() (text string) { s.bus.Do(func() { text = s.lcd.Text() }); return text }

func (s *showroom) level(pin int) (high bool) {
	s.bus.Do(func() { high = s.pins16.Level(pin) })
	return high
}

func (s *showroom) duty(n int) (percent int) {
	s.bus.Do(func() { percent = s.pwm.Percent(n) })
	return percent
}

func TestEveryFittingOfAProfileWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := furnish(t)
		b, err := s.machine().open(s.p, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		measures(t, b)
		s.people(t, b)
		s.signals(t, b)
		s.machines(t, b)
		s.wire(8, true)
		s.wire(9, true)
		s.wire(10, false)
		if got, err := b.Power.Power(); err != nil || got != (board.PowerState{Source: board.PowerMains}) {
			t.Errorf("power %+v, %v", got, err)
		}
		if got, err := b.Tamper.Tampered(); got || err != nil {
			t.Errorf("tampered %v, %v", got, err)
		}
		s.wire(8, false)
		s.wire(9, false)
		s.wire(10, true)
		if got, err := b.Power.Power(); err != nil || got != (board.PowerState{Source: board.PowerBattery, Low: true}) {
			t.Errorf("power %+v, %v", got, err)
		}
		if got, err := b.Tamper.Tampered(); !got || err != nil {
			t.Errorf("tampered %v, %v", got, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if s.level(4) || s.duty(2) != 0 || !s.bus.Closed() {
			t.Error("a machine is on or the bus is open after close")
		}
	})
}

// wire moves a contact on the expander and waits until it is read.
func (s *showroom) wire(pin int, high bool) {
	s.bus.Do(func() { s.pins16.Wire(pin, high) })
	time.Sleep(100 * time.Millisecond)
}

func measures(t *testing.T, b *board.Board) {
	t.Helper()
	for no, want := range map[int]locker.MilliCelsius{1: 4000, 2: 65_000, 3: 6500, 4: 12_000} {
		if got, err := b.Find(no).Thermometer.Temperature(); err != nil || got < want-70 || got > want+70 {
			t.Errorf("compartment %d: %d, %v; want %d", no, got, err, want)
		}
	}
	for no, want := range map[int]locker.Grams{1: 150, 2: 500} {
		if got, err := b.Find(no).Scale.Weigh(); err != nil || got != want {
			t.Errorf("compartment %d: %d g, %v; want %d", no, got, err, want)
		}
	}
	if spread, capacity := b.Find(1).Scale.(board.Steadiness).Steadiness(); spread > 1 || capacity != 20_000 {
		t.Errorf("steadiness %d of %d", spread, capacity)
	}
}

// people come with codes, cards and phones, and read displays.
func (s *showroom) people(t *testing.T, b *board.Board) {
	t.Helper()
	s.press("3#4711")
	time.Sleep(time.Second)
	if got := s.text(); !strings.Contains(got, "Code for door 3") || !strings.Contains(got, "****") {
		t.Errorf("while typing people see %q", got)
	}
	s.press("#")
	if got := <-b.Panel.Codes(); got != (board.Code{Compartment: 3, Text: "4711"}) {
		t.Errorf("typed %+v", got)
	}
	if err := b.Panel.Show(board.Screen{Lines: [2]string{"Door 3 opens now."}, For: 10 * time.Second}); err != nil {
		t.Error(err)
	}
	for no := 1; no <= 2; no++ {
		if err := b.Find(no).Display.Show(board.Screen{Code: "4711", Lines: [2]string{"Your code"}}); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(6 * time.Second)
	if got := s.text(); got != "Door 3 opens now.\n\n\n" {
		t.Errorf("people see %q", got)
	}
	var lit bool
	s.bus.Do(func() {
		for y := range 30 {
			lit = lit || s.oled.Lit(64+y, y)
		}
	})
	if !lit || s.paper.Drawn() != 2 {
		t.Errorf("oled lit: %v, paper drawn %d times", lit, s.paper.Drawn())
	}
	s.scanner.in <- "LF1:ticket\r"
	if got := <-b.Scanner.Scans(); got != "LF1:ticket" {
		t.Errorf("scanned %q", got)
	}
	// Card 4711 in 26 bits: one bit of its upper half is one and six of its lower half, so both
	// bits of parity are.
	const frame = 1<<25 | 4711<<1 | 1
	at := time.Duration(0)
	for i := 25; i >= 0; i-- {
		at += 2 * time.Millisecond
		s.edge(uint64(frame)>>i&1 == 1, at, uint32(25-i))
	}
	if got := <-b.Reader.Credentials(); got.Subject != "4711" || got.Kind != board.CredentialCard {
		t.Errorf("card %+v", got)
	}
}

func (s *showroom) signals(t *testing.T, b *board.Board) {
	t.Helper()
	if err := errors.Join(b.Indicator.Light(board.LightOn), b.Find(1).Indicator.Light(board.LightOn), b.Buzzer.Sound(board.ToneAlarm)); err != nil {
		t.Error(err)
	}
	if !s.level(0) || !s.level(1) || !s.level(2) {
		t.Error("lamp, buzzer or the lamp of door 1 is off")
	}
	if err := errors.Join(b.Indicator.Light(board.LightOff), b.Buzzer.Sound(board.ToneOff)); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Second)
	if s.level(0) || s.level(1) || !s.level(2) {
		t.Error("lamp or buzzer is on, or the lamp of door 1 is off")
	}
}

func (s *showroom) machines(t *testing.T, b *board.Board) {
	t.Helper()
	cool := board.Stage{Mode: board.ClimateCool, Percent: 40}
	if err := errors.Join(b.Find(1).Climate.Drive(cool), b.Find(2).Climate.Drive(board.Stage{Mode: board.ClimateHeat}), b.Find(3).Climate.Drive(cool)); err != nil {
		t.Error(err)
	}
	time.Sleep(30 * time.Second)
	if s.level(4) || s.duty(0) != 100 {
		t.Errorf("compressor on: %v in its rest; its fan at %d", s.level(4), s.duty(0))
	}
	if s.duty(1) != 100 || s.pins["pinctrl-rp1 GPIO18"].active() {
		t.Errorf("fan at %d; the heater is on without air", s.duty(1))
	}
	if s.duty(2) != 40 || s.duty(3) != 100 {
		t.Errorf("Peltier element at %d, its fan at %d; want 40 and 100", s.duty(2), s.duty(3))
	}
	if _, err := b.Find(2).Climate.Actual(); err == nil {
		t.Error("a heater without air is not told")
	}
	s.mu.Lock()
	s.pins["pinctrl-rp1 GPIO21"].level = 0
	s.mu.Unlock()
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pins["pinctrl-rp1 GPIO18"].active() {
		t.Error("the heater is off while air moves")
	}
}

// Each part in turn is missing, and the error names it.
func TestEveryFittingThatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		take func(*showroom, *machine)
		want string
	}{
		"lcd":         {func(s *showroom, _ *machine) { s.bus.Put(0x27, nil) }, "display hall: lcd 0x27"},
		"oled":        {func(s *showroom, _ *machine) { s.bus.Put(0x3c, nil) }, "display door1: ssd1306 0x3c"},
		"pwm":         {func(s *showroom, _ *machine) { s.bus.Put(0x40, nil) }, "pwm power: pca9685 0x40"},
		"scale":       {func(s *showroom, _ *machine) { s.bus.Put(0x2a, nil) }, "scale of compartment 2: nau7802"},
		"bridge":      {func(s *showroom, _ *machine) { s.bus.Put(0x18, nil) }, "thermometer probe: ds18b20"},
		"kernel wire": {func(_ *showroom, m *machine) { m.w1 = "/nowhere" }, "thermometer room: 1-wire"},
		"paper":       {func(_ *showroom, m *machine) { m.spi = openSPI }, "display door2: spi /dev/spidev0.0"},
		"scanner": {func(_ *showroom, m *machine) {
			m.serial = func(string, serial.Config) (lockbus.Port, error) { return nil, os.ErrNotExist }
		}, "scanner: file does not exist"},
		"lamp line":   {func(s *showroom, _ *machine) { s.missing["pinctrl-rp1 GPIO18"] = true }, "GPIO18 not found"},
		"contact":     {func(s *showroom, _ *machine) { s.missing["pinctrl-rp1 GPIO21"] = true }, "GPIO21 not found"},
		"reader line": {func(s *showroom, _ *machine) { s.missing["pinctrl-rp1 GPIO22"] = true }, "reader: line pinctrl-rp1 GPIO22"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := furnish(t)
				m := s.machine()
				tt.take(s, &m)
				b, err := m.open(s.p, nil)
				if err == nil {
					_ = b.Close()
				}
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q in it", err, tt.want)
				}
				if !s.bus.Closed() {
					t.Error("the bus is not given back")
				}
			})
		})
	}
}
