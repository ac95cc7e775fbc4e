package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
)

// BenchmarkAccept is the work of accepting a delivery statement: claim the
// key, take a free place, write statement, parcel and grant, emit two facts.
// 64 callers share it; a relay claims and finishes the facts meanwhile.
func BenchmarkAccept(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkAccept(b, storetest.New(b)) })
	b.Run("postgresql", func(b *testing.B) { benchmarkAccept(b, storetest.Postgres(b)) })
}

func benchmarkAccept(b *testing.B, db *store.DB) {
	for _, text := range []string{
		`CREATE TABLE request (id TEXT PRIMARY KEY)`,
		`CREATE TABLE place (id BIGINT PRIMARY KEY, bank TEXT NOT NULL, holder TEXT NOT NULL)`,
		`CREATE INDEX place_free ON place (bank, id) WHERE holder = ''`,
		`CREATE TABLE statement (id TEXT PRIMARY KEY, place BIGINT NOT NULL, data TEXT NOT NULL)`,
		`CREATE TABLE parcel (id TEXT PRIMARY KEY, statement TEXT NOT NULL)`,
		`CREATE TABLE access (id TEXT PRIMARY KEY, place BIGINT NOT NULL)`,
	} {
		mustUpdate(b, db, func(tx *store.Tx) error { _, err := tx.Exec(text); return err })
	}
	const banks = 1000
	perBank := b.N/banks + 64
	for bank := range banks {
		mustUpdate(b, db, func(tx *store.Tx) error {
			var rows [][]any
			for i := range perBank {
				rows = append(rows, []any{bank*perBank + i, fmt.Sprint("bank", bank)})
			}
			return tx.Many(`INSERT INTO place (id, bank, holder) VALUES ($1, $2, '')`, rows)
		})
	}
	var n atomic.Int64
	stop := make(chan struct{})
	relayed := make(chan int, 1)
	go benchRelay(b, db, stop, relayed)
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			accept(b, db, fmt.Sprint("bank", i%banks), fmt.Sprint("st", i))
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	close(stop)
	b.ReportMetric(float64(<-relayed)/b.Elapsed().Seconds(), "relayed/s")
}

// benchRelay settles facts in batches, as the relay does.
func benchRelay(b *testing.B, db *store.DB, stop chan struct{}, relayed chan int) {
	heard := make(chan struct{}, 1)
	end := db.Outbox().Follow(func([]store.Delivery) {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	defer end()
	total := 0
	for {
		facts, err := storetest.Facts(b.Context(), db)
		if err != nil {
			b.Error(err)
		}
		total += len(facts)
		select {
		case <-heard:
		case <-stop:
			relayed <- total
			return
		}
	}
}

func mustUpdate(b *testing.B, db *store.DB, fn func(tx *store.Tx) error) {
	b.Helper()
	if err := db.Update(b.Context(), fn); err != nil {
		b.Error(err)
	}
}

func accept(b *testing.B, db *store.DB, bank, id string) {
	mustUpdate(b, db, func(tx *store.Tx) error {
		if n, err := tx.Exec(`INSERT INTO request (id) VALUES ($1) ON CONFLICT DO NOTHING`, id); err != nil || n == 0 {
			return err
		}
		place, found, err := store.One(tx, store.Value[int64],
			`UPDATE place SET holder = $2 WHERE id = (SELECT id FROM place WHERE bank = $1 AND holder = '' ORDER BY id LIMIT 1) RETURNING id`, bank, id)
		if err != nil || !found {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO statement (id, place, data) VALUES ($1, $2, $3)`, id, place, `{"size":"m","goods":"ambient"}`); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO parcel (id, statement) VALUES ($1, $2)`, id, id); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO access (id, place) VALUES ($1, $2)`, id, place); err != nil {
			return err
		}
		tx.Emit(store.Event{Type: "statement.received", Bank: bank, Partner: "p1", Subject: id, Data: []byte(`{"size":"m"}`)})
		tx.Emit(store.Event{Type: "parcel.reserved", Bank: bank, Partner: "p1", Subject: id, Data: []byte(`{"size":"m"}`)})
		return nil
	})
}
