package access

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/internal/fault"
	"lockerfleet/internal/ident"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// Options are what a service may be built without, except IDs.
type Options struct {
	Now func() time.Time // nil = time.Now; only for rates and tickets, the rest takes the transaction's time
	IDs *ident.Source
	Log *slog.Logger // nil = silence
	// TicketKey signs tickets. Without it there are none.
	TicketKey ed25519.PrivateKey
}

// Service is the room. It is safe for concurrent use.
type Service struct {
	store     Store
	deadlines Deadlines
	secret    []byte
	ids       *ident.Source
	log       *slog.Logger
	rates     *rates
	now       func() time.Time
	ticketKey ed25519.PrivateKey
	pruneAt   atomic.Int64 // unix ms when old tries are looked for again
}

// New builds the room. secret is the control center's code secret, from which codes and the
// banks' code keys are made.
func New(store Store, deadlines Deadlines, secret []byte, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		store: store, deadlines: deadlines, secret: secret, ids: o.IDs, log: o.Log, rates: newRates(o.Now),
		now: o.Now, ticketKey: o.TicketKey,
	}
}

// Code makes the number of a grant. It is stored nowhere, never logged and never in a fact:
// whoever sends it to its holder makes it at that moment. generation is 0 for every grant that
// this release issues.
func (s *Service) Code(id locker.GrantID, generation int) string {
	return grant.CodeOf(s.secret, id, generation)
}

// BankKey makes the key under which a bank compares codes. It is told to that bank only.
func (s *Service) BankKey(bank locker.BankID) []byte { return grant.BankKey(s.secret, bank) }

// Order is a grant to be made.
type Order struct {
	Door      locker.CompartmentID
	Parcel    locker.ParcelID
	Purpose   grant.Purpose
	NotBefore time.Time
	NotAfter  time.Time
	// Card opens the door with purpose enter, in place of a code; it is kept nowhere. Member is an
	// identifier of whose card it is.
	Card   grant.Card
	Member string
}

// Issue makes a grant for a door by itself, outside the life of a parcel. The parcels' own grants
// are made in the transactions of delivery.
func (s *Service) Issue(ctx context.Context, o Order) (Grant, error) {
	if (o.Purpose == grant.Enter) != o.Card.Valid() {
		return Grant{}, fault.Invalidf("grant_invalid", "A grant to enter needs a card, of 24 or 32 bits, and no other grant has one.")
	}
	if !o.Purpose.Valid() || !o.NotAfter.After(o.NotBefore) || o.Door.No < 1 {
		return Grant{}, fault.Invalidf("grant_invalid", "A grant needs a compartment, a purpose (deposit, collect, recall, enter) and an end after its start.")
	}
	g := Grant{Grant: grant.Grant{
		ID: locker.GrantID(s.ids.New("grt")), Compartment: o.Door, Parcel: o.Parcel, Purpose: o.Purpose,
		NotBefore: o.NotBefore.Truncate(time.Millisecond), NotAfter: o.NotAfter.Truncate(time.Millisecond), Member: o.Member,
	}}
	key := s.BankKey(o.Door.Bank)
	if o.Purpose == grant.Enter {
		g.Digest = grant.DigestOfCard(key, g.ID, o.Card)
	} else {
		g.Digest = grant.DigestOf(key, g.ID, s.Code(g.ID, 0))
	}
	err := s.store.Update(ctx, func(tx Tx) error {
		site, found, err := tx.SiteOf(o.Door.Bank)
		if err != nil {
			return err
		}
		if !found {
			return unknownBank(o.Door.Bank)
		}
		g.Site = site
		if o.Purpose == grant.Enter {
			if err := admitsCard(tx, key, o); err != nil {
				return err
			}
		}
		if g.Rev, err = tx.InsertGrant(g.Grant, 0); err != nil {
			return err
		}
		tx.Tell(event.GrantIssued{
			About: about(g, tx.Now()), Grant: g.ID, Purpose: g.Purpose, Rev: g.Rev,
			Digest: fmt.Sprintf("%x", g.Digest), NotBefore: g.NotBefore, NotAfter: g.NotAfter, Member: g.Member,
		})
		return nil
	})
	if err != nil {
		return Grant{}, fmt.Errorf("issue grant at %s: %w", o.Door, err)
	}
	return g, nil
}

// Revoke takes a grant back. A grant that is over already stays as it ended.
func (s *Service) Revoke(ctx context.Context, id locker.GrantID) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		g, found, err := tx.Grant(id)
		if err != nil {
			return err
		}
		if !found {
			return unknownGrant(id)
		}
		return end(tx, g, EndRevoked)
	})
	if err != nil {
		return fmt.Errorf("revoke grant %s: %w", id, err)
	}
	return nil
}

// Since lists the revisions of a bank above rev, in order and without gaps, at most MaxPage: ask
// again from the last one until nothing comes. See the package comment.
func (s *Service) Since(ctx context.Context, bank locker.BankID, rev uint64) ([]GrantRow, error) {
	var rows []GrantRow
	err := s.store.View(ctx, func(tx Tx) (err error) {
		rows, err = tx.GrantsSince(bank, rev, MaxPage)
		for i := range rows {
			rows[i].Receipt = s.receipt(rows[i].Grant)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read grants of %s since %d: %w", bank, rev, err)
	}
	return rows, nil
}

// Sweep ends grants whose time is over, at most a batch, and about once a minute forgets old tries,
// a batch at every call while there are more. It writes only when there is something to do. next is
// when the next grant ends, zero when nothing is known.
func (s *Service) Sweep(ctx context.Context) (next time.Time, err error) {
	now := s.now()
	err = s.store.View(ctx, func(tx Tx) (err error) {
		next, err = tx.NextGrantEnd()
		return err
	})
	if err == nil && !next.IsZero() && !next.After(now) {
		next, err = s.endDue(ctx)
	}
	if err == nil && now.UnixMilli() >= s.pruneAt.Load() {
		err = s.prune(ctx, now)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("sweep grants: %w", err)
	}
	return next, nil
}

// prune forgets a batch. When that was not all, the next call goes on.
func (s *Service) prune(ctx context.Context, now time.Time) error {
	n := 0
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		n, err = tx.PruneAccess(tx.Now().Add(-keepTries), pruneBatch)
		return err
	})
	if err == nil && n < pruneBatch {
		s.pruneAt.Store(now.Add(pruneEvery).UnixMilli())
	}
	return err
}

// endDue ends a batch of grants; next is when to go on.
func (s *Service) endDue(ctx context.Context) (next time.Time, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		due, err := tx.DueGrants(now, sweepBatch)
		if err != nil {
			return err
		}
		for _, g := range due {
			if err := end(tx, g, EndExpired); err != nil {
				return err
			}
		}
		if len(due) == sweepBatch {
			next = now
			return nil
		}
		next, err = tx.NextGrantEnd()
		return err
	})
	return next, err
}

// end ends a live grant and tells it.
func end(tx Tx, g Grant, reason string) error {
	rev, ended, err := tx.EndGrant(g.ID, reason)
	if err != nil || !ended {
		return err
	}
	tx.Tell(event.GrantEnded{About: about(g, tx.Now()), Grant: g.ID, Purpose: g.Purpose, Rev: rev, Reason: reason})
	return nil
}

func about(g Grant, at time.Time) event.About {
	return event.About{
		Site: g.Site, Bank: g.Compartment.Bank, No: g.Compartment.No, Parcel: g.Parcel, Cause: string(g.ID), At: at,
	}
}

func unknownBank(b locker.BankID) error {
	return fault.NotFoundf("bank_unknown", "There is no bank %q.", b)
}

func unknownGrant(id locker.GrantID) error {
	return fault.NotFoundf("grant_unknown", "There is no grant %q.", id)
}
