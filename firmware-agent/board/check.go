package board

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/climate"
)

var (
	idPattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)
	piLowLine    = regexp.MustCompile(`^GPIO[0-8]$`)
	knownSensors = []string{"sht3x", "sht4x", "aht20", "ds18b20", "w1"}
	drivers      = []string{DriverGPIO, DriverExpander, DriverLockbus, DriverModbus}
	unstableTTY  = regexp.MustCompile(`^/dev/tty(USB|ACM)[0-9]+$`)
)

// Bounds of times in a profile.
const (
	minPulse    = 20 * time.Millisecond
	maxDebounce = 500 * time.Millisecond
	maxWait     = time.Hour
)

// faults gathers what is wrong with a profile.
type faults struct{ list []error }

func (f *faults) add(format string, args ...any) {
	f.list = append(f.list, fmt.Errorf(format, args...))
}

// Check lists everything that is wrong with a filled profile. All of it is fatal: an agent does
// not start on a board it might misread.
func (p *Profile) Check() error {
	f := new(faults)
	if p.Version != 1 {
		f.add("profile: %d: this agent reads version 1", p.Version)
	}
	switch {
	case p.Driver == DriverSim:
		p.checkSim(f)
	case slices.Contains(drivers, p.Driver):
		p.checkReal(f)
	default:
		f.add("driver: %q: allowed are %s and %s", p.Driver, strings.Join(drivers, ", "), DriverSim)
	}
	if p.Limits.FusePerMinute < 0 || p.Limits.FusePerMinute > 100_000 {
		f.add("limits.fuse_per_minute: %d: 1 to 100000 are allowed, 0 is the default", p.Limits.FusePerMinute)
	}
	return errors.Join(f.list...)
}

func (p *Profile) checkSim(f *faults) {
	if n := p.Sim.Compartments; n < 1 || n > locker.MaxCompartments {
		f.add("sim.compartments: %d: 1 to %d are allowed", n, locker.MaxCompartments)
	}
	if p.Sim.Control == "" {
		f.add("sim.control: the path of the socket that steers the board is missing")
	}
	if len(p.Compartments) > 0 {
		f.add("compartments: a simulated board has sim.compartments instead")
	}
	if len(p.fittingLines())+len(p.PWMs)+len(p.Displays) > 0 || p.Front.Display != "" || p.Front.Keypad != nil || p.Front.Scanner != nil {
		f.add("front, displays, pwms: a simulated board has none")
	}
}

func (p *Profile) checkReal(f *faults) {
	if p.Sim != (Sim{}) {
		f.add("sim: only for driver %s", DriverSim)
	}
	p.checkPower(f)
	p.checkBuses(f)
	addrs := map[string]string{}
	p.checkExpanders(f, addrs)
	p.checkThermometers(f, addrs)
	if n := len(p.Compartments); n < 1 || n > locker.MaxCompartments {
		f.add("compartments: %d: 1 to %d are allowed", n, locker.MaxCompartments)
	}
	uses, ids, last := map[string]string{}, map[Name]bool{}, 0
	for i := range p.Compartments {
		c := &p.Compartments[i]
		where := fmt.Sprintf("compartment %d", c.No)
		if c.No <= last || c.No > locker.MaxCompartments {
			f.add("compartments: no %d after %d: numbers rise from 1 to %d", c.No, last, locker.MaxCompartments)
		}
		last = max(last, c.No)
		if c.ID != "" && (!idPattern.MatchString(string(c.ID)) || ids[c.ID]) {
			f.add("%s: id %q is taken or not 1 to 32 letters, digits, dots and hyphens", where, c.ID)
		}
		ids[c.ID] = true
		if _, err := locker.ParseSize(c.Size); c.Size != "" && err != nil {
			f.add("%s: %w", where, err)
		}
		p.checkCell(f, where, c, uses)
	}
	p.checkFittings(f, uses, addrs)
}

func (p *Profile) checkPower(f *faults) {
	seen := map[Name]bool{}
	for _, b := range p.Power.Banks {
		if !idPattern.MatchString(string(b.ID)) || seen[b.ID] {
			f.add("power.banks: id %q is taken or not 1 to 32 letters, digits, dots and hyphens", b.ID)
		}
		seen[b.ID] = true
	}
	w := &p.Power
	if w.ReservePct < 0 || w.ReservePct > 90 || w.PSUmA < 0 || w.BasemA < 0 {
		f.add("power: psu_ma and base_ma are 0 or more, reserve_pct is 0 to 90")
	}
}

func (p *Profile) checkThermometers(f *faults, addrs map[string]string) {
	ids := map[Name]bool{}
	for _, s := range p.Thermometers {
		where := fmt.Sprintf("thermometer %s", s.ID)
		if s.ID == "" || ids[s.ID] {
			f.add("thermometers: id %q is missing or taken", s.ID)
		}
		ids[s.ID] = true
		if !slices.Contains(knownSensors, s.Driver) {
			f.add("%s: driver %q: allowed are %s", where, s.Driver, strings.Join(knownSensors, ", "))
		}
		p.checkSensor(f, where, &s, addrs)
	}
}

func (p *Profile) checkCell(f *faults, where string, c *CellProfile, uses map[string]string) {
	p.checkLock(f, where, c)
	p.checkPlace(f, where+" lock", &c.Lock.Line, false, uses)
	p.checkPlace(f, where+" door", &c.Door.Line, true, uses)
	checkLevel(f, where+" door: closed_is", &c.Door.Line, c.Door.ClosedIs)
	for _, t := range []struct {
		name string
		d    Duration
		most time.Duration
	}{
		{"open_within", c.Door.OpenWithin, maxWait}, {"ajar_after", c.Door.AjarAfter, maxWait},
		{"settle", c.Door.Settle, time.Minute}, {"debounce", c.Door.Debounce, maxDebounce},
	} {
		if time.Duration(t.d) > t.most {
			f.add("%s door: %s %s: at most %s is allowed", where, t.name, time.Duration(t.d), t.most)
		}
	}
	for _, s := range []struct {
		name string
		line *LineRead
	}{{"bolt", c.Bolt}, {"presence", c.Presence}} {
		if s.line != nil {
			p.checkPlace(f, where+" "+s.name, &s.line.Line, true, uses)
			checkLevel(f, where+" "+s.name+": active", &s.line.Line, s.line.Means)
		}
	}
	if _, err := climate.ParseBand(c.Band); c.Band != "" && err != nil {
		f.add("%s: %w", where, err)
	}
	if c.Band != "" && c.Thermometer == "" {
		f.add("%s: band %q needs a thermometer", where, c.Band)
	}
	if c.Thermometer != "" && !slices.ContainsFunc(p.Thermometers, func(s Sensor) bool { return s.ID == c.Thermometer }) {
		f.add("%s: there is no thermometer %q", where, c.Thermometer)
	}
}

func (p *Profile) checkLock(f *faults, where string, c *CellProfile) {
	if !c.Lock.Wired() {
		checkLevel(f, where+" lock: active", &c.Lock.Line, c.Lock.Active)
	} else {
		p.checkShot(f, where+" lock", c)
	}
	pulse, most := time.Duration(c.Lock.Pulse), time.Duration(c.Lock.MaxPulse)
	if most > MaxPulse {
		f.add("%s lock: max_pulse %s: a coil is on for at most %s", where, most, MaxPulse)
	}
	if pulse < minPulse || pulse > most {
		f.add("%s lock: pulse %s: %s to max_pulse (%s) are allowed", where, pulse, minPulse, most)
	}
	i := slices.IndexFunc(p.Power.Banks, func(b PowerBank) bool { return b.ID == c.Bank })
	if i < 0 {
		f.add("%s: there is no power bank %q", where, c.Bank)
		return
	}
	if limit := p.Power.Banks[i].LimitmA; limit > 0 && c.Lock.CoilmA > limit {
		f.add("%s lock: its coil takes %d mA, power bank %s gives %d", where, c.Lock.CoilmA, c.Bank, limit)
	}
	if left := p.Power.PSUmA*(100-p.Power.ReservePct)/100 - p.Power.BasemA; p.Power.PSUmA > 0 && c.Lock.CoilmA > left {
		f.add("%s lock: its coil takes %d mA, the supply has %d to spare", where, c.Lock.CoilmA, left)
	}
}

// Warnings lists what is allowed and unwise.
func (p *Profile) Warnings() []string {
	var w []string
	for _, b := range p.Buses {
		if unstableTTY.MatchString(b.Dev) {
			w = append(w, fmt.Sprintf("bus %s: %s may be another line after the next start; use its name under /dev/serial/by-path", b.ID, b.Dev))
		}
	}
	w = append(w, p.fittingWarnings()...)
	for i := range p.Compartments {
		c := &p.Compartments[i]
		if piLowLine.MatchString(c.Lock.Line.Line) && c.Lock.Active == "high" {
			w = append(w, fmt.Sprintf("compartment %d lock: %s is pulled up when a Raspberry Pi starts: a coil on it moves at power on; use GPIO9 to GPIO27", c.No, c.Lock.Line.Line))
		}
		if b := p.Bus(c.Lock.Bus); c.Lock.Wired() && b != nil && b.Proto == "modbus" {
			w = append(w, fmt.Sprintf("compartment %d lock: a relay of board %d stays on when the wires break during its pulse; use a board that times it (proto: modbus-flash) where there is one", c.No, c.Lock.Board))
		}
		if c.Lock.Active == "low" {
			w = append(w, fmt.Sprintf("compartment %d lock: active low: the coil is on while the line floats at power on; prefer active high with a pull-down", c.No))
		}
		if c.Door.ClosedIs == "high" && c.Door.Pull == "up" {
			w = append(w, fmt.Sprintf("compartment %d door: a cut cable reads closed; wire the contact so that closed pulls the line low", c.No))
		}
	}
	return w
}
