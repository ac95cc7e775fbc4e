package storetest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
)

// Rooms are tested in virtual time on a real file: nothing of the store may
// hold the clock up or outlive the bubble.
func TestNewWorksInVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := storetest.New(t)
		heard := make(chan struct{}, 1)
		stop := db.Outbox().Follow(func([]store.Delivery) { heard <- struct{}{} })
		defer stop()
		begun := time.Now()
		go func() {
			time.Sleep(time.Hour)
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				tx.Emit(store.Event{Type: "bank.offline"})
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
		<-heard
		facts, err := storetest.Facts(t.Context(), db)
		if err != nil || len(facts) != 1 {
			t.Fatalf("told %v, %v, want one fact", facts, err)
		}
		if got := facts[0].Event.Recorded.Sub(begun.UTC()); got != time.Hour {
			t.Errorf("recorded after %v, want an hour", got)
		}
	})
}

func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		if err := storetest.Memory(b).Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if err := storetest.New(b).Close(); err != nil {
			b.Fatal(err)
		}
	}
}
