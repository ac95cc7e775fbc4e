package scenarios_test

import (
	"context"
	"testing"
	"time"

	"lockerfleet/simulator/world"
	"lockerfleet/test/kit"
)

// L3: unlock is verified by lock feedback and door contact, never by the pulse alone: a door whose
// bolt moves but that nobody pulls is not verified, and says that it did not open.
func TestL3PulseAloneVerifiesNothing(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall"})
	bank.Broken(2, world.Weak)
	c := p.Order("hall", 2, "unlock")
	c = p.AwaitCommand(p.Admin, c.ID, "final")
	if c.Actuated.IsZero() || !c.Verified.IsZero() || c.Stage != "failed" || c.Code != "open_not_detected" {
		t.Errorf("command of a door that nobody pulled = %+v, want actuated, not verified, failed open_not_detected", c)
	}
	bank.AwaitAlarm("not_opened/2")

	c = p.Order("hall", 2, "unlock")
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	if err := bank.Pull(ctx, 2); err != nil {
		t.Fatal(err)
	}
	c = p.AwaitCommand(p.Admin, c.ID, "verified")
	if c.Verified.IsZero() {
		t.Errorf("command of a pulled door = %+v, want verified", c)
	}
	bank.AwaitCleared("not_opened/2")
	bank.Shut(2)
	if c = p.AwaitCommand(p.Admin, c.ID, "final"); c.Stage != "done" {
		t.Errorf("command ended %s %s, want done", c.Stage, c.Code)
	}
}

// L3: a jammed lock says so, is never reported open, and its door is offered to nobody.
func TestL3JammedLockSaysSo(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall", Layout: "S:1,M:1"})
	bank.Broken(2, world.Stuck)
	c := p.Order("hall", 2, "unlock")
	c = p.AwaitCommand(p.Admin, c.ID, "final")
	if c.Stage != "failed" || c.Code != "jammed" || !c.Verified.IsZero() {
		t.Errorf("command of a stuck latch = %+v, want failed jammed", c)
	}
	bank.AwaitAlarm("jammed/2")
	if offers(p, "hall", 2) {
		t.Error("the jammed door is on offer")
	}
	if d := bank.Door(2); d.Door != "closed" {
		t.Errorf("door = %+v, want closed", d)
	}
}

// L3: lock verifies closed door and engaged bolt: done on a locked door, refused as ajar on an
// open one, jammed when the bolt does not engage.
func TestL3LockIsVerified(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall"})
	if c := p.Order("hall", 1, "lock"); p.AwaitCommand(p.Admin, c.ID, "final").Stage != "done" {
		t.Errorf("lock of a locked door = %+v, want done", p.AwaitCommand(p.Admin, c.ID, "final"))
	}

	open := p.Order("hall", 1, "unlock")
	bank.AwaitOpen(1)
	bank.AwaitAlarm("left_open/1")
	if c := p.AwaitCommand(p.Admin, open.ID, "final"); c.Stage != "failed" || c.Code != "ajar" {
		t.Errorf("command of a door left open = %+v, want failed ajar", c)
	}
	c := p.Order("hall", 1, "lock")
	if c = p.AwaitCommand(p.Admin, c.ID, "final"); c.Stage != "failed" || c.Code != "ajar" {
		t.Errorf("lock of an open door = %+v, want failed ajar", c)
	}

	bank.Broken(1, world.Loose)
	bank.Shut(1)
	bank.AwaitAlarm("unlatched/1")
	c = p.Order("hall", 1, "lock")
	if c = p.AwaitCommand(p.Admin, c.ID, "final"); c.Stage != "failed" || c.Code != "jammed" {
		t.Errorf("lock of a bolt that does not engage = %+v, want failed jammed", c)
	}
	bank.Mended(1, world.Loose)
	bank.Shut(1)
	bank.AwaitCleared("unlatched/1")
	c = p.Order("hall", 1, "lock")
	if c = p.AwaitCommand(p.Admin, c.ID, "final"); c.Stage != "done" {
		t.Errorf("lock after the repair = %+v, want done", c)
	}
	if got := bank.Pulses(1); got != 1 {
		t.Errorf("the coil was on %d times, want once: lock moves no coil", got)
	}
}

// L3: a stuck door says so within the agent's patience, and the caller hears it.
func TestL3StuckDoorIsToldInTime(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall"})
	bank.Broken(1, world.DeadCoil)
	began := time.Now()
	c := p.Order("hall", 1, "unlock")
	c = p.AwaitCommand(p.Admin, c.ID, "final")
	within(t, "the failure is told", began, 3*time.Second)
	if c.Stage != "failed" || c.Code != "hw_fault" || !c.Actuated.IsZero() {
		t.Errorf("command of a dead coil = %+v, want failed hw_fault, never actuated", c)
	}
	bank.AwaitAlarm("jammed/1")
}

// L3: a crossed wire opens another door than the commanded one: the bank says so, fires no coil any
// more, and opens again when an operator has looked and released it.
func TestL3WrongDoorStopsTheBankUntilSomebodyLooked(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall"})
	bank.Broken(1, world.Crossed)
	c := p.Order("hall", 1, "unlock")
	if c = p.AwaitCommand(p.Admin, c.ID, "final"); c.Stage != "failed" || c.Code != "hw_fault" {
		t.Errorf("command that opened another door = %+v, want failed hw_fault", c)
	}
	bank.AwaitAlarm("wrong_door/2")
	bank.Shut(2)
	bank.AwaitCleared("unlatched/2")

	c = p.Order("hall", 3, "unlock")
	if c = p.AwaitCommand(p.Admin, c.ID, "final"); c.Stage != "rejected" || c.Code != "maintenance" {
		t.Errorf("command after the mix-up = %+v, want rejected maintenance", c)
	}
	c = p.Order("hall", 2, "release")
	if c = p.AwaitCommand(p.Admin, c.ID, "final"); c.Stage != "done" {
		t.Errorf("release = %+v, want done", c)
	}
	bank.AwaitCleared("wrong_door/2")
	c = p.Order("hall", 3, "unlock")
	if c = p.AwaitCommand(p.Admin, c.ID, "verified"); c.Verified.IsZero() {
		t.Errorf("command after the release = %+v, want verified", c)
	}
}

// L3: somebody works at a door: it does not open until they say that they are done.
func TestL3HeldDoorStaysClosed(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall"})
	if c := p.AwaitCommand(p.Admin, p.Order("hall", 2, "hold").ID, "final"); c.Stage != "done" {
		t.Errorf("hold = %+v, want done", c)
	}
	bank.AwaitAlarm("maintenance/2")
	if c := p.AwaitCommand(p.Admin, p.Order("hall", 2, "unlock").ID, "final"); c.Code != "maintenance" {
		t.Errorf("unlock of a held door = %+v, want maintenance", c)
	}
	if c := p.AwaitCommand(p.Admin, p.Order("hall", 2, "release").ID, "final"); c.Stage != "done" {
		t.Errorf("release = %+v, want done", c)
	}
	if c := p.AwaitCommand(p.Admin, p.Order("hall", 2, "unlock").ID, "verified"); c.Verified.IsZero() {
		t.Errorf("unlock after the release = %+v, want verified", c)
	}
}
