package agent

import (
	"lockerfleet/locker"
	"lockerfleet/wire"
)

// others watches the fitted sensors besides the door. A silent one is an alarm and makes the
// compartment suspect; doors still open for people whose goods are inside.
func (m *mind) others(d *door) {
	silent := d.Bolt && d.r.Bolt == "" || d.Presence && d.r.Content == locker.ContentUnknown || d.Scale && !d.r.HasGrams
	was := d.blind >= badPolls
	if !silent {
		d.blind = 0
		if was && d.bad < badPolls {
			m.clearAlarms(d.No, wire.AlarmSensor)
			m.link.dirty = true
		}
		return
	}
	if d.blind = min(d.blind+1, badPolls); d.blind == badPolls && !was {
		m.raise(d.No, wire.AlarmSensor, "")
		m.link.dirty = true
	}
}

func (m *mind) doorEvent(d *door) {
	m.event(wire.Event{Type: wire.EvDoor, C: d.No, Door: d.doorState(), Lock: d.lockState()})
}

func (d *door) doorState() locker.DoorState {
	switch {
	case d.r.Door == "":
		return locker.DoorUnknown
	case d.phase == Ajar:
		return locker.DoorAjar
	}
	return d.r.Door
}

// lockState is what the lock is believed to do; the bolt's own word wins where it is fitted.
func (d *door) lockState() locker.LockState {
	switch d.phase {
	case Unknown:
		if d.r.Door != locker.DoorClosed {
			return locker.LockUnknown
		}
	case Queued, Unlocking:
		return locker.Unlocking
	case Jammed:
		return locker.Jammed
	case Released, Open, Ajar, Forced, Fault:
		return locker.Unlocked
	case Settling, Sensing, Locked:
	}
	if d.Bolt && d.r.Bolt == BoltReleased {
		return locker.Unlocked
	}
	return locker.Locked
}

func (m *mind) service(d *door) locker.Service {
	switch d.phase {
	case Unknown, Fault:
		return locker.OutOfService
	case Jammed, Forced:
		return locker.Suspect
	case Locked, Queued, Unlocking, Released, Open, Ajar, Settling, Sensing:
	}
	if m.held(d) {
		return locker.OutOfService
	}
	if m.alarmed(d.No, wire.AlarmClimate) || m.alarmed(d.No, wire.AlarmUnsafe) {
		return locker.Suspect
	}
	if d.duds > 0 || d.blind >= badPolls {
		return locker.Suspect
	}
	return locker.InService
}
