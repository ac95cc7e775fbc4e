package agent

import (
	"slices"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/wire"
)

// A hold keeps doors from opening until a person has looked. It is an alarm that stands, so it is
// on disk, told to the control center and alive after a restart: wrong_door and tamper hold the
// whole bank, coil and maintenance their door. A release command ends it.

// hold says why door d must not open for purpose p; empty when nothing keeps it.
func (m *mind) hold(d *door, p grant.Purpose) wire.Code {
	switch {
	case m.held(d):
		return wire.CodeMaintenance
	case m.around.Low, m.around.Battery && p == grant.Deposit:
		return wire.CodePower
	}
	return m.unfit(d, p)
}

// held reports whether a person must look before door d opens again.
func (m *mind) held(d *door) bool {
	if m.around.Tampered || m.alarmed(0, wire.AlarmTamper) || m.alarmed(d.No, wire.AlarmCoil) || m.alarmed(d.No, wire.AlarmMaintenance) {
		return true
	}
	return slices.ContainsFunc(m.mem.Doors, func(o Door) bool { return slices.Contains(o.Alarms, wire.AlarmWrongDoor) })
}

func (m *mind) alarmed(c int, a wire.Alarm) bool { return slices.Contains(m.mem.door(c).Alarms, a) }

// purpose is what the opening of d under way is for.
func (m *mind) purpose(d *door) grant.Purpose {
	if j := m.job(d); j != nil {
		return j.Purpose
	}
	return ""
}

// crowded reports whether another door of d's group is open, or may be; with waiting also whether
// one waits for its coil.
func (m *mind) crowded(d *door, waiting bool) bool {
	if d.Group <= 0 {
		return false
	}
	for i := range m.doors {
		if o := &m.doors[i]; o != d && o.Group == d.Group && (o.ajarable() || waiting && o.phase == Queued) {
			return true
		}
	}
	return false
}

// ajarable reports whether d is open, or may open without a further pulse.
func (d *door) ajarable() bool {
	return d.r.Door != locker.DoorClosed || d.coil || d.phase == Released || d.grace > 0
}

// stopFiring switches every coil off and ends every opening that waits for one.
func (m *mind) stopFiring(code wire.Code) {
	m.emit(CoilOff{C: 0})
	m.unitsOff()
	for i := range m.doors {
		if d := &m.doors[i]; d.phase == Queued {
			m.endUnfired(d, wire.StageFailed, code)
		}
	}
	m.link.dirty = true
}

// release ends what holds door d, and the hold of the bank after tampering. The person who sends
// it has looked; an open door they have to close first.
func (m *mind) release(d *door, memo Memo) {
	if d.r.Door != locker.DoorClosed || d.coil {
		m.refuse(d.No, memo, wire.StageFailed, wire.CodeAjar)
		return
	}
	m.clearAlarms(d.No, wire.AlarmWrongDoor, wire.AlarmCoil, wire.AlarmMaintenance)
	if m.alarmed(d.No, wire.AlarmUnsafe) {
		m.fresh(d)
	}
	if !m.around.Tampered {
		m.clearAlarms(0, wire.AlarmTamper)
	}
	m.refuse(d.No, memo, wire.StageDone, "")
	m.link.dirty = true
}

// surroundings takes what the inputs of the cabinet say.
func (m *mind) surroundings(in Surroundings) {
	was := m.around
	m.around = in
	m.follow(in.Battery, wire.AlarmMains)
	m.follow(in.Low, wire.AlarmPower)
	if in == was {
		return
	}
	m.link.dirty = true
	if in.Tampered {
		m.stopFiring(wire.CodeMaintenance)
		m.raise(0, wire.AlarmTamper, "")
	}
	if in.Low && !was.Low {
		m.stopFiring(wire.CodePower)
	}
	if in.Battery && !was.Battery {
		m.writeDown()
		for i := range m.doors {
			m.breathe(&m.doors[i])
		}
	}
}

// follow raises an alarm of the bank while a condition lasts, also one of an earlier life.
func (m *mind) follow(is bool, a wire.Alarm) {
	if is {
		m.raise(0, a, "")
		return
	}
	m.clearAlarms(0, a)
}

// writeDown puts everything on disk that may wait otherwise: the power may end any moment.
func (m *mind) writeDown() {
	ms, _ := m.clock()
	m.record(Record{Floor: ms}, true)
}
