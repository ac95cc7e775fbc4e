package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// How transactions of PostgreSQL begin.
const (
	beginSerial = "BEGIN ISOLATION LEVEL SERIALIZABLE"
	beginLocked = "BEGIN ISOLATION LEVEL READ COMMITTED"
	beginView   = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
)

// postgresTx is a transaction. What nobody waits for, its beginning and its
// commit among it, is kept until something is asked, and travels with that in
// one round trip. It must be ended.
type postgresTx struct {
	conn  *sql.Conn
	queue *pgx.Batch // not sent yet, in order
	open  bool       // the database has heard of it and not of its end
}

func newPostgresTx(conn *sql.Conn, begin string) *postgresTx {
	t := &postgresTx{conn: conn, queue: &pgx.Batch{}}
	t.queue.Queue(begin)
	return t
}

// flush sends what is waiting. The first failure is that of its statement, or
// of one that was put there earlier.
func (t *postgresTx) flush(ctx context.Context) error {
	if t.queue.Len() == 0 {
		return nil
	}
	batch := t.queue
	t.queue, t.open = &pgx.Batch{}, true
	return t.conn.Raw(func(driver any) error {
		return driver.(*stdlib.Conn).Conn().SendBatch(ctx, batch).Close()
	})
}

func (t *postgresTx) exec(ctx context.Context, text string, args []any) (sql.Result, error) {
	var rows int64
	t.queue.Queue(text, args...).Exec(func(done pgconn.CommandTag) error {
		rows = done.RowsAffected()
		return nil
	})
	err := t.flush(ctx)
	return driver.RowsAffected(rows), err
}

func (t *postgresTx) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	if err := t.flush(ctx); err != nil {
		return nil, err
	}
	return t.conn.QueryContext(ctx, text, args...)
}

func (t *postgresTx) many(_ context.Context, text string, rows [][]any) error {
	for _, args := range rows {
		t.queue.Queue(text, args...)
	}
	return nil
}

func (t *postgresTx) lookUp(ctx context.Context, text string, rows [][]any, found func(int, Scanner) error) error {
	for i, args := range rows {
		t.queue.Queue(text, args...).QueryRow(func(row pgx.Row) error {
			if err := found(i, row); !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			return nil
		})
	}
	return t.flush(ctx)
}

// commit sends the rest and makes it durable. Once it is on its way the answer
// is waited for, also when ctx ends: statement_timeout bounds that.
func (t *postgresTx) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.queue.Queue("COMMIT")
	if err := t.flush(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	t.open = false
	return nil
}

// end undoes what was not committed. A connection on which that fails is not
// used again.
func (t *postgresTx) end(ctx context.Context) {
	if t.open {
		_, _ = t.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
}
