package store

import (
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

const (
	sqlNextTicket = `
UPDATE grants SET ticket = ticket + 1, receipt = $2 WHERE id = $1 AND ended_ms = 0 RETURNING bank`
	sqlInsertGrantChange = `INSERT INTO grant_changes (bank, rev, grant_id) VALUES ($1, $2, $3)`
	sqlGrantRev          = `SELECT grant_rev FROM banks WHERE id = $1`
	sqlSharesOf          = `
SELECT id, member, exp_ms FROM grants WHERE parcel = $1 AND ended_ms = 0 AND member <> '' ORDER BY member LIMIT CAST($2 AS BIGINT)`
)

// NextTicket takes the tickets of a live grant back by counting one further, and answers the
// revision that says so; changed is false when the grant is over.
func (tx accessTx) NextTicket(id locker.GrantID, receipt bool) (rev uint64, changed bool, err error) {
	bank, changed, err := One(tx.Tx, Value[string], sqlNextTicket, string(id), flag(receipt))
	if err != nil || !changed {
		return 0, false, wrap(err, "renew the ticket of %s", id)
	}
	if rev, err = tx.NextGrantRev(locker.BankID(bank)); err != nil {
		return 0, false, err
	}
	_, err = tx.Exec(sqlInsertGrantChange, bank, int64(rev), string(id))
	return rev, err == nil, wrap(err, "note revision %d of %s", rev, bank)
}

// GrantRev is the newest revision of a bank's grants, 0 for none.
func (tx accessTx) GrantRev(bank locker.BankID) (uint64, error) {
	rev, _, err := One(tx.Tx, Value[int64], sqlGrantRev, string(bank))
	return uint64(rev), wrap(err, "read the grant revision of %s", bank)
}

// Shares lists the live grants of a parcel that belong to members of a group, by member.
func (tx deliveryTx) Shares(id locker.ParcelID, limit int) ([]grant.Grant, error) {
	rows, err := All(tx.Tx, func(row Scanner) (grant.Grant, error) {
		g := grant.Grant{Parcel: id, Purpose: grant.Collect}
		var exp int64
		err := row.Scan(&g.ID, &g.Member, &exp)
		g.NotAfter = instant(exp)
		return g, err
	}, sqlSharesOf, string(id), limit)
	return rows, wrap(err, "read who shares %s", id)
}
