package store

import (
	"encoding/hex"
	"fmt"
	"time"

	"lockerfleet/controlcenter/internal/access"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// Grants are issued and ended by several rooms inside their own transactions.

const (
	grantColumns = `g.id, g.bank, g.no, g.parcel, g.purpose, g.digest, g.generation, g.nbf_ms, g.exp_ms,
    g.openings, g.failures, g.end_reason, g.rev, g.end_rev,
    g.member, g.ticket, g.receipt`

	sqlInsertGrant = `
INSERT INTO grants (id, bank, no, parcel, purpose, digest, generation, nbf_ms, exp_ms, openings, failures, rev, created_ms, member)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`

	sqlEndGrant     = `UPDATE grants SET ended_ms = $2, end_reason = $3, end_rev = $4 WHERE id = $1`
	sqlGrantEnding  = `SELECT bank, end_rev FROM grants WHERE id = $1`
	sqlGrantParcel  = `SELECT parcel FROM grants WHERE id = $1`
	sqlChargeGrant  = `UPDATE grants SET failures = failures + 1 WHERE id = $1 AND ended_ms = 0 RETURNING failures`
	sqlCountOpening = `UPDATE grants SET openings = openings + 1 WHERE id = $1`

	sqlGrantByID = `SELECT ` + grantColumns + `, b.site FROM grants AS g JOIN banks AS b ON b.id = g.bank WHERE g.id = $1`

	sqlLiveGrantsAt = `
SELECT ` + grantColumns + `, b.site FROM grants AS g JOIN banks AS b ON b.id = g.bank
WHERE g.bank = $1 AND g.no = $2 AND g.ended_ms = 0 ORDER BY g.rev LIMIT CAST($3 AS BIGINT)`

	sqlOverGrantsAt = `
SELECT ` + grantColumns + `, b.site FROM grants AS g JOIN banks AS b ON b.id = g.bank
WHERE g.bank = $1 AND g.no = $2 AND g.ended_ms > 0 ORDER BY g.ended_ms DESC, g.rev DESC LIMIT CAST($3 AS BIGINT)`

	sqlDueGrants = `
SELECT ` + grantColumns + `, b.site FROM grants AS g JOIN banks AS b ON b.id = g.bank
WHERE g.exp_ms <= $1 AND g.ended_ms = 0 ORDER BY g.exp_ms, g.id LIMIT CAST($2 AS BIGINT)`

	sqlNextGrantEnd = `SELECT COALESCE(MIN(exp_ms), 0) FROM grants WHERE ended_ms = 0`

	sqlGrantsSince = `
SELECT ` + grantColumns + `, g.rev AS at_rev FROM grants AS g WHERE g.bank = $1 AND g.rev > CAST($2 AS BIGINT)
UNION ALL
SELECT ` + grantColumns + `, g.end_rev AS at_rev FROM grants AS g WHERE g.bank = $1 AND g.end_rev > CAST($2 AS BIGINT) AND g.end_rev > 0
UNION ALL
SELECT ` + grantColumns + `, c.rev AS at_rev FROM grant_changes AS c JOIN grants AS g ON g.id = c.grant_id
WHERE c.bank = $1 AND c.rev > CAST($2 AS BIGINT)
ORDER BY at_rev LIMIT CAST($3 AS BIGINT)`
)

// maxLiveAtDoor bounds the live grants of one door that a try is checked against: a parcel's two
// and a few given out by hand.
const maxLiveAtDoor = 16

// InsertGrant keeps a new grant and answers the revision that issues it.
func (tx *Tx) InsertGrant(g grant.Grant, generation int) (uint64, error) {
	rev, err := tx.NextGrantRev(g.Compartment.Bank)
	if err != nil {
		return 0, err
	}
	err = tx.Put(sqlInsertGrant, string(g.ID), string(g.Compartment.Bank), g.Compartment.No, string(g.Parcel),
		string(g.Purpose), hex.EncodeToString(g.Digest[:]), generation, g.NotBefore.UnixMilli(), g.NotAfter.UnixMilli(),
		g.Openings, g.Failures, int64(rev), tx.NowMS(), g.Member)
	return rev, wrap(err, "insert grant %s", g.ID)
}

// EndGrant ends a live grant and answers the revision that says so; ended is false when the grant
// was over already, and rev is then that of its end.
func (tx *Tx) EndGrant(id locker.GrantID, reason string) (rev uint64, ended bool, err error) {
	type ending struct {
		bank string
		rev  int64
	}
	e, found, err := One(tx, func(row Scanner) (e ending, err error) {
		err = row.Scan(&e.bank, &e.rev)
		return e, err
	}, sqlGrantEnding, string(id))
	if err != nil || !found || e.rev > 0 {
		return uint64(e.rev), false, wrap(err, "read grant %s", id)
	}
	if rev, err = tx.NextGrantRev(locker.BankID(e.bank)); err != nil {
		return 0, false, err
	}
	_, err = tx.Exec(sqlEndGrant, string(id), tx.NowMS(), reason, int64(rev))
	return rev, err == nil, wrap(err, "end grant %s", id)
}

// ParcelOfGrant answers what a grant was made for; empty when there is no such grant.
func (tx *Tx) ParcelOfGrant(id locker.GrantID) (locker.ParcelID, error) {
	p, _, err := One(tx, Value[string], sqlGrantParcel, string(id))
	return locker.ParcelID(p), wrap(err, "read grant %s", id)
}

// Grant reads one grant.
func (tx accessTx) Grant(id locker.GrantID) (access.Grant, bool, error) {
	g, found, err := One(tx.Tx, scanGrant, sqlGrantByID, string(id))
	return g, found, wrap(err, "read grant %s", id)
}

// GrantsAt lists the grants of a door: the live ones and those that ended last.
func (tx accessTx) GrantsAt(c locker.CompartmentID) ([]access.Grant, error) {
	live, err := All(tx.Tx, scanGrant, sqlLiveGrantsAt, string(c.Bank), c.No, maxLiveAtDoor)
	if err != nil {
		return nil, fmt.Errorf("read grants of %s: %w", c, err)
	}
	over, err := All(tx.Tx, scanGrant, sqlOverGrantsAt, string(c.Bank), c.No, access.MaxEnded)
	return append(live, over...), wrap(err, "read ended grants of %s", c)
}

// ChargeGrant counts one wrong try and answers how many there are; 0 when the grant is over.
func (tx accessTx) ChargeGrant(id locker.GrantID) (int, error) {
	n, _, err := One(tx.Tx, Value[int64], sqlChargeGrant, string(id))
	return int(n), wrap(err, "charge grant %s", id)
}

// CountOpening counts one opened door.
func (tx accessTx) CountOpening(id locker.GrantID) error {
	_, err := tx.Exec(sqlCountOpening, string(id))
	return wrap(err, "count an opening with %s", id)
}

// GrantsSince lists revisions of a bank above rev, in order.
func (tx accessTx) GrantsSince(bank locker.BankID, rev uint64, limit int) ([]access.GrantRow, error) {
	rows, err := All(tx.Tx, scanRevision, sqlGrantsSince, string(bank), int64(rev), limit)
	return rows, wrap(err, "read grants of %s", bank)
}

// DueGrants lists live grants whose time is over.
func (tx accessTx) DueGrants(now time.Time, limit int) ([]access.Grant, error) {
	due, err := All(tx.Tx, scanGrant, sqlDueGrants, now.UnixMilli(), limit)
	return due, wrap(err, "read due grants")
}

// NextGrantEnd is when the next live grant ends by its time.
func (tx accessTx) NextGrantEnd() (time.Time, error) {
	ms, _, err := One(tx.Tx, Value[int64], sqlNextGrantEnd)
	return instant(ms), wrap(err, "read next end of a grant")
}

func scanGrant(row Scanner) (access.Grant, error) {
	var site string
	g, err := scanGrantAnd(row, &site)
	g.Site = locker.SiteID(site)
	return g, err
}

func scanRevision(row Scanner) (access.GrantRow, error) {
	var rev int64
	g, err := scanGrantAnd(row, &rev)
	return access.GrantRow{Rev: uint64(rev), Grant: g, Ended: g.EndRev > 0, Reason: g.EndReason}, err
}

func scanGrantAnd(row Scanner, last any) (access.Grant, error) {
	var g access.Grant
	var digest string
	var nbf, exp, rev, endRev, number, receipt int64
	err := row.Scan(&g.ID, &g.Compartment.Bank, &g.Compartment.No, &g.Parcel, &g.Purpose, &digest, &g.Generation,
		&nbf, &exp, &g.Openings, &g.Failures, &g.EndReason, &rev, &endRev, &g.Member, &number, &receipt, last)
	if err != nil {
		return g, err
	}
	if n, err := hex.Decode(g.Digest[:], []byte(digest)); err != nil || n != grant.DigestLen {
		return g, fmt.Errorf("digest of grant %s is damaged", g.ID)
	}
	g.NotBefore, g.NotAfter = instant(nbf), instant(exp)
	g.Rev, g.EndRev = uint64(rev), uint64(endRev)
	g.Ticket, g.Receipt = uint32(number), receipt > 0
	g.Spent, g.Revoked = g.EndReason == access.EndSpent, g.EndReason == access.EndRevoked
	return g, nil
}
