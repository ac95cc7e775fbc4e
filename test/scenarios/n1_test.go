package scenarios_test

import (
	"bytes"
	"net/http"
	"testing"

	"lockerfleet/locker/custody"
	"lockerfleet/test/kit"
	"lockerfleet/wire"
)

// N1: who held a parcel, when, and what was seen is one signed file that anybody checks without a
// network; any changed byte is found, and nobody else's file is given out.
func TestN1CustodyFileIsCheckedOffline(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	bank.Deposit(ack.Compartment, ack.CourierCode, 700)
	bank.Collect(ack.Compartment, p.Number(kit.Recipient("o-1"), 1))
	p.AwaitParcel(ack.Parcel, "collected")

	path := "/parcels/" + string(ack.Parcel) + "/custody/file"
	answer := acme.REST.Request(http.MethodGet, path, nil)
	head, links, err := custody.ReadFile(answer.Body)
	if err != nil || head.Parcel != ack.Parcel || len(links) != 3 {
		t.Fatalf("%d: read %+v with %d links (%v), want three links of %s", answer.Status, head, len(links), err, ack.Parcel)
	}
	if links[1].Step != custody.StepStored || links[2].Step != custody.StepCollected || links[2].Giver != links[1].Taker {
		t.Errorf("links %+v, want announced, stored and collected, handed over", links)
	}
	for _, l := range links[1:] {
		if s, why := l.Standing(head.Boards); s != custody.Verified {
			t.Errorf("%s is %s (%s), want verified by the board's own signature", l.Step, s, why)
		}
	}
	for i := range answer.Body {
		bad := bytes.Clone(answer.Body)
		bad[i] ^= 1
		if _, _, err := custody.ReadFile(bad); err == nil {
			t.Fatalf("byte %d may be changed", i)
		}
	}
	if a := p.Partner("rival", "").REST.Request(http.MethodGet, path, nil); a.Status != http.StatusNotFound {
		t.Errorf("another partner gets the file: %d", a.Status)
	}
}
