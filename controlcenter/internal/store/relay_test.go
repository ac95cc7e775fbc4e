package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
)

// witness checks what relays are handed: in one term each fact once, those of a
// bank in the order of their places; over all terms every fact.
type witness struct {
	seen  map[string]bool // by event id, over all terms
	wrong []string
	want  int
}

// term reads and settles for a while, but leaves every third fact to the next term, or one more.
func (w *witness) term(m *term, n int64) {
	last, once := map[string]int64{}, map[string]bool{}
	for pages := 0; pages < 20 && len(w.seen) < w.want; pages++ {
		facts, err := m.db.Outbox().Read(m.t.Context(), m.owner, time.Minute, m.after, 7)
		if err != nil {
			m.t.Errorf("relay: %v", err)
			return
		}
		var s store.Settlement
		for _, d := range facts {
			e := d.Event
			if once[e.ID] {
				w.wrong = append(w.wrong, "twice: "+e.ID)
			}
			if e.Bank != "" && d.ID <= last[e.Bank] {
				w.wrong = append(w.wrong, fmt.Sprintf("bank %s: place %d after %d", e.Bank, d.ID, last[e.Bank]))
			}
			w.seen[e.ID], once[e.ID], last[e.Bank] = true, true, d.ID
			m.after = max(m.after, d.ID)
			if (d.ID+n)%3 != 0 {
				s.Done = append(s.Done, d.ID)
			}
		}
		m.settle(s)
		if len(facts) == 0 {
			select {
			case <-time.After(time.Millisecond): // emitters are slower
			case <-m.t.Context().Done():
				return
			}
		}
	}
}

// follow pages the log until it has want events and reports gaps.
func follow(t *testing.T, db *store.DB, want int) (all []store.Event) {
	for seq := int64(0); len(all) < want && t.Context().Err() == nil; {
		var page []store.Event
		err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			page, err = tx.EventsAfter(seq, 50)
			return err
		})
		if err != nil {
			t.Errorf("follow: %v", err)
			return all
		}
		for _, e := range page {
			if e.Seq != seq+1 {
				t.Errorf("event %d follows %d", e.Seq, seq)
			}
			seq = e.Seq
		}
		all = append(all, page...)
	}
	return all
}

func TestOutboxAndLogUnderContention(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const emitters, rounds, banks = 16, 25, 3
		w := &witness{seen: map[string]bool{}, want: emitters * rounds * 2}
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := int64(0); len(w.seen) < w.want && !t.Failed() && t.Context().Err() == nil; n++ {
				w.term(begin(t, db, fmt.Sprint("relay", n)), n)
			}
		})
		var log []store.Event
		wg.Go(func() { log = follow(t, db, emitters*rounds*2) })
		for i := range emitters {
			wg.Go(func() {
				for j := range rounds {
					emitPair(t, db, i, j, banks)
				}
			})
		}
		wg.Wait()
		if len(w.wrong) > 0 {
			t.Errorf("relays were handed wrong facts: %s", strings.Join(w.wrong, "; "))
		}
		checkCounting(t, log)
	})
}

// emitPair emits for two banks in one transaction, in both orders.
func emitPair(t *testing.T, db *store.DB, i, j, banks int) {
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		for k := range 2 {
			tx.Emit(store.Event{
				ID:      fmt.Sprintf("e%d-%d-%d", i, j, k),
				Bank:    fmt.Sprintf("b%d", (i+j+k*(1+i%2))%banks),
				Partner: fmt.Sprintf("p%d", j%4),
			})
		}
		return nil
	})
	if err != nil {
		t.Errorf("emit %d %d: %v", i, j, err)
	}
}

// checkCounting looks for gaps in the numbers of each bank and partner.
func checkCounting(t *testing.T, log []store.Event) {
	t.Helper()
	next := map[string]int64{}
	for _, e := range log {
		for name, seq := range map[string]int64{"bank " + e.Bank: e.BankSeq, "partner " + e.Partner: e.PartnerSeq} {
			if next[name]++; seq != next[name] {
				t.Errorf("%s has number %d where %d is next", name, seq, next[name])
			}
		}
	}
}

// Facts are handed over whole transactions at a time, in the order in which the record and its log
// have them, whoever committed them.
func TestFollowersGetFactsInTheOrderOfCommits(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	const emitters, rounds, banks = 16, 25, 3
	var got []store.Delivery // on the writer's goroutine
	stop := db.Outbox().Follow(func(facts []store.Delivery) {
		if len(facts) != 2 {
			t.Errorf("handed %d facts of a transaction, want 2", len(facts))
		}
		got = append(got, facts...)
	})
	var wg sync.WaitGroup
	for i := range emitters {
		wg.Go(func() {
			for j := range rounds {
				emitPair(t, db, i, j, banks)
			}
		})
	}
	wg.Wait()
	stop()
	log := follow(t, db, emitters*rounds*2)
	for i, d := range got {
		if d.ID != int64(i+1) || d.Attempt != 1 || d.Event.Seq != log[i].Seq || d.Event.ID != log[i].ID || d.Event.BankSeq != log[i].BankSeq {
			t.Fatalf("fact %d handed over is %+v, the log has %+v", i+1, d, log[i])
		}
	}
	if diff := cmp.Diff(eventIDs(got), eventIDs(begin(t, db, "reader").readAll())); diff != "" {
		t.Errorf("handed over and read differ (-handed +read):\n%s", diff)
	}
}

func (m *term) readAll() (all []store.Delivery) {
	for {
		facts := m.read()
		if len(facts) == 0 {
			return all
		}
		all = append(all, facts...)
	}
}

func TestEventsComeBackAsEmitted(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 123_000_000).UTC()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		want := store.Event{ID: "e1", Type: "parcel.deposited", Site: "s", Bank: "b", Partner: "p", Subject: "st_1",
			Cause: "cmd_1", Occurred: now.Add(-time.Minute), Data: []byte(`{"grams": 12}`)}
		emit(t, db, want, store.Event{ID: "e2"})
		facts := begin(t, db, "reader").read()
		want.Recorded = now
		want.Seq, want.BankSeq, want.PartnerSeq = 1, 1, 1
		if diff := cmp.Diff(want, facts[0].Event); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
		bare := store.Event{ID: "e2", Seq: 2, Occurred: now, Recorded: now, Data: []byte(`{}`)}
		var byBank, byPartner []store.Event
		err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			if byBank, err = tx.BankEventsAfter("b", 0, 10); err != nil {
				return err
			}
			byPartner, err = tx.PartnerEventsAfter("p", 0, 10)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string][]store.Event{"bank": byBank, "partner": byPartner, "fleet": follow(t, db, 2)[:1]} {
			if diff := cmp.Diff([]store.Event{want}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if diff := cmp.Diff(bare, follow(t, db, 2)[1]); diff != "" {
			t.Errorf("bare event (-want +got):\n%s", diff)
		}
	}, storetest.Clock(func() time.Time { return now }))
}

func TestPruneKeepsTheCounting(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 0)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for i := range 6 {
			emit(t, db, store.Event{Bank: fmt.Sprint(i % 2), Partner: "p"})
		}
		begin(t, db, "first").read()
		n, err := db.PruneEvents(t.Context(), now.Add(time.Second), 100)
		if err != nil || n != 4 {
			t.Fatalf("PruneEvents = %d, %v, want 4", n, err)
		}
		emit(t, db, store.Event{Bank: "0", Partner: "p"})
		for _, d := range begin(t, db, "second").read() {
			if e := d.Event; e.Seq > 7 || e.Seq > 0 && e.BankSeq == 0 {
				t.Errorf("read again with the place %d, %d in the log", e.Seq, e.BankSeq)
			}
		}
		var got []store.Event
		err = db.View(t.Context(), func(tx *store.Tx) (err error) { got, err = tx.EventsAfter(6, 10); return err })
		if err != nil || len(got) != 1 || got[0].Seq != 7 || got[0].BankSeq != 4 || got[0].PartnerSeq != 7 {
			t.Errorf("after pruning the next event is %+v, %v", got, err)
		}
	}, storetest.Clock(func() time.Time { return now }))
}

func TestLease(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 0)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		take := func(owner string, want bool) {
			t.Helper()
			held, err := db.TakeLease(t.Context(), "leader", owner, time.Minute)
			if err != nil || held != want {
				t.Errorf("TakeLease(%s) = %v, %v, want %v", owner, held, err, want)
			}
		}
		take("a", true)
		take("b", false)
		take("a", true)
		if err := db.DropLease(t.Context(), "leader", "b"); err != nil {
			t.Error(err)
		}
		take("b", false)
		if err := db.DropLease(t.Context(), "leader", "a"); err != nil {
			t.Error(err)
		}
		take("b", true)
	}, storetest.Clock(func() time.Time { return now }))
	memory := storetest.Memory(t, storetest.Clock(func() time.Time { return now }))
	for i, want := range []bool{true, false, true} {
		held, err := memory.TakeLease(context.Background(), "leader", fmt.Sprint(i), time.Minute)
		if err != nil || held != want {
			t.Errorf("owner %d: held = %v, %v, want %v", i, held, err, want)
		}
		now = now.Add(30 * time.Second)
	}
}

// On PostgreSQL ids are handed out before commits: a transaction that has
// written its fact and not yet committed must hold back the next one of the
// same bank, and of no other.
func TestUncommittedFactIsNotOvertaken(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	written, commit := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		first := true // run again, it does not wait again
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			tx.Emit(store.Event{ID: "a1", Bank: "a"})
			if err := tx.Flush(); err != nil || !first {
				return err
			}
			first = false
			close(written)
			<-commit
			return nil
		})
		if err != nil {
			t.Errorf("a1: %v", err)
		}
	})
	<-written
	emit(t, db, store.Event{ID: "b1", Bank: "b"})
	overtook := make(chan struct{})
	wg.Go(func() {
		emit(t, db, store.Event{ID: "a2", Bank: "a"})
		close(overtook)
	})
	waitForLock(t, db, overtook)
	reader := begin(t, db, "reader")
	if diff := cmp.Diff([]string{"b1"}, eventIDs(reader.read())); diff != "" {
		t.Errorf("read before a1 is committed (-want +got):\n%s", diff)
	}
	close(commit)
	wg.Wait()
	if diff := cmp.Diff([]string{"a1", "a2"}, eventIDs(reader.read())); diff != "" {
		t.Errorf("read afterwards (-want +got):\n%s", diff)
	}
}

// waitForLock returns when a statement waits for a row another holds.
func waitForLock(t *testing.T, db *store.DB, overtook <-chan struct{}) {
	t.Helper()
	for t.Context().Err() == nil {
		select {
		case <-overtook:
			t.Error("the second fact did not wait for the first")
			return
		case <-time.After(2 * time.Millisecond):
		}
		waits := numbers(t, db, `
SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
		if waits[0] > 0 {
			return
		}
	}
}
