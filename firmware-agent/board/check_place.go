package board

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Proto is what a profile must know of a family of boards on RS-485.
type Proto struct {
	// FirstBoard and LastBoard bound the addresses a board can be given.
	FirstBoard, LastBoard int
	// Channels is the most channels of one board, printed 1 to Channels.
	Channels int
	// Relays says that the board switches coils as it is told; the others time the pulse of a
	// lock themselves.
	Relays bool
	// Presence says that the board reports an infrared sensor for each channel (field: ir).
	Presence bool
	// Baud is the speed that boards of the family leave the factory with.
	Baud int
}

// Protos are the families that can be driven, by the name profiles use.
var Protos = map[string]Proto{
	"kr16":         {LastBoard: 14, Channels: 16, Presence: true, Baud: 19200},
	"wkly":         {LastBoard: 31, Channels: 24, Baud: 9600},
	"xor5":         {FirstBoard: 1, LastBoard: 31, Channels: 24, Baud: 9600},
	"modbus":       {FirstBoard: 1, LastBoard: 247, Channels: 32, Relays: true, Baud: 9600},
	"modbus-flash": {FirstBoard: 1, LastBoard: 247, Channels: 32, Relays: true, Baud: 9600},
}

// ProtoNames lists the families.
func ProtoNames() []string { return slices.Sorted(maps.Keys(Protos)) }

// Bounds of a bus.
const (
	minPoll, maxPoll       = 20 * time.Millisecond, time.Second
	minTimeout, maxTimeout = 20 * time.Millisecond, 500 * time.Millisecond
	flashUnit              = 100 * time.Millisecond // of a relay that times its pulse
	expanderPins           = 16
	firstExpander          = 0x20
	lastExpander           = 0x27
)

var (
	numberedChip  = regexp.MustCompile(`^(/dev/)?gpiochip[0-9]+$`)
	i2cDevice     = regexp.MustCompile(`^/dev/i2c-[0-9]{1,3}$`)
	serialDevice  = regexp.MustCompile(`^/dev/[A-Za-z0-9][A-Za-z0-9._:/+-]*$`)
	levels        = []string{"high", "low"}
	digits        = []string{"1", "0"}
	pulls         = []string{"", "up", "down", "none"}
	bauds         = []int{1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200}
	serialFrames  = []string{"8N1", "8N2", "8E1", "8O1"}
	mcpSevenLines = []int{7, 15}
	expanderPulls = map[string][]string{"pca9555": {""}, "mcp23017": {"", "up"}}
)

func (p *Profile) checkBuses(f *faults) {
	seen, devs := map[Name]bool{}, map[string]Name{}
	for i := range p.Buses {
		b := &p.Buses[i]
		if !idPattern.MatchString(string(b.ID)) || seen[b.ID] {
			f.add("buses: id %q is taken or not 1 to 32 letters, digits, dots and hyphens", b.ID)
		}
		seen[b.ID] = true
		if other, taken := devs[b.Dev]; taken {
			f.add("bus %s: %s is bus %s already: one program part owns a line", b.ID, b.Dev, other)
		}
		devs[b.Dev] = b.ID
		switch b.Type {
		case BusI2C:
			if !i2cDevice.MatchString(b.Dev) {
				f.add("bus %s: dev %q: an i2c bus is /dev/i2c-N", b.ID, b.Dev)
			}
		case BusSerial:
			checkSerial(f, b)
		default:
			f.add("bus %s: type %q: allowed are %s and %s", b.ID, b.Type, BusI2C, BusSerial)
		}
	}
}

func checkSerial(f *faults, b *Bus) {
	where := fmt.Sprintf("bus %s", b.ID)
	if !serialDevice.MatchString(b.Dev) || strings.Contains(b.Dev, "..") {
		f.add("%s: dev %q: a serial line is a path under /dev, best one of /dev/serial/by-path", where, b.Dev)
	}
	if _, known := Protos[b.Proto]; !known {
		f.add("%s: proto %q: allowed are %s", where, b.Proto, strings.Join(ProtoNames(), ", "))
		return
	}
	if !slices.Contains(bauds, b.Baud) {
		f.add("%s: baud %d: allowed are %v", where, b.Baud, bauds)
	}
	if !slices.Contains(serialFrames, b.Frame) {
		f.add("%s: frame %q: allowed are %s", where, b.Frame, strings.Join(serialFrames, ", "))
	}
	if b.RS485 != "auto" && b.RS485 != "kernel" {
		f.add("%s: rs485 %q: say auto for an adapter that turns the direction itself, kernel for the board's own UART", where, b.RS485)
	}
	if poll := time.Duration(b.Poll); poll != 0 && (poll < minPoll || poll > maxPoll) {
		f.add("%s: poll %s: %s to %s are allowed", where, poll, minPoll, maxPoll)
	}
	if wait := time.Duration(b.Timeout); wait != 0 && (wait < minTimeout || wait > maxTimeout) {
		f.add("%s: timeout %s: %s to %s are allowed", where, wait, minTimeout, maxTimeout)
	}
	if pulse := time.Duration(b.BoardPulse); pulse > MaxPulse || pulse < minPulse {
		f.add("%s: board_pulse %s: %s to %s are allowed; set the boards to it as well", where, pulse, minPulse, MaxPulse)
	}
}

func (p *Profile) checkExpanders(f *faults, addrs map[string]string) {
	seen := map[Name]bool{}
	for _, e := range p.Expanders {
		where := fmt.Sprintf("expander %s", e.ID)
		if !idPattern.MatchString(string(e.ID)) || seen[e.ID] {
			f.add("expanders: id %q is taken or not 1 to 32 letters, digits, dots and hyphens", e.ID)
		}
		seen[e.ID] = true
		if _, known := expanderPulls[e.Driver]; !known {
			f.add("%s: driver %q: allowed are mcp23017 and pca9555", where, e.Driver)
		}
		p.checkAddr(f, where, e.Bus, e.Addr, firstExpander, lastExpander, addrs)
	}
}

// checkAddr checks that a chip is on an I2C bus, at an address it can have and no other has.
func (p *Profile) checkAddr(f *faults, where string, bus Name, addr, least, most int, addrs map[string]string) {
	b := p.Bus(bus)
	if b == nil || b.Type != BusI2C {
		f.add("%s: there is no i2c bus %q", where, bus)
	}
	if addr < least || addr > most {
		f.add("%s: address %#x: %#x to %#x are allowed", where, addr, least, most)
	}
	at := fmt.Sprintf("%s %#x", bus, addr)
	if other, taken := addrs[at]; taken {
		f.add("%s: address %s is used by %s already", where, at, other)
	}
	addrs[at] = where
}

// checkLevel checks the level or bit that a switch has when it is closed, engaged or on.
func checkLevel(f *faults, where string, l *Line, level string) {
	allowed, words := levels, "high or low"
	if l.Wired() {
		allowed, words = digits, "1 or 0, the bit the board reports"
	}
	if !slices.Contains(allowed, level) {
		f.add("%s: %q: say %s", where, level, words)
	}
}

// checkPlace checks where a part is wired and that nothing else uses it.
func (p *Profile) checkPlace(f *faults, where string, l *Line, input bool, uses map[string]string) {
	switch l.Driver {
	case DriverGPIO:
		checkGPIO(f, where, l, input)
	case DriverExpander:
		p.checkPin(f, where, l, input)
	case DriverLockbus, DriverModbus:
		p.checkChannel(f, where, l, input)
	default:
		f.add("%s: driver %q: allowed are %s", where, l.Driver, strings.Join(drivers, ", "))
		return
	}
	use := l.String()
	if l.Wired() && !input {
		use += " lock" // a channel has a lock and its contacts
	}
	if other, taken := uses[use]; taken {
		f.add("%s: line %s is used by %s already", where, l, other)
	}
	uses[use] = where
}

func checkGPIO(f *faults, where string, l *Line, input bool) {
	foreign(f, where, l, l.Bus != "" || l.Board != 0 || l.Channel != 0 || l.Field != "", "bus, board, channel and field are")
	switch {
	case l.Chip == "":
		f.add("%s: chip is missing: the label that gpiodetect shows", where)
	case numberedChip.MatchString(l.Chip):
		f.add("%s: chip %q is a device number, which changes between starts: use the label that gpiodetect shows", where, l.Chip)
	}
	if (l.Line == "") == (l.Offset == nil) {
		f.add("%s: name the line by either line or offset", where)
		return
	}
	if l.Offset != nil && (*l.Offset < 0 || *l.Offset > 511) {
		f.add("%s: offset %d: 0 to 511 are allowed", where, *l.Offset)
	}
	if !slices.Contains(pulls, l.Pull) {
		f.add("%s: pull %q: allowed are up, down, none", where, l.Pull)
	}
	if input && strings.HasPrefix(path.Base(l.Chip), "mcp23017") {
		seventh(f, where, l)
	}
}

// seventh refuses inputs whose wires can disturb the bus of the chip they belong to.
func seventh(f *faults, where string, l *Line) {
	if l.Offset != nil && slices.Contains(mcpSevenLines, *l.Offset) {
		f.add("%s: bit 7 of an MCP23017 port must not be an input: it can corrupt the bus", where)
	}
}

func foreign(f *faults, where string, l *Line, given bool, keys string) {
	if given {
		f.add("%s: %s not for driver %s", where, keys, l.Driver)
	}
}

func (p *Profile) checkPin(f *faults, where string, l *Line, input bool) {
	foreign(f, where, l, l.Line != "" || l.Bus != "" || l.Board != 0 || l.Channel != 0 || l.Field != "", "line, bus, board, channel and field are")
	e := p.Expander(Name(l.Chip))
	if e == nil {
		f.add("%s: chip %q: there is no expander with this id", where, l.Chip)
		return
	}
	if l.Offset == nil || *l.Offset < 0 || *l.Offset >= expanderPins {
		f.add("%s: offset: 0 to %d must be given, the pins of %s", where, expanderPins-1, e.ID)
		return
	}
	if allowed := expanderPulls[e.Driver]; allowed != nil && !slices.Contains(allowed, l.Pull) {
		f.add("%s: pull %q: a %s cannot; fit a resistor and leave pull out", where, l.Pull, e.Driver)
	}
	if input && e.Driver == "mcp23017" {
		seventh(f, where, l)
	}
}

func (p *Profile) checkChannel(f *faults, where string, l *Line, input bool) {
	foreign(f, where, l, l.Chip != "" || l.Line != "" || l.Offset != nil || l.Pull != "", "chip, line, offset and pull are")
	b := p.Bus(l.Bus)
	if b == nil || b.Type != BusSerial {
		f.add("%s: there is no serial bus %q", where, l.Bus)
		return
	}
	proto, known := Protos[b.Proto]
	if !known {
		return // said of the bus
	}
	if proto.Relays != (l.Driver == DriverModbus) {
		f.add("%s: bus %s speaks %s: its parts have driver %s", where, b.ID, b.Proto, map[bool]string{true: DriverModbus, false: DriverLockbus}[proto.Relays])
	}
	if l.Board < proto.FirstBoard || l.Board > proto.LastBoard {
		f.add("%s: board %d: %s boards have addresses %d to %d", where, l.Board, b.Proto, proto.FirstBoard, proto.LastBoard)
	}
	if l.Channel < 1 || l.Channel > proto.Channels {
		f.add("%s: channel %d: 1 to %d are allowed, as printed on a %s board; 0 would mean every lock on some", where, l.Channel, proto.Channels, b.Proto)
	}
	switch {
	case l.Field == "" || l.Field == "hook" && input:
	case l.Field != "ir" || !input:
		f.add("%s: field %q: contacts have hook or ir, locks none", where, l.Field)
	case !proto.Presence:
		f.add("%s: field ir: %s boards report none", where, b.Proto)
	}
}

// checkShot checks the pulse of a lock on RS-485 against who times it.
func (p *Profile) checkShot(f *faults, where string, c *CellProfile) {
	if c.Lock.Active != "" {
		f.add("%s: active is not for driver %s", where, c.Lock.Driver)
	}
	b := p.Bus(c.Lock.Bus)
	if b == nil {
		return // said of its place
	}
	if !Protos[b.Proto].Relays && c.Lock.Pulse != b.BoardPulse {
		f.add("%s: pulse %s: the board times it: set board_pulse of bus %s (%s now) and leave pulse out", where, time.Duration(c.Lock.Pulse), b.ID, time.Duration(b.BoardPulse))
	}
	if pulse := time.Duration(c.Lock.Pulse); b.Proto == "modbus-flash" && pulse%flashUnit != 0 {
		f.add("%s: pulse %s: the relay times whole tenths of a second", where, pulse)
	}
}

// String names the place for people.
func (l *Line) String() string {
	switch {
	case l.Wired():
		field := ""
		if l.Field == "ir" {
			field = " ir"
		}
		return fmt.Sprintf("bus %s board %d channel %d%s", l.Bus, l.Board, l.Channel, field)
	case l.Offset != nil:
		return fmt.Sprintf("%s offset %d", l.Chip, *l.Offset)
	}
	return l.Chip + " " + l.Line
}
