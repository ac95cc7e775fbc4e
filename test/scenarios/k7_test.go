package scenarios_test

import (
	"testing"
	"time"

	"lockerfleet/test/kit"
	"lockerfleet/wire"
)

// K7: the secret number is made by the control center, and sent to bank and recipient: it opens at
// the panel while the control center is stopped, and what happened is known when it is back.
func TestK7NumberWorksAtThePanelWithTheCenterStopped(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{Database: kit.File}, kit.BankSpec{})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	bank.Deposit(ack.Compartment, ack.CourierCode, 700)
	number := p.Number(kit.Recipient("o-1"), 1)
	bank.AwaitGrant(ack.Compartment, "collect")

	p.StopCenter()
	if r := bank.Enter(ack.Compartment, other(number)); r != "wrong_code" {
		t.Errorf("panel answers a wrong number %q, want wrong_code", r)
	}
	if r := bank.Enter(ack.Compartment, number); r != "opening" {
		t.Fatalf("panel answers %q with the control center stopped, want opening", r)
	}
	bank.AwaitOpen(ack.Compartment)
	bank.TakeOut(ack.Compartment)

	p.StartCenter()
	p.AwaitParcel(ack.Parcel, "collected")
	acme.Event("o-1", "parcel.collected")
	if r := bank.Enter(ack.Compartment, number); r == "opening" {
		t.Error("the number opens again after the goods were taken")
	}
}

// K7: five wrong tries kill the number, and a new one is sent, which alone opens.
func TestK7NumberDiesAfterFiveWrongTriesAndANewOneIsSent(t *testing.T) {
	t.Parallel()
	kit.Bubble(t, kit.Options{}, func(t *testing.T, p *kit.Platform) {
		bank, acme := p.Bank(kit.BankSpec{ID: "hall"}), p.Partner("acme", "")
		ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
		bank.Deposit(ack.Compartment, ack.CourierCode, 700)
		first := p.Number(kit.Recipient("o-1"), 1)
		bank.AwaitGrant(ack.Compartment, "collect")

		wrong := 0
		p.Until("five wrong tries, with the growing delay between them", func() bool {
			switch r := bank.Enter(ack.Compartment, other(first)); r {
			case "wrong_code":
				wrong++
			case "throttled":
			default:
				t.Fatalf("panel answers wrong try %d with %q", wrong+1, r)
			}
			return wrong == 5
		})
		second := p.Number(kit.Recipient("o-1"), 2)
		if second == first {
			t.Fatal("the new number is the dead one")
		}
		grants := func() (n int) {
			for _, e := range bank.Events() {
				if e.Type == "grant" && e.Compartment == ack.Compartment {
					n++
				}
			}
			return n
		}
		p.Until("the bank holds the end of the old authority and the new one", func() bool { return grants() >= 4 })
		p.Until("the delay is over and the dead number refused", func() bool {
			r := bank.Enter(ack.Compartment, first)
			if r == "opening" {
				t.Fatal("the dead number opens")
			}
			return r != "throttled"
		})
		p.Until("the new number opens", func() bool {
			return bank.Enter(ack.Compartment, second) == "opening"
		})
		bank.AwaitOpen(ack.Compartment)
		bank.TakeOut(ack.Compartment)
		p.AwaitParcel(ack.Parcel, "collected")
	})
}

// K7: a number that opened the door five times without the goods being taken is renewed, so that
// who looks too often is not locked out of the own goods.
func TestK7NumberUsedUpByLookingIsRenewed(t *testing.T) {
	t.Parallel()
	kit.Bubble(t, kit.Options{}, func(t *testing.T, p *kit.Platform) {
		bank, acme := p.Bank(kit.BankSpec{ID: "hall"}), p.Partner("acme", "")
		ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
		bank.Deposit(ack.Compartment, ack.CourierCode, 700)
		first := p.Number(kit.Recipient("o-1"), 1)
		bank.AwaitGrant(ack.Compartment, "collect")
		for range 5 {
			p.Within(time.Minute, "the number opens the door, whose coil rests now and then", func() bool { return bank.Enter(ack.Compartment, first) == "opening" })
			bank.AwaitOpen(ack.Compartment)
			bank.Shut(ack.Compartment)
			p.AwaitParcel(ack.Parcel, "stored")
		}
		second := p.Number(kit.Recipient("o-1"), 2)
		if r := bank.Enter(ack.Compartment, first); r == "opening" || second == first {
			t.Fatalf("the number used up is answered %q, the new one is another: %v", r, second != first)
		}
		p.Within(time.Minute, "the new number opens", func() bool { return bank.Enter(ack.Compartment, second) == "opening" })
		bank.AwaitOpen(ack.Compartment)
		bank.TakeOut(ack.Compartment)
		p.AwaitParcel(ack.Parcel, "collected")
	})
}

// other is a number of six digits that is not the given one.
func other(number string) string {
	if number[0] == '9' {
		return "0" + number[1:]
	}
	return string(number[0]+1) + number[1:]
}
