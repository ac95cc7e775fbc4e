package access_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"lockerfleet/controlcenter/internal/access"
	"lockerfleet/internal/ident"
	"lockerfleet/locker/grant"
)

// writing counts the writing transactions of a store, and answers what is pruned as it likes.
type writing struct {
	access.Store
	writes, prunes int
	old            int // rows left to forget
}

type pruning struct {
	access.Tx
	w *writing
}

func (w *writing) Update(ctx context.Context, fn func(access.Tx) error) error {
	w.writes++
	return w.Store.Update(ctx, func(tx access.Tx) error { return fn(pruning{tx, w}) })
}

func (p pruning) PruneAccess(_ time.Time, limit int) (int, error) {
	n := min(p.w.old, limit)
	p.w.old -= n
	p.w.prunes++
	return n, nil
}

func TestASweepWritesOnlyWhenSomethingIsDue(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.issue(t, 1, grant.Collect, 90*time.Second)
		w := &writing{Store: b.db.Access(), old: 2500}
		s := access.New(w, b, secret, access.Options{Now: b.clock, IDs: ident.New(b.clock, rand.Reader), TicketKey: ticketKey})
		sweep := func(seconds int) {
			t.Helper()
			for range seconds {
				b.pass(time.Second)
				if _, err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		sweep(3)
		if w.old != 0 || w.prunes != 3 {
			t.Errorf("after 3 s %d old rows are left after %d batches, want none after 3", w.old, w.prunes)
		}
		sweep(50)
		if w.writes != 3 {
			t.Errorf("%d writes with nothing due, want none", w.writes-3)
		}
		sweep(50) // a minute is over, and a grant
		if w.writes != 5 || w.prunes != 4 {
			t.Errorf("%d writes, %d of them to forget, want 5 and 4", w.writes, w.prunes)
		}
	})
}
