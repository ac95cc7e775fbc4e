package fleet_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/locker"
)

func TestPresenceDoesNotLie(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create(bank, "S:2")
		w.kinds()
		if a := w.birth(bank, boot1, 1); !a.Hello || a.Acked != 0 {
			t.Fatalf("birth = %+v, want hello", a)
		}
		if n := w.sql(func() { w.birth(bank, boot1, 1) }); n != 0 {
			t.Errorf("the same birth again took %d transactions", n)
		}
		w.birth(bank, boot1, 2)
		if a := w.end(bank, fleet.Lost, boot1, 1); !a.Rebirth {
			t.Errorf("lost of the connection before = %+v, want rebirth", a)
		}
		if !w.live.online(bank) {
			t.Fatal("a late will took a connected bank offline")
		}
		w.end(bank, fleet.Lost, boot1, 2)
		w.end(bank, fleet.Lost, boot1, 2)
		if w.live.online(bank) {
			t.Fatal("a lost bank is shown online")
		}
		var told []string
		for _, f := range w.facts() {
			switch f := f.(type) {
			case event.BankOnline:
				told = append(told, "online "+string(rune('0'+f.Ep)))
			case event.BankOffline:
				told = append(told, "offline "+f.Reason)
			}
		}
		if diff := cmp.Diff([]string{"online 1", "online 2", "offline lost"}, told); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
		_, err := w.Live(w.ctx(), "nobody", fleet.LiveReport{Status: fleet.Birth})
		code(t, err, "no_bank")
	})
}

func TestSilentBankIsOffline(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create("b2", "S:1")
		w.ready(bank, 1)
		w.birth("b2", boot1, 1)
		w.kinds()
		for range 3 {
			w.clock.add(20 * time.Second)
			w.beat(bank, boot1, 1)
			_, err := w.Sweep(w.ctx())
			w.must(err)
		}
		if !w.live.online(bank) || w.live.online("b2") {
			t.Fatalf("online: beating %v, silent %v", w.live.online(bank), w.live.online("b2"))
		}
		if diff := cmp.Diff([]event.Kind{event.KindBankOffline}, w.kinds()); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
		if a := w.beat("b2", boot1, 1); !a.Rebirth {
			t.Errorf("heartbeat of a bank that counts as gone = %+v, want rebirth", a)
		}
		w.birth("b2", boot1, 1)
		if !w.live.online("b2") {
			t.Error("a bank that was born again is not online")
		}
	})
}

func TestSweepWakesForTheNextSilence(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.ready(bank, 1)
	w.clock.add(10 * time.Second)
	next, err := w.Sweep(w.ctx())
	w.must(err)
	if want := w.clock.now().Add(20*time.Second + time.Millisecond); !next.Equal(want) {
		t.Fatalf("Sweep wants to be called at %v, want %v", next, want)
	}
	w.clock.add(next.Sub(w.clock.now()))
	_, err = w.Sweep(w.ctx())
	w.must(err)
	if w.live.online(bank) {
		t.Fatal("the bank is still online when Sweep was called at the time it named")
	}
}

func TestLifeSignsTouchMemoryOnly(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.ready(bank, 2)
	g := locker.Grams(120)
	if n := w.sql(func() {
		for rev := range uint64(50) {
			w.clock.add(time.Second)
			w.beat(bank, boot1, 1)
			w.Telemetry(bank, fleet.Telemetry{Boot: boot1, Ep: 1, Up: w.agentUp(), Rows: []fleet.Measurement{{No: 1, Up: w.agentUp(), Grams: &g}}})
			w.must(w.Snapshot(w.ctx(), bank, w.calm(2, rev+2, 0)))
		}
	}); n != 0 {
		t.Errorf("heartbeats, telemetry and snapshots without news took %d transactions", n)
	}
	if w.live.rows != 2+50*3 {
		t.Errorf("live rows = %d, want those of every message", w.live.rows)
	}
	w.Telemetry(bank, fleet.Telemetry{Boot: boot2, Ep: 1, Rows: []fleet.Measurement{{No: 1}}})
	w.Telemetry("nobody", fleet.Telemetry{Boot: boot1, Ep: 1, Rows: []fleet.Measurement{{No: 1}}})
	if w.live.rows != 2+50*3 {
		t.Error("telemetry of another connection was shown")
	}
}

func TestRestartedControlCenterAsksForRebirth(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 1)
		w.restart()
		if a := w.beat(bank, boot1, 1); !a.Rebirth {
			t.Errorf("first heartbeat = %+v, want rebirth", a)
		}
		if a := w.beat(bank, boot1, 1); a.Rebirth {
			t.Error("rebirth is asked for with every heartbeat")
		}
		if _, err := w.Deadline(bank, 0, w.clock.now()); err != nil {
			t.Errorf("a bank that beats cannot be commanded: %v", err)
		}
		w.restart()
		w.clock.add(fleet.SilentAfter + time.Millisecond)
		_, err := w.Sweep(w.ctx())
		w.must(err)
		b, err := w.Bank(w.ctx(), bank)
		w.must(err)
		if b.Online {
			t.Error("a bank that never came back after the restart is still online")
		}
	})
}

func TestTwoLostHeartbeatsAreNoSilenceAndASilentKeepaliveIs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 1)
		online := func() bool {
			_, err := w.Sweep(w.ctx())
			w.must(err)
			b, err := w.Bank(w.ctx(), bank)
			w.must(err)
			return b.Online
		}
		for range 3 {
			w.clock.add(3*fleet.HeartbeatEvery + 2*time.Second) // two lost, and the third is late
			if !online() {
				t.Fatal("two lost heartbeats take the bank offline")
			}
			if a := w.beat(bank, boot1, 1); a.Rebirth {
				t.Fatal("two lost heartbeats ask for a birth")
			}
		}
		w.clock.add(30*time.Second + time.Millisecond)
		if online() {
			t.Error("a bank that was silent for 30 s is online")
		}
	})
}

func TestHeartbeatOfAnUnknownConnectionAsksForRebirth(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.ready(bank, 1)
	w.birth(bank, boot1, 5)
	if a := w.beat(bank, boot1, 4); a.Rebirth {
		t.Error("a heartbeat that was late asked for a rebirth")
	}
	if a := w.beat(bank, boot2, 1); !a.Rebirth {
		t.Error("a heartbeat of a connection whose birth was missed did not ask for a rebirth")
	}
	if a := w.beat("nobody", boot1, 1); !a.Rebirth {
		t.Error("a heartbeat of a bank this process does not know did not ask for a rebirth")
	}
}

func TestRefillShowsTheWholeFleetAgain(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.ready(bank, 3)
	w.create("b2", "S:2")
	w.restart()
	if len(w.live.presence) != 0 || w.live.rows != 0 {
		t.Fatal("the live state of the test was not empty")
	}
	if n := w.sql(w.Refill); n != 0 {
		t.Errorf("Refill took %d transactions", n)
	}
	if len(w.live.presence) != 2 || !w.live.online(bank) || w.live.online("b2") || w.live.rows != 5 {
		t.Errorf("live state = %+v and %d rows, want two banks and five doors", w.live.presence, w.live.rows)
	}
}
