package fleet_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/locker"
)

func (w *world) search(n fleet.Need) fleet.SearchAnswer {
	w.t.Helper()
	a, err := w.Search(w.ctx(), n)
	w.must(err)
	return a
}

// claim gives a door to a parcel as the rooms do it.
func (w *world) claim(id locker.CompartmentID, p locker.ParcelID) bool {
	w.t.Helper()
	var ok bool
	w.must(w.db.Update(w.ctx(), func(tx *store.Tx) (err error) {
		_, ok, err = tx.ClaimCompartment(id, p)
		return err
	}))
	return ok
}

func (w *world) free(id locker.CompartmentID, p locker.ParcelID) {
	w.t.Helper()
	w.must(w.db.Update(w.ctx(), func(tx *store.Tx) error { return tx.FreeCompartment(id, p) }))
}

func places(a fleet.SearchAnswer) []string {
	got := []string{}
	for _, c := range a.Candidates {
		got = append(got, fmt.Sprintf("%s/%d", c.Bank, c.No))
	}
	return got
}

func TestSearchExplainsItself(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		doors := []fleet.Door{
			{Size: locker.SizeS}, {Size: locker.SizeM, HeightMM: 800}, {Size: locker.SizeM, HeightMM: 1700}, {Size: locker.SizeM, Class: locker.Chilled},
			{Size: locker.SizeM, MaxGrams: 1000}, {Size: locker.SizeL}, {Size: locker.SizeM}, {Size: locker.SizeM}, {Size: locker.SizeM},
		}
		_, _, err := w.CreateBank(w.ctx(), fleet.NewBank{ID: bank, Site: site, Doors: doors})
		w.must(err)
		w.birth(bank, boot1, 1)
		s := w.calm(9, 1, 0)
		s.Compartments[6].Door = locker.DoorUnknown
		s.Compartments[7].Content = locker.ContentUnknown
		w.must(w.Snapshot(w.ctx(), bank, s))
		_, err = w.SetService(w.ctx(), locker.CompartmentID{Bank: bank, No: 9}, locker.OutOfService, "hinge")
		w.must(err)
		got := w.search(fleet.Need{Bank: bank, Size: locker.SizeM, Grams: 2000})
		want := []fleet.PassedOver{
			{Why: fleet.TooSmall, Count: 1}, {Why: fleet.WrongClass, Count: 1}, {Why: fleet.TooHeavy, Count: 1}, {Why: fleet.OutOfService, Count: 1},
			{Why: fleet.DoorNotClosed, Count: 1}, {Why: fleet.ContentUnknown, Count: 1},
		}
		if diff := cmp.Diff(want, got.Passed); diff != "" {
			t.Errorf("passed over (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"b1/3", "b1/2", "b1/6"}, places(got)); diff != "" {
			t.Errorf("candidates: the one out of reach first, the large one last (-want +got):\n%s", diff)
		}
		if got.Banks != 1 || got.Doors != 9 || got.At.IsZero() {
			t.Errorf("facts used: %+v", got)
		}
		if diff := cmp.Diff([]string{"b1/2", "b1/6"}, places(w.search(fleet.Need{Bank: bank, Size: locker.SizeM, Grams: 2000, ReachMM: 1200}))); diff != "" {
			t.Errorf("within reach (-want +got):\n%s", diff)
		}
		w.end(bank, fleet.Bye, boot1, 1)
		if got := w.search(fleet.Need{Bank: bank, Size: locker.SizeM}); len(got.Candidates) != 0 || !slices.Contains(got.Passed, fleet.PassedOver{Why: fleet.Offline, Count: 6}) {
			t.Errorf("offline bank: %+v", got)
		}
	})
}

func TestSearchSharesTheWearOfEqualDoors(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 3)
		used := map[int]int{}
		for i := range 6 {
			no := w.search(fleet.Need{Bank: bank, Size: locker.SizeS, ReachMM: 3000}).Candidates[0].No
			used[no]++
			id, parcel := locker.CompartmentID{Bank: bank, No: no}, locker.ParcelID(fmt.Sprint("p-", i))
			if !w.claim(id, parcel) {
				t.Fatalf("door %d could not be claimed", no)
			}
			w.free(id, parcel)
		}
		if diff := cmp.Diff(map[int]int{1: 2, 2: 2, 3: 2}, used); diff != "" {
			t.Errorf("doors offered first (-want +got):\n%s", diff)
		}
	})
}

func TestSearchNearAPosition(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i, lat := range []int32{52_530_000, 52_521_000, 52_900_000} {
			id := locker.SiteID(fmt.Sprintf("near-%d", i))
			_, err := w.CreateSite(w.ctx(), fleet.NewSite{ID: id, Name: "x", Position: &fleet.Position{LatE6: lat, LonE6: 13_405_000}})
			w.must(err)
			b := locker.BankID(fmt.Sprintf("bank-%d", i))
			_, _, err = w.CreateBank(w.ctx(), fleet.NewBank{ID: b, Site: id, Layout: "S:1"})
			w.must(err)
			w.birth(b, boot1, 1)
			w.must(w.Snapshot(w.ctx(), b, w.calm(1, 1, 0)))
		}
		need := fleet.Need{Near: &fleet.Position{LatE6: 52_520_000, LonE6: 13_405_000}, Size: locker.SizeXS}
		got := w.search(need)
		if diff := cmp.Diff([]string{"bank-1/1", "bank-0/1"}, places(got)); diff != "" {
			t.Errorf("near (-want +got):\n%s", diff)
		}
		if c := got.Candidates[0]; c.Metres < 100 || c.Metres > 125 || c.Position == nil {
			t.Errorf("nearest = %+v, want about 111 m away", c)
		}
		need.Radius = fleet.MaxRadius
		if got := places(w.search(need)); len(got) != 3 {
			t.Errorf("within 100 km: %v", got)
		}
		_, err := w.Search(w.ctx(), fleet.Need{Site: "nowhere", Size: locker.SizeS})
		code(t, err, "no_site")
		_, err = w.Search(w.ctx(), fleet.Need{Bank: "nobody", Size: locker.SizeS})
		code(t, err, "no_bank")
	})
}

// A search over more banks than it reads from SQL still finds the one free door among them,
// because it remembers where to look; what another room took meanwhile it learns by facts.
func TestSearchLooksWhereMemorySaysThereIsRoom(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	for i := range 80 {
		id := locker.BankID(fmt.Sprintf("b-%02d", i))
		w.ready(id, 1)
		if i != 77 {
			w.claim(locker.CompartmentID{Bank: id, No: 1}, "par-1")
			w.must(w.OnAllocation(w.ctx(), event.Record{Fact: event.ParcelReserved{About: event.About{Bank: id}}}))
		}
	}
	for round := range 3 {
		got := w.search(fleet.Need{Site: site, Size: locker.SizeS})
		if diff := cmp.Diff([]string{"b-77/1"}, places(got)); round == 2 && diff != "" {
			t.Errorf("candidates (-want +got):\n%s", diff)
		}
		if got.Banks != 80 || got.Doors != 80 {
			t.Errorf("looked at %d banks and %d doors, want all 80", got.Banks, got.Doors)
		}
	}
}

// A hint is what memory knows: it may offer a door that was taken a moment ago, forgets it when the
// fact arrives, and is not used when it sees nothing.
func TestHintIsMemoryAndOneFactCorrectsOneDoor(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.ready(bank, 2)
	need := fleet.Need{Bank: bank, Size: locker.SizeS, Hint: true}
	first, second := locker.CompartmentID{Bank: bank, No: 1}, locker.CompartmentID{Bank: bank, No: 2}
	both := []string{string(bank) + "/1", string(bank) + "/2"}
	taken := func(c locker.CompartmentID) {
		w.must(w.OnAllocation(w.ctx(), event.Record{Fact: event.ParcelReserved{About: event.About{Bank: bank, No: c.No}}}))
	}
	_ = w.search(fleet.Need{Bank: bank, Size: locker.SizeS}) // memory has read the bank
	w.claim(first, "par-1")
	if diff := cmp.Diff(both, places(w.search(need))); diff != "" {
		t.Errorf("hint before the fact (-want +got):\n%s", diff)
	}
	taken(first)
	if diff := cmp.Diff(both[1:], places(w.search(need))); diff != "" {
		t.Errorf("hint after the fact (-want +got):\n%s", diff)
	}
	w.claim(second, "par-2")
	taken(second)
	if got := w.search(need); len(got.Candidates) != 0 || got.Doors != 2 {
		t.Errorf("hint with every door taken = %+v, want what SQL says: none of 2", got)
	}
}

func TestOfTwoWhoWantADoorOneGetsIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const doors, parcels = 6, 24
		w.ready(bank, doors)
		got := make([]int, parcels)
		var wg sync.WaitGroup
		for p := range parcels {
			wg.Go(func() { got[p] = w.first(p) })
		}
		wg.Wait()
		taken := map[int]int{}
		for _, no := range got {
			if no > 0 {
				taken[no]++
			}
		}
		if len(taken) != doors {
			t.Errorf("%d doors were taken, want all %d", len(taken), doors)
		}
		rows, err := w.Compartments(w.ctx(), bank)
		w.must(err)
		for _, c := range rows {
			if taken[c.ID.No] != 1 || c.Allocation != locker.Assigned || c.Version != 1 {
				t.Errorf("door %d was given away %d times: %+v", c.ID.No, taken[c.ID.No], c)
			}
		}
	})
}

// first claims the best door there is, trying the next when somebody was faster; 0 when none is
// left.
func (w *world) first(parcel int) int {
	holder := locker.ParcelID(fmt.Sprintf("par-%02d", parcel))
	for {
		a, err := w.Search(w.ctx(), fleet.Need{Bank: bank, Size: locker.SizeS, Limit: 3})
		if err != nil {
			w.t.Error(err)
			return 0
		}
		if len(a.Candidates) == 0 {
			return 0
		}
		for _, c := range a.Candidates {
			var ok bool
			err := w.db.Update(w.ctx(), func(tx *store.Tx) (err error) {
				ok, err = tx.ClaimCompartmentAt(locker.CompartmentID{Bank: c.Bank, No: c.No}, holder, c.Version)
				return err
			})
			if err != nil {
				w.t.Error(err)
				return 0
			}
			if ok {
				return c.No
			}
		}
	}
}

func TestOnlyADoorSeenClosedAndEmptyIsGivenAway(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 9)
		at := func(no int) locker.CompartmentID { return locker.CompartmentID{Bank: bank, No: no} }
		s := w.calm(9, 2, 0)
		s.Compartments[6].Content = locker.ContentUnknown
		s.Compartments[7].Door = locker.DoorUnknown
		s.Compartments[8].Lock = locker.Jammed
		w.must(w.Snapshot(w.ctx(), bank, s))
		w.ingest(1, doorMoved(1, locker.DoorOpen, locker.Unlocked), closing(2, locker.Empty, locker.Present))
		w.request(unlock(3))
		_, err := w.SetService(w.ctx(), at(4), locker.OutOfService, "")
		w.must(err)
		var got []int
		for no := 1; no <= 9; no++ {
			if w.claim(at(no), "par-1") {
				got = append(got, no)
			}
		}
		if diff := cmp.Diff([]int{5, 6}, got); diff != "" {
			t.Errorf("doors given away (-want +got):\n%s", diff)
		}
		var stale bool
		w.must(w.db.Update(w.ctx(), func(tx *store.Tx) (err error) {
			w.must(tx.FreeCompartment(at(5), "par-1"))
			stale, err = tx.ClaimCompartmentAt(at(5), "par-2", 0)
			return err
		}))
		if stale {
			t.Error("a door was claimed by a version it no longer has")
		}
	})
}

func TestOnlyADoorSeenClosedAndEmptyIsFreed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 4)
		at := func(no int) locker.CompartmentID { return locker.CompartmentID{Bank: bank, No: no} }
		for no := 1; no <= 4; no++ {
			w.claim(at(no), "par-1")
		}
		running := w.request(unlock(4))
		w.ingest(1, doorMoved(2, locker.DoorOpen, locker.Unlocked), closing(3, locker.Empty, locker.Present))
		w.kinds()
		w.free(at(1), "par-2") // another's
		for no := 1; no <= 4; no++ {
			w.free(at(no), "par-1")
		}
		want := []string{"free in_service ", "blocked suspect auto_freed_open", "blocked suspect auto_freed_goods", "blocked suspect auto_freed_open"}
		if diff := cmp.Diff(want, w.doors()); diff != "" {
			t.Fatalf("doors (-want +got):\n%s", diff)
		}
		if got := w.kinds(); len(got) != 3 {
			t.Errorf("facts = %v, want three service changes", got)
		}
		w.ingest(3, closing(2, locker.Empty, locker.Empty), closing(3, locker.Present, locker.Empty), stage(running.ID, 4, fleet.Expired))
		want = slices.Repeat([]string{"free in_service "}, 4)
		if diff := cmp.Diff(want, w.doors()); diff != "" {
			t.Errorf("doors once they were seen closed and empty (-want +got):\n%s", diff)
		}
	})
}

func (w *world) doors() []string {
	w.t.Helper()
	rows, err := w.Compartments(w.ctx(), bank)
	w.must(err)
	var got []string
	for _, c := range rows {
		got = append(got, fmt.Sprintf("%s %s %s", c.Allocation, c.Service, c.Reason))
	}
	return got
}

func TestSuspectAndTrust(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 1)
		id := locker.CompartmentID{Bank: bank, No: 1}
		var first, again, trusted, more bool
		w.must(w.db.Update(w.ctx(), func(tx *store.Tx) (err error) {
			if first, err = tx.SuspectCompartment(id, "doubtful"); err == nil {
				again, err = tx.SuspectCompartment(id, "doubtful")
			}
			return err
		}))
		w.ingest(1, closing(1, locker.Empty, locker.Empty))
		if got := w.door(1); got.Reason != "doubtful" {
			t.Errorf("what a room doubts came back by itself: %+v", got)
		}
		w.must(w.db.Update(w.ctx(), func(tx *store.Tx) (err error) {
			if trusted, err = tx.TrustCompartment(id); err == nil {
				more, err = tx.TrustCompartment(id)
			}
			return err
		}))
		if !first || again || !trusted || more || w.door(1).Service != locker.InService {
			t.Errorf("suspect %v, again %v; trust %v, again %v; door %+v", first, again, trusted, more, w.door(1))
		}
	})
}
