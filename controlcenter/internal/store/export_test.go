package store

import (
	"context"
	"fmt"
)

// Prepare asks the engine whether it understands a text.
func (db *DB) Prepare(ctx context.Context, text string) error {
	switch e := db.engine.(type) {
	case *sqliteEngine:
		stmt, err := e.write.conn.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		return stmt.Close()
	case *postgresEngine:
		stmt, err := e.pool.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		return stmt.Close()
	}
	return fmt.Errorf("unknown engine %T", db.engine)
}

// SchemaVersion writes the version of the schema, as a later release would.
func (db *DB) SchemaVersion(ctx context.Context, version int64) error {
	return db.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, $2)`, version, true)
		return err
	})
}

// Flush writes what was emitted before the function ends. The statement asked
// about takes along what is waiting to travel.
func (tx *Tx) Flush() error {
	defer func() { tx.emitted = nil }()
	if err := tx.writeOutbox(); err != nil {
		return err
	}
	_, err := tx.Exec(sqlPing)
	return err
}
