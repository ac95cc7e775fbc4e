package scenarios_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"lockerfleet/simulator"
	"lockerfleet/test/kit"
	"lockerfleet/wire"
)

// ticket is what a person is given to show at a scanner.
type ticket struct {
	Text    string `json:"text"`
	PNG     []byte `json:"png"`
	SVG     string `json:"svg"`
	Grant   string `json:"grant"`
	Number  int    `json:"number"`
	Receipt bool   `json:"receipt"`
}

func makeTicket(r *kit.REST, parcel string, order map[string]any) (out ticket) {
	if order == nil {
		order = map[string]any{}
	}
	r.Post("/parcels/"+parcel+"/ticket", order, &out)
	return out
}

// N5: with the control center stopped a ticket opens its door once, over a restart of the bank;
// forged ones and those of another bank are refused with an answer; afterwards the record agrees.
func TestN5TicketOpensOnceWithTheCenterStopped(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{Database: kit.File}, kit.BankSpec{})
	other := p.Bank(kit.BankSpec{ID: "other"})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	bank.AwaitGrant(ack.Compartment, "deposit")
	courier := makeTicket(acme.REST, string(ack.Parcel), map[string]any{"for": "courier"})
	if r := bank.Show(courier.Text); r != "opening" {
		t.Fatalf("panel answers the courier's ticket %q, want opening", r)
	}
	bank.AwaitOpen(ack.Compartment)
	bank.PutIn(ack.Compartment, 700)
	number := p.Number(kit.Recipient("o-1"), 1)
	bank.AwaitGrant(ack.Compartment, "collect")
	mine := makeTicket(acme.REST, string(ack.Parcel), nil)
	if again := makeTicket(acme.REST, string(ack.Parcel), nil); again.Text != mine.Text {
		t.Error("asked again, the ticket is another one")
	}
	if !bytes.HasPrefix(mine.PNG, []byte("\x89PNG")) || !strings.HasPrefix(mine.SVG, "<svg") {
		t.Errorf("pictures begin with %.8q and %.8q", mine.PNG, mine.SVG)
	}
	if letter := p.Letter(kit.Recipient("o-1"), 1); !bytes.Equal(letter.Ticket, mine.PNG) {
		t.Error("the letter does not carry the ticket")
	}

	p.StopCenter()
	if r := other.Show(mine.Text); r != "wrong_bank" {
		t.Errorf("another bank answers %q, want wrong_bank", r)
	}
	forged := []byte(mine.Text)
	forged[60] ^= 1
	if r := bank.Show(string(forged)); r != "bad_ticket" {
		t.Errorf("a changed ticket is answered %q, want bad_ticket", r)
	}
	if r := bank.Show(mine.Text); r != "opening" {
		t.Fatalf("panel answers the ticket %q, want opening", r)
	}
	bank.AwaitOpen(ack.Compartment)
	bank.Shut(ack.Compartment)
	bank.CutPower()
	bank.RestorePower()
	var answer simulator.Answer
	p.Until("the bank answers again", func() bool {
		var err error
		answer, err = bank.Scan(t.Context(), mine.Text)
		return err == nil
	})
	if answer.Reason != "used" {
		t.Errorf("the ticket is answered %q after a restart, want used", answer.Reason)
	}
	p.Until("the door has settled and the number opens", func() bool {
		r := bank.Enter(ack.Compartment, number)
		return r == "opening" || r == "still_there" // the panel may just be telling how the visit before ended
	})
	bank.AwaitOpen(ack.Compartment)
	bank.TakeOut(ack.Compartment)

	p.StartCenter()
	p.AwaitParcel(ack.Parcel, "collected")
	acme.Event("o-1", "parcel.collected")
	if got := bank.Pulses(ack.Compartment); got != 3 {
		t.Errorf("the coil was on %d times, want three", got)
	}
	used := 0
	for _, e := range bank.Events() {
		if e.Type == "access" && strings.Contains(string(e.Data), `"ticket":`) && strings.Contains(string(e.Data), `"cmd":`) {
			used++
		}
	}
	if used != 2 {
		t.Errorf("the record knows %d uses of tickets, want the courier's and the recipient's", used)
	}
	if a := acme.REST.Request(http.MethodPost, "/parcels/"+string(ack.Parcel)+"/ticket", map[string]any{}); a.Status != http.StatusConflict {
		t.Errorf("a ticket for goods that are gone: %d, want 409", a.Status)
	}
}

// N5: a ticket that was taken back is refused as soon as the bank is told, and a receipt opens
// because the bank compares it with what it was told.
func TestN5RenewedTicketReplacesTheOld(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	bank.Deposit(ack.Compartment, ack.CourierCode, 700)
	p.AwaitParcel(ack.Parcel, "stored")
	first := makeTicket(acme.REST, string(ack.Parcel), nil)
	second := makeTicket(acme.REST, string(ack.Parcel), map[string]any{"renew": true})
	bank.AwaitRevision(4) // courier's grant and its end, the recipient's, its tickets
	if r := bank.Show(first.Text); r != "replaced" {
		t.Errorf("the old ticket is answered %q, want replaced", r)
	}
	receipt := makeTicket(acme.REST, string(ack.Parcel), map[string]any{"renew": true, "receipt": true})
	bank.AwaitRevision(5)
	if r := bank.Show(second.Text); r != "replaced" {
		t.Errorf("the second ticket is answered %q, want replaced", r)
	}
	if r := bank.Show(receipt.Text); r != "opening" || !receipt.Receipt {
		t.Fatalf("the receipt is answered %q, want opening", r)
	}
	bank.AwaitOpen(ack.Compartment)
	bank.TakeOut(ack.Compartment)
	p.AwaitParcel(ack.Parcel, "collected")
}

// N5: members of a group have codes and tickets of their own. A ticket of a member the bank never
// heard of opens while it is cut off, and the record knows whose it was; a removed member is
// refused.
func TestN5MembersOfAGroup(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	bank.Deposit(ack.Compartment, ack.CourierCode, 700)
	p.AwaitParcel(ack.Parcel, "stored")
	members := "/parcels/" + string(ack.Parcel) + "/members"
	var ada struct {
		Code string `json:"code"`
	}
	acme.REST.Post(members, map[string]any{"member": "ada"}, &ada)
	if problem := acme.REST.Refused(http.MethodPost, members, map[string]any{"member": "ada"}); problem.Code != "member_exists" {
		t.Errorf("the same member again: %+v, want member_exists", problem)
	}
	bank.AwaitRevision(4)
	acme.REST.Do(http.MethodDelete, members+"/ada", nil, nil)
	bank.AwaitRevision(5)
	if r := bank.Enter(ack.Compartment, ada.Code); r != "revoked" {
		t.Errorf("the removed member is answered %q, want revoked", r)
	}

	bank.CutNetwork()
	acme.REST.Post(members, map[string]any{"member": "bo"}, nil)
	bo := makeTicket(acme.REST, string(ack.Parcel), map[string]any{"for": "member", "member": "bo"})
	if r := bank.Show(bo.Text); r != "opening" {
		t.Fatalf("the ticket of a grant the bank never heard of is answered %q, want opening", r)
	}
	bank.AwaitOpen(ack.Compartment)
	bank.TakeOut(ack.Compartment)
	bank.RestoreNetwork()
	p.AwaitParcel(ack.Parcel, "collected")
	custody := kit.Read[struct {
		Intact bool `json:"intact"`
	}](acme.REST, "/parcels/"+string(ack.Parcel)+"/custody")
	if !custody.Intact {
		t.Error("the chain of custody is broken")
	}
	if left := kit.Items[struct{}](acme.REST, members); len(left) != 0 {
		t.Errorf("%d members can still collect, want none", len(left))
	}
}
