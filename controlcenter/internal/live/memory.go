package live

import (
	"slices"
	"sync"
	"sync/atomic"
)

// origin says who put a value.
type origin bool

const (
	ours   origin = true  // this process: to be mirrored, and again after a loss
	theirs origin = false // another process, through Redis
)

// cell is a row and what is to be done with it.
type cell struct {
	Row
	set   bool // a value was put or read
	ours  bool
	dirty bool // not yet in Redis
}

// bank is what is known of one bank.
type bank struct {
	id string

	mu       sync.Mutex
	cells    []cell // by number
	presence Presence
	known    bool // presence was put
	mine     bool // by this process
	complete bool // nothing more can be learned from Redis
	gone     bool // to be removed from Redis
	dirty    bool // presence not yet in Redis
	queued   bool // in memory.queue
}

// memory is the state in this process. Banks do not wait for each other: whoever works on one holds
// the map shared and that bank alone. The order of locks is map, bank, queue.
type memory struct {
	mu    sync.RWMutex // guards the map: a bank is removed only by who holds it alone
	banks map[string]*bank

	queueMu sync.Mutex
	queue   []*bank // with something not yet in Redis, oldest first; each once

	online, known, refused atomic.Int64

	mirrors bool // whether there is a Redis to keep a queue for
}

func newMemory() *memory { return &memory{banks: make(map[string]*bank)} }

// enter finds or makes a bank and holds it until leave; nil when there are too many.
func (m *memory) enter(id string) *bank {
	for {
		if b := m.look(id); b != nil {
			return b
		}
		if !m.add(id) {
			m.refused.Add(1)
			return nil
		}
	}
}

// look finds a bank and holds it until leave; nil when there is none.
func (m *memory) look(id string) *bank {
	m.mu.RLock()
	b := m.banks[id]
	if b == nil {
		m.mu.RUnlock()
		return nil
	}
	b.mu.Lock()
	return b
}

func (m *memory) leave(b *bank) {
	b.mu.Unlock()
	m.mu.RUnlock()
}

// add makes a bank, unless there are too many.
func (m *memory) add(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.banks[id] != nil {
		return true
	}
	if len(m.banks) >= maxBanks || id == "" || len(id) > maxID {
		return false
	}
	m.banks[id] = &bank{id: id, complete: !m.mirrors}
	return true
}

// remove forgets banks about which nothing is to be said any more.
func (m *memory) remove(ids []string) {
	if len(ids) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if b := m.banks[id]; b != nil && b.over() {
			delete(m.banks, id)
		}
	}
}

// over reports whether nothing is known of a bank and nothing is to be written.
func (b *bank) over() bool { return len(b.cells) == 0 && !b.known && !b.queued && !b.gone }

// enqueue notes that a bank has something for Redis. The bank is held.
func (m *memory) enqueue(b *bank) {
	if m.mirrors && !b.queued {
		b.queued = true
		m.queueMu.Lock()
		m.queue = append(m.queue, b)
		m.queueMu.Unlock()
	}
}

// put stores rows and answers those that look different, if collect.
func (m *memory) put(id string, rows []Row, from origin, collect bool) (changed []Row) {
	b := m.enter(id)
	if b == nil {
		return nil
	}
	defer m.leave(b)
	if b.cells == nil { // mostly the whole bank comes at once, and no more is needed ever
		b.cells = make([]cell, 0, min(len(rows), maxRows))
	}
	at := 0 // rows mostly come in order
	for _, r := range rows {
		at = b.place(r.No, at)
		if at < 0 {
			m.refused.Add(1)
			at = 0
			continue
		}
		c := &b.cells[at]
		if from == ours && c.set {
			r = r.over(c.Row)
		}
		if collect && (!c.set || !c.same(r)) {
			changed = append(changed, r)
		}
		*c = cell{Row: r, set: true, ours: bool(from), dirty: bool(from) && m.mirrors}
		at++
	}
	if from == ours && len(rows) > 0 {
		m.enqueue(b)
	}
	return changed
}

// place finds or makes the cell of a compartment, looking first at hint; -1
// when there are too many.
func (b *bank) place(no, hint int) int {
	if hint < len(b.cells) && b.cells[hint].No == no {
		return hint
	}
	at, found := b.find(no)
	if found {
		return at
	}
	if len(b.cells) >= maxRows || no < 0 || no > maxNo {
		return -1
	}
	b.cells = slices.Insert(b.cells, at, cell{Row: Row{No: no}})
	return at
}

// find is where the cell of a compartment is or would be.
func (b *bank) find(no int) (at int, found bool) {
	return slices.BinarySearchFunc(b.cells, no, func(c cell, no int) int { return c.No - no })
}

// putPresence reports whether it looks different.
func (m *memory) putPresence(id string, p Presence, from origin) bool {
	if len(p.Boot) > maxBoot {
		return false
	}
	b := m.enter(id)
	if b == nil {
		return false
	}
	defer m.leave(b)
	return m.presence(b, p, from)
}

// presence puts a presence into a bank that is held.
func (m *memory) presence(b *bank, p Presence, from origin) bool {
	changed := !b.known || !b.presence.same(p)
	m.count(b, -1)
	b.presence, b.known = p, true
	b.mine, b.dirty = bool(from), bool(from) && m.mirrors
	m.count(b, 1)
	if from == ours {
		m.enqueue(b)
	}
	return changed
}

func (m *memory) count(b *bank, by int64) {
	if b.known {
		m.known.Add(by)
		if b.presence.Online {
			m.online.Add(by)
		}
	}
}

// forget removes a bank and reports whether it was there. What this process
// forgets stays as a name until Redis has forgotten it too.
func (m *memory) forget(id string, from origin, mirrored bool) bool {
	b := m.look(id)
	if b == nil {
		if from == theirs || !mirrored {
			return false
		}
		if b = m.enter(id); b == nil {
			return false
		}
	}
	was := b.known || len(b.cells) > 0
	m.count(b, -1)
	b.clear()
	b.complete, b.gone = true, from == ours && mirrored
	if b.gone {
		m.enqueue(b)
	}
	m.leave(b)
	m.remove([]string{id})
	return was
}

// clear forgets everything but the place in the queue.
func (b *bank) clear() {
	b.cells, b.presence = nil, Presence{}
	b.known, b.mine, b.complete, b.gone, b.dirty = false, false, false, false, false
}

func (m *memory) snapshot(id string) Snapshot {
	b := m.look(id)
	if b == nil {
		return Snapshot{Bank: id, Partial: true}
	}
	defer m.leave(b)
	s := Snapshot{Bank: id, Known: b.known, Presence: b.presence, Partial: !b.complete}
	s.Rows = make([]Row, len(b.cells))
	for i := range b.cells {
		s.Rows[i] = b.cells[i].Row
	}
	return s
}

func (m *memory) counts() Counts {
	return Counts{Known: int(m.known.Load()), Online: int(m.online.Load())}
}

func (m *memory) stats() Stats {
	m.queueMu.Lock()
	defer m.queueMu.Unlock()
	return Stats{Pending: len(m.queue), Refused: m.refused.Load()}
}

// incomplete answers those of the banks Redis may know more of.
func (m *memory) incomplete(ids []string) (missing []string) {
	for _, id := range ids {
		b := m.look(id)
		if b == nil {
			missing = append(missing, id)
			continue
		}
		if !b.complete {
			missing = append(missing, id)
		}
		m.leave(b)
	}
	return missing
}

// fill adds what was read from Redis where nothing newer is known, also to rows
// this process knows in part. A bank Redis knows nothing of is not kept.
func (m *memory) fill(id string, rows []Row) {
	b := m.look(id)
	if b == nil && len(rows) > 0 {
		b = m.enter(id)
	}
	if b == nil {
		return
	}
	defer m.leave(b)
	b.complete = true
	if b.gone {
		return
	}
	for _, r := range rows {
		at := b.place(r.No, 0)
		if at < 0 {
			continue
		}
		c := &b.cells[at]
		if c.set {
			r = c.over(r)
		}
		c.Row, c.set = r, true
	}
}

// fillPresence adds a presence read from Redis where none of ours is known.
func (m *memory) fillPresence(id string, p Presence) {
	b := m.enter(id)
	if b == nil {
		return
	}
	defer m.leave(b)
	if !b.mine && !b.gone && len(p.Boot) <= maxBoot {
		m.presence(b, p, theirs)
	}
}

// doubt forgets what others put: it may be outdated. What this process put
// stays, and is marked to be written again when rewrite. It holds the map alone, and so every bank.
func (m *memory) doubt(rewrite bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, b := range m.banks {
		b.complete = b.gone
		b.cells = slices.DeleteFunc(b.cells, func(c cell) bool { return !c.ours })
		if !b.mine {
			m.count(b, -1)
			b.known, b.presence = false, Presence{}
		}
		if rewrite && (b.mine || len(b.cells) > 0) {
			b.dirtyAll()
			m.enqueue(b)
		}
		if !b.mine && len(b.cells) == 0 && !b.queued {
			delete(m.banks, id)
		}
	}
}

func (b *bank) dirtyAll() {
	b.dirty = b.mine
	for i := range b.cells {
		b.cells[i].dirty = b.cells[i].ours
	}
}

// written is one bank's part of a batch.
type written struct {
	bank     string
	rows     []Row
	presence *Presence
	gone     bool
}

// take removes up to about max rows from the queue. Rows put again meanwhile
// are newer and are taken once.
func (m *memory) take(maxRows int) (batch []written, rows int) {
	var empty []string
	for rows < maxRows {
		w, some, over := m.takeOne()
		if !some {
			break
		}
		rows += len(w.rows) + 1
		batch = append(batch, w)
		if over {
			empty = append(empty, w.bank)
		}
	}
	m.remove(empty)
	return batch, rows
}

// takeOne takes what the first bank of the queue has for Redis. over says that nothing is known of
// the bank any more.
func (m *memory) takeOne() (w written, some, over bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	b := m.pop()
	if b == nil {
		return w, false, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	w = b.take()
	return w, true, w.gone && b.over()
}

// pop removes the first bank of the queue.
func (m *memory) pop() *bank {
	m.queueMu.Lock()
	defer m.queueMu.Unlock()
	if len(m.queue) == 0 {
		m.queue = nil
		return nil
	}
	b := m.queue[0]
	m.queue[0] = nil
	m.queue = m.queue[1:]
	return b
}

func (b *bank) take() written {
	w := written{bank: b.id, gone: b.gone}
	if b.dirty {
		p := b.presence
		w.presence = &p
	}
	for i := range b.cells {
		if c := &b.cells[i]; c.dirty {
			if w.rows == nil {
				w.rows = make([]Row, 0, len(b.cells)-i)
			}
			w.rows = append(w.rows, c.Row)
			c.dirty = false
		}
	}
	b.gone, b.dirty, b.queued = false, false, false
	return w
}

// giveBack marks a batch that did not reach Redis.
func (m *memory) giveBack(batch []written) {
	for _, w := range batch {
		if b := m.enter(w.bank); b != nil {
			b.giveBack(w)
			m.enqueue(b)
			m.leave(b)
		}
	}
}

func (b *bank) giveBack(w written) {
	b.gone = b.gone || w.gone
	b.dirty = b.dirty || w.presence != nil && b.mine
	for _, r := range w.rows {
		if at, found := b.find(r.No); found && b.cells[at].ours {
			b.cells[at].dirty = true
		}
	}
}

func (m *memory) pending() bool {
	m.queueMu.Lock()
	defer m.queueMu.Unlock()
	return len(m.queue) > 0
}
