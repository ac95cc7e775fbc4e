package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
)

// step is one SQL statement of an acceptance with its arguments for number i.
type step struct {
	text string
	args func(i int, d door) []any
}

type door struct {
	bank string
	no   int
}

// acceptance is the SQL that one accepted statement costs the record, up to its answer: the
// texts of the store, on the schema the server made. What the relay does afterwards is not in it.
func acceptance() []step {
	id := func(kind string, i int) string { return fmt.Sprintf("%s-floor-%012d", kind, i) }
	body := strings.Repeat("x", 260)
	steps := []step{
		{`INSERT INTO statements (id, partner, ref, kind, hash, status, code, detail, parcel, body, received_ms)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (partner, kind, ref) DO NOTHING`,
			func(i int, _ door) []any {
				return []any{id("stm", i), "floor", id("r", i), "delivery", strings.Repeat("h", 64), "accepted", "", "", id("prc", i), body, 1}
			}},
		{`UPDATE compartments SET allocation = 'assigned', holder = $3, version = version + 1, changed_ms = $4 WHERE bank = $1 AND no = $2`,
			func(i int, d door) []any { return []any{d.bank, d.no, id("prc", i), 1} }},
		{`INSERT INTO parcels (id, partner, ref, state, site, bank, no, size, class, grams, recipient, courier,
			deposit_grant, keep_ms, reserve_ms, due_ms, created_ms)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
			func(i int, d door) []any {
				return []any{id("prc", i), "floor", id("r", i), "reserved", "sim", d.bank, d.no, "s", "ambient", 500, body[:80], body[:80],
					id("grt", i), 1, 1, 1, 1}
			}},
		{`INSERT INTO custody (parcel, no, step, giver, taker, bank, door, at_ms, evidence, prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			func(i int, d door) []any {
				return []any{id("prc", i), 1, "announced", "p", "c", d.bank, d.no, 1, body[:90], "", strings.Repeat("h", 64)}
			}},
		{`UPDATE banks SET grant_rev = grant_rev + 1 WHERE id = $1 RETURNING grant_rev`, func(_ int, d door) []any { return []any{d.bank} }},
		{`INSERT INTO grants (id, bank, no, parcel, purpose, digest, generation, nbf_ms, exp_ms, openings, failures, rev, created_ms)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			func(i int, d door) []any {
				return []any{id("grt", i), d.bank, d.no, id("prc", i), "deposit", strings.Repeat("h", 64), 0, 1, 2, 0, 0, i, 1}
			}},
	}
	return append(steps, step{`INSERT INTO outbox (event_id, type, site, bank, partner, subject, cause, public, occurred_ms, recorded_ms, data)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		func(i int, d door) []any {
			return []any{id("evt", i), "parcel.reserved", "sim", d.bank, "floor", id("prc", i), id("stm", i), 1, 1, 1, body + body}
		}})
}

// sqlFloor runs the SQL of n acceptances on the record the server left, as fast as the database
// allows: groups of 64 in one commit on SQLite, 8 connections on PostgreSQL.
func (b *bench) sqlFloor(ctx context.Context, data, database string, n int) (float64, error) {
	driver, dsn := "pgx", database
	if database == "" {
		driver, dsn = "sqlite", "file:"+filepath.Join(b.dir, data, "lockerfleet.db")+
			"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=cache_size(-32768)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	doors, err := emptied(ctx, db)
	if err != nil {
		return 0, err
	}
	n = min(n, len(doors))
	workers, group := 8, 1
	if database == "" {
		workers, group = 1, 64
	}
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, workers)
	began := time.Now()
	for range workers {
		all.Go(func() { failed <- floorWorker(ctx, db, doors[:n], group, &next) })
	}
	all.Wait()
	took := time.Since(began)
	for range workers {
		if err := <-failed; err != nil {
			return 0, err
		}
	}
	return float64(n) / took.Seconds(), nil
}

// emptied removes what the measurement before wrote and answers the doors.
func emptied(ctx context.Context, db *sql.DB) ([]door, error) {
	for _, table := range []string{"outbox", "custody", "grants", "parcels", "statements"} {
		if _, err := db.ExecContext(ctx, "DELETE FROM "+table); err != nil {
			return nil, fmt.Errorf("empty %s: %w", table, err)
		}
	}
	rows, err := db.QueryContext(ctx, `SELECT bank, no FROM compartments ORDER BY no, bank`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var doors []door
	for rows.Next() {
		var d door
		if err := rows.Scan(&d.bank, &d.no); err != nil {
			return nil, err
		}
		doors = append(doors, d)
	}
	return doors, rows.Err()
}

func floorWorker(ctx context.Context, db *sql.DB, doors []door, group int, next *atomic.Int64) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	steps := acceptance()
	prepared := make([]*sql.Stmt, len(steps))
	for i, s := range steps {
		if prepared[i], err = conn.PrepareContext(ctx, s.text); err != nil {
			return fmt.Errorf("%.60s: %w", s.text, err)
		}
		defer prepared[i].Close()
	}
	for {
		from := int(next.Add(int64(group))) - group
		if from >= len(doors) || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := floorCommit(ctx, conn, steps, prepared, doors, from, min(from+group, len(doors))); err != nil {
			return err
		}
	}
}

func floorCommit(ctx context.Context, conn *sql.Conn, steps []step, prepared []*sql.Stmt, doors []door, from, to int) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	for i := from; i < to; i++ {
		for k, s := range steps {
			if _, err := tx.StmtContext(ctx, prepared[k]).ExecContext(ctx, s.args(i, doors[i])...); err != nil {
				return fmt.Errorf("%.60s: %w", s.text, err)
			}
		}
	}
	return tx.Commit()
}

// newDatabase makes a database that drop removes.
func newDatabase(ctx context.Context, server string) (address string, drop func(), err error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", nil, err
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		return "", nil, err
	}
	name := "lockerfleet_load_" + strings.ToLower(rand.Text()[:12])
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, fmt.Errorf("make a database: %w", err)
	}
	u.Path = "/" + name
	return u.String(), func() {
		_, _ = db.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") // ours, and temporary
		_ = db.Close()
	}, nil
}
