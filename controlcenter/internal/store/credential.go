package store

import (
	"encoding/json"
	"fmt"
	"time"

	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/locker"
)

// The credentials of people and partners, the audit and answered requests: the second half of
// the room people.

const (
	keyColumns   = `id, owner_kind, owner, role, name, created_ms, used_ms, revoked_ms`
	auditColumns = `id, at_ms, actor, action, object, detail, no, hash`

	sqlInsertKey  = `INSERT INTO api_keys (` + keyColumns + `, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	sqlKeyByID    = `SELECT ` + keyColumns + ` FROM api_keys WHERE id = $1`
	sqlKeyByHash  = `SELECT ` + keyColumns + ` FROM api_keys WHERE hash = $1`
	sqlKeys       = `SELECT ` + keyColumns + ` FROM api_keys WHERE id > $1 ORDER BY id LIMIT CAST($2 AS BIGINT)`
	sqlKeysOf     = `SELECT ` + keyColumns + ` FROM api_keys WHERE owner_kind = $1 AND owner = $2 AND id > $3 ORDER BY id LIMIT CAST($4 AS BIGINT)`
	sqlRevokeKey  = `UPDATE api_keys SET revoked_ms = $2 WHERE id = $1 AND revoked_ms = 0`
	sqlRevokeKeys = `
UPDATE api_keys SET revoked_ms = $4 WHERE owner_kind = $1 AND owner = $2 AND name = $3 AND revoked_ms = 0`
	sqlTouchKey = `UPDATE api_keys SET used_ms = $2 WHERE id = $1 AND used_ms < $2`

	sqlInsertLink = `INSERT INTO login_links (hash, person, expires_ms) VALUES ($1, $2, $3)`
	sqlUseLink    = `
UPDATE login_links SET used_ms = $2 WHERE hash = $1 AND used_ms = 0 AND expires_ms > $2 RETURNING person`
	sqlInsertSession    = `INSERT INTO sessions (hash, person, created_ms, expires_ms) VALUES ($1, $2, $3, $4)`
	sqlSession          = `SELECT person, expires_ms FROM sessions WHERE hash = $1`
	sqlDeleteSession    = `DELETE FROM sessions WHERE hash = $1`
	sqlDeleteSessionsOf = `DELETE FROM sessions WHERE person = $1`

	sqlKeepSecret = `INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	sqlSecret     = `SELECT value FROM secrets WHERE name = $1`

	sqlInsertAudit = `INSERT INTO audit (` + auditColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	sqlAudit       = `SELECT ` + auditColumns + ` FROM audit WHERE ($1 = '' OR id < $1) ORDER BY id DESC LIMIT CAST($2 AS BIGINT)`
	sqlAuditOf     = `SELECT ` + auditColumns + ` FROM audit WHERE object = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT CAST($3 AS BIGINT)`

	sqlInsertRequest = `
INSERT INTO idempotency (owner, key, request, token, created_ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (owner, key) DO NOTHING`
	sqlRequest = `
SELECT owner, key, request, token, status, headers, body, created_ms FROM idempotency WHERE owner = $1 AND key = $2`
	sqlTakeRequest   = `UPDATE idempotency SET token = $3, created_ms = $4 WHERE owner = $1 AND key = $2 AND status = 0`
	sqlFinishRequest = `
UPDATE idempotency SET status = $4, headers = $5, body = $6 WHERE owner = $1 AND key = $2 AND token = $3 AND status = 0`
	sqlDropRequest = `DELETE FROM idempotency WHERE owner = $1 AND key = $2 AND token = $3 AND status = 0`

	sqlPruneLinks = `
DELETE FROM login_links WHERE hash IN (SELECT hash FROM login_links WHERE expires_ms <= $1 LIMIT CAST($2 AS BIGINT))`
	sqlPruneSessions = `
DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_ms <= $1 LIMIT CAST($2 AS BIGINT))`
	sqlPruneRequests = `
DELETE FROM idempotency
WHERE (owner, key) IN (SELECT owner, key FROM idempotency WHERE created_ms <= $1 LIMIT CAST($2 AS BIGINT))`
)

// InsertKey writes a new key and the hash of its secret.
func (tx peopleTx) InsertKey(k people.Key, hash string) error {
	_, err := tx.Exec(sqlInsertKey, k.ID, k.OwnerKind, k.Owner, string(k.Role), k.Name,
		k.Created.UnixMilli(), toMS(k.Used), toMS(k.Revoked), hash)
	return wrap(err, "insert key %s", k.ID)
}

// Key reads one key.
func (tx peopleTx) Key(id string) (people.Key, bool, error) {
	k, found, err := One(tx.Tx, scanKey, sqlKeyByID, id)
	return k, found, wrap(err, "read key %s", id)
}

// KeyByHash finds the key of a secret.
func (tx peopleTx) KeyByHash(hash string) (people.Key, bool, error) {
	k, found, err := One(tx.Tx, scanKey, sqlKeyByHash, hash)
	return k, found, wrap(err, "find key")
}

// Keys lists keys by id; an empty kind means everybody's.
func (tx peopleTx) Keys(kind, owner, cursor string, limit int) ([]people.Key, string, error) {
	var after string
	if err := readCursor(cursor, &after); err != nil {
		return nil, "", err
	}
	var rows []people.Key
	var err error
	if kind == "" {
		rows, err = All(tx.Tx, scanKey, sqlKeys, after, limit+1)
	} else {
		rows, err = All(tx.Tx, scanKey, sqlKeysOf, kind, owner, after, limit+1)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list keys: %w", err)
	}
	return Page(rows, limit, func(k people.Key) []any { return []any{k.ID} })
}

// RevokeKey answers false when nothing changed.
func (tx peopleTx) RevokeKey(id string) (bool, error) {
	n, err := tx.Exec(sqlRevokeKey, id, tx.NowMS())
	return n == 1, wrap(err, "revoke key %s", id)
}

// RevokeKeysNamed revokes the live keys of an owner with one name.
func (tx peopleTx) RevokeKeysNamed(kind, owner, name string) error {
	_, err := tx.Exec(sqlRevokeKeys, kind, owner, name, tx.NowMS())
	return wrap(err, "revoke keys of %s/%s", kind, owner)
}

// TouchKeys notes when keys were last used.
func (tx peopleTx) TouchKeys(used []people.KeyUse) error {
	rows := make([][]any, len(used))
	for i, u := range used {
		rows[i] = []any{u.ID, u.At.UnixMilli()}
	}
	return wrap(tx.Many(sqlTouchKey, rows), "note use of keys")
}

// InsertLoginLink writes a link.
func (tx peopleTx) InsertLoginLink(hash string, person locker.PersonID, expires time.Time) error {
	_, err := tx.Exec(sqlInsertLink, hash, string(person), expires.UnixMilli())
	return wrap(err, "insert login link of %s", person)
}

// UseLoginLink spends a live link.
func (tx peopleTx) UseLoginLink(hash string) (locker.PersonID, bool, error) {
	id, found, err := One(tx.Tx, Value[locker.PersonID], sqlUseLink, hash, tx.NowMS())
	return id, found, wrap(err, "use login link")
}

// InsertSession writes a session.
func (tx peopleTx) InsertSession(hash string, person locker.PersonID, expires time.Time) error {
	_, err := tx.Exec(sqlInsertSession, hash, string(person), tx.NowMS(), expires.UnixMilli())
	return wrap(err, "insert session of %s", person)
}

// Session reads a session, also one that has ended.
func (tx peopleTx) Session(hash string) (person locker.PersonID, expires time.Time, found bool, err error) {
	type row struct {
		person  locker.PersonID
		expires int64
	}
	r, found, err := One(tx.Tx, func(s Scanner) (r row, err error) {
		err = s.Scan(&r.person, &r.expires)
		return r, err
	}, sqlSession, hash)
	return r.person, fromMS(r.expires), found, wrap(err, "read session")
}

// DeleteSession forgets a session.
func (tx peopleTx) DeleteSession(hash string) error {
	_, err := tx.Exec(sqlDeleteSession, hash)
	return wrap(err, "delete session")
}

// DeleteSessionsOf forgets every session of a person.
func (tx peopleTx) DeleteSessionsOf(person locker.PersonID) error {
	_, err := tx.Exec(sqlDeleteSessionsOf, string(person))
	return wrap(err, "delete sessions of %s", person)
}

// KeepSecret stores a secret unless there is one of that name.
func (tx peopleTx) KeepSecret(name, value string) (string, error) {
	if _, err := tx.Exec(sqlKeepSecret, name, value); err != nil {
		return "", fmt.Errorf("keep secret %s: %w", name, err)
	}
	kept, _, err := One(tx.Tx, Value[string], sqlSecret, name)
	return kept, wrap(err, "read secret %s", name)
}

// AuditEntries lists the audit, newest first.
func (tx peopleTx) AuditEntries(object, cursor string, limit int) ([]people.Entry, string, error) {
	var before string
	if err := readCursor(cursor, &before); err != nil {
		return nil, "", err
	}
	var rows []people.Entry
	var err error
	if object == "" {
		rows, err = All(tx.Tx, scanAudit, sqlAudit, before, limit+1)
	} else {
		rows, err = All(tx.Tx, scanAudit, sqlAuditOf, object, before, limit+1)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list audit: %w", err)
	}
	return Page(rows, limit, func(e people.Entry) []any { return []any{e.ID} })
}

// InsertRequest answers false when owner and key are taken.
func (tx peopleTx) InsertRequest(r people.Request) (bool, error) {
	n, err := tx.Exec(sqlInsertRequest, r.Owner, r.Key, r.Hash, r.Token, r.Created.UnixMilli())
	return n == 1, wrap(err, "insert request")
}

// Request reads one request.
func (tx peopleTx) Request(owner, key string) (people.Request, bool, error) {
	r, found, err := One(tx.Tx, scanRequest, sqlRequest, owner, key)
	return r, found, wrap(err, "read request")
}

// TakeRequest gives a request whose run died to a new run.
func (tx peopleTx) TakeRequest(owner, key, token string) error {
	_, err := tx.Exec(sqlTakeRequest, owner, key, token, tx.NowMS())
	return wrap(err, "take request")
}

// FinishRequest stores the answer if token is still that of the run.
func (tx peopleTx) FinishRequest(owner, key, token string, a people.Answer) (bool, error) {
	headers, err := json.Marshal(a.Headers)
	if err != nil {
		return false, fmt.Errorf("encode headers: %w", err)
	}
	n, err := tx.Exec(sqlFinishRequest, owner, key, token, a.Status, string(headers), string(a.Body))
	return n == 1, wrap(err, "finish request")
}

// DropRequest forgets a run that changed nothing.
func (tx peopleTx) DropRequest(owner, key, token string) error {
	_, err := tx.Exec(sqlDropRequest, owner, key, token)
	return wrap(err, "drop request")
}

// Prune deletes what has ended.
func (tx peopleTx) Prune(answered time.Time, limit int) (int, error) {
	links, err := tx.Exec(sqlPruneLinks, tx.NowMS(), limit)
	if err != nil {
		return 0, fmt.Errorf("prune login links: %w", err)
	}
	sessions, err := tx.Exec(sqlPruneSessions, tx.NowMS(), limit)
	if err != nil {
		return 0, fmt.Errorf("prune sessions: %w", err)
	}
	requests, err := tx.Exec(sqlPruneRequests, answered.UnixMilli(), limit)
	return int(max(links, sessions, requests)), wrap(err, "prune requests")
}

func scanKey(row Scanner) (people.Key, error) {
	var k people.Key
	var created, used, revoked int64
	err := row.Scan(&k.ID, &k.OwnerKind, &k.Owner, &k.Role, &k.Name, &created, &used, &revoked)
	k.Created, k.Used, k.Revoked = fromMS(created), instant(used), instant(revoked)
	return k, err
}

func scanAudit(row Scanner) (people.Entry, error) {
	var e people.Entry
	var at, no int64
	var detail string
	err := row.Scan(&e.ID, &at, &e.Actor, &e.Action, &e.Object, &detail, &no, &e.Hash)
	e.At, e.Detail, e.No = fromMS(at), json.RawMessage(detail), uint64(no)
	return e, err
}

func scanRequest(row Scanner) (people.Request, error) {
	var r people.Request
	var headers, body string
	var created int64
	if err := row.Scan(&r.Owner, &r.Key, &r.Hash, &r.Token, &r.Answer.Status, &headers, &body, &created); err != nil {
		return r, err
	}
	r.Created, r.Answer.Body = fromMS(created), []byte(body)
	return r, json.Unmarshal([]byte(headers), &r.Answer.Headers)
}
