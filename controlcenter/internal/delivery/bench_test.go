package delivery_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockerfleet/controlcenter/internal/delivery"
	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
	"lockerfleet/internal/ident"
	"lockerfleet/locker"
	"lockerfleet/locker/custody"
	"lockerfleet/locker/grant"
)

var secret = []byte("a code secret of thirty-two bytes")

// bench is the room on a real store, with a clock, a finder that reads the same store, and a
// count of the facts handed to it.
type bench struct {
	*delivery.Service
	db    *store.DB
	mu    sync.Mutex
	now   time.Time
	facts atomic.Int64
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func newBench(open func(opts ...storetest.Option) *store.DB) *bench {
	b := &bench{now: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)}
	b.db = open(storetest.Clock(b.clock))
	b.Service = delivery.New(b.db.Delivery(), b, secret, delivery.Options{
		Now: b.clock, IDs: ident.New(b.clock, rand.Reader),
	})
	return b
}

func each(t *testing.T, doors int, test func(t *testing.T, b *bench)) {
	t.Helper()
	for name, open := range map[string]func(testing.TB, ...storetest.Option) *store.DB{
		"sqlite": storetest.New, "postgresql": storetest.Postgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(func(o ...storetest.Option) *store.DB { return open(t, o...) })
			b.seed(t, 1, doors)
			test(t, b)
		})
	}
}

// seed makes a site with banks b-1, b-2 ... of empty, closed doors.
func (b *bench) seed(t testing.TB, banks, doors int) {
	t.Helper()
	b.sql(t, `INSERT INTO sites (id, name, created_ms) VALUES ('s-1', 'Station', 1)`)
	for i := range banks {
		bank := fmt.Sprint("b-", i+1)
		b.sql(t, `INSERT INTO banks (id, site, name, compartments, created_ms) VALUES ($1, 's-1', 'Hall', $2, 1)`, bank, doors)
		var rows [][]any
		for no := range doors {
			rows = append(rows, []any{bank, no + 1})
		}
		err := b.db.Update(context.Background(), func(tx *store.Tx) error {
			return tx.Many(`
INSERT INTO compartments (bank, no, size, size_rank, class, height_mm, max_grams, allocation, service, lock_state, door, content)
VALUES ($1, $2, 'm', 3, 'ambient', 1000, 20000, 'free', 'in_service', 'locked', 'closed', 'empty')`, rows)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bench) sql(t testing.TB, text string, args ...any) {
	t.Helper()
	if err := b.db.Update(context.Background(), func(tx *store.Tx) error { _, err := tx.Exec(text, args...); return err }); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) one(t testing.TB, text string, args ...any) (v string) {
	t.Helper()
	err := b.db.View(context.Background(), func(tx *store.Tx) error { return tx.QueryRow(text, args...).Scan(&v) })
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// Find is the port Finder: the free doors of the bank that is named.
func (b *bench) Find(ctx context.Context, n delivery.Need) (delivery.Found, error) {
	var found delivery.Found
	err := b.db.View(ctx, func(tx *store.Tx) error {
		found.Candidates = nil
		nos, err := store.All(tx, store.Value[int], `
SELECT no FROM compartments WHERE bank = $1 AND allocation = 'free' AND service = 'in_service' ORDER BY no LIMIT $2`,
			string(n.Place.Bank), n.Limit)
		for _, no := range nos {
			found.Candidates = append(found.Candidates, delivery.Candidate{Site: "s-1", Bank: n.Place.Bank, No: no, Size: locker.SizeM})
		}
		return err
	})
	if len(found.Candidates) == 0 {
		found.Code, found.Detail = "full", "Every compartment is taken."
	}
	return found, err
}

// Taken is the port Finder: what was taken is read from the store.
func (b *bench) Taken(locker.CompartmentID, int64) {}

func statement(ref string) delivery.Statement {
	return delivery.Statement{
		Ref: ref, Place: delivery.Place{Bank: "b-1"}, Goods: delivery.Goods{Size: locker.SizeM, Grams: 800},
		Recipient: delivery.Contact{Name: "R. Ecipient", Email: "r@example.org"},
		Courier:   delivery.Contact{Name: "C. Ourier", Email: "c@example.org"},
	}
}

func (b *bench) accept(t testing.TB, ref string) delivery.Decision {
	t.Helper()
	d, err := b.Accept(context.Background(), "acme", statement(ref))
	if err != nil {
		t.Fatalf("accept %s: %v", ref, err)
	}
	return d
}

// told takes every fact told so far.
func (b *bench) told(t testing.TB) (out []event.Fact) {
	t.Helper()
	told, err := storetest.Facts(context.Background(), b.db)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range told {
		f, err := event.Decode(event.Kind(d.Event.Type), d.Event.Data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

func kinds(facts []event.Fact) (out []event.Kind) {
	for _, f := range facts {
		out = append(out, f.Kind())
	}
	return out
}

func (b *bench) about(no int) event.About {
	return event.About{Site: "s-1", Bank: "b-1", No: no, At: b.clock()}
}

func (b *bench) record(f event.Fact) event.Record {
	return event.Record{ID: fmt.Sprint("evt-", b.facts.Add(1)), Fact: f}
}

// hears hands a fact to the room twice, as a relay that crashed in between does.
func (b *bench) hears(t testing.TB, f event.Fact) {
	t.Helper()
	rec := b.record(f)
	for range 2 {
		var err error
		switch f.(type) {
		case event.DoorOpened:
			err = b.OnDoorOpened(context.Background(), rec)
		case event.DoorClosed:
			err = b.OnDoorClosed(context.Background(), rec)
		case event.ContentChanged:
			err = b.OnContentChanged(context.Background(), rec)
		case event.GrantEnded:
			err = b.OnGrantEnded(context.Background(), rec)
		}
		if err != nil {
			t.Fatalf("react to %s: %v", f.Kind(), err)
		}
	}
}

func (b *bench) opens(t testing.TB, no int, g locker.GrantID, p grant.Purpose) {
	t.Helper()
	b.hears(t, event.DoorOpened{About: b.about(no), Grant: g, Purpose: p})
}

func (b *bench) closes(t testing.TB, no int, g locker.GrantID, p grant.Purpose, before, after custody.Reading) {
	t.Helper()
	b.hears(t, event.DoorClosed{About: b.about(no), Grant: g, Purpose: p, Before: before, After: after, OpenMS: 5300})
}

func empty() custody.Reading { return custody.Reading{Content: locker.Empty, HasGrams: true} }
func present() custody.Reading {
	return custody.Reading{Content: locker.Present, HasGrams: true, Grams: 812}
}
func unclear() custody.Reading { return custody.Reading{Content: locker.ContentUnknown} }

// stores brings goods to a parcel's door.
func (b *bench) stores(t testing.TB, d delivery.Decision) delivery.Parcel {
	t.Helper()
	b.opens(t, d.No, d.Grant, grant.Deposit)
	b.closes(t, d.No, d.Grant, grant.Deposit, empty(), present())
	return b.parcel(t, d.Parcel)
}

func (b *bench) parcel(t testing.TB, id locker.ParcelID) delivery.Parcel {
	t.Helper()
	p, err := b.Parcel(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (b *bench) wants(t testing.TB, id locker.ParcelID, s delivery.State, allocation locker.Allocation) delivery.Parcel {
	t.Helper()
	p := b.parcel(t, id)
	if p.State != s {
		t.Fatalf("parcel is %s (%s), want %s", p.State, p.Reason, s)
	}
	got := b.one(t, `SELECT allocation FROM compartments WHERE bank = $1 AND no = $2`, string(p.Door.Bank), p.Door.No)
	if got != string(allocation) {
		t.Fatalf("%s: compartment is %s, want %s", s, got, allocation)
	}
	b.verify(t, id)
	return p
}

func (b *bench) verify(t testing.TB, id locker.ParcelID) []custody.Link {
	t.Helper()
	links, _, err := b.Custody(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := custody.Verify(links); err != nil {
		t.Fatalf("custody of %s: %v", id, err)
	}
	return links
}

func (b *bench) sweep(t testing.TB) time.Time {
	t.Helper()
	next, err := b.Sweep(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// BenchmarkAccept is the acceptance without its search: statement, claim, parcel, custody, grant and
// one fact, by 64 callers over 200 banks.
func BenchmarkAccept(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkAccept(b, storetest.New) })
	b.Run("postgresql", func(b *testing.B) { benchmarkAccept(b, storetest.Postgres) })
}

// inTurn is a Finder that offers the doors of a bank one after the other.
type inTurn struct {
	mu    sync.Mutex
	given map[locker.BankID]int
}

func (f *inTurn) Find(_ context.Context, n delivery.Need) (delivery.Found, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.given[n.Place.Bank]++
	return delivery.Found{Candidates: []delivery.Candidate{{Site: "s-1", Bank: n.Place.Bank, No: f.given[n.Place.Bank], Size: locker.SizeM}}}, nil
}

func (f *inTurn) Taken(locker.CompartmentID, int64) {}

func benchmarkAccept(b *testing.B, open func(testing.TB, ...storetest.Option) *store.DB) {
	const banks = 200
	k := newBench(func(o ...storetest.Option) *store.DB { return open(b, o...) })
	k.seed(b, banks, b.N/banks+1)
	room := delivery.New(k.db.Delivery(), &inTurn{given: map[locker.BankID]int{}}, secret, delivery.Options{
		Now: k.clock, IDs: ident.New(k.clock, rand.Reader),
	})
	var n atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			st := statement(fmt.Sprint("r-", i))
			st.Place.Bank = locker.BankID(fmt.Sprint("b-", i%banks+1))
			if d, err := room.Accept(context.Background(), "acme", st); err != nil || d.Status != delivery.Accepted {
				b.Errorf("accept: %+v, %v", d, err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
}
