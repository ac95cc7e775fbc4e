package people

import (
	"sync"
	"time"

	"lockerfleet/locker"
)

// maxHooks bounds the partners whose wish is remembered; a full memory starts anew.
const maxHooks = 4096

// hook is where a partner wants to be told; wanted is false for one that does not.
type hook struct {
	url    string
	secret []byte
	wanted bool
	until  time.Time
}

// hooks remembers for at most CacheLife where partners want to be told: it is asked for every fact
// about a parcel. A change made in this process is seen at once. The zero value is ready; it is
// safe for concurrent use.
type hooks struct {
	mu    sync.Mutex
	known map[locker.PartnerID]hook
	round uint64 // counts changes: what was read before one is not kept
}

// get answers what is remembered, and the round to hand to put otherwise.
func (h *hooks) get(id locker.PartnerID, now time.Time) (known hook, round uint64, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known, found = h.known[id]
	return known, h.round, found && now.Before(known.until)
}

// put remembers what was read since get, unless something changed meanwhile.
func (h *hooks) put(id locker.PartnerID, round uint64, k hook) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if round != h.round {
		return
	}
	if len(h.known) >= maxHooks {
		clear(h.known)
	}
	if h.known == nil {
		h.known = map[locker.PartnerID]hook{}
	}
	h.known[id] = k
}

// forget ends what is remembered of a partner that was changed.
func (h *hooks) forget(id locker.PartnerID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.round++
	delete(h.known, id)
}
