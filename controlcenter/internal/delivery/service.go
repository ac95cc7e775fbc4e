package delivery

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
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

// MaxPage bounds a page of parcels.
const MaxPage = 200

// Options are what a service may be built without, except IDs.
type Options struct {
	Now func() time.Time // nil = time.Now; only for what is checked before a transaction
	IDs *ident.Source
	Log *slog.Logger // nil = silence
	// CustodyKey signs custody files. Without it there are none.
	CustodyKey ed25519.PrivateKey
}

// Service is the room. It is safe for concurrent use.
type Service struct {
	store  Store
	finder Finder
	secret []byte
	now    func() time.Time
	ids    *ident.Source
	log    *slog.Logger
	held   heldRevs

	custodyKey ed25519.PrivateKey
	pruneAt    atomic.Int64 // unix ms when old facts are looked for again
}

// New builds the room. secret is the control center's code secret, from which codes are made.
func New(store Store, finder Finder, secret []byte, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{store: store, finder: finder, secret: secret, now: o.Now, ids: o.IDs, log: o.Log, custodyKey: o.CustodyKey}
}

// Filter narrows a list of parcels; empty fields do not.
type Filter struct {
	Partner locker.PartnerID
	Site    locker.SiteID
	Bank    locker.BankID
	State   State
}

// Parcel answers one parcel.
func (s *Service) Parcel(ctx context.Context, id locker.ParcelID) (Parcel, error) {
	var p Parcel
	err := s.store.View(ctx, func(tx Tx) (err error) {
		p, err = mustParcel(tx, id)
		return err
	})
	if err != nil {
		return Parcel{}, fmt.Errorf("read parcel %s: %w", id, err)
	}
	return p, nil
}

// Parcels lists parcels, the newest first, at most limit (1 to MaxPage). next is the cursor of
// the following page, empty at the end.
func (s *Service) Parcels(ctx context.Context, f Filter, cursor string, limit int) (page []Parcel, next string, err error) {
	err = s.store.View(ctx, func(tx Tx) (err error) {
		page, next, err = tx.Parcels(f, cursor, min(max(limit, 1), MaxPage))
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("list parcels: %w", err)
	}
	return page, next, nil
}

func mustParcel(tx Tx, id locker.ParcelID) (Parcel, error) {
	p, found, err := tx.Parcel(id)
	if err == nil && !found {
		err = fault.NotFoundf("parcel_unknown", "There is no parcel %q.", id)
	}
	return p, err
}

// issue makes a grant for the door of p and tells it.
func (s *Service) issue(tx Tx, p Parcel, id locker.GrantID, purpose grant.Purpose, from, to time.Time) error {
	f, err := s.grant(tx, p, id, from, to, purpose, "")
	if err != nil {
		return err
	}
	tx.Tell(f)
	return nil
}

// grant makes a grant for the door of p and answers the fact that is to be told.
func (s *Service) grant(tx Tx, p Parcel, id locker.GrantID, from, to time.Time, purpose grant.Purpose, member string) (event.GrantIssued, error) {
	g := grant.Grant{
		Member: member,
		ID:     id, Compartment: p.Door, Parcel: p.ID, Purpose: purpose,
		NotBefore: from.Truncate(time.Millisecond), NotAfter: to.Truncate(time.Millisecond),
	}
	g.Digest = grant.DigestOf(grant.BankKey(s.secret, p.Door.Bank), id, grant.CodeOf(s.secret, id, 0))
	rev, err := tx.InsertGrant(g, 0)
	if err != nil {
		return event.GrantIssued{}, err
	}
	return event.GrantIssued{
		About: p.about(string(id), tx.Now()), Grant: id, Purpose: purpose, Rev: rev,
		Digest: hex.EncodeToString(g.Digest[:]), NotBefore: g.NotBefore, NotAfter: g.NotAfter, Member: member,
	}, nil
}

// end ends a grant of p, tells it if it was live, and answers the revision that says so.
func end(tx Tx, p Parcel, id locker.GrantID, purpose grant.Purpose, reason string) (uint64, error) {
	if id == "" {
		return 0, nil
	}
	rev, ended, err := tx.EndGrant(id, reason)
	if err != nil || !ended {
		return rev, err
	}
	tx.Tell(event.GrantEnded{
		About: p.about(string(id), tx.Now()), Grant: id, Purpose: purpose, Rev: rev, Reason: reason,
	})
	return rev, nil
}

func newGrantID(ids *ident.Source) locker.GrantID { return locker.GrantID(ids.New("grt")) }
