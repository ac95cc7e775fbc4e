package ticket_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/locker/ticket"
)

const bank = locker.BankID("hall")

var (
	private = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	codeKey = bytes.Repeat([]byte{9}, 32)
	start   = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
)

func reader() ticket.Reader {
	return ticket.Reader{Bank: bank, Keys: []ed25519.PublicKey{private.Public().(ed25519.PublicKey)}, CodeKey: codeKey}
}

func claims() ticket.Ticket {
	return ticket.Ticket{
		Action: ticket.Collect, Compartment: 7, Grant: ticket.PrintOfGrant("grt-1"),
		NotBefore: start, Life: 72 * time.Hour, Number: 2, Rev: 13,
	}
}

func sign(t testing.TB, c ticket.Ticket) string {
	t.Helper()
	text, err := ticket.Sign(private, bank, c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTextIsOfOneLengthAndSurvivesTrimming(t *testing.T) {
	t.Parallel()
	for n := range uint32(300) {
		c := claims()
		c.Rev = n*0x01234567 + 1
		text := sign(t, c)
		if len(text) != ticket.TextLen || ticket.TextLen != 145 || text != strings.TrimSpace(text) {
			t.Fatalf("ticket %q has %d characters, want 145 and none to trim", text, len(text))
		}
		got, reason := reader().Read(text)
		if reason != grant.OK || got.Rev != c.Rev || got.Number != 2 || !got.NotAfter().Equal(start.Add(72*time.Hour)) {
			t.Fatalf("read %+v, %s", got, reason)
		}
	}
	if got := ticket.Encode([]byte("AB")); got != "LK1:BB8" { // RFC 9285, section 4.3
		t.Errorf("AB is encoded as %q, want LK1:BB8", got)
	}
}

// Every bit of the 94 bytes counts, and so does every character.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	t.Parallel()
	text := sign(t, claims())
	raw := bytesOf(t, text)
	if len(raw) != 94 || ticket.Len != 94 {
		t.Fatalf("a ticket has %d bytes, want 94", len(raw))
	}
	for i := range len(raw) * 8 {
		changed := bytes.Clone(raw)
		changed[i/8] ^= 1 << (i % 8)
		if _, reason := reader().Read(ticket.Encode(changed)); reason == grant.OK {
			t.Errorf("bit %d of byte %d may be flipped", i%8, i/8)
		}
	}
	for i := range len(text) {
		for _, c := range []byte("0Z: ~a") {
			if changed := text[:i] + string(c) + text[i+1:]; changed != text {
				if _, reason := reader().Read(changed); reason == grant.OK {
					t.Errorf("character %d may be %q", i, c)
				}
			}
		}
	}
}

// bytesOf undoes base45 without the decoder under test.
func bytesOf(t *testing.T, text string) (out []byte) {
	t.Helper()
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
	for s := strings.TrimPrefix(text, ticket.Prefix); s != ""; s = s[3:] {
		n := strings.IndexByte(alphabet, s[0]) + 45*strings.IndexByte(alphabet, s[1]) + 2025*strings.IndexByte(alphabet, s[2])
		out = append(out, byte(n>>8), byte(n))
	}
	return out
}

func TestForeignTicketsAreRefused(t *testing.T) {
	t.Parallel()
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, 32))
	forged, err := ticket.Sign(other, bank, claims())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := ticket.Sign(private, "station", claims())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want grant.Reason
	}{
		"signed by nobody we know": {forged, grant.BadTicket},
		"of another bank":          {elsewhere, grant.WrongBank},
		"a web address":            {"https://example.org/" + strings.Repeat("A", 125), grant.BadTicket},
		"empty":                    {"", grant.BadTicket},
	} {
		if _, got := reader().Read(c.text); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if _, got := (ticket.Reader{Bank: bank}).Read(sign(t, claims())); got != grant.BadTicket {
		t.Errorf("a bank without keys: %s, want bad_ticket", got)
	}
}

func TestSignRefusesWhatNobodyCanRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ticket.Ticket){
		"no action": func(c *ticket.Ticket) { c.Action = 0 }, "door 0": func(c *ticket.Ticket) { c.Compartment = 0 },
		"door 201": func(c *ticket.Ticket) { c.Compartment = 201 }, "no life": func(c *ticket.Ticket) { c.Life = time.Second },
		"a long life": func(c *ticket.Ticket) { c.Life = 46 * 24 * time.Hour }, "number 0": func(c *ticket.Ticket) { c.Number = 0 }, "revision 0": func(c *ticket.Ticket) { c.Rev = 0 },
		"before 1970": func(c *ticket.Ticket) { c.NotBefore = time.Unix(-1, 0) },
	} {
		c := claims()
		change(&c)
		if text, err := ticket.Sign(private, bank, c); err == nil {
			t.Errorf("%s: signed %q", name, text)
		}
	}
	if _, err := ticket.Sign(nil, bank, claims()); err == nil {
		t.Error("signed without a key")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	held := func(change func(*grant.Grant)) *grant.Grant {
		g := &grant.Grant{ID: "grt-1", Compartment: locker.CompartmentID{Bank: bank, No: 7}, Purpose: grant.Collect, NotBefore: start.Add(time.Hour), NotAfter: start.Add(72 * time.Hour)}
		if change != nil {
			change(g)
		}
		return g
	}
	sale := claims()
	sale.Action = ticket.Sale
	digest := ticket.ReceiptDigest(codeKey, "grt-1", sale.ID())
	other := ticket.ReceiptDigest(codeKey, "grt-1", sale.ID()+1)
	for _, c := range []struct {
		name string
		t    ticket.Ticket
		k    ticket.Known
		at   time.Duration
		want grant.Reason
	}{
		{"nobody told the bank", claims(), ticket.Known{Synced: true, Rev: 12, Clock: true}, time.Hour, grant.OK},
		{"it was told, and holds it no more", claims(), ticket.Known{Synced: true, Rev: 13, Clock: true}, time.Hour, grant.Revoked},
		{"it may have forgotten", claims(), ticket.Known{Rev: 12, Clock: true}, time.Hour, grant.Unproven},
		{"nobody told it, and it has no clock", claims(), ticket.Known{Synced: true, Rev: 12}, time.Hour, grant.Unproven},
		{"held, without a clock", claims(), ticket.Known{Held: held(nil)}, -time.Hour, grant.OK},
		{"held, and certainly over", claims(), ticket.Known{Held: held(nil)}, 72 * time.Hour, grant.Expired},
		{"early within the skew", claims(), ticket.Known{Synced: true, Clock: true}, -2 * time.Minute, grant.OK},
		{"too early", claims(), ticket.Known{Clock: true, Held: held(nil)}, -2*time.Minute - time.Millisecond, grant.NotYet},
		{"the last instant", claims(), ticket.Known{Synced: true, Clock: true}, 72*time.Hour - time.Millisecond, grant.OK},
		{"over", claims(), ticket.Known{Synced: true, Clock: true}, 72 * time.Hour, grant.Expired},
		{"used", claims(), ticket.Known{Used: true, Clock: true, Held: held(nil)}, 0, grant.Used},
		{"the newest number", claims(), ticket.Known{Clock: true, Held: held(nil), Least: 2}, 0, grant.OK},
		{"an older number", claims(), ticket.Known{Clock: true, Held: held(nil), Least: 3}, 0, grant.Replaced},
		{"the grant is over", claims(), ticket.Known{Clock: true, Held: held(func(g *grant.Grant) { g.Revoked = true })}, 0, grant.Revoked},
		{"the goods were moved", claims(), ticket.Known{Clock: true, Held: held(func(g *grant.Grant) { g.Spent = true })}, 0, grant.Spent},
		{"guessing kills no ticket", claims(), ticket.Known{Clock: true, Held: held(func(g *grant.Grant) { g.Failures = 9 })}, 0, grant.OK},
		{"opened too often", claims(), ticket.Known{Clock: true, Held: held(func(g *grant.Grant) { g.Openings = 5 })}, 0, grant.TooMany},
		{"another door than the grant's", claims(), ticket.Known{Clock: true, Held: held(func(g *grant.Grant) { g.Compartment.No = 8 })}, 0, grant.Mismatch},
		{"another purpose", claims(), ticket.Known{Clock: true, Held: held(func(g *grant.Grant) { g.Purpose = grant.Deposit })}, 0, grant.Mismatch},
		{"a receipt", sale, ticket.Known{Held: held(nil), Receipt: &digest}, 0, grant.OK},
		{"another receipt", sale, ticket.Known{Clock: true, Held: held(nil), Receipt: &other}, 0, grant.Mismatch},
		{"a receipt nobody announced", sale, ticket.Known{Synced: true, Clock: true}, 0, grant.Mismatch},
		{"a receipt for a plain grant", sale, ticket.Known{Clock: true, Held: held(nil)}, 0, grant.Mismatch},
		{"a plain ticket in place of a receipt", claims(), ticket.Known{Clock: true, Held: held(nil), Receipt: &digest}, 0, grant.Mismatch},
	} {
		if got := reader().Check(c.t, c.k, start.Add(c.at)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// FuzzRead feeds texts a scanner may deliver: nothing panics, and what is taken is what was signed.
func FuzzRead(f *testing.F) {
	good := sign(f, claims())
	f.Add(good)
	f.Add(good[:100])
	f.Add("LK1:" + strings.Repeat(":", 141))
	f.Fuzz(func(t *testing.T, text string) {
		if _, reason := reader().Read(text); reason == grant.OK && text != good {
			t.Errorf("took %q, which nobody signed", text)
		}
		if s, err := ticket.Decode(text); err == nil && s.Ticket.Action.Purpose() == "" {
			t.Errorf("%q decodes to no purpose", text)
		}
	})
}
