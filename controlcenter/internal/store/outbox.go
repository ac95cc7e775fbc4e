package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// The outbox. Emit writes facts into the transaction that makes them true; the
// relay takes them, reacts and settles (see duty.go).
//
// Order of a bank. Facts of one bank are handed out in the order their
// transactions were committed. SQLite has one writer, so ids are handed out in
// that order. PostgreSQL hands an id out before the commit, and a lower id may
// become visible after a higher one; so whoever emits for a bank first takes
// the bank's row in outbox_lanes, which it keeps until its commit. The next
// one gets its ids only afterwards, and within a bank ids follow commits. Facts
// without a bank take no row and have no order.
//
// The public log. Its numbers are given in the order in which facts become
// visible, without gaps, so a reader that pages by number misses nothing. On
// SQLite a fact is in the log from the commit that made it true, because there
// is one writer. On PostgreSQL the numbers would make all commits wait for each
// other; there the relay writes the log as it takes facts out, under the lock
// on its own lease. The log holds each event id once, so a crash neither loses
// nor doubles one.

// Outbox hands facts to the relay. It is safe for concurrent use.
type Outbox struct{ db *DB }

// Outbox is the relay's side of the facts emitted.
func (db *DB) Outbox() Outbox { return Outbox{db} }

// Delivery is a fact that is not settled.
type Delivery struct {
	ID      int64 // place in the outbox, rising within a bank
	Attempt int   // 1 at the first try
	Event   Event // with its places in the log, unless it is private
}

const (
	sqlEmit = `
INSERT INTO outbox (` + eventColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

	sqlPostgresLockLane = `
INSERT INTO outbox_lanes (bank, emitted) VALUES ($1, 1)
ON CONFLICT (bank) DO UPDATE SET emitted = outbox_lanes.emitted + 1`

	sqlBacklog = `
SELECT COUNT(*), COALESCE(MIN(recorded_ms), 0), (SELECT COUNT(*) FROM outbox_dead) FROM outbox`
)

// Emit adds a fact to the transaction. It is written when the function
// returns nil and heard of after the commit.
func (tx *Tx) Emit(e Event) {
	if e.ID == "" {
		e.ID = tx.db.opts.NewID()
	}
	if e.Occurred.IsZero() {
		e.Occurred = tx.now
	}
	e.Occurred, e.Recorded = e.Occurred.UTC(), tx.now
	if len(e.Data) == 0 {
		e.Data = json.RawMessage("{}")
	}
	tx.emitted = append(tx.emitted, Delivery{Attempt: 1, Event: e})
}

func (tx *Tx) writeOutbox() error {
	if err := tx.writeFacts(); err != nil {
		return fmt.Errorf("write outbox: %w", err)
	}
	if tx.db.dialect == PostgreSQL {
		tx.AfterCommit(func() { tx.db.committed.tell(nil) })
		return nil
	}
	return tx.log(tx.emitted)
}

func (tx *Tx) writeFacts() error {
	if tx.db.dialect == PostgreSQL {
		if err := tx.lockLanes(); err != nil {
			return err
		}
		rows := make([][]any, len(tx.emitted))
		for i := range tx.emitted {
			rows[i] = tx.emitted[i].Event.row()
		}
		return tx.Many(sqlEmit, rows)
	}
	for i := range tx.emitted {
		id, err := tx.insert(sqlEmit, tx.emitted[i].Event.row()...)
		if err != nil {
			return err
		}
		tx.emitted[i].ID = id
	}
	return nil
}

// insert answers the id SQLite gave to the new row.
func (tx *Tx) insert(sqlText string, args ...any) (int64, error) {
	if err := tx.usable(); err != nil {
		return 0, err
	}
	res, err := tx.session.exec(tx.ctx, sqlText, args)
	if err != nil {
		return 0, tx.fail(err)
	}
	return res.LastInsertId()
}

// row is e in the order of eventColumns.
func (e *Event) row() []any {
	return []any{e.ID, e.Type, e.Site, e.Bank, e.Partner, e.Subject, e.Cause, flag(!e.Private),
		e.Occurred.UnixMilli(), e.Recorded.UnixMilli(), string(e.Data)}
}

// lockLanes takes the rows in the order of their names, so that two
// transactions never wait for each other.
func (tx *Tx) lockLanes() error {
	var lanes []string
	for _, d := range tx.emitted {
		if d.Event.Bank != "" {
			lanes = append(lanes, d.Event.Bank)
		}
	}
	slices.Sort(lanes)
	var rows [][]any
	for _, lane := range slices.Compact(lanes) {
		rows = append(rows, []any{lane})
	}
	return tx.Many(sqlPostgresLockLane, rows)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Follow calls fn after each commit of this process that has emitted, until
// stop. On SQLite fn gets the facts, whole transactions in the order of their
// commits, on the goroutine of the writer: it must return at once and keep no
// slice. On PostgreSQL it gets nil, from any goroutine: the facts must be read.
// Facts of another process are found by reading now and then.
func (o Outbox) Follow(fn func(facts []Delivery)) (stop func()) { return o.db.committed.follow(fn) }

// Backlog is what the outbox holds.
type Backlog struct {
	Open   int64     // facts not settled
	Oldest time.Time // when the oldest of them was recorded; zero if there is none
	Dead   int64     // facts given up
}

// Backlog counts what is not settled, for health and metrics.
func (o Outbox) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	err := o.db.View(ctx, func(tx *Tx) error {
		var oldest int64
		if err := tx.QueryRow(sqlBacklog).Scan(&b.Open, &oldest, &b.Dead); err != nil {
			return err
		}
		if b.Open > 0 {
			b.Oldest = fromMS(oldest)
		}
		return nil
	})
	if err != nil {
		return Backlog{}, fmt.Errorf("count outbox: %w", err)
	}
	return b, nil
}
