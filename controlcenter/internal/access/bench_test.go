package access_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"lockerfleet/controlcenter/internal/access"
	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
	"lockerfleet/internal/ident"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

var ticketKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32))

var secret = []byte("a code secret of thirty-two bytes")

// bench is the room on a real store with a clock and a bank that can be unplugged.
type bench struct {
	*access.Service
	db  *store.DB
	mu  sync.Mutex
	now time.Time
	off error // why no command can be sent
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

// CommandDeadline is the port Deadlines.
func (b *bench) CommandDeadline(_ context.Context, _ locker.BankID, ttl time.Duration) (access.Deadline, error) {
	if b.off != nil {
		return access.Deadline{}, b.off
	}
	return access.Deadline{Boot: "0123456789abcdef", Ep: 4, DL: ttl.Milliseconds()}, nil
}

func each(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	run := func(t *testing.T, open func(testing.TB, ...storetest.Option) *store.DB) {
		b := &bench{now: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)}
		b.db = open(t, storetest.Clock(b.clock))
		b.Service = access.New(b.db.Access(), b, secret, access.Options{
			Now: b.clock, IDs: ident.New(b.clock, rand.Reader), TicketKey: ticketKey,
		})
		b.seed(t)
		test(t, b)
	}
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); run(t, storetest.New) })
	t.Run("postgresql", func(t *testing.T) { t.Parallel(); run(t, storetest.Postgres) })
}

func (b *bench) seed(t *testing.T) {
	t.Helper()
	b.sql(t, `INSERT INTO sites (id, name, created_ms) VALUES ('s-1', 'Station', 1)`)
	b.sql(t, `INSERT INTO banks (id, site, name, compartments, created_ms) VALUES ('b-1', 's-1', 'Hall', 4, 1)`)
}

func (b *bench) sql(t *testing.T, text string, args ...any) {
	t.Helper()
	if err := b.db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(text, args...); return err }); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) count(t *testing.T, text string, args ...any) (n int64) {
	t.Helper()
	err := b.db.View(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(text, args...).Scan(&n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// facts takes every fact told so far.
func (b *bench) facts(t *testing.T) (out []event.Fact) {
	t.Helper()
	told, err := storetest.Facts(t.Context(), b.db)
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

func (b *bench) issue(t *testing.T, no int, p grant.Purpose, d time.Duration) access.Grant {
	t.Helper()
	g, err := b.Issue(t.Context(), access.Order{
		Door: locker.CompartmentID{Bank: "b-1", No: no}, Parcel: "prc-1", Purpose: p,
		NotBefore: b.clock(), NotAfter: b.clock().Add(d),
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (b *bench) try(t *testing.T, key string, no int, code string) access.Answer {
	t.Helper()
	a, err := b.Attempt(t.Context(), access.Try{Key: key, Bank: "b-1", No: no, Code: code, Caller: key})
	if err != nil {
		t.Fatalf("try %s: %v", key, err)
	}
	if a.Text == "" {
		t.Errorf("try %s: reason %s comes without a text", key, a.Reason)
	}
	return a
}

// wrong is a code that is not that of the grant.
func (b *bench) wrong(g access.Grant) string {
	if c := b.Code(g.ID, 0); c != "000000" {
		return "000000"
	}
	return "000001"
}
