package hardware

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/host/v3/sysfs"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/cabinet"
	"lockerfleet/firmware-agent/internal/climate"
	"lockerfleet/firmware-agent/internal/display"
	"lockerfleet/firmware-agent/internal/gpio"
	"lockerfleet/firmware-agent/internal/poll"
	"lockerfleet/firmware-agent/internal/sensor"
	"lockerfleet/locker"
)

// fittings are the parts of a bank that are neither lock nor contact of a door, and what they need
// while the bank is put together.
type fittings struct {
	outputs  map[*board.Line]gpio.Output
	inputs   map[*board.Line]gpio.Input
	pwms     map[board.Name]*climate.PWM
	displays map[board.Name]*display.Painter
	signals  []cabinet.Signal
	cells    []poll.Step   // load cells on GPIO share a goroutine
	units    []poll.Step   // climate units and signals share one
	own      [][]poll.Step // each of these has one: a kernel thermometer, a keypad
}

func newFittings() fittings {
	return fittings{
		outputs: map[*board.Line]gpio.Output{}, inputs: map[*board.Line]gpio.Input{},
		pwms: map[board.Name]*climate.PWM{}, displays: map[board.Name]*display.Painter{},
	}
}

// declare makes the pins of expanders known before their chips begin.
func (o *opening) declare() {
	for _, s := range o.p.Switched() {
		if chip := o.chip(&s.Line); chip != nil {
			o.outputs[&s.Line] = chip.Output(*s.Offset, s.Active == "low")
		}
	}
	for _, r := range o.p.Contacts() {
		if chip := o.chip(&r.Line); chip != nil {
			o.inputs[&r.Line] = chip.Input(*r.Offset, r.Means == "low", r.Pull == "up")
		}
	}
}

// fit opens everything besides locks and doors. Machines come first: they are switched off.
func (o *opening) fit() {
	o.switchedLines()
	o.pwmChips()
	for i := range o.p.Compartments {
		o.climate(i)
	}
	o.screens()
	for i := range o.p.Compartments {
		o.scale(i)
		o.doorLamp(i)
		if d := o.displays[o.p.Compartments[i].Display]; d != nil {
			o.b.Compartments[i].Display = d
		}
	}
	o.front()
}

// begin starts the goroutines of the fittings.
func (o *opening) begin() {
	if len(o.signals) > 0 {
		o.units = append(o.units, cabinet.Beat(o.signals...))
	}
	for _, steps := range append(o.own, o.cells, o.units) {
		o.closers = append(o.closers, poll.Start(steps...).Close)
	}
}

// switchedLines requests the GPIO lines that are switched and those of contacts.
func (o *opening) switchedLines() {
	for _, s := range o.p.Switched() {
		if s.Driver != board.DriverGPIO {
			continue
		}
		if out, err := o.lines.Output(&s.Line, s.Active == "low"); err != nil {
			o.missing("%w", err)
		} else {
			o.outputs[&s.Line] = out
			o.closers = append(o.closers, out.Close)
		}
	}
	for _, r := range o.p.Contacts() {
		if r.Driver != board.DriverGPIO {
			continue
		}
		if in, err := o.lines.Input(&r.Line, r.Means == "low", time.Duration(r.Debounce), o.signal); err != nil {
			o.missing("%w", err)
		} else {
			o.inputs[&r.Line] = in
			o.closers = append(o.closers, in.Close)
		}
	}
}

func (o *opening) pwmChips() {
	for _, w := range o.p.PWMs {
		bus := o.wires[w.Bus]
		if bus == nil {
			continue // its bus is missing, which is said
		}
		chip, err := climate.NewPWM(bus, uint16(w.Addr), w.Hertz)
		if err != nil {
			o.missing("pwm %s: %w", w.ID, err)
			continue
		}
		o.pwms[w.ID] = chip
	}
}

// climate opens the unit of a compartment when all its machines are there.
func (o *opening) climate(i int) {
	c := o.p.Compartments[i].Climate
	if c == nil {
		return
	}
	parts := climate.Parts{Compressor: c.Compressor, MinOff: time.Duration(c.MinOff)}
	whole := true
	for _, m := range []struct {
		from *board.MachinePart
		to   *climate.Power
	}{{c.Cool, &parts.Cool}, {c.Heat, &parts.Heat}, {c.Fan, &parts.Fan}} {
		if m.from == nil {
			continue
		}
		*m.to = o.power(m.from)
		whole = whole && *m.to != nil
	}
	if c.Air != nil {
		in := o.inputs[&c.Air.Line]
		whole = whole && in != nil
		parts.Air = in
	}
	if !whole {
		return // what is missing is said
	}
	unit, err := climate.NewUnit(strconv.Itoa(o.p.Compartments[i].No), parts, time.Now)
	if err != nil {
		o.missing("%w", err)
		return
	}
	o.b.Compartments[i].Climate = unit
	o.units = append(o.units, unit.Step)
}

// power is a machine; nil when what drives it is missing, which is said.
func (o *opening) power(m *board.MachinePart) climate.Power {
	if m.PWM == "" {
		if out := o.outputs[&m.SwitchedPart.Line]; out != nil {
			return climate.Relay{Line: out}
		}
		return nil
	}
	chip := o.pwms[m.PWM]
	if chip == nil {
		return nil
	}
	channel, err := chip.Channel(m.Output)
	if err != nil {
		o.missing("%w", err)
		return nil
	}
	return channel
}

// scale opens the load cell of a compartment.
func (o *opening) scale(i int) {
	s := o.p.Compartments[i].Scale
	if s == nil {
		return
	}
	name := strconv.Itoa(o.p.Compartments[i].No)
	conv, err := o.converter(s)
	if err != nil {
		o.missing("scale of compartment %s: %w", name, err)
	}
	if conv == nil {
		return
	}
	cal := sensor.Calibration{Zero: int32(s.Zero), PerGram: s.CountsPerGram, Capacity: locker.Grams(s.CapacityG)}
	scale, err := sensor.NewScale(name, conv, cal, time.Now)
	if err != nil {
		o.missing("%w", err)
		return
	}
	o.b.Compartments[i].Scale = scale
	if s.Driver == board.ScaleNAU7802 {
		w := o.wires[s.Bus]
		w.steps = append(w.steps, scale.Step)
		return
	}
	o.cells = append(o.cells, scale.Step)
}

// converter is nil without an error when its bus is missing, which is said.
func (o *opening) converter(s *board.ScalePart) (sensor.Converter, error) {
	if s.Driver == board.ScaleNAU7802 {
		w := o.wires[s.Bus]
		if w == nil {
			return nil, nil
		}
		conv := sensor.NewNAU7802(w)
		_, err := conv.Convert() // its first step finds out whether it is there
		if !errors.Is(err, sensor.ErrNotReady) {
			return nil, err
		}
		return conv, nil
	}
	clock, err := o.lines.Output(&s.Clock, false)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, clock.Close)
	data, err := o.lines.Level(&s.Data, false)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, data.Close)
	return sensor.NewHX711(clock, data, s.Fast, time.Now), nil
}

func (o *opening) doorLamp(i int) {
	if s := o.p.Compartments[i].Lamp; s != nil && o.outputs[&s.Line] != nil {
		lamp := cabinet.NewLamp(o.outputs[&s.Line], time.Now)
		o.b.Compartments[i].Indicator = lamp
		o.signals = append(o.signals, lamp)
	}
}

// screens opens every display.
func (o *opening) screens() {
	for i := range o.p.Displays {
		d := &o.p.Displays[i]
		painter, err := o.painter(d)
		if err != nil {
			o.missing("%w", err)
		}
		if painter != nil {
			o.displays[d.ID] = painter
			o.closers = append(o.closers, painter.Close)
		}
	}
}

// painter is nil without an error when its bus is missing, which is said.
func (o *opening) painter(d *board.DisplayPart) (*display.Painter, error) {
	if d.Driver == board.DisplayPaper {
		paper, err := o.paper(d)
		if err != nil {
			return nil, fmt.Errorf("display %s: %w", d.ID, err)
		}
		return display.NewPaperPainter(string(d.ID), paper), nil
	}
	w := o.wires[d.Bus]
	if w == nil {
		return nil, nil
	}
	if d.Driver == board.DisplayLCD {
		lcd, err := display.NewLCD(w, uint16(d.Addr), d.Columns, d.Rows)
		if err != nil {
			return nil, err
		}
		return display.NewPainter(string(d.ID), lcd)
	}
	oled, err := display.NewOLED(w, uint16(d.Addr), d.Height)
	if err != nil {
		return nil, err
	}
	return display.NewPainter(string(d.ID), oled)
}

// spiChunk is the longest transfer that every kernel makes.
const spiChunk = 2048

func (o *opening) paper(d *board.DisplayPart) (*display.Paper, error) {
	wire, err := o.spi(d.SPI)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, wire.Close)
	command, err := o.lines.Output(&d.Command, false)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, command.Close)
	reset, err := o.lines.Output(&d.Reset, false)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, reset.Close)
	busy, err := o.lines.Level(&d.Busy, false)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, busy.Close)
	return display.NewPaper(wire, command, reset, busy, spiChunk)
}

// spiWire is an open SPI device.
type spiWire interface {
	display.Wire
	Close() error
}

// openedSPI is a device of the kernel.
type openedSPI struct {
	spi.Conn
	port *sysfs.SPI
}

// Close gives the device back.
func (s openedSPI) Close() error { return s.port.Close() }

// openSPI opens a device of the kernel by its path, /dev/spidevB.C, with 4 MHz in mode 0.
func openSPI(dev string) (spiWire, error) {
	b, c, ok := strings.Cut(strings.TrimPrefix(dev, "/dev/spidev"), ".")
	bus, err := strconv.Atoi(b)
	chip, err2 := strconv.Atoi(c)
	if !ok || err != nil || err2 != nil {
		return nil, fmt.Errorf("spi %s: its name is not /dev/spidevB.C", dev)
	}
	port, err := sysfs.NewSPI(bus, chip)
	if err != nil {
		return nil, fmt.Errorf("spi %s cannot be opened: %w", dev, err)
	}
	conn, err := port.Connect(4*physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		_ = port.Close() // nothing was sent
		return nil, fmt.Errorf("spi %s: %w", dev, err)
	}
	return openedSPI{conn, port}, nil
}

// probe measures with all thermometers at once, because some take most of a second.
func probe(all []*sensor.Thermometer) []error {
	errs := make([]error, len(all))
	var work sync.WaitGroup
	for i, t := range all {
		work.Go(func() { errs[i] = t.Probe() })
	}
	work.Wait()
	return errs
}
