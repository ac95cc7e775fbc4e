package agent

import (
	"slices"

	"lockerfleet/locker"
	"lockerfleet/wire"
)

// power is one supply of coils: one coil at a time, a gap between two.
type power struct {
	on    int // compartment whose coil is on, 0 for none
	offAt int64
	used  bool  // offAt is set
	queue []int // compartments in order of acceptance
}

func (p *power) due(gap int64) int64 {
	if p.on != 0 || len(p.queue) == 0 || !p.used {
		return 0
	}
	return p.offAt + gap
}

func (m *mind) enqueue(d *door) {
	p := &m.power[d.Power]
	p.queue = append(p.queue, d.No)
	m.enter(d, Queued)
}

func (m *mind) unqueue(d *door) {
	p := &m.power[d.Power]
	p.queue = slices.DeleteFunc(p.queue, func(c int) bool { return c == d.No })
}

// fireNext gives each free power bank its next coil, as long as all of them together stay within
// the budget.
func (m *mind) fireNext() {
	for i := range m.power {
		p := &m.power[i]
		if m.overBudget() {
			return
		}
		if p.on != 0 || len(p.queue) == 0 || p.used && m.now.Up < p.offAt+m.cfg.Limits.GapMS {
			continue
		}
		if at := slices.IndexFunc(p.queue, m.mayFire); at >= 0 {
			d := m.find(p.queue[at])
			p.queue = slices.Delete(p.queue, at, at+1)
			m.fire(d)
		}
	}
}

// overBudget reports whether as many coils are on as the supply carries.
func (m *mind) overBudget() bool {
	on := 0
	for i := range m.power {
		if m.power[i].on != 0 {
			on++
		}
	}
	return m.cfg.Coils > 0 && on >= m.cfg.Coils
}

// mayFire is the last look before the coil: the door is closed by its newest reading, the
// deadline is ahead, the coil is rested and nothing holds the door.
func (m *mind) mayFire(c int) bool {
	d := m.find(c)
	return d.phase == Queued && !d.coil && d.r.Door == locker.DoorClosed && m.now.Up <= d.dl && m.rested(d) &&
		m.hold(d, m.purpose(d)) == "" && !m.crowded(d, false)
}

func (m *mind) fire(d *door) {
	m.shots++
	d.shot, d.coil, d.firedAt, d.moved, d.offAsked = m.shots, true, 0, false, 0
	d.tries++
	copy(d.shots[1:], d.shots[:])
	d.shots[0] = m.now.Up
	m.power[d.Power].on = d.No
	m.enter(d, Unlocking)
	m.record(Record{Pulse: d.No}, true)
	m.emit(Actuate{C: d.No, PulseMS: d.PulseMS, Shot: d.shot, NotAfter: d.dl})
	if j := m.job(d); j != nil && j.Panel {
		m.show(d.No, textOpening)
	}
}

// rested keeps the coil within its duty: burstShots within burstMS, then a rest.
func (m *mind) rested(d *door) bool {
	newest, oldest := d.shots[0], d.shots[burstShots-1]
	return oldest == 0 || newest-oldest > burstMS || m.now.Up >= newest+burstRestMS
}

func (m *mind) emitOff(d *door) {
	if d.coil {
		m.emit(CoilOff{C: d.No})
	}
}

// overdue takes notice of a coil that outlived its pulse. The supply stays taken until PulseDone.
func (m *mind) overdue(in Overdue) {
	d := m.find(in.C)
	if d == nil || !d.coil || in.Shot != d.shot {
		return
	}
	m.emit(CoilOff{C: d.No})
	m.fail(d, wire.CodeHardware)
	m.raise(d.No, wire.AlarmCoil, "")
}

func (m *mind) pulseDone(in PulseDone) {
	d := m.find(in.C)
	if d == nil || !d.coil || in.Shot != d.shot {
		return
	}
	d.coil = false
	p := &m.power[d.Power]
	p.on, p.offAt, p.used = 0, m.now.Up, true
	switch {
	case d.phase != Unlocking:
	case in.Late:
		m.late(d)
	case in.Failed:
		m.fail(d, wire.CodeHardware)
		m.raise(d.No, wire.AlarmJammed, "")
		d.grace = m.now.Up + d.OpenWithinMS
		m.enter(d, Jammed)
		m.show(d.No, textJammed)
	default:
		if j := m.job(d); j != nil && j.Stage == wire.StageAccepted {
			m.stage(d, wire.StageActuated, "")
		}
		m.enter(d, Released)
	}
}

// late ends an opening whose pulse was not given in time.
func (m *mind) late(d *door) {
	if d.tries--; d.tries > 0 {
		m.gaveUp(d, false)
		return
	}
	m.endUnfired(d, wire.StageExpired, wire.CodeExpired)
}

// notOpened is reached when the pulse was given and the door stayed closed for its time.
func (m *mind) notOpened(d *door) {
	unlatched := d.Bolt && d.r.Bolt == BoltReleased
	j := m.job(d)
	switch {
	case j == nil || j.Ended:
		m.dropJob(d)
		m.rest(d, unlatched)
	case !unlatched && m.mayRetry(d):
		m.enqueue(d)
	default:
		m.gaveUp(d, unlatched)
	}
}

func (m *mind) mayRetry(d *door) bool {
	return !d.NoRetry && d.tries < 2 && d.r.Door == locker.DoorClosed && m.now.Up <= d.dl && m.rested(d) &&
		m.hold(d, m.purpose(d)) == ""
}

// gaveUp ends an opening whose door did not move. A late opening within the grace still counts
// as its own.
func (m *mind) gaveUp(d *door, unlatched bool) {
	d.duds++
	stuck := d.duds >= notOpenedLimit || d.Bolt && !d.moved
	d.grace = m.now.Up + d.OpenWithinMS
	m.rest(d, unlatched)
	if stuck {
		m.fail(d, wire.CodeJammed)
		m.raise(d.No, wire.AlarmJammed, "")
		m.show(d.No, textJammed)
	} else {
		m.fail(d, wire.CodeOpenNotDetected)
		m.raise(d.No, wire.AlarmNotOpened, "")
		m.show(d.No, textNotOpened)
	}
	m.rest(d, unlatched)
}

// rest puts a closed door whose opening is over into the phase it deserves.
func (m *mind) rest(d *door, unlatched bool) {
	switch {
	case unlatched:
		m.enter(d, Fault)
		m.raise(d.No, wire.AlarmUnlatched, "")
	case slices.Contains(m.mem.door(d.No).Alarms, wire.AlarmJammed):
		m.enter(d, Jammed)
	default:
		m.enter(d, Locked)
	}
}

// endUnfired ends an accepted opening that waits for its coil.
func (m *mind) endUnfired(d *door, s wire.Stage, code wire.Code) {
	m.unqueue(d)
	if d.tries > 0 {
		m.gaveUp(d, false)
		return
	}
	m.rest(d, false)
	m.stage(d, s, code)
	m.dropJob(d)
	if code == wire.CodePower || code == wire.CodeMaintenance {
		m.show(d.No, codeText(code))
		return
	}
	m.show(d.No, textLate)
}

// dropJob forgets an opening that needs no closing evidence.
func (m *mind) dropJob(d *door) {
	d.grace = 0
	if m.job(d) != nil {
		m.record(Record{Clear: d.No}, false)
	}
}

// stage reports a step of the opening under way.
func (m *mind) stage(d *door, s wire.Stage, code wire.Code) {
	if j := m.job(d); j != nil && !j.Ended {
		m.tell(d.No, j.Cmd, j.Grant, s, code)
	}
}

// fail ends the opening under way, if there is one.
func (m *mind) fail(d *door, code wire.Code) { m.stage(d, wire.StageFailed, code) }

func (m *mind) tell(c int, id locker.CommandID, g locker.GrantID, s wire.Stage, code wire.Code) {
	e := wire.Event{Type: wire.EvCommand, C: c, Cmd: id, Grant: g, Stage: s, Code: code}
	if d := m.find(c); d != nil && s.Final() {
		e.Door, e.Lock = d.doorState(), d.lockState()
	}
	m.event(e)
}

// fuseCount is how many openings began in the last minute.
func (m *mind) fuseCount() int {
	m.opened = slices.DeleteFunc(m.opened, func(at int64) bool { return at <= m.now.Up-60_000 })
	return len(m.opened)
}

// fuse reports whether the opening-rate fuse refuses another opening, and blows it when this
// one would be too many.
func (m *mind) fuse() bool {
	if m.mem.Fuse {
		return true
	}
	if m.fuseCount() < m.cfg.Limits.FuseCount {
		return false
	}
	m.fuseAt = m.now.Up
	on := true
	m.record(Record{Fuse: &on}, true)
	m.raise(0, wire.AlarmFuse, "")
	return true
}

func (m *mind) fuseTimer() {
	if m.fuseAt == 0 || m.now.Up < m.fuseAt+m.cfg.Limits.FuseRestMS {
		return
	}
	m.fuseAt, m.opened = 0, m.opened[:0]
	off := false
	m.record(Record{Fuse: &off}, true)
	m.clearAlarms(0, wire.AlarmFuse)
}
