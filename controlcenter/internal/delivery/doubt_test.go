package delivery_test

import (
	"testing"

	"lockerfleet/controlcenter/internal/delivery"
	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/locker/custody"
	"lockerfleet/locker/grant"
)

func TestAPersonEndsDoubt(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, b *bench) {
		for outcome, want := range map[string]delivery.State{
			delivery.FoundStored: delivery.Stored, delivery.FoundTaken: delivery.Collected, delivery.FoundRemoved: delivery.Cancelled,
		} {
			d := b.accept(t, "r-"+outcome)
			b.opens(t, d.No, d.Grant, grant.Deposit)
			b.closes(t, d.No, d.Grant, grant.Deposit, empty(), unclear())
			b.wants(t, d.Parcel, delivery.Doubtful, locker.Occupied)
			if s := b.one(t, `SELECT service FROM compartments WHERE no = $1`, d.No); s != "suspect" {
				t.Errorf("the door of a doubtful parcel is %s", s)
			}
			if _, err := b.Resolve(t.Context(), d.Parcel, "lost", "person/op-1"); fault.CodeOf(err) != "outcome_invalid" {
				t.Errorf("no such outcome: %v", err)
			}
			if _, err := b.Resolve(t.Context(), d.Parcel, outcome, "person/op-1"); err != nil {
				t.Fatal(err)
			}
			allocation := locker.Free
			if want == delivery.Stored {
				allocation = locker.Occupied
			}
			b.wants(t, d.Parcel, want, allocation)
			if s := b.one(t, `SELECT service FROM compartments WHERE no = $1`, d.No); s != "in_service" {
				t.Errorf("the door after %s is %s", outcome, s)
			}
			if _, err := b.Resolve(t.Context(), d.Parcel, outcome, "person/op-1"); fault.CodeOf(err) != "not_doubtful" {
				t.Errorf("resolved twice: %v", err)
			}
		}
	})
}

func TestSomebodyElseAtTheGoods(t *testing.T) {
	t.Parallel()
	each(t, 2, func(t *testing.T, b *bench) {
		d := b.accept(t, "r-1")
		b.stores(t, d)
		b.told(t)
		b.closes(t, d.No, "", "", present(), present()) // an operator looked
		b.wants(t, d.Parcel, delivery.Stored, locker.Occupied)
		b.closes(t, d.No, "", "", present(), empty()) // and took the goods out
		b.wants(t, d.Parcel, delivery.Doubtful, locker.Occupied)
		links := b.verify(t, d.Parcel)
		if last := links[len(links)-1]; last.Step != custody.StepDisturbed || last.Giver != "bank/b-1" {
			t.Errorf("last link %+v, want disturbed", last)
		}
		b.expect(t, event.KindParcelDoubtful, event.KindServiceChanged)

		r := b.accept(t, "r-2")
		b.stores(t, r)
		b.hears(t, event.ContentChanged{About: b.about(r.No), After: empty()})
		b.wants(t, r.Parcel, delivery.Doubtful, locker.Occupied)
	})
}

func TestGoodsForNobodyKeepTheDoorOutOfUse(t *testing.T) {
	t.Parallel()
	each(t, 1, func(t *testing.T, b *bench) {
		b.closes(t, 1, "", "", empty(), empty())
		b.expect(t)
		b.closes(t, 1, "", "", empty(), present())
		b.expect(t, event.KindServiceChanged)
		if d := b.accept(t, "r-1"); d.Status != delivery.Rejected {
			t.Errorf("a door with somebody's goods was promised: %+v", d)
		}
	})
}

func TestACodeThatEndsBeforeTheRightIsRenewed(t *testing.T) {
	t.Parallel()
	each(t, 1, func(t *testing.T, b *bench) {
		d := b.accept(t, "r-1")
		dies := func(g locker.GrantID, p grant.Purpose, why string) {
			b.sql(t, `UPDATE grants SET ended_ms = 1, end_reason = $2, end_rev = 1000 WHERE id = $1`, string(g), why)
			b.told(t)
			b.hears(t, event.GrantEnded{About: b.about(d.No), Grant: g, Purpose: p, Reason: why})
			b.sql(t, `UPDATE grants SET end_rev = 1000 + rev WHERE end_rev = 1000`)
		}
		dies(d.Grant, grant.Deposit, "code_dead")
		facts := b.expect(t, event.KindGrantIssued, event.KindParcelRekeyed)
		courier := facts[1].(event.ParcelRekeyed)
		if courier.Holder.Email != "c@example.org" || courier.Grant == d.Grant || courier.Purpose != grant.Deposit {
			t.Errorf("courier's new number: %+v", courier)
		}
		if again := b.accept(t, "r-1"); again.Grant != courier.Grant {
			t.Errorf("the partner asking again gets grant %s, want the live one %s", again.Grant, courier.Grant)
		}
		d.Grant = courier.Grant
		p := b.stores(t, d)
		for _, why := range []string{"code_dead", "too_many", "expired"} {
			dies(p.Collect, grant.Collect, why)
			facts = b.expect(t, event.KindGrantIssued, event.KindParcelRekeyed)
			if f := facts[1].(event.ParcelRekeyed); f.Holder.Email != "r@example.org" || f.Grant == p.Collect {
				t.Errorf("recipient's new number after %s: %+v", why, f)
			}
			p = b.parcel(t, d.Parcel)
		}
		b.opens(t, d.No, p.Collect, grant.Collect)
		b.closes(t, d.No, p.Collect, grant.Collect, present(), empty())
		b.wants(t, d.Parcel, delivery.Collected, locker.Free)
	})
}

func TestTheTimeOfOverdueGoodsEndsForGood(t *testing.T) {
	t.Parallel()
	each(t, 1, func(t *testing.T, b *bench) {
		d := b.accept(t, "r-1")
		p := b.stores(t, d)
		b.pass(p.KeepEnd.Sub(b.clock()))
		b.sweep(t)
		b.wants(t, d.Parcel, delivery.Overdue, locker.Occupied)
		b.told(t)
		b.sql(t, `UPDATE grants SET ended_ms = 1, end_reason = 'expired', end_rev = 1000 WHERE id = $1`, string(p.Collect))
		b.hears(t, event.GrantEnded{About: b.about(d.No), Grant: p.Collect, Purpose: grant.Collect, Reason: "expired"})
		b.expect(t)
	})
}
