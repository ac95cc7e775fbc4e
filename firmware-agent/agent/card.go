package agent

import (
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/wire"
)

// presented answers a person who holds a card before the reader, with no network. Wrong cards are
// counted for the reader, not for the door: they delay cards and no code. A reader that opens no
// door is left alone.
func (m *mind) presented(in Presented) {
	d := m.find(m.cfg.Reader)
	if d == nil || !in.Card.Valid() {
		return
	}
	ms, q := m.clock()
	noClock := q == wire.TimeFloor || q == wire.TimeNone
	th := m.mem.door(0).Throttle
	attempt := grant.Attempt{Compartment: locker.CompartmentID{Bank: m.cfg.Bank, No: d.No}, Card: in.Card}
	v := grant.Check(m.mem.grantsOf(m.cfg.Bank, d.No, noClock), th.memory(), m.cfg.CodeKey, attempt, time.UnixMilli(ms))
	switch {
	case v.Reason == grant.Throttled:
		m.refuseCard(d, v)
	case v.Grant == "":
		m.wrongCard(d, v)
	case !v.OK():
		m.carded(d, v, "")
		m.refuseCard(d, v)
	default:
		m.openByCard(d, v)
	}
}

// wrongCard keeps the new delay, and reports at most maxStray a minute: anybody can hold up a card.
// A card of nobody here names no door.
func (m *mind) wrongCard(d *door, v grant.Verdict) {
	rec := throttleRecord(0, v.Throttle)
	e := wire.Event{Type: wire.EvAccess, Reason: grant.WrongCode}
	if m.strayRoom() && m.roomFor(e) {
		m.event(e, func(r *Record) { r.Throttle = rec })
	} else {
		m.record(Record{Throttle: rec}, true)
	}
	m.refuseCard(d, v)
}

// openByCard opens by the machine that serves commands.
func (m *mind) openByCard(d *door, v grant.Verdict) {
	if code := m.admit(d, nil, v.Purpose, false); code != "" {
		m.carded(d, v, "")
		m.show(d.No, codeText(code))
		return
	}
	memo := m.panelCommand()
	m.carded(d, v, memo.ID)
	m.accept(d, memo, panelJob(memo, v))
}

// carded reports a card of somebody known here, with whose it is.
func (m *mind) carded(d *door, v grant.Verdict, cmd locker.CommandID) {
	rec := throttleRecord(0, v.Throttle)
	e := wire.Event{Type: wire.EvAccess, C: d.No, Cmd: cmd, Grant: v.Grant, Purpose: v.Purpose, Reason: v.Reason}
	if h := m.mem.held(v.Grant); h != nil {
		e.Member = h.Member
	}
	if !m.roomFor(e) {
		m.record(Record{Throttle: rec}, true)
		return
	}
	m.event(e, func(r *Record) { r.Throttle = rec })
}

func (m *mind) refuseCard(d *door, v grant.Verdict) {
	t, known := cardRefusals[v.Reason]
	if !known {
		t = textCardOver
	}
	m.showWait(d.No, t, int(v.RetryAfter.Seconds()+0.999))
}

// memory is what the shared rule knows of wrong tries.
func (t Throttle) memory() grant.Throttle {
	memory := grant.Throttle{Failures: t.Failures}
	if t.Until > 0 {
		memory.Until = time.UnixMilli(t.Until)
	}
	return memory
}

// throttleRecord keeps the memory of wrong tries at door c, of wrong cards with 0.
func throttleRecord(c int, t grant.Throttle) *ThrottleRecord {
	th := Throttle{Failures: t.Failures}
	if !t.Until.IsZero() {
		th.Until = t.Until.UnixMilli()
	}
	return &ThrottleRecord{C: c, Throttle: th}
}

// left is a door of a room that opened with nobody asking: somebody goes out.
func (m *mind) left(d *door) {
	d.openedAt = m.now.Up
	m.enter(d, Open)
	m.doorEvent(d)
}
