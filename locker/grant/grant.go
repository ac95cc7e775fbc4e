// Package grant decides who may open what, when, where and how often. The control center and
// the bank's agent run this same code: the agent on the grants pushed to it, so that a person
// at the door is answered with no network.
//
// The code itself is never stored. A grant carries a digest keyed with the bank's code key;
// guessing is bounded by naming the compartment first (one live code answers), by a growing
// delay after FreeFailures and by the death of the code after MaxFailures.
package grant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"lockerfleet/locker"
)

// Bounds of codes and guessing (reasons: OWASP ASVS 5 V6, NIST SP 800-63B 5.2.2).
const (
	CodeDigits   = 6                // a code that is named together with its compartment
	MaxCodeLen   = 32               // characters accepted at any face before anything is computed
	FreeFailures = 3                // wrong tries of one compartment before the delay grows
	MaxFailures  = 5                // wrong tries that kill the code
	MaxDelay     = 15 * time.Minute // longest wait between two tries of one compartment
	MaxCardDelay = 30 * time.Second // longest wait between two wrong cards at one reader
	MaxOpenings  = 5                // openings of one grant when nothing was moved yet
	DigestLen    = 16               // bytes of a code digest
)

// Purpose is what a grant lets its holder do at the door.
type Purpose string

// The purposes.
const (
	Deposit Purpose = "deposit" // put the announced goods in
	Collect Purpose = "collect" // take the goods out
	Recall  Purpose = "recall"  // a courier takes goods back out
	Enter   Purpose = "enter"   // go through the door of a room, by card, until the grant ends
)

// Valid reports whether p is known.
func (p Purpose) Valid() bool { return p == Deposit || p == Collect || p == Recall || p == Enter }

// Digest is the keyed hash of a code, bound to its grant.
type Digest [DigestLen]byte

// Grant is one authority to open one door.
type Grant struct {
	ID          locker.GrantID
	Compartment locker.CompartmentID
	Parcel      locker.ParcelID
	Purpose     Purpose
	Member      string // whose it is in a group; empty for the holder
	Digest      Digest
	NotBefore   time.Time
	NotAfter    time.Time
	// Openings counts doors opened so far; Spent is set when the purpose was fulfilled.
	Openings int
	Failures int
	Spent    bool
	Revoked  bool
}

// Live reports whether g could still open its door at now, given the right code.
func (g Grant) Live(now time.Time) bool { return g.refusal(now) == OK }

// Refusal is why g does not open its door at now, given the right code; OK when it does.
func (g Grant) Refusal(now time.Time) Reason { return g.refusal(now) }

// Reason says why an attempt was answered as it was. It is stable: logs, metrics, panels and
// partners use it.
type Reason string

// The reasons.
const (
	OK          Reason = "ok"
	WrongCode   Reason = "wrong_code"   // no live grant of this compartment has this code
	NotYet      Reason = "not_yet"      // the grant starts later
	Expired     Reason = "expired"      // the grant ended
	Spent       Reason = "spent"        // the goods were already moved with this code
	Revoked     Reason = "revoked"      // taken back
	CodeDead    Reason = "code_dead"    // too many wrong tries killed the code
	TooMany     Reason = "too_many"     // the door was opened MaxOpenings times
	Throttled   Reason = "throttled"    // try again after RetryAfter
	NothingHere Reason = "nothing_here" // no grant for this compartment at all

	BadTicket Reason = "bad_ticket" // not a ticket, or not signed by the control center
	WrongBank Reason = "wrong_bank" // a ticket of another bank
	Used      Reason = "used"       // the ticket opened its door before
	Replaced  Reason = "replaced"   // a newer ticket took its place
	Unproven  Reason = "unproven"   // the bank holds no grant of the ticket, and has no clock or memory to trust
	Mismatch  Reason = "mismatch"   // the ticket and what the bank holds of it differ
)

// Throttle is the memory of wrong tries at one compartment. It survives restarts wherever it
// is kept. The zero value is no failure.
type Throttle struct {
	Failures int
	Until    time.Time // no try before this instant
}

// Attempt is a person's try: the compartment they named and what they typed, or the card they held
// before the reader of that compartment.
type Attempt struct {
	Compartment locker.CompartmentID
	Code        string
	Card        Card // when it is not zero, Code does not count
}

func (a Attempt) digest(key []byte, id locker.GrantID) Digest {
	if a.Card != (Card{}) {
		return DigestOfCard(key, id, a.Card)
	}
	return DigestOf(key, id, a.Code)
}

// Verdict is the answer to an attempt.
type Verdict struct {
	Reason Reason
	// Grant is the grant that matched, also when it is refused for another reason; empty when
	// no code matched.
	Grant   locker.GrantID
	Purpose Purpose
	// Charged lists grants whose failure count goes up by one because of this try.
	Charged []locker.GrantID
	// Throttle is the new memory of the compartment.
	Throttle Throttle
	// RetryAfter is how long to wait, with Throttled.
	RetryAfter time.Duration
}

// OK reports whether the door may open.
func (v Verdict) OK() bool { return v.Reason == OK }

// Check decides an attempt. grants are those of the compartment the person named, at most a
// handful; key is the bank's code key. Comparison takes the same time whatever the code.
func Check(grants []Grant, th Throttle, key []byte, a Attempt, now time.Time) Verdict {
	// A wait longer than the longest was written by a clock that has been set back since.
	if wait := th.Until.Sub(now); wait > 0 && wait <= MaxDelay {
		return Verdict{Reason: Throttled, Throttle: th, RetryAfter: wait}
	}
	match, candidates := -1, 0
	for i, g := range grants {
		if g.Compartment != a.Compartment {
			continue
		}
		candidates++
		d := a.digest(key, g.ID)
		if hmac.Equal(d[:], g.Digest[:]) && (match < 0 || g.Live(now)) {
			match = i
		}
	}
	if match < 0 {
		return wrong(grants, th, a, candidates, now)
	}
	g := grants[match]
	v := Verdict{Reason: g.refusal(now), Grant: g.ID, Purpose: g.Purpose}
	if !v.OK() { // a code that is over buys nobody free tries
		v.Throttle = th
	}
	return v
}

// wrong charges every live code of the compartment and grows the delay. A wrong card costs nobody's
// authority, since people try the card of their bus; and a wrong code costs no card.
func wrong(grants []Grant, th Throttle, a Attempt, candidates int, now time.Time) Verdict {
	v := Verdict{Reason: WrongCode, Throttle: Throttle{Failures: th.Failures + 1}}
	if candidates == 0 {
		v.Reason = NothingHere
	}
	for _, g := range grants {
		if g.Compartment == a.Compartment && g.Purpose != Enter && a.Card == (Card{}) && g.Live(now) {
			v.Charged = append(v.Charged, g.ID)
		}
	}
	d := Delay(v.Throttle.Failures)
	if a.Card != (Card{}) {
		d = min(d, MaxCardDelay)
	}
	if d > 0 {
		v.Throttle.Until = now.Add(d)
		v.RetryAfter = d
	}
	return v
}

// Delay is the wait after the n-th wrong try in a row at one compartment: none for the first
// FreeFailures, then 2, 4, 8 ... seconds up to MaxDelay.
func Delay(failures int) time.Duration {
	over := failures - FreeFailures
	if over <= 0 {
		return 0
	}
	if over > 10 {
		return MaxDelay
	}
	return min(time.Duration(1<<over)*time.Second, MaxDelay)
}

func (g Grant) refusal(now time.Time) Reason {
	switch {
	case g.Spent: // also when its end was confirmed since: whoever asks is told what happened
		return Spent
	case g.Revoked:
		return Revoked
	case g.Failures >= MaxFailures:
		return CodeDead
	case now.Before(g.NotBefore):
		return NotYet
	case !now.Before(g.NotAfter):
		return Expired
	case g.Openings >= MaxOpenings && g.Purpose != Enter:
		return TooMany
	}
	return OK
}

// DigestOf is HMAC-SHA256 (RFC 2104) of the grant id and the code under the bank's code key,
// cut to DigestLen bytes. Binding the id makes equal codes of two grants look different.
func DigestOf(key []byte, id locker.GrantID, code string) Digest {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "lockerfleet code 1\x00%s\x00%s", id, code)
	var d Digest
	copy(d[:], m.Sum(nil))
	return d
}

// CodeOf derives the secret number of a grant from the control center's own code secret. It is
// made again whenever a message must carry it and stored nowhere. generation counts codes of
// one grant from 0.
func CodeOf(secret []byte, id locker.GrantID, generation int) string {
	m := hmac.New(sha256.New, secret)
	fmt.Fprintf(m, "lockerfleet number 1\x00%s\x00%d", id, generation)
	n := binary.BigEndian.Uint64(m.Sum(nil)) % 1_000_000
	return fmt.Sprintf("%0*d", CodeDigits, n)
}

// OwnNumber derives the secret number of a grant that a bank made by itself. Bank and control
// center both know the bank's code key, so either can tell the number to its owner and neither
// stores or sends it.
func OwnNumber(bankKey []byte, id locker.GrantID) string {
	m := hmac.New(sha256.New, bankKey)
	fmt.Fprintf(m, "lockerfleet own number 1\x00%s", id)
	n := binary.BigEndian.Uint64(m.Sum(nil)) % 1_000_000
	return fmt.Sprintf("%0*d", CodeDigits, n)
}

// BankKey derives the key under which codes of one bank are hashed. The bank is given this key
// and no other: a board taken apart tells nothing of another bank.
func BankKey(secret []byte, bank locker.BankID) []byte {
	m := hmac.New(sha256.New, secret)
	fmt.Fprintf(m, "lockerfleet bank key 1\x00%s", bank)
	return m.Sum(nil)
}
