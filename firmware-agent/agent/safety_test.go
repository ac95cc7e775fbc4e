package agent

import (
	"slices"
	"strings"
	"testing"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/wire"
)

// online boots a bench and brings it to where commands are taken.
func online(t *testing.T, cfg Config) *bench {
	t.Helper()
	b := newBench(t, cfg)
	b.boot(false)
	b.connect()
	b.hello(0)
	return b
}

// refused orders door c open and returns why the bank did not take the order, empty when it did.
func refused(b *bench, c int, id string, p grant.Purpose) wire.Code {
	cmd := b.command(c, id, 10_000)
	cmd.Purpose = p
	b.unlock(c, cmd)
	for _, e := range slices.Backward(b.story) {
		if string(e.Cmd) == id {
			return e.Code
		}
	}
	return "silence"
}

func (b *bench) order(c int, what wire.Down, id string) {
	b.send(wire.DownTopic(b.cfg.Bank, c, what), b.command(c, id, 10_000), true, false)
}

// Rule 4: a coil gets three pulses in ten seconds, then it rests for thirty, whoever orders.
func TestACoilRestsAfterThreeShots(t *testing.T) {
	t.Parallel()
	b := online(t, Config{Compartments: compartments(1)})
	for _, id := range []string{"cmd-1", "cmd-2", "cmd-3"} {
		if code := refused(b, 1, id, ""); code != "" {
			t.Fatalf("%s is refused: %s", id, code)
		}
		b.until(b.up + 100)
		b.door(1, locker.DoorOpen)
		b.until(b.up + 500)
		b.door(1, locker.DoorClosed)
		b.until(b.up + 2000)
	}
	if code := refused(b, 1, "cmd-4", ""); code != wire.CodeInterlock {
		t.Errorf("a fourth pulse within ten seconds: code %q, want %q", code, wire.CodeInterlock)
	}
	b.until(b.up + burstRestMS)
	if code := refused(b, 1, "cmd-5", ""); code != "" {
		t.Errorf("after its rest the coil is refused: %s", code)
	}
}

// Rule 4: the pulse ends as soon as the door is open.
func TestThePulseEndsWhenTheDoorOpens(t *testing.T) {
	t.Parallel()
	b := online(t, Config{Compartments: compartments(1)})
	b.unlock(1, b.command(1, "cmd-1", 10_000))
	b.until(b.up + 60)
	if _, on := b.coils[1]; !on {
		t.Fatal("the coil is off after 60 ms of its 400")
	}
	b.door(1, locker.DoorOpen)
	if _, on := b.coils[1]; on {
		t.Error("the door is open and the coil is still on")
	}
}

// Rule 7: never more coils than the power budget carries, over all supplies.
func TestCoilsStayWithinThePowerBudget(t *testing.T) {
	t.Parallel()
	for _, budget := range []int{0, 1, 2} {
		cfg := Config{Compartments: compartments(6), Coils: budget}
		for i := range cfg.Compartments {
			cfg.Compartments[i].Power = i
		}
		b := online(t, cfg)
		most := 0
		b.check = func(Effect) { most = max(most, len(b.coils)) }
		for c := 1; c <= 6; c++ {
			b.unlock(c, b.command(c, "cmd-"+zero(c), 10_000))
		}
		b.until(b.up + 4000)
		want := budget
		if budget == 0 {
			want = 6
		}
		if most != want || len(b.pushes) < 6 {
			t.Errorf("budget %d: at most %d coils at once and %d pulses, want %d and at least 6", budget, most, len(b.pushes), want)
		}
	}
}

// Rule 8: a whole bank opens one door after the other, with a gap between two coils.
func TestABankOpensDoorByDoor(t *testing.T) {
	t.Parallel()
	b := online(t, Config{Compartments: compartments(24)})
	for c := 1; c <= 24; c++ {
		b.unlock(c, b.command(c, "cmd-"+zero(c), 30_000))
	}
	began := b.up
	for len(b.pushes) < 24 && b.up < began+30_000 {
		b.until(b.up + 10)
		if n := len(b.pushes); n > 0 && b.world[b.pushes[n-1].c-1].Door == locker.DoorClosed && b.up >= b.pushes[n-1].at+50 {
			b.door(b.pushes[n-1].c, locker.DoorOpen)
		}
	}
	for i, p := range b.pushes {
		if p.overlap || i > 0 && p.at < b.pushes[i-1].at+100 {
			t.Errorf("pulse %d at %d follows the one at %d", i+1, p.at, b.pushes[max(i-1, 0)].at)
		}
	}
	if len(b.pushes) != 24 {
		t.Errorf("%d of 24 doors got their pulse", len(b.pushes))
	}
}

// Rule 9: of a shot exactly the commanded door moves. Another one stops the whole bank, also when
// the commanded door opened beside it, until somebody has looked.
func TestAnotherDoorThatOpensStopsTheBank(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		cfg := Config{Compartments: compartments(3)}
		cfg.Compartments[2].Power = 1
		b := online(t, cfg)
		b.unlock(1, b.command(1, "cmd-1", 10_000))
		b.until(b.up + 60)
		if both {
			b.door(1, locker.DoorOpen)
		}
		b.door(2, locker.DoorOpen)
		if len(b.coils) != 0 {
			t.Errorf("both=%t: coils %v are still on", both, b.coils)
		}
		if !b.state.m.alarmed(2, wire.AlarmWrongDoor) {
			t.Errorf("both=%t: no alarm wrong_door", both)
		}
		pulses := len(b.pushes)
		b.until(b.up + 20_000)
		if len(b.pushes) != pulses {
			t.Errorf("both=%t: a second pulse after a mix-up", both)
		}
		b.door(1, locker.DoorClosed)
		b.door(2, locker.DoorClosed)
		b.until(b.up + 60_000)
		if code := refused(b, 3, "cmd-2", grant.Collect); code != wire.CodeMaintenance {
			t.Errorf("both=%t: another door of the bank: code %q, want %q", both, code, wire.CodeMaintenance)
		}
		b.boot(false) // a restart forgets nothing of it
		b.connect()
		b.hello(b.disk.Acked)
		if code := refused(b, 3, "cmd-3", grant.Collect); code != wire.CodeMaintenance {
			t.Errorf("both=%t: after a restart: code %q, want %q", both, code, wire.CodeMaintenance)
		}
		b.order(2, wire.DownRelease, "cmd-4")
		if code := refused(b, 3, "cmd-5", grant.Collect); code != "" {
			t.Errorf("both=%t: after the release: %s", both, code)
		}
	}
}

// Rule 9: with bolt feedback, the bolt of another door that moves is enough.
func TestAnotherBoltThatMovesStopsTheBank(t *testing.T) {
	t.Parallel()
	cfg := Config{Compartments: compartments(2)}
	cfg.Compartments[0].Bolt, cfg.Compartments[1].Bolt = true, true
	b := online(t, cfg)
	b.unlock(1, b.command(1, "cmd-1", 10_000))
	b.until(b.up + 60)
	b.world[1].Bolt = BoltReleased
	b.sense(2)
	if len(b.coils) != 0 || !b.state.m.alarmed(2, wire.AlarmWrongDoor) {
		t.Errorf("coils %v, alarms of door 2: %v", b.coils, b.disk.door(2).Alarms)
	}
}

// Rule 10: one retry, and only while the door stayed closed; then the answer is final.
func TestOneRetryAndNoMore(t *testing.T) {
	t.Parallel()
	for _, noRetry := range []bool{false, true} {
		cfg := Config{Compartments: compartments(1)}
		cfg.Compartments[0].NoRetry = noRetry
		b := online(t, cfg)
		b.unlock(1, b.command(1, "cmd-1", 60_000))
		b.until(b.up + 60_000)
		want := 2
		if noRetry {
			want = 1
		}
		if len(b.pushes) != want {
			t.Errorf("no retry %t: %d pulses for a door that stays closed, want %d", noRetry, len(b.pushes), want)
		}
	}
	b := online(t, Config{Compartments: compartments(1)})
	b.unlock(1, b.command(1, "cmd-1", 60_000))
	b.until(b.up + 1000)
	b.door(1, locker.DoorOpen)
	b.door(1, locker.DoorClosed)
	b.until(b.up + 20_000)
	if len(b.pushes) != 1 {
		t.Errorf("%d pulses for a door that opened", len(b.pushes))
	}
}

// Rule 12: what keeps a door closed, and for whom.
func TestInterlocks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		set     func(*bench)
		purpose grant.Purpose
		want    wire.Code
	}{
		{"nothing", func(*bench) {}, grant.Deposit, ""},
		{"its door is open", func(b *bench) { b.door(1, locker.DoorOpen) }, "", wire.CodeInterlock},
		{"its door cannot be read", func(b *bench) { b.door(1, locker.DoorUnknown) }, "", wire.CodeInterlock},
		{"somebody works at it", func(b *bench) { b.order(1, wire.DownHold, "cmd-h") }, grant.Collect, wire.CodeMaintenance},
		{"somebody works at another one", func(b *bench) { b.order(2, wire.DownHold, "cmd-h") }, grant.Collect, ""},
		{"the cabinet is open", func(b *bench) { b.step(Surroundings{Tampered: true}) }, grant.Collect, wire.CodeMaintenance},
		{"the cabinet was open", func(b *bench) { b.step(Surroundings{Tampered: true}); b.step(Surroundings{}) }, grant.Collect, wire.CodeMaintenance},
		{"on the battery: nothing is taken in", func(b *bench) { b.step(Surroundings{Battery: true}) }, grant.Deposit, wire.CodePower},
		{"on the battery: people get their goods", func(b *bench) { b.step(Surroundings{Battery: true}) }, grant.Collect, ""},
		{"on the battery: couriers take back", func(b *bench) { b.step(Surroundings{Battery: true}) }, grant.Recall, ""},
		{"hardly any power left", func(b *bench) { b.step(Surroundings{Battery: true, Low: true}) }, grant.Collect, wire.CodePower},
		{"the power is back", func(b *bench) { b.step(Surroundings{Low: true}); b.step(Surroundings{}) }, grant.Deposit, ""},
		{"the other door of its group is open", func(b *bench) { b.door(3, locker.DoorOpen) }, "", wire.CodeInterlock},
		{"the other door of its group cannot be read", func(b *bench) { b.door(3, locker.DoorUnknown) }, "", wire.CodeInterlock},
		{"a door of another group is open", func(b *bench) { b.door(2, locker.DoorOpen) }, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Compartments: compartments(3)}
			cfg.Compartments[0].Group, cfg.Compartments[2].Group = 1, 1
			b := online(t, cfg)
			tt.set(b)
			if got := refused(b, 1, "cmd-1", tt.purpose); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
			if fired := len(b.pushes) > 0; fired != (tt.want == "") {
				t.Errorf("code %q and fired %t", tt.want, fired)
			}
		})
	}
}

// Rule 12: who waits for the coil is told when the hold comes first.
func TestAHoldEndsWhatWaits(t *testing.T) {
	t.Parallel()
	for _, in := range []Surroundings{{Tampered: true}, {Low: true}} {
		b := online(t, Config{Compartments: compartments(3)})
		for c := 1; c <= 3; c++ {
			b.unlock(c, b.command(c, "cmd-"+zero(c), 60_000))
		}
		b.step(in)
		b.until(b.up + 120_000)
		if len(b.pushes) != 1 {
			t.Errorf("%+v: %d pulses, want the one that was under way", in, len(b.pushes))
		}
		for c := 2; c <= 3; c++ {
			ends := 0
			for _, e := range b.story {
				if string(e.Cmd) == "cmd-"+zero(c) && e.Stage.Final() {
					ends++
				}
			}
			if ends != 1 {
				t.Errorf("%+v: the order for door %d ended %d times", in, c, ends)
			}
		}
	}
}

// Rule 3: a coil that outlives its pulse is ordered off, and its door waits for a person.
func TestACoilThatOutlivesItsPulseIsSuspect(t *testing.T) {
	t.Parallel()
	for _, guarded := range []bool{true, false} {
		b := online(t, Config{Compartments: compartments(2)})
		b.deaf = true // the driver does not come back
		offs := 0
		b.check = func(e Effect) {
			if off, ok := e.(CoilOff); ok && off.C == 1 {
				offs++
			}
		}
		b.unlock(1, b.command(1, "cmd-1", 60_000))
		b.unlock(2, b.command(2, "cmd-2", 60_000))
		if guarded {
			b.until(b.up + 400 + GuardMS)
			b.step(Overdue{C: 1, Shot: b.coils[1].shot})
		} else {
			b.until(b.up + 400 + pulseGraceMS)
		}
		if offs == 0 || !b.state.m.alarmed(1, wire.AlarmCoil) {
			t.Errorf("guarded %t: ordered off %d times, alarms %v", guarded, offs, b.disk.door(1).Alarms)
		}
		b.until(b.up + 10_000)
		if len(b.pushes) != 1 {
			t.Errorf("guarded %t: another coil joined one that may be stuck", guarded)
		}
		b.deaf = false
		b.until(b.up + 60_000)
		if code := refused(b, 1, "cmd-3", ""); code != wire.CodeMaintenance {
			t.Errorf("guarded %t: code %q, want %q", guarded, code, wire.CodeMaintenance)
		}
		b.order(1, wire.DownRelease, "cmd-4")
		if code := refused(b, 1, "cmd-5", ""); code != "" {
			t.Errorf("guarded %t: after the release: %s", guarded, code)
		}
	}
}

// Rule 13: one bad reading keeps the coil off, three take the door out of service.
func TestThreeBadReadingsTakeADoorOut(t *testing.T) {
	t.Parallel()
	b := online(t, Config{Compartments: compartments(1)})
	for i, want := range []locker.Service{locker.InService, locker.InService, locker.OutOfService} {
		b.door(1, locker.DoorUnknown)
		if got := b.state.m.service(&b.state.m.doors[0]); got != want {
			t.Errorf("after %d bad readings the door is %s, want %s", i+1, got, want)
		}
	}
	b.door(1, locker.DoorClosed)
	if got := b.state.m.service(&b.state.m.doors[0]); got != locker.InService {
		t.Errorf("readable again, the door is %s", got)
	}
}

// Rule 18: only an object sensor calls a compartment empty. A scale alone never does.
func TestAScaleAloneNeverSaysEmpty(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{Compartments: []Compartment{{No: 1, Scale: true}}})
	b.world[0].Content, b.world[0].Grams = locker.ContentUnknown, 900
	b.boot(false)
	b.connect()
	b.hello(0)
	b.unlock(1, b.command(1, "cmd-1", 10_000))
	b.until(b.up + 60)
	b.door(1, locker.DoorOpen)
	b.world[0].Grams = 0
	b.until(b.up + 2000)
	b.door(1, locker.DoorClosed)
	b.until(b.up + 3000)
	for _, e := range b.story {
		if e.After != nil && e.After.Content != locker.ContentUnknown {
			t.Errorf("%s tells content %s from weight alone", e.Type, e.After.Content)
		}
	}
}

// Rule 19: lamp and siren come in the same step as the event, and the siren ends by itself.
func TestABreachIsSeenAndHeardAtOnce(t *testing.T) {
	t.Parallel()
	for name, breach := range map[string]func(*bench){
		"a forced door":    func(b *bench) { b.door(2, locker.DoorOpen) },
		"an open cabinet":  func(b *bench) { b.step(Surroundings{Tampered: true}) },
		"found after boot": func(b *bench) { b.world[1].Door = locker.DoorOpen; b.boot(false) },
	} {
		cfg := Config{Compartments: compartments(2), Lamp: true, Buzzer: true}
		cfg.Compartments[1].Lamp = true
		b := newBench(t, cfg)
		b.boot(false)
		var siren bool
		lamps := map[int]Light{}
		b.check = func(e Effect) {
			switch e := e.(type) {
			case Siren:
				siren = e.On
			case Lamp:
				lamps[e.C] = e.Light
			}
		}
		breach(b)
		if !siren || lamps[0] != LightBlink {
			t.Errorf("%s: siren %t, lamps %v", name, siren, lamps)
		}
		b.until(b.up + sirenMS)
		if siren {
			t.Errorf("%s: the siren sounds for ever", name)
		}
	}
}

// Rule 20: when mains goes, what may wait otherwise is written down at once.
func TestThePowerFailInputWritesEverythingDown(t *testing.T) {
	t.Parallel()
	b := online(t, Config{Compartments: compartments(1)})
	b.until(b.up + 30_000)
	synced := false
	b.check = func(e Effect) {
		if p, ok := e.(Persist); ok {
			synced = synced || p.Sync && slices.ContainsFunc(p.Records, func(r Record) bool { return r.Floor > 0 })
		}
	}
	b.step(Surroundings{Battery: true})
	if !synced {
		t.Error("the time floor is not on disk")
	}
}

// Rule 22: a code is in no record, no publish and no text of the panel.
func TestNoCodeLeavesTheMind(t *testing.T) {
	t.Parallel()
	const right, wrong = "483920", "771155"
	b := online(t, Config{Compartments: compartments(1)})
	var all strings.Builder
	b.check = func(e Effect) {
		switch e := e.(type) {
		case Publish:
			all.Write(e.Payload)
		case Show:
			all.WriteString(e.Lines[0] + e.Lines[1] + e.Reason)
		}
	}
	b.push(1, 1, "grt-1", grant.Collect, right, false)
	b.step(PanelCode{C: 1, Code: wrong})
	b.step(PanelCode{C: 1, Code: right})
	b.until(b.up + 60)
	b.door(1, locker.DoorOpen)
	b.until(b.up + 1000)
	b.door(1, locker.DoorClosed)
	b.until(b.up + 60_000)
	for _, line := range b.lines {
		all.Write(line)
	}
	for _, code := range []string{right, wrong} {
		if strings.Contains(all.String(), code) {
			t.Errorf("the code %s left the mind", code)
		}
	}
}
