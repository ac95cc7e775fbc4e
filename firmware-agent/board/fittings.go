package board

import "time"

// Front is what the whole bank has besides its compartments. Parts that are not fitted are left
// out.
type Front struct {
	Display Name          `yaml:"display"`
	Keypad  *KeypadPart   `yaml:"keypad"`
	Scanner *ScannerPart  `yaml:"scanner"`
	Reader  *ReaderPart   `yaml:"reader"`
	Lamp    *SwitchedPart `yaml:"lamp"`
	Buzzer  *SwitchedPart `yaml:"buzzer"` // with its own oscillator
	Mains   *LineRead     `yaml:"mains"`  // active while the mains is there
	Low     *LineRead     `yaml:"battery_low"`
	Covers  []LineRead    `yaml:"covers"` // active while a cover is off
}

// SwitchedPart is something that is switched on and off.
type SwitchedPart struct {
	Line   `yaml:",inline"`
	Active string `yaml:"active"` // high or low
}

// Drivers of keypads.
const (
	KeypadMatrix = "matrix" // rows and columns of GPIO lines
	KeypadReader = "reader" // the keys of a Wiegand reader
)

// KeypadPart is a keypad. It needs a display of the bank, with which it makes a panel.
type KeypadPart struct {
	Driver  string   `yaml:"driver"`
	Rows    []Line   `yaml:"rows"`    // pulled low one after the other, open drain
	Columns []Line   `yaml:"columns"` // with pull: up
	Legend  []string `yaml:"legend"`  // the keys of each row, such as "123"; * clears, # enters
}

// ScannerPart is a scanner of bar codes and QR codes on a serial line, set to end each code with a
// carriage return.
type ScannerPart struct {
	Dev  string `yaml:"dev"`
	Baud int    `yaml:"baud"` // 9600 when not given
}

// ReaderPart is a Wiegand reader on two lines of one chip. Opens is the compartment with room: true
// whose door its cards open: the door beside which the reader hangs. 0 means that cards open nothing,
// as at a reader that is there for its keys.
type ReaderPart struct {
	Opens int  `yaml:"opens"`
	D0    Line `yaml:"d0"`
	D1    Line `yaml:"d1"`
}

// Drivers of displays.
const (
	DisplayLCD   = "lcd"   // HD44780 behind a PCF8574
	DisplayOLED  = "oled"  // SSD1306
	DisplayPaper = "paper" // SSD1680, 250 by 122 pixels
)

// DisplayPart is a display.
type DisplayPart struct {
	ID     Name   `yaml:"id"`
	Driver string `yaml:"driver"`
	// Those on I2C.
	Bus     Name `yaml:"bus"`
	Addr    int  `yaml:"addr"`
	Columns int  `yaml:"columns"` // of an lcd: 16 or 20
	Rows    int  `yaml:"rows"`    // of an lcd: 2 or 4
	Height  int  `yaml:"height"`  // of an oled: 32 or 64
	// Those on SPI.
	SPI     string `yaml:"spi"` // /dev/spidevB.C
	Command Line   `yaml:"command"`
	Reset   Line   `yaml:"reset"`
	Busy    Line   `yaml:"busy"`
}

// PWMPart is a chip that gives part of a power, a PCA9685.
type PWMPart struct {
	ID    Name `yaml:"id"`
	Bus   Name `yaml:"bus"`
	Addr  int  `yaml:"addr"`
	Hertz int  `yaml:"hertz"` // 1000 when not given
}

// Drivers of scales.
const (
	ScaleHX711   = "hx711"
	ScaleNAU7802 = "nau7802"
)

// ScalePart is the load cell of a compartment. Zero and CountsPerGram come from weighing two known
// weights.
type ScalePart struct {
	Driver        string  `yaml:"driver"`
	Bus           Name    `yaml:"bus"`   // of an nau7802
	Clock         Line    `yaml:"clock"` // PD_SCK of an hx711
	Data          Line    `yaml:"data"`  // DOUT of an hx711
	Fast          bool    `yaml:"fast"`  // the RATE pin of an hx711 is high
	Zero          int     `yaml:"zero"`
	CountsPerGram float64 `yaml:"counts_per_gram"`
	CapacityG     int     `yaml:"capacity_g"`
}

// ClimatePart is the unit that cools or heats a compartment.
type ClimatePart struct {
	Cool       *MachinePart `yaml:"cool"`
	Heat       *MachinePart `yaml:"heat"`
	Fan        *MachinePart `yaml:"fan"`
	Compressor bool         `yaml:"compressor"` // cool is one
	MinOff     Duration     `yaml:"min_off"`    // rest of a compressor: 180s or more
	Air        *LineRead    `yaml:"air"`        // active while air moves; a heater needs it
}

// MachinePart is a relay on a line, or a channel of a PWM.
type MachinePart struct {
	SwitchedPart `yaml:",inline"`
	PWM          Name `yaml:"pwm"`
	Output       int  `yaml:"output"` // of the PWM, 0 to 15
}

// DefaultHertz is the frequency of a PWM that names none.
const DefaultHertz = 1000

// fillFittings puts the defaults into everything that is not a lock or its contacts.
func (p *Profile) fillFittings() {
	for i := range p.PWMs {
		set(&p.PWMs[i].Hertz, DefaultHertz)
	}
	if s := p.Front.Scanner; s != nil {
		set(&s.Baud, 9600)
	}
	if k := p.Front.Keypad; k != nil {
		for i := range k.Columns {
			set(&k.Columns[i].Pull, "up")
		}
	}
	for _, l := range p.fittingLines() {
		p.place(l)
	}
	for _, r := range p.Contacts() {
		set(&r.Debounce, p.Defaults.Door.Debounce)
	}
	for i := range p.Compartments {
		if c := p.Compartments[i].Climate; c != nil && c.Compressor {
			set(&c.MinOff, Duration(180*time.Second))
		}
	}
}

// Contacts are all contacts besides those of doors.
func (p *Profile) Contacts() (all []*LineRead) {
	for _, r := range []*LineRead{p.Front.Mains, p.Front.Low} {
		if r != nil {
			all = append(all, r)
		}
	}
	for i := range p.Front.Covers {
		all = append(all, &p.Front.Covers[i])
	}
	for i := range p.Compartments {
		if c := p.Compartments[i].Climate; c != nil && c.Air != nil {
			all = append(all, c.Air)
		}
	}
	return all
}

// Switched are all lines that are switched on and off besides those of locks.
func (p *Profile) Switched() (all []*SwitchedPart) {
	add := func(s *SwitchedPart) {
		if s != nil {
			all = append(all, s)
		}
	}
	add(p.Front.Lamp)
	add(p.Front.Buzzer)
	for i := range p.Compartments {
		c := &p.Compartments[i]
		add(c.Lamp)
		if c.Climate == nil {
			continue
		}
		for _, m := range []*MachinePart{c.Climate.Cool, c.Climate.Heat, c.Climate.Fan} {
			if m != nil && m.PWM == "" {
				add(&m.SwitchedPart)
			}
		}
	}
	return all
}

// fittingLines are all lines besides those of locks and doors.
func (p *Profile) fittingLines() (all []*Line) {
	for _, r := range p.Contacts() {
		all = append(all, &r.Line)
	}
	for _, s := range p.Switched() {
		all = append(all, &s.Line)
	}
	if k := p.Front.Keypad; k != nil {
		for i := range k.Rows {
			all = append(all, &k.Rows[i])
		}
		for i := range k.Columns {
			all = append(all, &k.Columns[i])
		}
	}
	if r := p.Front.Reader; r != nil {
		all = append(all, &r.D0, &r.D1)
	}
	for i := range p.Displays {
		if d := &p.Displays[i]; d.Driver == DisplayPaper {
			all = append(all, &d.Command, &d.Reset, &d.Busy)
		}
	}
	for i := range p.Compartments {
		if s := p.Compartments[i].Scale; s != nil && s.Driver == ScaleHX711 {
			all = append(all, &s.Clock, &s.Data)
		}
	}
	return all
}
