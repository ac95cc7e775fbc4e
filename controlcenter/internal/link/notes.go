package link

import (
	"slices"
	"sync"
	"time"

	"lockerfleet/locker"
)

// notes are what the link remembers of the banks of one lane. Each lane has its own: with one lock
// for all, thousands of connections that come back at once would hand it from one to the next, and
// each waits for a processor while it holds it. The zero value is ready.
type notes struct {
	mu    sync.Mutex
	asked map[locker.BankID]time.Time // last rebirth request or grant replay
	revs  map[locker.BankID]uint64    // newest grant revision pushed by this process
	more  map[locker.BankID]uint64    // last revision of a page after which there are more
	dirty map[locker.BankID]bool      // banks whose summary changed
	blind map[locker.BankID]uint64    // banks of which a birth or snapshot was lost: which loss, from 1
	lost  uint64                      // losses so far
}

func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

// of locks the notes of a bank's lane.
func (l *Link) of(bank locker.BankID) *notes {
	n := &l.notes[hash(string(bank))%lanes]
	n.mu.Lock()
	return n
}

// mayAsk bounds rebirth requests and grant replays to one for a bank in askAgain.
func (l *Link) mayAsk(bank locker.BankID) bool {
	now := l.now()
	n := l.of(bank)
	defer n.mu.Unlock()
	if last, is := n.asked[bank]; is && now.Sub(last) < askAgain {
		return false
	}
	if len(n.asked) >= maxRemarks {
		clear(n.asked)
	}
	put(&n.asked, bank, now)
	return true
}

// miss notes that a birth or snapshot of a bank was lost. The bank sends none until something
// changes; Recall and its next heartbeat ask for it.
func (l *Link) miss(bank locker.BankID) {
	n := l.of(bank)
	defer n.mu.Unlock()
	n.lost++
	put(&n.blind, bank, n.lost)
}

// missed is the newest loss of a bank, 0 for none.
func (l *Link) missed(bank locker.BankID) uint64 {
	n := l.of(bank)
	defer n.mu.Unlock()
	return n.blind[bank]
}

// seen notes that a snapshot was taken in that came after the given loss. One that had waited in its
// lane when a newer one was lost makes up for nothing.
func (l *Link) seen(bank locker.BankID, loss uint64) {
	n := l.of(bank)
	defer n.mu.Unlock()
	if n.blind[bank] == loss {
		delete(n.blind, bank)
	}
}

// Recall asks banks to be born again whose birth or snapshot was dropped, as soon as their lanes have
// room again, maxRecalls at once. The root calls it once a second.
func (l *Link) Recall() {
	left := maxRecalls
	for i := range l.notes {
		if l.queues != nil && len(l.queues[i]) > laneQueue/4 {
			continue
		}
		for _, bank := range l.notes[i].missing(left) {
			l.askRebirth(bank)
			left--
		}
	}
}

func (n *notes) missing(limit int) []locker.BankID {
	n.mu.Lock()
	defer n.mu.Unlock()
	var some []locker.BankID
	for bank := range n.blind {
		if len(some) >= limit {
			break
		}
		some = append(some, bank)
	}
	slices.Sort(some)
	return some
}

// push notes that a grant revision was handed to the broker.
func (l *Link) push(bank locker.BankID, rev uint64) {
	n := l.of(bank)
	defer n.mu.Unlock()
	put(&n.revs, bank, max(n.revs[bank], rev))
}

// pushed is the newest revision that this process handed to the broker. A bank that holds less
// has lost one. After a restart every bank is born again and asks from where it stands.
func (l *Link) pushed(bank locker.BankID) uint64 {
	n := l.of(bank)
	defer n.mu.Unlock()
	return n.revs[bank]
}

// page notes whether there are more revisions after the page that ends with rev.
func (l *Link) page(bank locker.BankID, rev uint64, more bool) {
	n := l.of(bank)
	defer n.mu.Unlock()
	delete(n.more, bank)
	if more {
		put(&n.more, bank, rev)
	}
}

// wantsMore reports whether the bank, holding revisions up to rev, took a page that has a next.
func (l *Link) wantsMore(bank locker.BankID, rev uint64) bool {
	n := l.of(bank)
	defer n.mu.Unlock()
	last, is := n.more[bank]
	return is && rev >= last
}

// touch marks a bank whose summary may have changed.
func (l *Link) touch(bank locker.BankID) {
	if bank == "" {
		return
	}
	n := l.of(bank)
	defer n.mu.Unlock()
	put(&n.dirty, bank, true)
}

// changes takes the changed banks of one lane, at most limit.
func (n *notes) changes(limit int) []locker.BankID {
	n.mu.Lock()
	defer n.mu.Unlock()
	var some []locker.BankID
	for bank := range n.dirty {
		if len(some) >= limit {
			return some
		}
		some = append(some, bank)
		delete(n.dirty, bank)
	}
	n.dirty = nil // nothing is kept of a day when every bank changed
	return some
}
