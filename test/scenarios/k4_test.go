package scenarios_test

import (
	"testing"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/locker/climate"
	"lockerfleet/simulator"
	"lockerfleet/simulator/world"
	"lockerfleet/test/kit"
	"lockerfleet/wire"
)

// K4: goods that were outside their temperature band for too long are not handed out, neither at
// the panel nor by phone; the seller is told, and the recipient at the door gets an answer. The
// hours are cut to a moment here; how they are counted is tested with the rules.
func TestK4UnsafeGoodsAreKeptBackAndTheSellerIsTold(t *testing.T) {
	t.Parallel()
	band, err := climate.ParseBand("chilled")
	if err != nil {
		t.Fatal(err)
	}
	band.UnsafeMS = 500
	fridge := simulator.BankOptions{
		World:  world.Options{Thermometer: true, Inside: 4000},
		Timing: agent.Compartment{PulseMS: 150, OpenWithinMS: 600, AjarAfterMS: 1200, SettleMS: 50, NoRetry: true, Band: band},
	}
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{Layout: "M:1", Options: fridge})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	bank.Deposit(ack.Compartment, ack.CourierCode, 900)
	p.AwaitParcel(ack.Parcel, "stored")
	number := p.Number(kit.Recipient("o-1"), 1)
	bank.AwaitGrant(ack.Compartment, "collect")

	if err := bank.World().Air(ack.Compartment, 17_000); err != nil {
		t.Fatal(err)
	}
	bank.AwaitAlarm("unsafe/1")
	if ev := acme.Event("o-1", "parcel.doubtful"); ev.Reason != "unsafe_climate" {
		t.Errorf("reason = %q, want unsafe_climate", ev.Reason)
	}
	p.AwaitParcel(ack.Parcel, "doubtful")
	pulses := bank.World().Pulses(ack.Compartment)
	if r := bank.Enter(ack.Compartment, number); r != "unsafe" {
		t.Errorf("panel answers %q, want unsafe", r)
	}
	if n := bank.World().Pulses(ack.Compartment); n != pulses {
		t.Errorf("the door of unsafe goods got %d pulses", n-pulses)
	}
}
