package fleet_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// However the batches are cut, repeated and lost on the way, each event counts once and in order.
func TestEventsCountOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		id := locker.BankID(fmt.Sprintf("b-%d", n))
		w.ready(id, 3)
		w.facts()
		total := uint64(rapid.IntRange(1, 80).Draw(t, "events"))
		sent, acked := uint64(0), uint64(0)
		for acked < total {
			from := acked + 1
			if rapid.IntRange(0, 3).Draw(t, "astray") == 0 {
				from = uint64(rapid.IntRange(1, int(min(sent+3, total))).Draw(t, "from"))
			}
			to := min(from+uint64(rapid.IntRange(0, fleet.MaxBatch-1).Draw(t, "length")), total)
			got, err := w.Ingest(w.ctx(), id, w.bankEvents(from, numbered(from, to)...))
			w.must(err)
			want := acked
			if from <= acked+1 {
				want = max(acked, to)
			}
			if got != want {
				t.Fatalf("batch %d to %d over %d acknowledged %d, want %d", from, to, acked, got, want)
			}
			sent, acked = max(sent, to), got
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				w.restart()
			}
		}
		checkNumbers(t, w, id, int64(total))
	})
}

// numbered are closings that carry their number.
func numbered(from, to uint64) []fleet.DeviceEvent {
	var batch []fleet.DeviceEvent
	for seq := from; seq <= to; seq++ {
		e := closing(int(seq%3)+1, locker.Empty, locker.Empty)
		e.OpenMS = int64(seq)
		batch = append(batch, e)
	}
	return batch
}

// checkNumbers looks for each number once and in order, in the facts and in the record.
func checkNumbers(t *rapid.T, w *world, id locker.BankID, total int64) {
	var told, want []int64
	for _, f := range w.facts() {
		if f, ok := f.(event.DoorClosed); ok {
			told = append(told, f.OpenMS)
		}
	}
	for seq := range total {
		want = append(want, seq+1)
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Fatalf("closings told (-want +got):\n%s", diff)
	}
	rows, err := w.Events(w.ctx(), id, 0, fleet.MaxPage)
	w.must(err)
	var kept []int64
	for _, r := range rows {
		kept = append(kept, int64(r.Seq))
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Fatalf("events kept (-want +got):\n%s", diff)
	}
}

func TestGapChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 1)
		acked, err := w.Ingest(w.ctx(), bank, w.bankEvents(2, doorMoved(1, locker.DoorOpen, locker.Unlocked)))
		w.must(err)
		if acked != 0 || w.door(1).Door != locker.DoorClosed {
			t.Fatalf("after a gap: acknowledged %d, door %s", acked, w.door(1).Door)
		}
	})
}

// A person types the right code at the panel, puts goods in and closes the door.
func TestPanelDeposit(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 1)
		w.kinds()
		cmd := locker.CommandID("pnl-1")
		w.ingest(1, tried(1, cmd, "gra-1", grant.Deposit), stage(cmd, 1, fleet.Accepted), stage(cmd, 1, fleet.Actuated))
		w.clock.add(2 * time.Second)
		w.ingest(4, doorMoved(1, locker.DoorOpen, locker.Unlocked), stage(cmd, 1, fleet.Verified))
		if c := w.door(1); c.Door != locker.DoorOpen || !c.Busy {
			t.Errorf("door while open = %+v", c)
		}
		w.clock.add(4 * time.Second)
		end := closing(1, locker.Empty, locker.Present)
		end.Command, end.Grant, end.Purpose = cmd, "gra-1", grant.Deposit
		w.ingest(6, end, stage(cmd, 1, fleet.Done))

		var told []string
		for _, f := range w.facts() {
			switch f := f.(type) {
			case event.AccessTried:
				told = append(told, fmt.Sprintf("tried %s %s %s", f.Grant, f.Reason, f.Via))
			case event.CommandChanged:
				told = append(told, "command "+f.Stage)
			case event.DoorOpened:
				told = append(told, fmt.Sprintf("opened %s %s by %s", f.Grant, f.Purpose, f.Cause))
			case event.DoorClosed:
				told = append(told, fmt.Sprintf("closed %s %s to %s", f.Grant, f.Before.Content, f.After.Content))
			case event.ServiceChanged:
				told = append(told, fmt.Sprintf("%s %s", f.Service, f.Reason))
			}
		}
		want := []string{
			"tried gra-1 ok panel", "command accepted", "command actuated",
			"opened gra-1 deposit by pnl-1", "command verified",
			"suspect auto_found_open", // in this test nobody holds the door
			"closed gra-1 empty to present", "command done",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
		if c := w.command(cmd); c.Stage != fleet.Done || c.Grant != "gra-1" || c.Purpose != grant.Deposit {
			t.Errorf("command of the panel = %+v", c)
		}
	})
}

func TestForcedDoorIsNobodysOpening(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.ready(bank, 1)
	w.ingest(1, tried(1, "pnl-1", "gra-1", grant.Collect), stage("pnl-1", 1, fleet.Accepted))
	w.clock.add(5 * time.Minute)
	w.birth(bank, boot1, 1)
	w.facts()
	w.ingest(3, doorMoved(1, locker.DoorOpen, locker.Unlocked))
	for _, f := range w.facts() {
		if f, ok := f.(event.DoorOpened); ok && f.Grant != "" {
			t.Errorf("a door that opened five minutes after an accepted command counts as opened with %s", f.Grant)
		}
	}
}

// What people do inside is known with the closing, not before: until then a door that was opened
// is not empty on record, even when it is seen closed again.
func TestContentIsUnknownWhileADoorIsOpen(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.ready(bank, 1)
	if c := w.door(1); c.Content != locker.Empty {
		t.Fatalf("content at first = %s, want empty", c.Content)
	}
	for i, step := range []struct {
		e    fleet.DeviceEvent
		want locker.Content
	}{
		{doorMoved(1, locker.DoorOpen, locker.Unlocked), locker.ContentUnknown},
		{doorMoved(1, locker.DoorClosed, locker.Locked), locker.ContentUnknown},
		{closing(1, locker.Empty, locker.Present), locker.Present},
	} {
		w.ingest(uint64(i+1), step.e)
		if c := w.door(1); c.Content != step.want {
			t.Errorf("content after event %d = %s, want %s", i+1, c.Content, step.want)
		}
	}
}

func TestNobodysDoorThatIsOpenOrFullIsNotOffered(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 2)
		w.ingest(1, doorMoved(1, locker.DoorOpen, locker.Unlocked), closing(2, locker.Empty, locker.Present))
		if a, b := w.door(1), w.door(2); a.Reason != fleet.ReasonFoundOpen || b.Reason != fleet.ReasonFoundGoods {
			t.Fatalf("doors = %s %q, %s %q", a.Service, a.Reason, b.Service, b.Reason)
		}
		got, err := w.Search(w.ctx(), fleet.Need{Bank: bank, Size: locker.SizeS})
		w.must(err)
		if len(got.Candidates) != 0 || !cmp.Equal(got.Passed, []fleet.PassedOver{{Why: fleet.IsSuspect, Count: 2}}) {
			t.Fatalf("Search = %+v", got)
		}
		w.ingest(3, closing(1, locker.Empty, locker.Empty), closing(2, locker.Present, locker.Empty))
		if a, b := w.door(1), w.door(2); a.Service != locker.InService || b.Service != locker.InService {
			t.Errorf("closed and empty again: %s, %s", a.Service, b.Service)
		}
	})
}

func TestAlarmsAreRaisedOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 1)
		w.kinds()
		forced := fleet.DeviceEvent{Type: fleet.EvAlarm, No: 1, Alarm: "forced"}
		clear := fleet.DeviceEvent{Type: fleet.EvClear, No: 1, Alarm: "forced"}
		w.ingest(1, forced, forced, fleet.DeviceEvent{Type: fleet.EvAlarm, Alarm: "journal"})
		alarms, _, err := w.Alarms(w.ctx(), fleet.AlarmFilter{Bank: bank, Live: true}, fleet.Page{})
		w.must(err)
		if len(alarms) != 2 || alarms[1].Times != 2 || alarms[1].Detail == "" {
			t.Fatalf("alarms = %+v", alarms)
		}
		for range 2 {
			a, err := w.AckAlarm(w.ctx(), alarms[1].ID, "ann")
			w.must(err)
			if a.AckedBy != "ann" || a.AckedAt.IsZero() {
				t.Errorf("acknowledged = %+v", a)
			}
		}
		w.ingest(4, clear, clear, forced)
		want := []event.Kind{
			event.KindAlarmRaised, event.KindAlarmRaised, event.KindAlarmAcked, event.KindAlarmCleared, event.KindAlarmRaised,
		}
		if diff := cmp.Diff(want, w.kinds()); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
		_, err = w.AckAlarm(w.ctx(), "alm-none", "ann")
		code(t, err, "no_alarm")
		sums, err := w.Summaries(w.ctx(), []locker.BankID{"bank-none", bank})
		w.must(err)
		counts := fleet.Counts{Free: 1, Total: 1, Alarms: 2}
		if len(sums) != 1 || sums[0].Bank != bank || sums[0].Counts != counts || !sums[0].Online || sums[0].Site != site {
			t.Errorf("Summaries = %+v, want one with %+v", sums, counts)
		}
	})
}

func TestSenselessEventsDoNotHoldBackTheRest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 1)
		w.ingest(1,
			fleet.DeviceEvent{Type: "future", No: 1},
			doorMoved(99, locker.DoorOpen, locker.Unlocked),
			stage("cmd-unknown", 1, fleet.Done),
			stage("", 0, ""),
			tried(99, "pnl-9", "gra-9", grant.Collect),
			fleet.DeviceEvent{Type: fleet.EvContent, No: 1},
			fleet.DeviceEvent{Type: fleet.EvAlarm, No: 1},
			fleet.DeviceEvent{Type: fleet.EvClosing, No: 1},
			doorMoved(1, locker.DoorOpen, locker.Unlocked),
		)
		if w.door(1).Door != locker.DoorOpen {
			t.Error("the event behind the senseless ones was not taken")
		}
	})
}

func TestCommandOfAnotherBankIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.ready(bank, 1)
	w.create("b2", "S:1")
	w.birth("b2", boot1, 1)
	r := unlock(1)
	r.Bank = "b2"
	c := w.request(r)
	w.ingest(1, stage(c.ID, 1, fleet.Done))
	if got := w.command(c.ID); got.Stage != fleet.Created {
		t.Errorf("another bank moved the command to %s", got.Stage)
	}
}

func TestWhenEventsHappened(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.ready(bank, 1)
	w.clock.add(10 * time.Second)
	w.beat(bank, boot1, 1)
	now := w.clock.now()
	wall := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
	w.ingest(1,
		fleet.DeviceEvent{Type: fleet.EvBoot, Boot: boot2, Up: 5, TS: wall(-time.Hour), TQ: "ntp"},         // another boot, good clock
		fleet.DeviceEvent{Type: fleet.EvBoot, Boot: boot2, Up: 6, TS: wall(-2 * time.Hour), TQ: "ntp"},     // never before the one before
		fleet.DeviceEvent{Type: fleet.EvBoot, Boot: boot1, Up: w.agentUp() - 4000, TS: wall(0), TQ: "ntp"}, // this boot: its own count
		fleet.DeviceEvent{Type: fleet.EvBoot, Boot: boot1, Up: w.agentUp() + 60_000},                       // from the future
		fleet.DeviceEvent{Type: fleet.EvBoot, Boot: boot2, Up: 7, TS: wall(time.Hour), TQ: "ntp"},          // wall clock ahead
		fleet.DeviceEvent{Type: fleet.EvBoot, Boot: boot2, Up: 8, TS: wall(-time.Hour), TQ: "none"},        // worthless clock
	)
	rows, err := w.Events(w.ctx(), bank, 0, 10)
	w.must(err)
	var got []time.Duration
	for _, r := range rows {
		got = append(got, r.At.Sub(now))
	}
	want := []time.Duration{-time.Hour, -time.Hour, -4 * time.Second, 0, 0, 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("times against now (-want +got):\n%s", diff)
	}
}

func TestSnapshotTeachesWithoutAlarm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create(bank, "S:2")
		w.birth(bank, boot1, 1)
		w.kinds()
		w.must(w.Snapshot(w.ctx(), bank, w.calm(2, 1, 0)))
		if c := w.door(1); !c.Ready() || c.Lock != locker.Locked || c.Service != locker.InService {
			t.Fatalf("door after the first snapshot = %+v", c)
		}
		for _, k := range w.kinds() {
			if k == event.KindAlarmRaised {
				t.Error("learning what was unknown raised an alarm")
			}
		}
	})
}

func TestSnapshotCorrectsDrift(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 2)
		w.kinds()
		s := w.calm(2, 2, 0)
		s.Compartments[0].Content = locker.Present
		w.must(w.Snapshot(w.ctx(), bank, s))
		w.must(w.Snapshot(w.ctx(), bank, s))
		if c := w.door(1); c.Content != locker.Present || c.Service != locker.Suspect || c.Reason != fleet.ReasonFoundGoods {
			t.Fatalf("drifted door = %+v", c)
		}
		want := []event.Kind{event.KindServiceChanged, event.KindContentChanged, event.KindAlarmRaised}
		if diff := cmp.Diff(want, w.kinds()); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
		w.ingest(1, closing(1, locker.Present, locker.Empty))
		alarms, _, err := w.Alarms(w.ctx(), fleet.AlarmFilter{Live: true}, fleet.Page{})
		w.must(err)
		if len(alarms) != 0 || w.door(1).Service != locker.InService {
			t.Errorf("after the door was emptied: alarms %+v, door %+v", alarms, w.door(1))
		}
	})
}

// People move goods while a door is open, and until its closing is told: a snapshot of that moment
// is no evidence of anything.
func TestSnapshotOfAnOpeningTellsNothingOfTheContent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 2)
		w.kinds()
		s := w.calm(2, 2, 0)
		s.Compartments[0].Content, s.Compartments[0].Busy = locker.Present, true
		s.Compartments[1].Content, s.Compartments[1].Door, s.Compartments[1].Lock = locker.Present, locker.DoorOpen, locker.Unlocked
		w.must(w.Snapshot(w.ctx(), bank, s))
		if w.door(1).Content != locker.Empty || w.door(2).Content != locker.Empty || w.door(2).Door != locker.DoorOpen {
			t.Errorf("doors = %+v and %+v, want empty by the record and the second open", w.door(1), w.door(2))
		}
		if k := w.kinds(); slices.Contains(k, event.KindContentChanged) {
			t.Errorf("facts %v: content is told before the closing", k)
		}
	})
}

func TestSnapshotWaitsForItsEvents(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 1)
		w.kinds()
		s := w.calm(1, 2, 2)
		s.Compartments[0].Door = locker.DoorOpen
		w.must(w.Snapshot(w.ctx(), bank, s))
		if w.door(1).Door != locker.DoorClosed {
			t.Fatal("a snapshot overtook its events")
		}
		w.ingest(1, doorMoved(1, locker.DoorOpen, locker.Unlocked), fleet.DeviceEvent{Type: fleet.EvGrant, Rev: 1})
		for _, k := range w.kinds() {
			if k == event.KindAlarmRaised {
				t.Error("a snapshot that agrees with its events raised an alarm")
			}
		}
		// It lost nothing: what the snapshot says beyond the events is true now.
		if c := w.door(1); c.Lock != locker.Locked {
			t.Errorf("lock = %s, want what the snapshot says once its events are there", c.Lock)
		}
		old := w.calm(1, 3, 1)
		w.must(w.Snapshot(w.ctx(), bank, old))
		if w.door(1).Door != locker.DoorOpen {
			t.Error("a snapshot older than the events undid them")
		}
	})
}

func TestBanksOwnViewOfItsDoors(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 1)
		s := w.calm(1, 2, 0)
		s.Compartments[0].Service = locker.OutOfService
		w.must(w.Snapshot(w.ctx(), bank, s))
		if c := w.door(1); c.Service != locker.OutOfService || c.Reason != "bank_out_of_service" {
			t.Fatalf("door = %+v", c)
		}
		s = w.calm(1, 3, 0)
		s.Compartments[0].Service = locker.InService
		w.must(w.Snapshot(w.ctx(), bank, s))
		if c := w.door(1); c.Service != locker.InService {
			t.Errorf("door = %+v", c)
		}
	})
}
