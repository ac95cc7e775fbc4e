package hardware

import (
	"time"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/cabinet"
	"lockerfleet/firmware-agent/internal/keypad"
	"lockerfleet/firmware-agent/internal/poll"
	"lockerfleet/firmware-agent/internal/reader"
	"lockerfleet/firmware-agent/internal/serial"
)

// front opens what belongs to the whole bank.
func (o *opening) front() {
	w := &o.p.Front
	if s := w.Lamp; s != nil && o.outputs[&s.Line] != nil {
		lamp := cabinet.NewLamp(o.outputs[&s.Line], time.Now)
		o.b.Indicator = lamp
		o.signals = append(o.signals, lamp)
	}
	if s := w.Buzzer; s != nil && o.outputs[&s.Line] != nil {
		buzzer := cabinet.NewBuzzer(o.outputs[&s.Line], time.Now)
		o.b.Buzzer = buzzer
		o.signals = append(o.signals, buzzer)
	}
	o.supply()
	o.covers()
	cards := o.reader()
	o.panel(cards)
	o.scanner()
}

func (o *opening) supply() {
	w := &o.p.Front
	if w.Mains == nil || o.inputs[&w.Mains.Line] == nil {
		return
	}
	s := cabinet.Supply{Mains: o.inputs[&w.Mains.Line]}
	if w.Low != nil {
		low := o.inputs[&w.Low.Line]
		if low == nil {
			return // its line is missing, which is said
		}
		s.Low = low
	}
	o.b.Power = s
}

func (o *opening) covers() {
	var all cabinet.Covers
	for i := range o.p.Front.Covers {
		if in := o.inputs[&o.p.Front.Covers[i].Line]; in != nil {
			all = append(all, in)
		}
	}
	if len(all) > 0 {
		o.b.Tamper = all
	}
}

// reader opens the Wiegand reader; nil when there is none.
func (o *opening) reader() *reader.Cards {
	r := o.p.Front.Reader
	if r == nil {
		return nil
	}
	cards := reader.NewCards()
	lines, err := o.lines.Edges(&r.D0, &r.D1, func(second bool, at time.Duration, seq uint32) {
		cards.Edge(reader.Edge{One: second, At: at, Seq: seq})
	})
	if err != nil {
		o.missing("reader: %w", err)
		return nil
	}
	o.closers = append(o.closers, cards.Close, lines.Close)
	o.b.Reader = cards
	return cards
}

// panel joins keypad and display. A display alone is a board's Display.
func (o *opening) panel(cards *reader.Cards) {
	w := &o.p.Front
	d := o.displays[w.Display]
	if d == nil {
		return
	}
	if w.Keypad == nil {
		o.b.Display = d
		return
	}
	keys := o.keypad(cards)
	if keys == nil {
		return
	}
	p, err := keypad.NewPanel(keys, d, time.Now)
	if err != nil {
		o.missing("panel: %w", err)
		return
	}
	o.b.Panel = p
	o.closers = append(o.closers, p.Close)
}

// keypad is nil when a line is missing, which is said.
func (o *opening) keypad(cards *reader.Cards) board.Keypad {
	k := o.p.Front.Keypad
	if k.Driver == board.KeypadReader {
		if cards == nil {
			return nil
		}
		return cards
	}
	var rows []keypad.Row
	var columns []keypad.Column
	for i := range k.Rows {
		out, err := o.lines.OpenDrain(&k.Rows[i])
		if err != nil {
			o.missing("keypad row %d: %w", i+1, err)
			continue
		}
		o.closers = append(o.closers, out.Close)
		rows = append(rows, out)
	}
	for i := range k.Columns {
		in, err := o.lines.Level(&k.Columns[i], true)
		if err != nil {
			o.missing("keypad column %d: %w", i+1, err)
			continue
		}
		o.closers = append(o.closers, in.Close)
		columns = append(columns, in)
	}
	if len(rows) < len(k.Rows) || len(columns) < len(k.Columns) {
		return nil
	}
	m, err := keypad.NewMatrix(rows, columns, k.Legend)
	if err != nil {
		o.missing("keypad: %w", err)
		return nil
	}
	o.own = append(o.own, []poll.Step{m.Step})
	return m
}

func (o *opening) scanner() {
	s := o.p.Front.Scanner
	if s == nil {
		return
	}
	sc, err := reader.NewScanner(func() (reader.Port, error) {
		return o.serial(s.Dev, serial.Config{Baud: s.Baud})
	})
	if err != nil {
		o.missing("%w", err)
		return
	}
	o.b.Scanner = sc
	o.closers = append(o.closers, sc.Close)
}
