package board

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	spiDevice = regexp.MustCompile(`^/dev/spidev[0-9]{1,2}\.[0-9]$`)
	romDigits = regexp.MustCompile(`^[0-9a-f]{16}$`)
	w1Digits  = regexp.MustCompile(`^28-[0-9a-f]{12}$`)
	oledAddrs = []int{0x3c, 0x3d}
)

// Bounds of fittings.
const (
	minHertz, maxHertz = 24, 1526
	pwmOutputs         = 16
	maxMatrix          = 8
	maxCovers          = 8
	minRest, maxRest   = 180 * time.Second, time.Hour
	maxCapacity        = 500_000
	nauAddr            = 0x2a
	firstPWM, lastPWM  = 0x40, 0x77
	firstBridge        = 0x18
	lastBridge         = 0x1f
	bridgeUse          = "a 1-wire bridge"
)

// checkFittings checks everything that is not a lock or its contacts. uses and addrs say what is
// taken.
func (p *Profile) checkFittings(f *faults, uses, addrs map[string]string) {
	p.checkPWMs(f, addrs)
	p.checkDisplays(f, uses, addrs)
	p.checkFront(f, uses)
	shown := map[Name]string{}
	p.checkShown(f, "front", p.Front.Display, shown)
	for i := range p.Compartments {
		c := &p.Compartments[i]
		where := fmt.Sprintf("compartment %d", c.No)
		p.checkShown(f, where, c.Display, shown)
		p.checkSwitched(f, where+" lamp", c.Lamp, uses)
		if c.Scale != nil {
			p.checkScale(f, where+" scale", c.Scale, uses, addrs)
		}
		if c.Climate != nil {
			p.checkClimate(f, where+" climate", c.Climate, uses)
		}
	}
}

// checkSensor checks where a thermometer is. Several DS18B20 share the address of their bridge.
func (p *Profile) checkSensor(f *faults, where string, s *Sensor, addrs map[string]string) {
	switch s.Driver {
	case "w1":
		if !w1Digits.MatchString(string(s.ROM)) {
			f.add("%s: rom %q: write it as the kernel shows it in /sys/bus/w1/devices, such as \"28-01143ba557aa\"", where, s.ROM)
		}
		if s.Bus != "" || s.Addr != 0 {
			f.add("%s: bus and addr are not for driver w1, whose bus is the kernel's", where)
		}
		p.checkROM(f, where, s.ROM, addrs)
	case "ds18b20":
		if !romDigits.MatchString(string(s.ROM)) {
			f.add("%s: rom %q: write its 16 hexadecimal digits in quotes, the checksum first and 28 last", where, s.ROM)
		}
		bridge := fmt.Sprintf("%s %#x", s.Bus, s.Addr)
		if addrs[bridge] == bridgeUse {
			delete(addrs, bridge)
		}
		p.checkAddr(f, where, s.Bus, s.Addr, firstBridge, lastBridge, addrs)
		addrs[bridge] = bridgeUse
		p.checkROM(f, where, s.ROM, addrs)
	default:
		p.checkAddr(f, where, s.Bus, s.Addr, 0x08, 0x77, addrs)
		if s.ROM != "" {
			f.add("%s: rom is not for driver %s", where, s.Driver)
		}
	}
}

// checkROM checks that no other thermometer has a number.
func (p *Profile) checkROM(f *faults, where string, rom Name, addrs map[string]string) {
	if other, taken := addrs["rom "+string(rom)]; taken {
		f.add("%s: rom %s is that of %s already", where, rom, other)
	}
	addrs["rom "+string(rom)] = where
}

func (p *Profile) checkPWMs(f *faults, addrs map[string]string) {
	seen := map[Name]bool{}
	for _, w := range p.PWMs {
		where := fmt.Sprintf("pwm %s", w.ID)
		checkID(f, "pwms", w.ID, seen)
		p.checkAddr(f, where, w.Bus, w.Addr, firstPWM, lastPWM, addrs)
		if w.Hertz < minHertz || w.Hertz > maxHertz {
			f.add("%s: hertz %d: %d to %d are allowed", where, w.Hertz, minHertz, maxHertz)
		}
	}
}

func checkID(f *faults, where string, id Name, seen map[Name]bool) {
	if !idPattern.MatchString(string(id)) || seen[id] {
		f.add("%s: id %q is taken or not 1 to 32 letters, digits, dots and hyphens", where, id)
	}
	seen[id] = true
}

func (p *Profile) checkDisplays(f *faults, uses, addrs map[string]string) {
	seen, devs := map[Name]bool{}, map[string]bool{}
	for i := range p.Displays {
		d := &p.Displays[i]
		where := fmt.Sprintf("display %s", d.ID)
		checkID(f, "displays", d.ID, seen)
		switch d.Driver {
		case DisplayLCD:
			p.checkAddr(f, where, d.Bus, d.Addr, 0x20, 0x3f, addrs)
			if d.Columns != 16 && d.Columns != 20 || d.Rows != 2 && d.Rows != 4 {
				f.add("%s: columns %d, rows %d: 16 or 20 and 2 or 4 are allowed", where, d.Columns, d.Rows)
			}
		case DisplayOLED:
			p.checkAddr(f, where, d.Bus, d.Addr, oledAddrs[0], oledAddrs[1], addrs)
			if d.Height != 32 && d.Height != 64 {
				f.add("%s: height %d: 32 or 64 are allowed", where, d.Height)
			}
		case DisplayPaper:
			if !spiDevice.MatchString(d.SPI) || devs[d.SPI] {
				f.add("%s: spi %q is taken or not a path such as /dev/spidev0.0", where, d.SPI)
			}
			devs[d.SPI] = true
			p.checkOwnLine(f, where+" command", &d.Command, false, uses)
			p.checkOwnLine(f, where+" reset", &d.Reset, false, uses)
			p.checkOwnLine(f, where+" busy", &d.Busy, true, uses)
		default:
			f.add("%s: driver %q: allowed are %s, %s and %s", where, d.Driver, DisplayLCD, DisplayOLED, DisplayPaper)
		}
	}
}

// checkOwnLine checks a line that is too fast for anything but the machine's own GPIO.
func (p *Profile) checkOwnLine(f *faults, where string, l *Line, input bool, uses map[string]string) {
	if l.Driver != DriverGPIO {
		f.add("%s: driver %s: it must be a line of the machine, driver %s", where, l.Driver, DriverGPIO)
		return
	}
	p.checkPlace(f, where, l, input, uses)
}

// checkSlowLine checks a line of the machine or of an expander.
func (p *Profile) checkSlowLine(f *faults, where string, l *Line, input bool, uses map[string]string) {
	if l.Wired() {
		f.add("%s: driver %s: allowed are %s and %s", where, l.Driver, DriverGPIO, DriverExpander)
		return
	}
	p.checkPlace(f, where, l, input, uses)
}

func (p *Profile) checkShown(f *faults, where string, id Name, shown map[Name]string) {
	if id == "" {
		return
	}
	if !slices.ContainsFunc(p.Displays, func(d DisplayPart) bool { return d.ID == id }) {
		f.add("%s: there is no display %q", where, id)
	}
	if other, taken := shown[id]; taken {
		f.add("%s: display %s is that of %s already", where, id, other)
	}
	shown[id] = where
}

func (p *Profile) checkSwitched(f *faults, where string, s *SwitchedPart, uses map[string]string) {
	if s == nil {
		return
	}
	p.checkSlowLine(f, where, &s.Line, false, uses)
	checkLevel(f, where+": active", &s.Line, s.Active)
}

func (p *Profile) checkRead(f *faults, where string, r *LineRead, uses map[string]string) {
	if r == nil {
		return
	}
	p.checkSlowLine(f, where, &r.Line, true, uses)
	checkLevel(f, where+": active", &r.Line, r.Means)
	if d := time.Duration(r.Debounce); d > maxDebounce {
		f.add("%s: debounce %s: at most %s is allowed", where, d, maxDebounce)
	}
}

func (p *Profile) checkFront(f *faults, uses map[string]string) {
	w := &p.Front
	p.checkSwitched(f, "front lamp", w.Lamp, uses)
	p.checkSwitched(f, "front buzzer", w.Buzzer, uses)
	p.checkRead(f, "front mains", w.Mains, uses)
	p.checkRead(f, "front battery_low", w.Low, uses)
	if w.Low != nil && w.Mains == nil {
		f.add("front battery_low: it needs mains as well, which tells when the battery is used")
	}
	if len(w.Covers) > maxCovers {
		f.add("front covers: %d: at most %d are allowed", len(w.Covers), maxCovers)
	}
	for i := range w.Covers {
		p.checkRead(f, fmt.Sprintf("front cover %d", i+1), &w.Covers[i], uses)
	}
	if r := w.Reader; r != nil {
		p.checkOpens(f, r.Opens)
		p.checkOwnLine(f, "front reader d0", &r.D0, true, uses)
		p.checkOwnLine(f, "front reader d1", &r.D1, true, uses)
		if r.D0.Chip != r.D1.Chip {
			f.add("front reader: d0 is on %s and d1 on %s: the order of bits is known on one chip only", r.D0.Chip, r.D1.Chip)
		}
	}
	if w.Keypad != nil {
		p.checkKeypad(f, w.Keypad, uses)
	}
	if s := w.Scanner; s != nil {
		p.checkScanner(f, s)
	}
}

func (p *Profile) checkScanner(f *faults, s *ScannerPart) {
	if !serialDevice.MatchString(s.Dev) || strings.Contains(s.Dev, "..") {
		f.add("front scanner: dev %q: a serial line is a path under /dev, best one of /dev/serial/by-path", s.Dev)
	}
	if !slices.Contains(bauds, s.Baud) {
		f.add("front scanner: baud %d: allowed are %v", s.Baud, bauds)
	}
	for _, b := range p.Buses {
		if b.Dev == s.Dev {
			f.add("front scanner: %s is bus %s already", s.Dev, b.ID)
		}
	}
}

func (p *Profile) checkKeypad(f *faults, k *KeypadPart, uses map[string]string) {
	if p.Front.Display == "" {
		f.add("front keypad: it needs a display of the bank: people must see what they are asked")
	}
	switch k.Driver {
	case KeypadReader:
		if p.Front.Reader == nil {
			f.add("front keypad: there is no reader whose keys it could be")
		}
	case KeypadMatrix:
		checkLegend(f, k)
		for i := range k.Rows {
			p.checkOwnLine(f, fmt.Sprintf("front keypad row %d", i+1), &k.Rows[i], false, uses)
		}
		for i := range k.Columns {
			p.checkOwnLine(f, fmt.Sprintf("front keypad column %d", i+1), &k.Columns[i], true, uses)
		}
	default:
		f.add("front keypad: driver %q: allowed are %s and %s", k.Driver, KeypadMatrix, KeypadReader)
	}
}

func checkLegend(f *faults, k *KeypadPart) {
	if r, c := len(k.Rows), len(k.Columns); r < 1 || r > maxMatrix || c < 1 || c > maxMatrix {
		f.add("front keypad: %d rows and %d columns: 1 to %d of each are allowed", r, c, maxMatrix)
	}
	keys := strings.Join(k.Legend, "")
	for _, must := range "0123456789*#" {
		if strings.Count(keys, string(must)) != 1 {
			f.add("front keypad: the legend must have the key %c once: 0 to 9, * to clear and # to enter", must)
		}
	}
	if len(k.Legend) != len(k.Rows) {
		f.add("front keypad: the legend has %d rows, the keypad %d", len(k.Legend), len(k.Rows))
	}
	for _, l := range k.Legend {
		if utf8.RuneCountInString(l) != len(k.Columns) {
			f.add("front keypad: %q of the legend names %d keys, the keypad has %d columns", l, utf8.RuneCountInString(l), len(k.Columns))
		}
	}
}

func (p *Profile) checkScale(f *faults, where string, s *ScalePart, uses, addrs map[string]string) {
	switch s.Driver {
	case ScaleHX711:
		p.checkOwnLine(f, where+" clock", &s.Clock, false, uses)
		p.checkOwnLine(f, where+" data", &s.Data, true, uses)
	case ScaleNAU7802:
		p.checkAddr(f, where, s.Bus, nauAddr, nauAddr, nauAddr, addrs)
	default:
		f.add("%s: driver %q: allowed are %s and %s", where, s.Driver, ScaleHX711, ScaleNAU7802)
	}
	if per := s.CountsPerGram; per == 0 || per != per || per > 100_000 || per < -100_000 {
		f.add("%s: counts_per_gram %v: weigh two known weights to find it; negative when the cell is mounted upside down", where, per)
	}
	if s.Zero < -1<<23 || s.Zero >= 1<<23 {
		f.add("%s: zero %d: %d to %d are allowed", where, s.Zero, -1<<23, 1<<23-1)
	}
	if s.CapacityG < 100 || s.CapacityG > maxCapacity {
		f.add("%s: capacity_g %d: 100 to %d are allowed", where, s.CapacityG, maxCapacity)
	}
}

func (p *Profile) checkClimate(f *faults, where string, c *ClimatePart, uses map[string]string) {
	if c.Cool == nil && c.Heat == nil && c.Fan == nil {
		f.add("%s: it names no machine: give cool, heat or fan", where)
	}
	if c.Heat != nil && (c.Fan == nil || c.Air == nil) {
		f.add("%s: a heater needs a fan, and air: a contact that proves that it turns", where)
	}
	p.checkMachine(f, where+" cool", c.Cool, uses)
	p.checkMachine(f, where+" heat", c.Heat, uses)
	p.checkMachine(f, where+" fan", c.Fan, uses)
	p.checkRead(f, where+" air", c.Air, uses)
	switch rest := time.Duration(c.MinOff); {
	case !c.Compressor && rest != 0:
		f.add("%s: min_off is for compressors: say compressor: true", where)
	case c.Compressor && c.Cool == nil:
		f.add("%s: compressor: there is no cool", where)
	case c.Compressor && c.Cool.PWM != "":
		f.add("%s: a compressor on a pwm burns: give it a relay", where)
	case c.Compressor && (rest < minRest || rest > maxRest):
		f.add("%s: min_off %s: %s to %s are allowed", where, rest, minRest, maxRest)
	}
}

func (p *Profile) checkMachine(f *faults, where string, m *MachinePart, uses map[string]string) {
	if m == nil {
		return
	}
	if m.PWM == "" {
		p.checkSwitched(f, where, &m.SwitchedPart, uses)
		return
	}
	if m.Chip != "" || m.Offset != nil || m.SwitchedPart.Line.Line != "" || m.Active != "" {
		f.add("%s: it has either a line or a pwm", where)
	}
	if !slices.ContainsFunc(p.PWMs, func(w PWMPart) bool { return w.ID == m.PWM }) {
		f.add("%s: there is no pwm %q", where, m.PWM)
	}
	if m.Output < 0 || m.Output >= pwmOutputs {
		f.add("%s: output %d: 0 to %d are allowed", where, m.Output, pwmOutputs-1)
	}
	use := fmt.Sprintf("pwm %s output %d", m.PWM, m.Output)
	if other, taken := uses[use]; taken {
		f.add("%s: %s is used by %s already", where, use, other)
	}
	uses[use] = where
}

// slowSettle is how long a door must be closed before a slow converter has weighed what is inside:
// five conversions of a tenth of a second and one that is under way.
const slowSettle = 800 * time.Millisecond

// checkOpens checks that the cards of a reader open the door of a room.
func (p *Profile) checkOpens(f *faults, no int) {
	if no == 0 {
		return
	}
	if !slices.ContainsFunc(p.Compartments, func(c CellProfile) bool { return c.No == no && c.Room }) {
		f.add("front reader: opens %d: name a compartment with room: true; no card opens a door behind which goods are kept", no)
	}
}

// fittingWarnings lists what is allowed and unwise.
func (p *Profile) fittingWarnings() (w []string) {
	if s := p.Front.Scanner; s != nil && unstableTTY.MatchString(s.Dev) {
		w = append(w, fmt.Sprintf("front scanner: %s may be another line after the next start; use its name under /dev/serial/by-path", s.Dev))
	}
	if r, k := p.Front.Reader, p.Front.Keypad; r != nil && r.Opens == 0 && (k == nil || k.Driver != KeypadReader) {
		w = append(w, "front reader: its cards open nothing; say opens: and the number of the room's door")
	}
	for i := range p.Compartments {
		c := &p.Compartments[i]
		if c.Climate != nil && c.Band == "" {
			w = append(w, fmt.Sprintf("compartment %d climate: it never runs, because no band says what the air must keep to; name one, such as band: chilled", c.No))
		}
		if s := c.Scale; s != nil && s.Driver == ScaleHX711 && !s.Fast && time.Duration(c.Door.Settle) < slowSettle {
			w = append(w, fmt.Sprintf("compartment %d scale: it weighs ten times a second, so what it says %s after the door has closed is partly from before; set settle to %s, or the RATE pin high and fast: true", c.No, time.Duration(or(c.Door.Settle, defaultSettle)), slowSettle))
		}
		if m := c.Climate; m != nil && m.Heat != nil && m.Heat.PWM != "" {
			w = append(w, fmt.Sprintf("compartment %d climate: pwm %s keeps heating when the agent dies; fit a thermal cut-out", c.No, m.Heat.PWM))
		}
	}
	return w
}

// defaultSettle is the agent's own when a profile names none.
const defaultSettle = Duration(500 * time.Millisecond)
