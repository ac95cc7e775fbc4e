package kiosk

import (
	"sync"
	"time"
)

// bucket lets size requests through at once and one more in each while. It is safe for concurrent
// use.
type bucket struct {
	size int
	each time.Duration
	now  func() time.Time

	mu   sync.Mutex
	full time.Time // when all of them are there again
}

// take lets one through, or tells how long to wait.
func (b *bucket) take() (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if b.full.Before(now) {
		b.full = now
	}
	next := b.full.Add(b.each)
	if wait = next.Sub(now) - time.Duration(b.size)*b.each; wait > 0 {
		return wait
	}
	b.full = next
	return 0
}
