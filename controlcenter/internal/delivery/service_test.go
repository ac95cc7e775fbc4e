package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/delivery"
	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

func TestAParcelGoesThrough(t *testing.T) {
	t.Parallel()
	each(t, 2, func(t *testing.T, b *bench) {
		d := b.accept(t, "r-1")
		if d.Status != delivery.Accepted || d.Bank != "b-1" || d.Site != "s-1" || d.Grant == "" || d.Expires != b.clock().Add(delivery.ReserveFor) {
			t.Fatalf("decision %+v", d)
		}
		told := b.expect(t, event.KindParcelReserved)[0].(event.ParcelReserved)
		if told.Grant != d.Grant || told.Cause != string(d.Statement) || told.Issue.Rev != 1 || len(told.Issue.Digest) != 2*grant.DigestLen {
			t.Errorf("told %+v", told)
		}
		b.wants(t, d.Parcel, delivery.Reserved, locker.Assigned)

		b.opens(t, d.No, d.Grant, grant.Deposit)
		b.wants(t, d.Parcel, delivery.Depositing, locker.Assigned)
		b.closes(t, d.No, d.Grant, grant.Deposit, empty(), empty())
		b.wants(t, d.Parcel, delivery.Reserved, locker.Assigned)
		b.pass(time.Minute)
		p := b.stores(t, d)
		b.wants(t, d.Parcel, delivery.Stored, locker.Occupied)
		facts := b.expect(t, event.KindParcelDepositing, event.KindParcelDepositing, event.KindGrantEnded, event.KindGrantIssued, event.KindParcelStored)
		stored := facts[4].(event.ParcelStored)
		if stored.Grant != p.Collect || stored.Recipient.Email != "r@example.org" || !stored.Keep.Equal(b.clock().Add(72*time.Hour)) {
			t.Errorf("stored %+v", stored)
		}

		b.opens(t, d.No, p.Collect, grant.Collect)
		b.wants(t, d.Parcel, delivery.Collecting, locker.Occupied)
		b.closes(t, d.No, p.Collect, grant.Collect, present(), present())
		if p := b.wants(t, d.Parcel, delivery.Stored, locker.Occupied); p.Due != p.KeepEnd {
			t.Errorf("goods only looked at fall due at %s, want the end of the collection period %s", p.Due, p.KeepEnd)
		}
		b.opens(t, d.No, p.Collect, grant.Collect)
		b.closes(t, d.No, p.Collect, grant.Collect, present(), empty())
		b.expect(t, event.KindParcelCollecting, event.KindParcelCollecting, event.KindParcelCollected, event.KindGrantEnded)
		end := b.wants(t, d.Parcel, delivery.Collected, locker.Free)
		if end.Open() || !end.Due.IsZero() {
			t.Errorf("ended parcel %+v still holds something", end)
		}
		steps := ""
		for _, l := range b.verify(t, d.Parcel) {
			steps += fmt.Sprintf("%s>%s:%s ", l.Giver, l.Taker, l.Step)
		}
		want := "partner/acme>courier:announced courier>bank/b-1:stored bank/b-1>recipient:collected "
		if steps != want {
			t.Errorf("custody %q, want %q", steps, want)
		}
		if n := b.one(t, `SELECT COUNT(*) FROM grants WHERE ended_ms = 0`); n != "0" {
			t.Errorf("%s grants live after the end", n)
		}
	})
}

// expect takes the facts told and compares their kinds.
func (b *bench) expect(t *testing.T, want ...event.Kind) []event.Fact {
	t.Helper()
	facts := slices.DeleteFunc(b.told(t), func(f event.Fact) bool { return f.Kind() == event.KindDoorReleased })
	if diff := cmp.Diff(want, kinds(facts)); diff != "" {
		t.Fatalf("facts (-want +got):\n%s", diff)
	}
	return facts
}

func TestAReferenceIsAnsweredForEver(t *testing.T) {
	t.Parallel()
	each(t, 1, func(t *testing.T, b *bench) {
		first := b.accept(t, "r-1")
		full := b.accept(t, "r-2")
		if full.Status != delivery.Rejected || full.Code != "full" || full.Detail == "" {
			t.Fatalf("a full bank: %+v", full)
		}
		b.told(t)
		want := first
		want.Status, want.First = delivery.Duplicate, delivery.Accepted
		if diff := cmp.Diff(want, b.accept(t, "r-1")); diff != "" {
			t.Errorf("again (-want +got):\n%s", diff)
		}
		b.expect(t)
		b.sql(t, `
INSERT INTO compartments (bank, no, size, size_rank, class, height_mm, max_grams, allocation, service, lock_state, door, content)
SELECT bank, 2, size, size_rank, class, height_mm, max_grams, 'free', service, lock_state, door, content FROM compartments`)
		if d := b.accept(t, "r-2"); d.Status != delivery.Duplicate || d.First != delivery.Rejected || d.Code != "full" {
			t.Errorf("a rejected reference after a door was added: %+v, want the first answer", d)
		}
		other := statement("r-1")
		other.Goods.Size = locker.SizeS
		d, err := b.Accept(t.Context(), "acme", other)
		if err != nil || d.Status != delivery.Conflict || d.Parcel != "" || d.Grant != "" {
			t.Errorf("other content: %+v, %v; want a conflict that tells nothing of the first", d, err)
		}
		if d, err := b.Accept(t.Context(), "other", statement("r-1")); err != nil || d.First != "" {
			t.Errorf("the same reference of another partner: %+v, %v", d, err)
		}
		bad := statement("r-3")
		bad.Recipient = delivery.Contact{}
		if d, err := b.Accept(t.Context(), "acme", bad); err != nil || d.Code != "recipient_contact_missing" {
			t.Errorf("nobody to tell: %+v, %v", d, err)
		}
		if _, err := b.Accept(t.Context(), "acme", statement("no ref")); fault.CodeOf(err) != "ref_invalid" {
			t.Errorf("a reference that cannot be answered: %v", err)
		}
	})
}

func TestManyCallersShareFewDoors(t *testing.T) {
	t.Parallel()
	const doors, callers = 10, 64
	each(t, doors, func(t *testing.T, b *bench) {
		decisions, errs := make([]delivery.Decision, callers), make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				decisions[i], errs[i] = b.Accept(context.Background(), "acme", statement(fmt.Sprint("r-", i)))
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		taken := map[int]locker.ParcelID{}
		accepted := 0
		for _, d := range decisions {
			switch d.Status {
			case delivery.Accepted:
				accepted++
				if was, ok := taken[d.No]; ok {
					t.Errorf("door %d is promised to %s and %s", d.No, was, d.Parcel)
				}
				taken[d.No] = d.Parcel
			case delivery.Rejected:
				if d.Code != "full" {
					t.Errorf("rejected with %s, want full", d.Code)
				}
			default:
				t.Errorf("decision %+v", d)
			}
		}
		if accepted != doors {
			t.Errorf("%d accepted, want %d", accepted, doors)
		}
		if n := b.one(t, `SELECT grant_rev FROM banks WHERE id = 'b-1'`); n != fmt.Sprint(doors) {
			t.Errorf("grant revision %s, want %d", n, doors)
		}
	})
}

func TestTheSameStatementFromManyCallersIsOneParcel(t *testing.T) {
	t.Parallel()
	each(t, 8, func(t *testing.T, b *bench) {
		const callers = 16
		decisions, errs := make([]delivery.Decision, callers), make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() { decisions[i], errs[i] = b.Accept(context.Background(), "acme", statement("r-1")) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for _, d := range decisions {
			if d.Status == delivery.Accepted {
				accepted++
			}
			if d.Parcel != decisions[0].Parcel || d.Grant != decisions[0].Grant {
				t.Errorf("%+v and %+v are not one parcel", d, decisions[0])
			}
		}
		if n := b.one(t, `SELECT COUNT(*) FROM compartments WHERE allocation <> 'free'`); accepted != 1 || n != "1" {
			t.Errorf("%d accepted and %s doors taken, want 1 and 1", accepted, n)
		}
	})
}

func TestParcelsAreListedInPages(t *testing.T) {
	t.Parallel()
	each(t, 5, func(t *testing.T, b *bench) {
		for i := range 5 {
			b.accept(t, fmt.Sprint("r-", i))
			b.pass(time.Millisecond)
		}
		var refs []string
		cursor := ""
		for range 5 {
			page, next, err := b.Parcels(t.Context(), delivery.Filter{Partner: "acme", State: delivery.Reserved}, cursor, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page {
				refs = append(refs, p.Ref)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if diff := cmp.Diff([]string{"r-4", "r-3", "r-2", "r-1", "r-0"}, refs); diff != "" {
			t.Errorf("newest first (-want +got):\n%s", diff)
		}
		if page, _, err := b.Parcels(t.Context(), delivery.Filter{Partner: "other"}, "", 10); err != nil || len(page) != 0 {
			t.Errorf("another partner sees %d parcels, %v", len(page), err)
		}
		if _, _, err := b.Parcels(t.Context(), delivery.Filter{}, "nonsense", 10); fault.CodeOf(err) != "bad_cursor" {
			t.Errorf("a cursor of somebody else's: %v", err)
		}
		if _, err := b.Parcel(t.Context(), "prc-none"); fault.CodeOf(err) != "parcel_unknown" {
			t.Errorf("no such parcel: %v", err)
		}
	})
}
