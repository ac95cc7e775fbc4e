package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
)

func emit(t *testing.T, db *store.DB, events ...store.Event) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		for _, e := range events {
			tx.Emit(e)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("emit: %v", err)
	}
}

// term is one owner's time of delivering.
type term struct {
	t     *testing.T
	db    *store.DB
	owner string
	after int64
}

func begin(t *testing.T, db *store.DB, owner string) *term {
	t.Helper()
	if held, err := db.Outbox().Begin(t.Context(), owner, time.Minute, true); err != nil || !held {
		t.Fatalf("Begin(%s) = %v, %v", owner, held, err)
	}
	return &term{t: t, db: db, owner: owner}
}

// read answers what was not handed out in the term.
func (m *term) read() []store.Delivery {
	m.t.Helper()
	facts, err := m.db.Outbox().Read(m.t.Context(), m.owner, time.Minute, m.after, 100)
	if err != nil {
		m.t.Fatalf("Read: %v", err)
	}
	for _, d := range facts {
		m.after = max(m.after, d.ID)
	}
	return facts
}

func (m *term) settle(s store.Settlement) {
	m.t.Helper()
	if held, err := m.db.Outbox().Settle(m.t.Context(), m.owner, time.Minute, s); err != nil || !held {
		m.t.Fatalf("Settle = %v, %v", held, err)
	}
}

func eventIDs(facts []store.Delivery) []string {
	ids := []string{}
	for _, d := range facts {
		ids = append(ids, d.Event.ID)
	}
	return ids
}

func TestAFactIsHandedOutOnceInATermAndAgainInTheNext(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		emit(t, db, store.Event{ID: "a1", Bank: "a"}, store.Event{ID: "b1", Bank: "b"}, store.Event{ID: "n1"})
		first := begin(t, db, "first")
		got := first.read()
		if diff := cmp.Diff([]string{"a1", "b1", "n1"}, eventIDs(got)); diff != "" {
			t.Fatalf("first reading (-want +got):\n%s", diff)
		}
		emit(t, db, store.Event{ID: "a2", Bank: "a"}, store.Event{ID: "n2", Private: true})
		if diff := cmp.Diff([]string{"a2", "n2"}, eventIDs(first.read())); diff != "" {
			t.Fatalf("second reading (-want +got):\n%s", diff)
		}
		first.settle(store.Settlement{Done: []int64{got[0].ID}, Failed: []store.Failure{
			{ID: got[1].ID, Attempt: 1, Cause: "no such bank"},
			{ID: got[2].ID, Attempt: 1, Until: time.Now().Add(time.Hour), Cause: "no answer"},
		}})
		backlog, err := db.Outbox().Backlog(t.Context())
		if err != nil || backlog.Open != 3 || backlog.Dead != 1 || backlog.Oldest.IsZero() {
			t.Fatalf("Backlog = %+v, %v, want 3 open, 1 dead", backlog, err)
		}
		again := begin(t, db, "second").read()
		if diff := cmp.Diff([]string{"n1", "a2", "n2"}, eventIDs(again)); diff != "" {
			t.Fatalf("the next term (-want +got):\n%s", diff)
		}
		for _, d := range again {
			if d.Attempt < 2 || d.Event.Private != (d.Event.Seq == 0) {
				t.Errorf("%s comes again as attempt %d with place %d in the log", d.Event.ID, d.Attempt, d.Event.Seq)
			}
		}
		if log := follow(t, db, 4); len(log) != 4 {
			t.Errorf("the log has %d events, want each public one once", len(log))
		}
	})
}

func TestWhoLostTheDutyChangesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		out := db.Outbox()
		emit(t, db, store.Event{ID: "a1", Bank: "a"})
		old := begin(t, db, "old")
		done := store.Settlement{Done: []int64{old.read()[0].ID}}
		if held, err := out.Begin(t.Context(), "new", time.Minute, false); err != nil || held {
			t.Fatalf("Begin beside a live lease = %v, %v, want refused", held, err)
		}
		fresh := begin(t, db, "new")
		if held, err := out.Settle(t.Context(), "old", time.Minute, done); err != nil || held {
			t.Errorf("Settle after the duty was lost = %v, %v, want refused", held, err)
		}
		if err := out.End(t.Context(), "old"); err != nil {
			t.Error(err)
		}
		if got := eventIDs(fresh.read()); len(got) != 1 {
			t.Errorf("the new one is handed %v, want a1", got)
		}
		fresh.settle(done)
		if err := out.End(t.Context(), "new"); err != nil {
			t.Error(err)
		}
		if held, err := out.Begin(t.Context(), "old", time.Minute, false); err != nil || !held {
			t.Errorf("Begin after the duty was given back = %v, %v, want granted", held, err)
		}
	})
}

func TestADutyLapses(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 0)
	db := storetest.Memory(t, storetest.Clock(func() time.Time { return now }))
	begin(t, db, "first")
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{time.Minute - time.Millisecond, false}, {time.Millisecond, true}} {
		now = now.Add(step.after)
		if held, err := db.Outbox().Begin(t.Context(), "second", time.Minute, false); err != nil || held != step.want {
			t.Errorf("%v later Begin = %v, %v, want %v", step.after, held, err, step.want)
		}
	}
}
