package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"lockerfleet/controlcenter/internal/event"
)

// The duty to deliver. One relay at a time holds it, by a lease in the table
// leases. It keeps in memory what it has taken out and settles in batches, so a
// fact costs no commit of its own. Every writing of the relay begins with
// renewing the lease under the relay's own name: one that lost the duty changes
// nothing any more, and on PostgreSQL the locked row keeps two relays from
// taking facts out at the same time.

// relayLease names the duty in the table leases.
const relayLease = "relay"

// maxTaken bounds the facts read at once.
const maxTaken = 1024

const (
	sqlSeizeDuty = `
INSERT INTO leases (name, owner, until_ms) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms`
	sqlRenewDuty = `UPDATE leases SET until_ms = $3 WHERE name = $1 AND owner = $2`

	// What the last relay had taken out begins anew. On SQLite, where taking is
	// not written down, everything left may have been tried once.
	sqlFreshTerm    = `UPDATE outbox SET attempts = attempts + 1, next_ms = 0`
	sqlPostgresTerm = `UPDATE outbox SET next_ms = 0 WHERE next_ms > 0`

	sqlFacts = `
SELECT o.id, o.attempts + 1, ` + factColumns + `, COALESCE(e.seq, 0), COALESCE(e.bank_seq, 0), COALESCE(e.partner_seq, 0)
FROM outbox AS o LEFT JOIN events AS e ON e.id = o.event_id AND o.public = 1
WHERE o.id > $1 ORDER BY o.id LIMIT CAST($2 AS BIGINT)`
	factColumns = `o.event_id, o.type, o.site, o.bank, o.partner, o.subject, o.cause, o.public, o.occurred_ms, o.recorded_ms, o.data`

	sqlPostgresTake = `
UPDATE outbox AS o SET attempts = o.attempts + 1, next_ms = $1
WHERE o.id IN (SELECT n.id FROM outbox AS n WHERE n.next_ms = 0 ORDER BY n.id LIMIT CAST($2 AS BIGINT))
RETURNING o.id, o.attempts, ` + factColumns + `, CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT)`

	sqlPlaceOfEvent = `SELECT seq, bank_seq, partner_seq FROM events WHERE id = $1`

	sqlDone  = `DELETE FROM outbox WHERE id = $1`
	sqlRetry = `UPDATE outbox SET attempts = $2, next_ms = $3, error = $4 WHERE id = $1`
	sqlBury  = `
INSERT INTO outbox_dead (id, ` + eventColumns + `, attempts, error, dead_ms)
SELECT id, ` + eventColumns + `, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS BIGINT) FROM outbox WHERE id = $1
ON CONFLICT (id) DO NOTHING`
)

// Begin gives owner the duty to deliver until ttl from now, when nobody else
// holds it or, with seize, in any case. Everything not settled is handed out
// again in the new term. An owner's name is used by one process only.
func (o Outbox) Begin(ctx context.Context, owner string, ttl time.Duration, seize bool) (held bool, err error) {
	err = o.db.engine.update(ctx, locked, func(tx *Tx) error {
		if held, err = tx.takeDuty(owner, ttl, seize); err != nil || !held {
			return err
		}
		return tx.freshTerm()
	})
	if err != nil {
		return false, fmt.Errorf("begin to deliver facts: %w", err)
	}
	return held, nil
}

func (tx *Tx) freshTerm() (err error) {
	if tx.db.dialect == PostgreSQL {
		_, err = tx.Exec(sqlPostgresTerm)
	} else {
		_, err = tx.Exec(sqlFreshTerm)
	}
	return err
}

func (tx *Tx) takeDuty(owner string, ttl time.Duration, seize bool) (bool, error) {
	until := tx.now.Add(ttl).UnixMilli()
	if seize {
		_, err := tx.Exec(sqlSeizeDuty, relayLease, owner, until)
		return true, err
	}
	n, err := tx.Exec(sqlTakeLease, relayLease, owner, until, tx.NowMS())
	return n == 1, err
}

// renewDuty reports whether owner still has the duty, and keeps it for ttl more.
func (tx *Tx) renewDuty(owner string, ttl time.Duration) (bool, error) {
	n, err := tx.Exec(sqlRenewDuty, relayLease, owner, tx.now.Add(ttl).UnixMilli())
	return n == 1, err
}

// End gives the duty back; it does nothing if owner does not have it.
func (o Outbox) End(ctx context.Context, owner string) error {
	return o.db.DropLease(ctx, relayLease, owner)
}

// Read hands out facts, at most limit (1 to 1,024), those of a bank in their
// order. On SQLite they are those behind the id after. On PostgreSQL after does
// not matter: they are those not handed out in this term, there are none for
// who lost the duty, and public ones are in the log before Read returns.
func (o Outbox) Read(ctx context.Context, owner string, ttl time.Duration, after int64, limit int) (facts []Delivery, err error) {
	limit = min(max(limit, 1), maxTaken)
	if o.db.dialect == PostgreSQL {
		err = o.db.engine.update(ctx, locked, func(tx *Tx) error {
			facts, err = tx.take(owner, ttl, limit)
			return err
		})
	} else {
		err = o.db.View(ctx, func(tx *Tx) error {
			facts, err = All(tx, scanDelivery, sqlFacts, after, limit)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return facts, nil
}

// take marks facts as handed out, so that none is handed out twice in a term
// however late its transaction became visible.
func (tx *Tx) take(owner string, ttl time.Duration, limit int) ([]Delivery, error) {
	held, err := tx.renewDuty(owner, ttl)
	if err != nil || !held {
		return nil, err
	}
	taken, err := All(tx, scanDelivery, sqlPostgresTake, max(tx.NowMS(), 1), limit)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(taken, func(a, b Delivery) int { return cmp.Compare(a.ID, b.ID) })
	return taken, tx.log(taken)
}

// log writes the public ones of the facts handed out for the first time into
// the log, and notes where all of them stand in it.
func (tx *Tx) log(facts []Delivery) error {
	var fresh, again []*Event
	var rows, ids [][]any
	for i := range facts {
		e := &facts[i].Event
		if e.Private {
			continue
		}
		if facts[i].Attempt > 1 {
			again, ids = append(again, e), append(ids, []any{e.ID})
			continue
		}
		shown, err := event.Shown(e.Data)
		if err != nil {
			return fmt.Errorf("show event %s: %w", e.ID, err)
		}
		fresh, rows = append(fresh, e), append(rows, []any{e.ID, e.Type, e.Site, e.Bank, e.Partner, e.Subject, e.Cause,
			e.Occurred.UnixMilli(), e.Recorded.UnixMilli(), string(shown)})
	}
	if len(rows) > 0 {
		tx.AfterCommit(tx.db.events.raise)
		if err := tx.places(fresh, sqlLogEvent, rows); err != nil {
			return err
		}
	}
	return tx.places(again, sqlPlaceOfEvent, ids)
}

// places notes where events stand in the log. One tried for so long that the
// log has let go of it has no place.
func (tx *Tx) places(events []*Event, sqlText string, rows [][]any) error {
	return tx.lookUp(sqlText, rows, func(i int, row Scanner) error {
		return row.Scan(&events[i].Seq, &events[i].BankSeq, &events[i].PartnerSeq)
	})
}

func scanDelivery(row Scanner) (Delivery, error) {
	var d Delivery
	var public, occurred, recorded int64
	var data string
	e := &d.Event
	err := row.Scan(&d.ID, &d.Attempt, &e.ID, &e.Type, &e.Site, &e.Bank, &e.Partner, &e.Subject, &e.Cause,
		&public, &occurred, &recorded, &data, &e.Seq, &e.BankSeq, &e.PartnerSeq)
	e.Private = public == 0
	e.Occurred, e.Recorded = fromMS(occurred), fromMS(recorded)
	e.Data = json.RawMessage(data)
	return d, err
}

// Settlement is what has become of facts since the last one.
type Settlement struct {
	Done   []int64 // every reaction is finished: they are forgotten
	Failed []Failure
}

// Failure is a fact whose reaction failed.
type Failure struct {
	ID      int64
	Attempt int       // how often it was tried
	Until   time.Time // when it is tried again; zero: it is given up and moves to the dead ones
	Cause   string    // for operators
}

// Settle writes a settlement down and keeps the duty for ttl from now. An empty
// one only does the latter. For who lost the duty held is false and nothing is
// written.
func (o Outbox) Settle(ctx context.Context, owner string, ttl time.Duration, s Settlement) (held bool, err error) {
	err = o.db.engine.update(ctx, locked, func(tx *Tx) error {
		if held, err = tx.renewDuty(owner, ttl); err != nil || !held {
			return err
		}
		return tx.settle(s)
	})
	if err != nil {
		return false, fmt.Errorf("settle outbox: %w", err)
	}
	return held, nil
}

func (tx *Tx) settle(s Settlement) error {
	var gone, retried, dead [][]any
	for _, f := range s.Failed {
		if !f.Until.IsZero() {
			retried = append(retried, []any{f.ID, f.Attempt, max(f.Until.UnixMilli(), 1), f.Cause})
			continue
		}
		dead = append(dead, []any{f.ID, f.Attempt, f.Cause, tx.NowMS()})
		gone = append(gone, []any{f.ID})
	}
	for _, id := range s.Done {
		gone = append(gone, []any{id})
	}
	if err := tx.Many(sqlRetry, retried); err != nil {
		return err
	}
	if err := tx.Many(sqlBury, dead); err != nil {
		return err
	}
	return tx.Many(sqlDone, gone)
}
