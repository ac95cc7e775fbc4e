package wire_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/locker/ticket"
)

// ticketFile is testdata/golden/ticket.json: what the reader of another language must take and
// refuse. Key, code key and bank are those of the other vectors.
type ticketFile struct {
	Note       string         `json:"note"`
	Public     string         `json:"public_key_hex"`
	Bank       locker.BankID  `json:"bank"`
	BankPrint  string         `json:"bank_print_hex"`
	Grant      locker.GrantID `json:"grant"`
	GrantPrint string         `json:"grant_print_hex"`
	Tickets    []goldenTicket `json:"tickets"`
	Refused    []goldenTicket `json:"refused"`
}

type goldenTicket struct {
	Name    string       `json:"name"`
	Text    string       `json:"text"`
	Reason  grant.Reason `json:"reason,omitempty"`
	Action  int          `json:"action,omitempty"`
	Door    int          `json:"compartment,omitempty"`
	Start   int64        `json:"not_before,omitempty"` // unix seconds
	Minutes int          `json:"minutes,omitempty"`
	Number  uint32       `json:"number,omitempty"`
	Rev     uint32       `json:"revision,omitempty"`
	Receipt string       `json:"receipt_digest_hex,omitempty"` // with the code key of code.json
}

const ticketBank, ticketGrant = "demo-1", "grt-01j9zpx2aa"

func TestTicketVector(t *testing.T) {
	t.Parallel()
	bank, of := ticket.PrintOfBank(ticketBank), ticket.PrintOfGrant(ticketGrant)
	f := ticketFile{
		Note: "The key is published and good for nothing but this example.", Public: hex.EncodeToString(publicKeys()[0]),
		Bank: ticketBank, BankPrint: hex.EncodeToString(bank[:]), Grant: ticketGrant, GrantPrint: of.String(),
	}
	for _, c := range []struct {
		name string
		t    ticket.Ticket
	}{
		{"collect", ticket.Ticket{Action: ticket.Collect, Compartment: 7, NotBefore: time.Unix(1793350800, 0), Life: 72 * time.Hour, Number: 1, Rev: 13}},
		{"least", ticket.Ticket{Action: ticket.Deposit, Compartment: 1, NotBefore: time.Unix(0, 0), Life: time.Minute, Number: 1, Rev: 1}},
		{"most", ticket.Ticket{Action: ticket.Sale, Compartment: 200, NotBefore: time.Unix(0xffffffff, 0), Life: ticket.MaxLife, Number: 0xffffffff, Rev: 0xffffffff}},
	} {
		f.Tickets = append(f.Tickets, ticketOf(t, c.name, c.t))
	}
	f.Refused = refusedTickets(f.Tickets[0].Text)
	compare(t, "ticket.json", indented(t, f))
	r := ticket.Reader{Bank: ticketBank, Keys: publicKeys()}
	for _, g := range f.Refused {
		if _, got := r.Read(g.Text); got != g.Reason {
			t.Errorf("%s: got %s, want %s", g.Name, got, g.Reason)
		}
	}
}

func ticketOf(t *testing.T, name string, claims ticket.Ticket) goldenTicket {
	t.Helper()
	claims.Grant = ticket.PrintOfGrant(ticketGrant)
	text, err := ticket.Sign(key(), ticketBank, claims)
	if err != nil {
		t.Fatal(err)
	}
	r := ticket.Reader{Bank: ticketBank, Keys: publicKeys()}
	got, reason := r.Read(text)
	if reason != grant.OK || !got.NotBefore.Equal(claims.NotBefore) || got.Number != claims.Number || got.Life != claims.Life {
		t.Fatalf("%s is read as %+v, %s", name, got, reason)
	}
	digest := ticket.ReceiptDigest(key().Seed(), ticketGrant, got.ID())
	return goldenTicket{
		Name: name, Text: text, Action: int(claims.Action), Door: claims.Compartment, Start: claims.NotBefore.Unix(),
		Minutes: int(claims.Life / time.Minute), Number: claims.Number, Rev: claims.Rev, Receipt: hex.EncodeToString(digest[:]),
	}
}

func refusedTickets(good string) []goldenTicket {
	return []goldenTicket{
		{Name: "lower case", Text: strings.ToLower(good), Reason: grant.BadTicket},
		{Name: "another prefix", Text: "LK2:" + good[4:], Reason: grant.BadTicket},
		{Name: "a character less", Text: good[:len(good)-1], Reason: grant.BadTicket},
		{Name: "a line end", Text: good + "\n", Reason: grant.BadTicket},
		{Name: "another door", Text: good[:7] + ticket.Encode([]byte{2, 8})[4:] + good[10:], Reason: grant.BadTicket},
		{Name: "another bank", Text: good[:10] + ticket.Encode([]byte{1, 2, 3, 4})[4:] + good[16:], Reason: grant.WrongBank},
		{Name: "three characters above two bytes", Text: good[:len(good)-3] + ":::", Reason: grant.BadTicket},
		{Name: "nothing", Reason: grant.BadTicket},
	}
}
