package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Event is one fact: emitted by a transaction, carried by the outbox to those
// who react to it and, unless private, kept in the public log.
type Event struct {
	ID       string    // unique; empty in Emit means a new one
	Type     string    // such as "parcel.deposited"
	Site     string    // may be empty
	Bank     string    // the lane: facts of one bank stay in order; empty promises no order
	Partner  string    // whose business it is; may be empty
	Subject  string    // what it is about, such as a statement id
	Cause    string    // the command, grant or request that led to it
	Private  bool      // only for the rooms, never in the public log
	Occurred time.Time // when it happened; zero in Emit means the transaction's time
	Recorded time.Time // set by Emit: the transaction's time
	Data     json.RawMessage

	// The places in the public log, from 1; set by reading it. BankSeq and
	// PartnerSeq are 0 when there is no bank or partner.
	Seq, BankSeq, PartnerSeq int64
}

const (
	eventColumns = `event_id, type, site, bank, partner, subject, cause, public, occurred_ms, recorded_ms, data`
	logColumns   = `seq, id, type, site, bank, bank_seq, partner, partner_seq, subject, cause, occurred_ms, recorded_ms, data`

	sqlLogEvent = `
INSERT INTO events (` + logColumns + `)
VALUES (
    (SELECT COALESCE(MAX(seq), 0) + 1 FROM events),
    CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT),
    CAST($4 AS TEXT),
    CASE WHEN CAST($4 AS TEXT) = '' THEN 0 ELSE
        (SELECT COALESCE(MAX(bank_seq), 0) + 1 FROM events WHERE bank = CAST($4 AS TEXT) AND bank_seq > 0) END,
    CAST($5 AS TEXT),
    CASE WHEN CAST($5 AS TEXT) = '' THEN 0 ELSE
        (SELECT COALESCE(MAX(partner_seq), 0) + 1 FROM events WHERE partner = CAST($5 AS TEXT) AND partner_seq > 0) END,
    CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS BIGINT), CAST($9 AS BIGINT), CAST($10 AS TEXT))
ON CONFLICT (id) DO NOTHING
RETURNING seq, bank_seq, partner_seq`

	sqlEventsAfter        = `SELECT ` + logColumns + ` FROM events WHERE seq > $1 ORDER BY seq LIMIT CAST($2 AS BIGINT)`
	sqlBankEventsAfter    = `SELECT ` + logColumns + ` FROM events WHERE bank = $1 AND bank_seq > $2 AND bank_seq > 0 ORDER BY bank_seq LIMIT CAST($3 AS BIGINT)`
	sqlPartnerEventsAfter = `SELECT ` + logColumns + ` FROM events WHERE partner = $1 AND partner_seq > $2 AND partner_seq > 0 ORDER BY partner_seq LIMIT CAST($3 AS BIGINT)`
	sqlLastEvent          = `SELECT COALESCE(MAX(seq), 0) FROM events`
	sqlPruneEvents        = `
DELETE FROM events
WHERE seq IN (SELECT seq FROM events WHERE recorded_ms < $1 ORDER BY seq LIMIT CAST($2 AS BIGINT))
  AND seq < (SELECT MAX(seq) FROM events)
  AND (bank_seq = 0 OR bank_seq < (SELECT MAX(b.bank_seq) FROM events AS b WHERE b.bank = events.bank AND b.bank_seq > 0))
  AND (partner_seq = 0 OR partner_seq < (SELECT MAX(p.partner_seq) FROM events AS p WHERE p.partner = events.partner AND p.partner_seq > 0))`
)

// maxEvents bounds one page of the log.
const maxEvents = 1000

// EventsAfter reads the fleet's log from after seq, oldest first, at most
// limit (1 to 1,000) events. No event appears later at or below a seq already
// read.
func (tx *Tx) EventsAfter(seq int64, limit int) ([]Event, error) {
	events, err := All(tx, scanLogged, sqlEventsAfter, seq, pageSize(limit))
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

// BankEventsAfter reads the log of one bank from after its BankSeq.
func (tx *Tx) BankEventsAfter(bank string, bankSeq int64, limit int) ([]Event, error) {
	events, err := All(tx, scanLogged, sqlBankEventsAfter, bank, bankSeq, pageSize(limit))
	if err != nil {
		return nil, fmt.Errorf("read events of bank %s: %w", bank, err)
	}
	return events, nil
}

// PartnerEventsAfter reads the log of one partner from after its PartnerSeq.
func (tx *Tx) PartnerEventsAfter(partner string, partnerSeq int64, limit int) ([]Event, error) {
	events, err := All(tx, scanLogged, sqlPartnerEventsAfter, partner, partnerSeq, pageSize(limit))
	if err != nil {
		return nil, fmt.Errorf("read events of partner %s: %w", partner, err)
	}
	return events, nil
}

// LastEvent is the Seq of the newest event, 0 in an empty log.
func (tx *Tx) LastEvent() (int64, error) {
	seq, _, err := One(tx, Value[int64], sqlLastEvent)
	return seq, err
}

// Logged is signalled when the log of this process has grown; several events
// may share one signal. Another process's events are seen by asking now and
// then. stop ends the listening.
func (db *DB) Logged() (heard <-chan struct{}, stop func()) { return db.events.listen() }

// PruneEvents deletes up to limit events recorded before the given time and
// answers how many. The newest of the fleet, of each bank and of each partner
// stay, because they carry the counting.
func (db *DB) PruneEvents(ctx context.Context, before time.Time, limit int) (deleted int64, err error) {
	err = db.engine.update(ctx, locked, func(tx *Tx) error {
		deleted, err = tx.Exec(sqlPruneEvents, before.UnixMilli(), limit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune events: %w", err)
	}
	return deleted, nil
}

func pageSize(limit int) int { return min(max(limit, 1), maxEvents) }

func scanLogged(row Scanner) (Event, error) {
	var e Event
	var occurred, recorded int64
	var data string
	err := row.Scan(&e.Seq, &e.ID, &e.Type, &e.Site, &e.Bank, &e.BankSeq, &e.Partner, &e.PartnerSeq,
		&e.Subject, &e.Cause, &occurred, &recorded, &data)
	e.Occurred, e.Recorded = fromMS(occurred), fromMS(recorded)
	e.Data = json.RawMessage(data)
	return e, err
}

// fromMS is the time of a column: UTC milliseconds.
func fromMS(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
