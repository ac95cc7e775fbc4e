package people

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lockerfleet/internal/fault"
	"lockerfleet/internal/ident"
	"lockerfleet/locker"
)

// Lives of what the room hands out.
const (
	LinkLife    = 15 * time.Minute // of a login link
	SessionLife = 12 * time.Hour   // of a session, from login
	AnswerLife  = 24 * time.Hour   // of an answer kept for an idempotency key
	// RunLife is after how long a request that was never answered counts as dead. It is longer
	// than any request may take.
	RunLife = 10 * time.Minute
	// CacheLife bounds how long another process may accept a credential that was revoked here.
	CacheLife = 2 * time.Second
)

// pruneBatch bounds what one sweep deletes of each kind.
const pruneBatch = 500

// Page bounds.
const (
	DefaultPage = 50
	MaxPage     = 200
)

// Options change how the service works. Now and IDs must be set.
type Options struct {
	Now func() time.Time
	IDs *ident.Source
	Log *slog.Logger // nil: nothing is logged
	// Rand makes the platform's secrets and the nonces of sealing. Nil means crypto/rand.
	Rand io.Reader
	// PlainLoopback accepts webhook addresses with http on this machine itself.
	PlainLoopback bool
	// Revoked is called after a credential or its owner was taken back, so that connections
	// made with it can be ended. It must not block. Nil means nobody asks.
	Revoked func(ownerKind, owner string)
}

// Service is the room. It is safe for concurrent use.
type Service struct {
	store Store
	opts  Options
	cache *cache
	hooks hooks

	sweepAt atomic.Int64 // unix ms when the housekeeping is due

	mu      sync.Mutex // guards secrets and the random source
	secrets *Secrets
}

// New returns the service over its records.
func New(store Store, opts Options) *Service {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	if opts.Revoked == nil {
		opts.Revoked = func(string, string) {}
	}
	return &Service{store: store, opts: opts, cache: newCache(opts.Now)}
}

func pageSize(limit int) int {
	if limit <= 0 {
		return DefaultPage
	}
	return min(limit, MaxPage)
}

// List asks for one page.
type List struct {
	Cursor string // empty: the first page
	Limit  int    // 1 to MaxPage; 0 means DefaultPage
}

// revoked forgets what is known of credentials and tells whoever holds connections.
func (s *Service) revoked(ownerKind, owner string) {
	s.cache.clear()
	s.opts.Revoked(ownerKind, owner)
}

// Sweep does the room's housekeeping at now: it notes when keys were used and deletes what has
// ended, about once a minute, a batch at every call while there is more. It answers when it wants
// to be called again; a call before does nothing.
func (s *Service) Sweep(ctx context.Context) (next time.Time, err error) {
	now := s.opts.Now()
	if at := time.UnixMilli(s.sweepAt.Load()); now.Before(at) {
		return at, nil
	}
	used := s.cache.takeUses()
	n := 0
	err = s.store.Update(ctx, func(tx Tx) (err error) {
		if err := tx.TouchKeys(used); err != nil {
			return err
		}
		n, err = tx.Prune(tx.Now().Add(-AnswerLife), pruneBatch)
		return err
	})
	if err != nil || n == pruneBatch {
		return now, err
	}
	next = now.Add(time.Minute)
	s.sweepAt.Store(next.UnixMilli())
	return next, nil
}

// errNoPerson keeps one sentence for one case.
func errNoPerson(id locker.PersonID) error {
	return fault.NotFoundf("person_not_found", "There is no person %q.", id)
}

func errNoPartner(id locker.PartnerID) error {
	return fault.NotFoundf("partner_not_found", "There is no partner %q.", id)
}
