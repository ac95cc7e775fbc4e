package fleet_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
	"lockerfleet/internal/ident"
	"lockerfleet/locker"
	"lockerfleet/locker/custody"
	"lockerfleet/locker/grant"
)

const (
	bank  = locker.BankID("b1")
	site  = locker.SiteID("s1")
	boot1 = "00000000000000b1"
	boot2 = "00000000000000b2"
)

// clock is a time that only tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.UnixMilli(1_790_000_000_000).UTC()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// liveState remembers what it was told.
type liveState struct {
	mu       sync.Mutex
	presence map[locker.BankID]fleet.Presence
	rows     int
}

func (l *liveState) PutPresence(p fleet.Presence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.presence[p.Bank] = p
}

func (l *liveState) PutRows(_ locker.BankID, rows []fleet.LiveRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows += len(rows)
}

func (l *liveState) online(b locker.BankID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.presence[b].Online
}

// counting counts the transactions of a store.
type counting struct {
	fleet.Store
	updates, views atomic.Int64
}

func (c *counting) Update(ctx context.Context, fn func(fleet.Tx) error) error {
	c.updates.Add(1)
	return c.Store.Update(ctx, fn)
}

func (c *counting) View(ctx context.Context, fn func(fleet.Tx) error) error {
	c.views.Add(1)
	return c.Store.View(ctx, fn)
}

// world is a service with a site and a clock.
type world struct {
	*fleet.Service
	t     testing.TB
	db    *store.DB
	store *counting
	live  *liveState
	clock *clock
	opts  fleet.Options
}

// each runs a test in a fresh world on every engine.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		c := newClock()
		test(t, newWorld(t, storetest.New(t, storetest.Clock(c.now)), c))
	})
	t.Run("postgresql", func(t *testing.T) {
		c := newClock()
		test(t, newWorld(t, storetest.Postgres(t, storetest.Clock(c.now)), c))
	})
}

func inMemory(t testing.TB) *world {
	c := newClock()
	return newWorld(t, storetest.Memory(t, storetest.Clock(c.now)), c)
}

func newWorld(t testing.TB, db *store.DB, c *clock) *world {
	t.Helper()
	seed := rand.NewChaCha8([32]byte{7})
	w := &world{
		t: t, db: db, clock: c,
		opts: fleet.Options{Now: c.now, IDs: ident.New(c.now, seed), Fuse: fleet.FuseLimits{PerBank: 1000, PerActor: 1000, Fleet: 10_000}},
	}
	w.restart()
	_, err := w.CreateSite(t.Context(), fleet.NewSite{ID: site, Name: "Main Street", Position: &fleet.Position{LatE6: 52_520_000, LonE6: 13_405_000}})
	w.must(err)
	return w
}

// restart is a new process over the same record.
func (w *world) restart() {
	w.t.Helper()
	w.store = &counting{Store: w.db.Fleet()}
	w.live = &liveState{presence: map[locker.BankID]fleet.Presence{}}
	w.Service = fleet.New(w.store, w.live, w.opts)
	w.must(w.Load(w.t.Context()))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ctx() context.Context { return w.t.Context() }

// sql is how many transactions fn needed.
func (w *world) sql(fn func()) int64 {
	before := w.store.updates.Load() + w.store.views.Load()
	fn()
	return w.store.updates.Load() + w.store.views.Load() - before
}

// agentUp is the agents' clock now: they started 1,000 s before the world did.
func (w *world) agentUp() int64 {
	return w.clock.now().Sub(newClock().t).Milliseconds() + 1_000_000
}

// create makes a bank and answers its claim code.
func (w *world) create(id locker.BankID, layout string) string {
	w.t.Helper()
	_, code, err := w.CreateBank(w.ctx(), fleet.NewBank{ID: id, Site: site, Layout: layout})
	w.must(err)
	return code
}

// birth announces a connection.
func (w *world) birth(id locker.BankID, boot string, ep uint32) fleet.Answer {
	w.t.Helper()
	a, err := w.Live(w.ctx(), id, fleet.LiveReport{Status: fleet.Birth, Boot: boot, Ep: ep, Up: w.agentUp()})
	w.must(err)
	return a
}

func (w *world) end(id locker.BankID, status fleet.LiveStatus, boot string, ep uint32) fleet.Answer {
	w.t.Helper()
	a, err := w.Live(w.ctx(), id, fleet.LiveReport{Status: status, Boot: boot, Ep: ep})
	w.must(err)
	return a
}

func (w *world) beat(id locker.BankID, boot string, ep uint32) fleet.Answer {
	w.t.Helper()
	return w.Heartbeat(id, fleet.Heartbeat{Boot: boot, Ep: ep, Up: w.agentUp()})
}

// calm is a snapshot of n doors: locked, closed, empty.
func (w *world) calm(n int, rev, head uint64) fleet.Snapshot {
	s := fleet.Snapshot{Boot: boot1, Ep: 1, Up: w.agentUp(), Rev: rev, Head: head}
	for no := 1; no <= n; no++ {
		s.Compartments = append(s.Compartments, fleet.CompartmentReport{No: no, Lock: locker.Locked, Door: locker.DoorClosed, Content: locker.Empty})
	}
	return s
}

// ready makes a bank of n small doors that is online, closed and empty.
func (w *world) ready(id locker.BankID, n int) {
	w.t.Helper()
	w.create(id, fmt.Sprintf("S:%d", n))
	w.birth(id, boot1, 1)
	w.must(w.Snapshot(w.ctx(), id, w.calm(n, 1, 0)))
}

func (w *world) door(no int) fleet.Compartment {
	w.t.Helper()
	rows, err := w.Compartments(w.ctx(), bank)
	w.must(err)
	return rows[no-1]
}

// facts takes what was told since the last call.
func (w *world) facts() []event.Fact {
	w.t.Helper()
	told, err := storetest.Facts(w.ctx(), w.db)
	w.must(err)
	var facts []event.Fact
	for _, d := range told {
		f, err := event.Decode(event.Kind(d.Event.Type), d.Event.Data)
		w.must(err)
		facts = append(facts, f)
	}
	return facts
}

func (w *world) kinds() []event.Kind {
	w.t.Helper()
	kinds := []event.Kind{}
	for _, f := range w.facts() {
		kinds = append(kinds, f.Kind())
	}
	return kinds
}

// bankEvents numbers events of one boot, one second apart, beginning at seq.
func (w *world) bankEvents(seq uint64, events ...fleet.DeviceEvent) []fleet.DeviceEvent {
	for i := range events {
		events[i].Seq = seq + uint64(i)
		if events[i].Boot == "" {
			events[i].Boot, events[i].Up = boot1, w.agentUp()
		}
	}
	return events
}

func (w *world) ingest(seq uint64, events ...fleet.DeviceEvent) {
	w.t.Helper()
	acked, err := w.Ingest(w.ctx(), bank, w.bankEvents(seq, events...))
	w.must(err)
	if want := seq + uint64(len(events)) - 1; acked != want {
		w.t.Fatalf("Ingest acknowledged %d, want %d", acked, want)
	}
}

func stage(id locker.CommandID, no int, s fleet.Stage) fleet.DeviceEvent {
	return fleet.DeviceEvent{Type: fleet.EvCommand, No: no, Command: id, Stage: s}
}

func doorMoved(no int, d locker.DoorState, l locker.LockState) fleet.DeviceEvent {
	return fleet.DeviceEvent{Type: fleet.EvDoor, No: no, Door: d, Lock: l}
}

func closing(no int, before, after locker.Content) fleet.DeviceEvent {
	return fleet.DeviceEvent{
		Type: fleet.EvClosing, No: no, Door: locker.DoorClosed, Lock: locker.Locked, OpenMS: 4000,
		Before: &custody.Reading{Content: before}, After: &custody.Reading{Content: after},
	}
}

func tried(no int, id locker.CommandID, g locker.GrantID, p grant.Purpose) fleet.DeviceEvent {
	return fleet.DeviceEvent{Type: fleet.EvAccess, No: no, Command: id, Grant: g, Purpose: p, Reason: grant.OK}
}
