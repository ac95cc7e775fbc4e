package relay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/locker"
)

// box is an outbox in memory that keeps the promises of Source.
type box struct {
	now func() time.Time

	mu      sync.Mutex
	open    []Delivery
	newest  int64
	owner   string
	until   time.Time
	buried  []int64
	settled int
	broken  error // what every call comes to
	handed  func([]Delivery)
}

// fact is one of a lane; the box gives it its id.
func fact(lane string) Delivery {
	return told(lane, event.BankClaimed{About: event.About{Bank: locker.BankID(lane)}})
}

// order is a command of a bank.
func order(lane string) Delivery { return told(lane, event.CommandRequested{}) }

func told(lane string, f event.Fact) Delivery {
	data, err := event.Encode(f)
	if err != nil {
		panic(err)
	}
	return Delivery{Attempt: 1, Lane: lane, Kind: f.Kind(), Data: data}
}

// commit writes facts and, if so told, hands them over.
func (b *box) commit(hand bool, facts ...Delivery) {
	b.mu.Lock()
	for i := range facts {
		b.newest++
		facts[i].ID, facts[i].Event = b.newest, fmt.Sprintf("%s%d", facts[i].Lane, b.newest)
	}
	b.open = append(b.open, facts...)
	b.mu.Unlock()
	if hand {
		b.handed(facts)
	}
}

// seizeFor lets somebody else take the duty over.
func (b *box) seizeFor(other string) { b.owner, b.until = other, b.now().Add(lease) }

func (b *box) Begin(_ context.Context, owner string, ttl time.Duration, seize bool) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil {
		return false, b.broken
	}
	if b.owner != "" && b.owner != owner && b.now().Before(b.until) && !seize {
		return false, nil
	}
	b.owner, b.until = owner, b.now().Add(ttl)
	return true, nil
}

func (b *box) Read(_ context.Context, _ string, _ time.Duration, after int64, limit int) ([]Delivery, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Delivery
	for _, d := range b.open {
		if d.ID > after && len(out) < limit {
			out = append(out, d)
		}
	}
	return out, b.broken
}

func (b *box) Settle(_ context.Context, owner string, ttl time.Duration, s Settlement) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil || b.owner != owner {
		return false, b.broken
	}
	b.until = b.now().Add(ttl)
	b.settled++
	gone := map[int64]bool{}
	for _, id := range s.Done {
		gone[id] = true
	}
	for _, f := range s.Failed {
		if f.Until.IsZero() {
			b.buried, gone[f.ID] = append(b.buried, f.ID), true
		}
	}
	b.open = slices.DeleteFunc(b.open, func(d Delivery) bool { return gone[d.ID] })
	return true, nil
}

func (b *box) End(_ context.Context, owner string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owner == owner {
		b.owner = ""
	}
	return b.broken
}

func (b *box) Follow(handed func([]Delivery)) { b.handed = handed }
