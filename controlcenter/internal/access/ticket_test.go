package access_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/locker/ticket"
)

func TestTicketsAreReadByTheirBank(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		g := b.issue(t, 2, grant.Collect, 48*time.Hour)
		b.facts(t)
		first, err := b.Ticket(t.Context(), g.ID)
		if err != nil {
			t.Fatal(err)
		}
		r := ticket.Reader{Bank: "b-1", Keys: []ed25519.PublicKey{ticketKey.Public().(ed25519.PublicKey)}, CodeKey: b.BankKey("b-1")}
		read, reason := r.Read(first.Text)
		if reason != grant.OK || read.Compartment != 2 || read.Number != 1 || uint64(read.Rev) != g.Rev || read.NotAfter().After(g.NotAfter) {
			t.Fatalf("the bank reads %+v, %s", read, reason)
		}
		receipt, err := b.RenewTicket(t.Context(), g.ID, true)
		if err != nil {
			t.Fatal(err)
		}
		if read, reason = r.Read(receipt.Text); reason != grant.OK || read.Number != 2 || read.Action != ticket.Sale {
			t.Errorf("the bank reads the receipt as %+v, %s", read, reason)
		}
		told, is := b.facts(t)[0].(event.GrantIssued)
		if !is || told.Least != 2 || told.Rev != g.Rev+1 || told.Receipt == "" {
			t.Fatalf("told %+v, want the next revision with the least number and the receipt", told)
		}
		rows, err := b.Since(t.Context(), "b-1", 0)
		if err != nil || len(rows) != 2 || rows[1].Receipt != told.Receipt || rows[1].Grant.Ticket != 2 {
			t.Errorf("pushed again: %+v (%v), want the same", rows, err)
		}
		if newest, err := b.Newest(t.Context(), "b-1"); err != nil || newest != told.Rev {
			t.Errorf("newest revision %d (%v), want %d", newest, err, told.Rev)
		}
		door := locker.CompartmentID{Bank: "b-1", No: 2}
		if id, err := b.OfPrint(t.Context(), door, ticket.PrintOfGrant(g.ID).String()); err != nil || id != g.ID {
			t.Errorf("the print leads to %q (%v), want %s", id, err, g.ID)
		}
	})
}

func TestTicketsNobodyGets(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		short, deposit := b.issue(t, 1, grant.Collect, 30*time.Second), b.issue(t, 1, grant.Deposit, time.Hour)
		long, over := b.issue(t, 2, grant.Collect, 100*24*time.Hour), b.issue(t, 2, grant.Collect, time.Hour)
		if err := b.Revoke(t.Context(), over.ID); err != nil {
			t.Fatal(err)
		}
		for want, ask := range map[string]func() error{
			"no_ticket":       func() error { _, err := b.Ticket(t.Context(), short.ID); return err },
			"grant_over":      func() error { _, err := b.Ticket(t.Context(), over.ID); return err },
			"grant_unknown":   func() error { _, err := b.RenewTicket(t.Context(), "grt-none", false); return err },
			"receipt_invalid": func() error { _, err := b.RenewTicket(t.Context(), deposit.ID, true); return err },
		} {
			if err := ask(); fault.CodeOf(err) != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		if _, err := b.RenewTicket(t.Context(), over.ID, false); fault.CodeOf(err) != "grant_over" {
			t.Errorf("renewed a grant that is over: %v", err)
		}
		b.pass(80 * 24 * time.Hour)
		late, err := b.Ticket(t.Context(), long.ID)
		if err != nil || !late.NotAfter.Equal(long.NotAfter.Truncate(time.Minute)) {
			t.Errorf("a ticket near the end of a long grant: %+v (%v), want it to last until %s", late, err, long.NotAfter)
		}
	})
}
