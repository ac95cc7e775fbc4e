package board

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxProfile is the largest profile file in bytes.
const MaxProfile = 256 << 10

// Drivers of locks and switches. The driver of a profile is that of every part that names none.
const (
	DriverGPIO     = "gpio"     // lines of the GPIO character device
	DriverExpander = "expander" // pins of a PCA9555 or MCP23017 that no kernel driver owns
	DriverLockbus  = "lockbus"  // a lock board on RS-485
	DriverModbus   = "modbus"   // a relay board on RS-485
	DriverSim      = "sim"      // a simulated board steered over a socket, for tests of the real binary
)

// Types of a bus.
const (
	BusI2C    = "i2c"
	BusSerial = "serial"
)

// Profile describes the hardware of one bank. LoadProfile makes one that is valid.
type Profile struct {
	Version      int           `yaml:"profile"`
	Driver       string        `yaml:"driver"`
	Cabinet      Cabinet       `yaml:"cabinet"`
	Power        Power         `yaml:"power"`
	Limits       Limits        `yaml:"limits"`
	Defaults     Defaults      `yaml:"defaults"`
	Buses        []Bus         `yaml:"buses"`
	Expanders    []Expander    `yaml:"expanders"`
	Thermometers []Sensor      `yaml:"thermometers"`
	PWMs         []PWMPart     `yaml:"pwms"`
	Displays     []DisplayPart `yaml:"displays"`
	Front        Front         `yaml:"front"`
	Compartments []CellProfile `yaml:"compartments"`
	Sim          Sim           `yaml:"sim"`

	// Hash names the content of the file: 32 hexadecimal digits. It is told at every birth.
	Hash string `yaml:"-"`
}

// Cabinet is the furniture.
type Cabinet struct {
	Model Name `yaml:"model"`
	Rev   Name `yaml:"rev"`
}

// Power is where the coils' current comes from. One coil of a power bank is on at a time.
type Power struct {
	PSUmA      int         `yaml:"psu_ma"`
	BasemA     int         `yaml:"base_ma"`
	ReservePct int         `yaml:"reserve_pct"`
	Banks      []PowerBank `yaml:"banks"`
}

// PowerBank is one fused branch.
type PowerBank struct {
	ID      Name `yaml:"id"`
	LimitmA int  `yaml:"limit_ma"`
}

// Limits of the whole bank; 0 means the agent's default.
type Limits struct {
	FusePerMinute int `yaml:"fuse_per_minute"` // openings in a minute before the bank pauses
}

// Defaults hold for every compartment that does not say otherwise.
type Defaults struct {
	Lock Lockery `yaml:"lock"`
	Door Doorway `yaml:"door"`
	Bank Name    `yaml:"bank"` // power bank
	Chip string  `yaml:"chip"` // of parts whose driver is the board's
	Bus  Name    `yaml:"bus"`  // of parts whose driver is the board's
}

// Lockery is how a lock is driven.
type Lockery struct {
	Pulse    Duration `yaml:"pulse"`     // 400ms when not given
	MaxPulse Duration `yaml:"max_pulse"` // 800ms when not given, at most MaxPulse
	CoilmA   int      `yaml:"coil_ma"`
	NoRetry  bool     `yaml:"no_retry"`
}

// Doorway is how a door is judged.
type Doorway struct {
	OpenWithin Duration `yaml:"open_within"`
	AjarAfter  Duration `yaml:"ajar_after"`
	Settle     Duration `yaml:"settle"`
	Debounce   Duration `yaml:"debounce"` // 30ms when not given
}

// CellProfile is one compartment.
type CellProfile struct {
	No          int           `yaml:"no"` // the number printed on the door
	ID          Name          `yaml:"id"`
	Size        string        `yaml:"size"`
	Bank        Name          `yaml:"bank"`
	Lock        LockLine      `yaml:"lock"`
	Door        DoorLine      `yaml:"door"`
	Bolt        *LineRead     `yaml:"bolt"`
	Presence    *LineRead     `yaml:"presence"`
	Thermometer Name          `yaml:"thermometer"`
	Scale       *ScalePart    `yaml:"scale"`
	Climate     *ClimatePart  `yaml:"climate"`
	Lamp        *SwitchedPart `yaml:"lamp"`
	Display     Name          `yaml:"display"`
	Notes       string        `yaml:"notes"`
	// Band is the temperature band the compartment keeps, a name of package locker/climate. It
	// needs a thermometer.
	Band string `yaml:"band"`
	// Room says that people go in. Such a door must open from inside by hardware alone; when it does,
	// nobody is alarmed.
	Room bool `yaml:"room"`
	// Group above 0 names doors of which only one may be open at a time: an inner and an outer
	// door of one passage.
	Group int `yaml:"group"`
}

// Lines are the places of all parts of a compartment, its lock first.
func (c *CellProfile) Lines() []*Line {
	all := []*Line{&c.Lock.Line, &c.Door.Line}
	for _, l := range []*LineRead{c.Bolt, c.Presence} {
		if l != nil {
			all = append(all, &l.Line)
		}
	}
	return all
}

// Line says where one lock or switch is wired. A GPIO line is named by the label of its chip and
// its own name or offset; a pin of an expander by the expander's id and its offset; a channel of
// a lock board or relay board by its bus, the board's address and the number printed beside it.
type Line struct {
	Driver  string `yaml:"driver"`
	Chip    string `yaml:"chip"`
	Line    string `yaml:"line"`
	Offset  *int   `yaml:"offset"`
	Pull    string `yaml:"pull"` // up, down, none; empty leaves it as it is
	Bus     Name   `yaml:"bus"`
	Board   int    `yaml:"board"`
	Channel int    `yaml:"channel"` // from 1
	Field   string `yaml:"field"`   // hook or ir; empty is hook
}

// Wired reports whether the part is a channel on RS-485.
func (l *Line) Wired() bool { return l.Driver == DriverLockbus || l.Driver == DriverModbus }

// LockLine is the coil of a lock.
type LockLine struct {
	Line    `yaml:",inline"`
	Lockery `yaml:",inline"`
	Active  string `yaml:"active"` // high or low; not for channels on RS-485
}

// DoorLine is a door contact.
type DoorLine struct {
	Line     `yaml:",inline"`
	Doorway  `yaml:",inline"`
	ClosedIs string `yaml:"closed_is"` // high or low; 1 or 0 on RS-485
}

// LineRead is another switch. Means tells the level at which a bolt is engaged or goods are
// present.
type LineRead struct {
	Line     `yaml:",inline"`
	Debounce Duration `yaml:"debounce"`
	Means    string   `yaml:"active"` // high or low; 1 or 0 on RS-485
}

// Bus is a pair of wires with chips or boards on it.
type Bus struct {
	ID   Name   `yaml:"id"`
	Type string `yaml:"type"` // i2c or serial
	Dev  string `yaml:"dev"`  // /dev/i2c-N, or a serial line
	// The rest is for serial lines with lock boards or relay boards.
	Proto string `yaml:"proto"` // see Protos
	Baud  int    `yaml:"baud"`  // what the family leaves the factory with when not given
	Frame string `yaml:"frame"` // 8N1 when not given
	// RS485 is auto for adapters that turn the direction themselves, and kernel for a UART of
	// the board whose driver does it. Empty means auto.
	RS485   string   `yaml:"rs485"`
	Poll    Duration `yaml:"poll"`    // between two questions to a board
	Timeout Duration `yaml:"timeout"` // for an answer
	// BoardPulse is how long the boards keep a coil on, as their own setting says; 500ms when not
	// given. Relay boards are told by each shot.
	BoardPulse Duration `yaml:"board_pulse"`
}

// Expander is a chip with 16 pins on I2C.
type Expander struct {
	ID     Name   `yaml:"id"`
	Driver string `yaml:"driver"` // pca9555 or mcp23017
	Bus    Name   `yaml:"bus"`
	Addr   int    `yaml:"addr"`
}

// Sensor is one chip on a bus.
type Sensor struct {
	ID     Name   `yaml:"id"`
	Driver string `yaml:"driver"` // sht3x, sht4x, aht20, ds18b20 behind a DS2482, w1 for the kernel's
	Bus    Name   `yaml:"bus"`    // not of w1
	Addr   int    `yaml:"addr"`   // of a ds18b20 that of the bridge
	ROM    Name   `yaml:"rom"`    // the number of a ds18b20 or w1
}

// Sim describes a simulated board.
type Sim struct {
	Compartments int    `yaml:"compartments"`
	Control      string `yaml:"control"` // path of the unix socket that steers it
	Coils        string `yaml:"coils"`   // file to which every pulse is appended
	World        string `yaml:"world"`   // file that keeps doors and goods while the agent is down
	Springs      bool   `yaml:"springs"` // doors swing open when their coil moves
}

// Name is an identifier in a profile. It must be written as text: an unquoted 08 or 1e3 would
// be read as a number by one tool and as text by the next.
type Name string

// UnmarshalYAML refuses everything that YAML does not call text.
func (n *Name) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!str" {
		return fmt.Errorf("line %d: %q is not text: put it in quotes", node.Line, node.Value)
	}
	*n = Name(node.Value)
	return nil
}

// Duration is a time span written with its unit, such as 400ms.
type Duration time.Duration

// UnmarshalYAML refuses numbers without a unit.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	v, err := time.ParseDuration(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil || node.ShortTag() != "!!str" || v < 0 {
		return fmt.Errorf("line %d: %q is not a time span: write it with its unit, such as 400ms or 10s", node.Line, node.Value)
	}
	*d = Duration(v)
	return nil
}

// LoadProfile reads and checks the profile at path.
func LoadProfile(path string) (*Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("board profile: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	text, err := io.ReadAll(io.LimitReader(f, MaxProfile+1))
	if err != nil {
		return nil, fmt.Errorf("board profile %s: %w", path, err)
	}
	p, err := ParseProfile(text)
	if err != nil {
		return nil, fmt.Errorf("board profile %s: %w", path, err)
	}
	return p, nil
}

// ParseProfile reads and checks a profile. The error lists everything that is wrong, one
// sentence a line.
func ParseProfile(text []byte) (*Profile, error) {
	if len(text) > MaxProfile {
		return nil, fmt.Errorf("longer than %d bytes", MaxProfile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	p := new(Profile)
	if err := dec.Decode(p); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty")
		}
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("a second document follows after ---: one file describes one board")
	}
	p.fill()
	if err := p.Check(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	p.Hash = hex.EncodeToString(sum[:16])
	return p, nil
}

// fill puts the defaults into every compartment.
func (p *Profile) fill() {
	d := &p.Defaults
	set(&d.Lock.MaxPulse, Duration(800*time.Millisecond))
	set(&d.Door.Debounce, Duration(30*time.Millisecond))
	for i := range p.Buses {
		p.Buses[i].fill()
	}
	for i := range p.Compartments {
		p.fillCell(&p.Compartments[i])
	}
	p.fillFittings()
}

func (p *Profile) fillCell(c *CellProfile) {
	d := &p.Defaults
	set(&c.Bank, d.Bank)
	p.place(&c.Lock.Line)
	p.place(&c.Door.Line)
	pulse, most := or(d.Lock.Pulse, Duration(400*time.Millisecond)), d.Lock.MaxPulse
	if b := p.Bus(c.Lock.Bus); c.Lock.Wired() && b != nil && !Protos[b.Proto].Relays {
		pulse, most = b.BoardPulse, b.BoardPulse
	}
	set(&c.Lock.Pulse, pulse)
	set(&c.Lock.MaxPulse, most)
	set(&c.Lock.CoilmA, d.Lock.CoilmA)
	c.Lock.NoRetry = c.Lock.NoRetry || d.Lock.NoRetry
	set(&c.Door.OpenWithin, d.Door.OpenWithin)
	set(&c.Door.AjarAfter, d.Door.AjarAfter)
	set(&c.Door.Settle, d.Door.Settle)
	set(&c.Door.Debounce, d.Door.Debounce)
	for _, l := range []*LineRead{c.Bolt, c.Presence} {
		if l != nil {
			p.place(&l.Line)
			set(&l.Debounce, d.Door.Debounce)
		}
	}
}

// place puts the defaults of its driver into one part. The default chip and bus are those of the
// board's driver: another driver's parts name their own.
func (p *Profile) place(l *Line) {
	set(&l.Driver, p.Driver)
	if l.Driver != p.Driver {
		return
	}
	if l.Wired() {
		set(&l.Bus, p.Defaults.Bus)
	} else {
		set(&l.Chip, p.Defaults.Chip)
	}
}

func (b *Bus) fill() {
	if b.Type != BusSerial || b.Proto == "" {
		return
	}
	set(&b.Baud, Protos[b.Proto].Baud)
	set(&b.Frame, "8N1")
	set(&b.RS485, "auto")
	set(&b.BoardPulse, Duration(500*time.Millisecond))
}

// Bus returns the bus with this id, nil when there is none.
func (p *Profile) Bus(id Name) *Bus {
	for i := range p.Buses {
		if p.Buses[i].ID == id {
			return &p.Buses[i]
		}
	}
	return nil
}

// Expander returns the expander with this id, nil when there is none.
func (p *Profile) Expander(id Name) *Expander {
	for i := range p.Expanders {
		if p.Expanders[i].ID == id {
			return &p.Expanders[i]
		}
	}
	return nil
}

// or is v, or the fallback when it has the zero value.
func or[T comparable](v, fallback T) T {
	set(&v, fallback)
	return v
}

// set gives v the fallback when it has the zero value.
func set[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// PowerIndex counts power banks from 0; unnamed ones are the first.
func (p *Profile) PowerIndex(id Name) int {
	for i, b := range p.Power.Banks {
		if b.ID == id {
			return i
		}
	}
	return 0
}
