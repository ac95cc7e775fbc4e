package scenarios_test

import (
	"testing"

	"lockerfleet/simulator"
	"lockerfleet/simulator/world"
	"lockerfleet/test/kit"
	"lockerfleet/wire"
)

// shop is a platform with a bank and a partner.
func shop(t *testing.T, o kit.Options, s kit.BankSpec) (*kit.Platform, *kit.Bank, *kit.Partner) {
	t.Helper()
	p := kit.Start(t, o)
	if s.ID == "" {
		s.ID = "hall"
	}
	return p, p.Bank(s), p.Partner("acme", "")
}

// K3: sensors decide that goods went in or out: what is put in is stored, what is taken out is
// collected.
func TestK3GoodsGoInAndOutBySensors(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m", Grams: 1200})

	bank.Deposit(ack.Compartment, ack.CourierCode, 1200)
	p.AwaitParcel(ack.Parcel, "stored")
	if d := bank.Door(ack.Compartment); d.Content != "present" || d.Grams == nil || *d.Grams < 1150 || *d.Grams > 1250 {
		t.Errorf("door after the deposit = %+v, want goods of about 1200 g", d)
	}

	bank.Collect(ack.Compartment, p.Number(kit.Recipient("o-1"), 1))
	p.AwaitParcel(ack.Parcel, "collected")
	p.Until("the door is free again", func() bool { return bank.Door(ack.Compartment).Allocation == "free" })
	chain := kit.Read[kit.Custody](p.Admin, "/parcels/"+string(ack.Parcel)+"/custody")
	if !chain.Intact || len(chain.Links) != 3 {
		t.Errorf("custody = %+v, want three links that verify", chain)
	}
}

// K3: a door that was opened and closed with nothing put in leaves the parcel reserved; the same
// code opens again.
func TestK3NothingPutInIsNoDeposit(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})

	bank.Deposit(ack.Compartment, ack.CourierCode, 0)
	acme.Event("o-1", "parcel.depositing")
	p.AwaitParcel(ack.Parcel, "reserved")

	bank.Deposit(ack.Compartment, ack.CourierCode, 800)
	p.AwaitParcel(ack.Parcel, "stored")
}

// K3: a recipient who opens and takes nothing has not collected; the number opens again.
func TestK3NothingTakenIsNoCollection(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	bank.Deposit(ack.Compartment, ack.CourierCode, 800)
	number := p.Number(kit.Recipient("o-1"), 1)

	bank.AwaitGrant(ack.Compartment, "collect")
	if r := bank.Enter(ack.Compartment, number); r != "opening" {
		t.Fatalf("panel answers %q, want opening", r)
	}
	bank.AwaitOpen(ack.Compartment)
	acme.Event("o-1", "parcel.collecting")
	bank.Shut(ack.Compartment)
	p.AwaitParcel(ack.Parcel, "stored")

	bank.Collect(ack.Compartment, number)
	p.AwaitParcel(ack.Parcel, "collected")
}

// K3: sensors that disagree decide nothing: a person is asked, the door is offered to nobody, and
// what the person found ends the doubt.
func TestK3DisagreementAsksAPerson(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	bank.AwaitGrant(ack.Compartment, "deposit")
	if r := bank.Enter(ack.Compartment, ack.CourierCode); r != "opening" {
		t.Fatalf("panel answers %q, want opening", r)
	}
	bank.AwaitOpen(ack.Compartment)
	bank.Broken(ack.Compartment, world.DeadPresence|world.DeadScale)
	bank.PutIn(ack.Compartment, 800)

	if ev := acme.Event("o-1", "parcel.doubtful"); ev.Reason != "deposit_unclear" {
		t.Errorf("reason = %q, want deposit_unclear", ev.Reason)
	}
	p.AwaitParcel(ack.Parcel, "doubtful")
	if d := bank.Door(ack.Compartment); d.Allocation == "free" {
		t.Errorf("the doubtful door is %s, want it kept from others", d.Allocation)
	}

	var after kit.Parcel
	p.Admin.Post("/parcels/"+string(ack.Parcel)+"/resolve", map[string]any{"outcome": "stored", "reason": "seen inside"}, &after)
	if after.State != "stored" {
		t.Errorf("state after the person looked = %q, want stored", after.State)
	}
	acme.Event("o-1", "parcel.stored")
}

// K3: a scale with much noise changes nothing: goods are stored and collected, and a door that was
// opened with nothing put in is no deposit.
func TestK3NoisyScales(t *testing.T) {
	t.Parallel()
	noisy := simulator.BankOptions{World: world.Options{Seed: 7, Noise: 45, Drift: 30}}
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{Layout: "M:2", Options: noisy})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	bank.Deposit(ack.Compartment, ack.CourierCode, 0)
	acme.Event("o-1", "parcel.depositing")
	p.AwaitParcel(ack.Parcel, "reserved")
	bank.Deposit(ack.Compartment, ack.CourierCode, 2400)
	p.AwaitParcel(ack.Parcel, "stored")
	bank.Collect(ack.Compartment, p.Number(kit.Recipient("o-1"), 1))
	p.AwaitParcel(ack.Parcel, "collected")
}
