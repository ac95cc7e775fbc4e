package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
)

// PeopleStore keeps the records of the room people. It is safe for concurrent use.
type PeopleStore struct{ db *DB }

// People is the store of the room people.
func (db *DB) People() PeopleStore { return PeopleStore{db} }

// Update runs fn in one transaction.
func (s PeopleStore) Update(ctx context.Context, fn func(people.Tx) error) error {
	return s.db.Update(ctx, func(tx *Tx) error { return fn(peopleTx{tx}) })
}

// View runs fn on one snapshot.
func (s PeopleStore) View(ctx context.Context, fn func(people.Tx) error) error {
	return s.db.View(ctx, func(tx *Tx) error { return fn(peopleTx{tx}) })
}

// peopleTx is people.Tx.
type peopleTx struct{ *Tx }

const (
	personColumns  = `id, role, name, email, sites, disabled, created_ms, login_ms`
	partnerColumns = `id, name, kind, webhook_url, disabled, created_ms`

	sqlInsertPerson = `
INSERT INTO people (` + personColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`
	sqlUpdatePerson = `
UPDATE people SET role = $2, name = $3, email = $4, sites = $5, disabled = $6, login_ms = $7 WHERE id = $1`
	sqlPersonByID = `SELECT ` + personColumns + ` FROM people WHERE id = $1`
	sqlPeople     = `SELECT ` + personColumns + ` FROM people WHERE id > $1 ORDER BY id LIMIT CAST($2 AS BIGINT)`
	sqlPeopleRole = `SELECT ` + personColumns + ` FROM people WHERE role = $1 AND id > $2 ORDER BY id LIMIT CAST($3 AS BIGINT)`

	sqlInsertPartner = `
INSERT INTO partners (` + partnerColumns + `, webhook_secret) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING`
	sqlUpdatePartner = `
UPDATE partners SET name = $2, kind = $3, webhook_url = $4, disabled = $5 WHERE id = $1`
	sqlSetWebhookSecret = `UPDATE partners SET webhook_secret = $2 WHERE id = $1`
	sqlPartnerByID      = `SELECT ` + partnerColumns + ` FROM partners WHERE id = $1`
	sqlWebhookSecret    = `SELECT webhook_secret FROM partners WHERE id = $1`
	sqlPartners         = `SELECT ` + partnerColumns + ` FROM partners WHERE id > $1 ORDER BY id LIMIT CAST($2 AS BIGINT)`
)

// InsertPerson answers false when the id is taken, by whatever shares the names at the broker.
func (tx peopleTx) InsertPerson(p people.Person) (bool, error) {
	if ok, err := tx.takeName(people.KindPerson, string(p.ID)); err != nil || !ok {
		return false, err
	}
	n, err := tx.Exec(sqlInsertPerson, string(p.ID), string(p.Role), p.Name, p.Email, sitesText(p.Sites),
		flag(p.Disabled), p.Created.UnixMilli(), toMS(p.LoggedIn))
	return n == 1, wrap(err, "insert person %s", p.ID)
}

// UpdatePerson writes everything but the time of creation.
func (tx peopleTx) UpdatePerson(p people.Person) error {
	_, err := tx.Exec(sqlUpdatePerson, string(p.ID), string(p.Role), p.Name, p.Email, sitesText(p.Sites),
		flag(p.Disabled), toMS(p.LoggedIn))
	return wrap(err, "update person %s", p.ID)
}

// Person reads one person.
func (tx peopleTx) Person(id locker.PersonID) (people.Person, bool, error) {
	p, found, err := One(tx.Tx, scanPerson, sqlPersonByID, string(id))
	return p, found, wrap(err, "read person %s", id)
}

// People lists persons by id.
func (tx peopleTx) People(role locker.Role, cursor string, limit int) ([]people.Person, string, error) {
	var after string
	if err := readCursor(cursor, &after); err != nil {
		return nil, "", err
	}
	var rows []people.Person
	var err error
	if role == "" {
		rows, err = All(tx.Tx, scanPerson, sqlPeople, after, limit+1)
	} else {
		rows, err = All(tx.Tx, scanPerson, sqlPeopleRole, string(role), after, limit+1)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list people: %w", err)
	}
	return Page(rows, limit, func(p people.Person) []any { return []any{p.ID} })
}

// InsertPartner answers false when the id is taken, as InsertPerson does.
func (tx peopleTx) InsertPartner(p people.Partner, sealed string) (bool, error) {
	if ok, err := tx.takeName(people.KindPartner, string(p.ID)); err != nil || !ok {
		return false, err
	}
	n, err := tx.Exec(sqlInsertPartner, string(p.ID), p.Name, string(p.Kind), p.WebhookURL, flag(p.Disabled), p.Created.UnixMilli(), sealed)
	return n == 1, wrap(err, "insert partner %s", p.ID)
}

// UpdatePartner writes everything but the secret and the time of creation.
func (tx peopleTx) UpdatePartner(p people.Partner) error {
	_, err := tx.Exec(sqlUpdatePartner, string(p.ID), p.Name, string(p.Kind), p.WebhookURL, flag(p.Disabled))
	return wrap(err, "update partner %s", p.ID)
}

// SetWebhookSecret replaces the sealed secret.
func (tx peopleTx) SetWebhookSecret(id locker.PartnerID, sealed string) error {
	_, err := tx.Exec(sqlSetWebhookSecret, string(id), sealed)
	return wrap(err, "set webhook secret of %s", id)
}

// Partner reads one partner.
func (tx peopleTx) Partner(id locker.PartnerID) (people.Partner, bool, error) {
	p, found, err := One(tx.Tx, scanPartner, sqlPartnerByID, string(id))
	return p, found, wrap(err, "read partner %s", id)
}

// WebhookSecret reads the sealed secret.
func (tx peopleTx) WebhookSecret(id locker.PartnerID) (string, error) {
	sealed, _, err := One(tx.Tx, Value[string], sqlWebhookSecret, string(id))
	return sealed, wrap(err, "read webhook secret of %s", id)
}

// Partners lists partners by id.
func (tx peopleTx) Partners(cursor string, limit int) ([]people.Partner, string, error) {
	var after string
	if err := readCursor(cursor, &after); err != nil {
		return nil, "", err
	}
	rows, err := All(tx.Tx, scanPartner, sqlPartners, after, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list partners: %w", err)
	}
	return Page(rows, limit, func(p people.Partner) []any { return []any{p.ID} })
}

func scanPerson(row Scanner) (people.Person, error) {
	var p people.Person
	var sites string
	var disabled, created, login int64
	if err := row.Scan(&p.ID, &p.Role, &p.Name, &p.Email, &sites, &disabled, &created, &login); err != nil {
		return p, err
	}
	p.Disabled, p.Created, p.LoggedIn = disabled != 0, fromMS(created), instant(login)
	if sites == "[]" {
		return p, nil
	}
	return p, json.Unmarshal([]byte(sites), &p.Sites)
}

func scanPartner(row Scanner) (people.Partner, error) {
	var p people.Partner
	var disabled, created int64
	err := row.Scan(&p.ID, &p.Name, &p.Kind, &p.WebhookURL, &disabled, &created)
	p.Disabled, p.Created = disabled != 0, fromMS(created)
	return p, err
}

func sitesText(sites []locker.SiteID) string {
	if len(sites) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(sites) // a list of strings always has a JSON form
	return string(b)
}

// readCursor is DecodeCursor for what callers hand in: a bad one is their fault.
func readCursor(cursor string, dest ...any) error {
	if err := DecodeCursor(cursor, dest...); err != nil {
		return fault.Invalidf("bad_cursor", "The cursor is not one of ours; leave it out to start at the first page.").At("cursor").Because(err)
	}
	return nil
}

// wrap says what was being done when there is an error.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// toMS is the column of a time that may be zero: 0 then.
func toMS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// instant is the way back of toMS.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return fromMS(ms)
}
