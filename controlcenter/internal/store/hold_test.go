package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
	"lockerfleet/locker"
)

// BenchmarkHold is the promise of a door: 64 callers over 10,000 doors, each door wanted by two of
// them, against the same statements as fast as one caller gets them done, 64 in a commit. No door
// may be given twice.
func BenchmarkHold(b *testing.B) {
	b.Run("callers", func(b *testing.B) { benchmarkHold(b, 64, 1) })
	b.Run("floor", func(b *testing.B) { benchmarkHold(b, 1, 64) })
}

const heldDoors = 10_000

func benchmarkHold(b *testing.B, callers, group int) {
	db := storetest.New(b)
	seedDoors(b, db)
	var next, given atomic.Int64
	work := func(more func() bool) {
		for more() {
			from := int(next.Add(int64(group))) - group
			mustUpdate(b, db, func(tx *store.Tx) error {
				got := int64(0)
				for i := from; i < from+group; i++ {
					_, ok, err := tx.ClaimCompartment(doorOf(i/2%heldDoors), locker.ParcelID(fmt.Sprint("prc-", i)))
					if err != nil {
						return err
					}
					if ok {
						got++
					}
				}
				tx.AfterCommit(func() { given.Add(got) })
				return nil
			})
		}
	}
	b.ResetTimer()
	if callers == 1 {
		for n := 0; n < b.N; n += group {
			once := true
			work(func() bool { defer func() { once = false }(); return once })
		}
	} else {
		b.SetParallelism(callers / 2)
		b.RunParallel(func(pb *testing.PB) { work(pb.Next) })
	}
	b.StopTimer()
	b.ReportMetric(float64(next.Load())/b.Elapsed().Seconds(), "claims/s")
	held := numbers(b, db, `SELECT COUNT(*) FROM compartments WHERE allocation = 'assigned' AND version = 1`)[0]
	if held != given.Load() || held != min((next.Load()+1)/2, heldDoors) {
		b.Errorf("%d doors are held, %d were given, %d asked", held, given.Load(), next.Load())
	}
}

func doorOf(i int) locker.CompartmentID {
	return locker.CompartmentID{Bank: locker.BankID(fmt.Sprint("b-", i/50)), No: i%50 + 1}
}

func seedDoors(b *testing.B, db *store.DB) {
	b.Helper()
	mustUpdate(b, db, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO sites (id, name, created_ms) VALUES ('s-1', 'Station', 1)`); err != nil {
			return err
		}
		var banks, doors [][]any
		for i := range heldDoors {
			d := doorOf(i)
			if d.No == 1 {
				banks = append(banks, []any{string(d.Bank)})
			}
			doors = append(doors, []any{string(d.Bank), d.No})
		}
		if err := tx.Many(`INSERT INTO banks (id, site, name, compartments, created_ms) VALUES ($1, 's-1', 'Hall', 50, 1)`, banks); err != nil {
			return err
		}
		return tx.Many(`
INSERT INTO compartments (bank, no, size, size_rank, class, height_mm, max_grams, allocation, service, lock_state, door, content)
VALUES ($1, $2, 'm', 3, 'ambient', 1000, 20000, 'free', 'in_service', 'locked', 'closed', 'empty')`, doors)
	})
}
