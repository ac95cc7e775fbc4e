package access

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/locker/ticket"
)

// IssuedTicket is a ticket for its holder. Text opens a door: it is never logged or kept.
type IssuedTicket struct {
	Text      string
	Grant     locker.GrantID
	Door      locker.CompartmentID
	Purpose   grant.Purpose
	Member    string
	Receipt   bool
	Number    uint32
	NotBefore time.Time
	NotAfter  time.Time
}

// Ticket makes the ticket of a live grant that counts now. It may be asked for as often as
// wanted: it is the same ticket, good once.
func (s *Service) Ticket(ctx context.Context, id locker.GrantID) (IssuedTicket, error) {
	g, err := s.live(ctx, id)
	if err != nil {
		return IssuedTicket{}, err
	}
	return s.sign(g)
}

// RenewTicket takes back every ticket made for a live grant so far and makes a new one. A bank
// that cannot be reached takes the old ones until it hears of it. With receipt the grant opens
// against this one ticket alone, which the bank compares with what it was told, until renewed
// without.
func (s *Service) RenewTicket(ctx context.Context, id locker.GrantID, receipt bool) (IssuedTicket, error) {
	var g Grant
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		g, err = s.renew(tx, id, receipt)
		return err
	})
	if err != nil {
		return IssuedTicket{}, fmt.Errorf("renew the ticket of %s: %w", id, err)
	}
	return s.sign(g)
}

func (s *Service) renew(tx Tx, id locker.GrantID, receipt bool) (Grant, error) {
	g, found, err := tx.Grant(id)
	switch {
	case err != nil:
		return g, err
	case !found:
		return g, unknownGrant(id)
	case receipt && g.Purpose != grant.Collect:
		return g, fault.Invalidf("receipt_invalid", "The grant %s is to %s; a receipt is for goods to collect.", id, g.Purpose).At("receipt")
	}
	rev, changed, err := tx.NextTicket(id, receipt)
	if err != nil {
		return g, err
	}
	if !changed {
		return g, over(g)
	}
	if g, _, err = tx.Grant(id); err != nil {
		return g, err
	}
	tx.Tell(event.GrantIssued{
		About: about(g, tx.Now()), Grant: g.ID, Purpose: g.Purpose, Rev: rev, Digest: hex.EncodeToString(g.Digest[:]),
		NotBefore: g.NotBefore, NotAfter: g.NotAfter, Member: g.Member, Least: g.Ticket, Receipt: s.receipt(g),
	})
	return g, nil
}

// live reads a grant that is not over.
func (s *Service) live(ctx context.Context, id locker.GrantID) (g Grant, err error) {
	var found bool
	err = s.store.View(ctx, func(tx Tx) (err error) {
		g, found, err = tx.Grant(id)
		return err
	})
	switch {
	case err != nil:
		return g, fmt.Errorf("read grant %s: %w", id, err)
	case !found:
		return g, unknownGrant(id)
	case g.EndReason != "":
		return g, over(g)
	}
	return g, nil
}

func over(g Grant) error {
	return fault.Conflictf("grant_over", "The grant %s is over: %s.", g.ID, g.EndReason)
}

// sign makes the ticket of g. One that lives longer than a ticket can is good from now on, and is
// to be asked for again before its end.
func (s *Service) sign(g Grant) (IssuedTicket, error) {
	if g.Purpose == grant.Enter {
		return IssuedTicket{}, fault.Conflictf("no_ticket", "The grant %s is for a card; there is no ticket for it.", g.ID)
	}
	from := g.NotBefore.Truncate(time.Second)
	if g.NotAfter.Sub(from) > ticket.MaxLife {
		from = s.now().Truncate(time.Second)
	}
	t := ticket.Ticket{
		Action: ticket.ActionOf(g.Purpose, g.Receipt), Compartment: g.Compartment.No, Grant: ticket.PrintOfGrant(g.ID),
		NotBefore: from, Life: min(g.NotAfter.Sub(from).Truncate(time.Minute), ticket.MaxLife), Number: g.Ticket, Rev: uint32(g.Rev),
	}
	text, err := ticket.Sign(s.ticketKey, g.Compartment.Bank, t)
	if err != nil {
		return IssuedTicket{}, fault.Conflictf("no_ticket", "The grant %s cannot have a ticket: %v.", g.ID, err)
	}
	return IssuedTicket{
		Text: text, Grant: g.ID, Door: g.Compartment, Purpose: g.Purpose, Member: g.Member, Receipt: g.Receipt, Number: g.Ticket,
		NotBefore: t.NotBefore, NotAfter: t.NotAfter(),
	}, nil
}

// receipt is what the bank compares, in hexadecimal digits; empty when the grant needs none.
func (s *Service) receipt(g Grant) string {
	if !g.Receipt {
		return ""
	}
	t := ticket.Ticket{Number: g.Ticket, Rev: uint32(g.Rev)}
	d := ticket.ReceiptDigest(s.BankKey(g.Compartment.Bank), g.ID, t.ID())
	return hex.EncodeToString(d[:])
}

// Newest is the newest grant revision made for a bank.
func (s *Service) Newest(ctx context.Context, bank locker.BankID) (rev uint64, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		rev, err = tx.GrantRev(bank)
		return err
	})
	return rev, err
}

// OfPrint finds the grant of a door that a bank only knows by the print on a ticket: it opened
// before it was told of the grant. It is one that lives or ended lately.
func (s *Service) OfPrint(ctx context.Context, door locker.CompartmentID, print string) (id locker.GrantID, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		grants, err := tx.GrantsAt(door)
		for _, g := range grants {
			if ticket.PrintOfGrant(g.ID).String() == print {
				id = g.ID
			}
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("look for the grant of a ticket at %s: %w", door, err)
	}
	return id, nil
}
