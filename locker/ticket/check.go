package ticket

import (
	"crypto/ed25519"
	"crypto/hmac"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// Skew is how much earlier than its start a ticket is taken: clocks of center and bank may differ.
// The end has none: a door never opens late.
const Skew = 2 * time.Minute

// Reader is who reads tickets: one bank.
type Reader struct {
	Bank    locker.BankID
	Keys    []ed25519.PublicKey
	CodeKey []byte
}

// Read answers what a text claims and whether it is a ticket of this bank: ok, bad_ticket or
// wrong_bank. Only with ok may anything of the ticket be believed.
func (r Reader) Read(text string) (Ticket, grant.Reason) {
	s, err := Decode(text)
	switch {
	case err != nil:
		return Ticket{}, grant.BadTicket
	case s.Ticket.Bank != PrintOfBank(r.Bank):
		return s.Ticket, grant.WrongBank
	case !s.Verify(r.Keys, r.Bank):
		return s.Ticket, grant.BadTicket
	}
	return s.Ticket, grant.OK
}

// Known is what a bank knows of a ticket that it has read.
type Known struct {
	Used bool // it opened a door before
	// Held is the grant, nil when the bank was never told of it.
	Held *grant.Grant
	// Least is the lowest number of the grant's tickets that counts.
	Least uint32
	// Receipt, when set, is the digest of the one ticket that opens.
	Receipt *grant.Digest
	// Synced says that the bank has once held every revision of its grants there was, and Rev
	// which it holds now.
	Synced bool
	Rev    uint64
	// Clock says that the bank's clock can be trusted to be right, not only to lag.
	Clock bool
}

// Check decides a ticket that Read found good, at now. Without a trusted clock, or when the bank
// may have forgotten what it was told, only tickets of grants that the bank holds are taken, and only the end is looked at: a clock that lags cannot
// prove that a ticket has begun, and one on its own could live for ever.
func (r Reader) Check(t Ticket, k Known, now time.Time) grant.Reason {
	switch {
	case k.Used:
		return grant.Used
	case t.Number < k.Least:
		return grant.Replaced
	case !now.Before(t.NotAfter()):
		return grant.Expired
	case k.Clock && now.Before(t.NotBefore.Add(-Skew)):
		return grant.NotYet
	case k.Held == nil:
		return unheard(t, k)
	}
	return r.byGrant(t, k, now)
}

// unheard decides a ticket whose grant the bank does not hold.
func unheard(t Ticket, k Known) grant.Reason {
	switch {
	case k.Synced && uint64(t.Rev) <= k.Rev:
		return grant.Revoked
	case t.Action == Sale:
		return grant.Mismatch
	case !k.Synced || !k.Clock:
		return grant.Unproven
	}
	return grant.OK
}

// byGrant judges by the grant the bank holds. Wrong codes kill the code, not the ticket: whoever
// guesses at the panel locks nobody out.
func (r Reader) byGrant(t Ticket, k Known, now time.Time) grant.Reason {
	g := *k.Held
	if g.Compartment.No != t.Compartment || g.Purpose != t.Action.Purpose() || (t.Action == Sale) != (k.Receipt != nil) {
		return grant.Mismatch
	}
	if k.Receipt != nil {
		if d := ReceiptDigest(r.CodeKey, g.ID, t.ID()); !hmac.Equal(d[:], k.Receipt[:]) {
			return grant.Mismatch
		}
	}
	g.NotBefore, g.Failures = time.Time{}, 0
	return g.Refusal(now)
}
