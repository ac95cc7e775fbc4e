// Package ticket is the authority a person carries as a QR code: a fixed body of 30 bytes and an
// Ed25519 signature of the control center, 94 bytes together, written in base45. A bank checks it
// with nothing but the public keys it was claimed with, so it works with no network at all.
//
// One ticket names one bank and one compartment, so one verifier exists and a list on its disk
// makes the ticket good once. It names its grant by a print: a bank that holds the grant judges
// by that grant as well. It also names the revision of the bank's grants that issued it: a bank
// that has not come that far trusts the signature and its clock, and one that has, and holds the
// grant no more, knows that it is over.
package ticket

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// The form. All numbers are big-endian.
//
//	version 1 | key 1 | action 1 | compartment 1 | bank print 4 | grant print 8 |
//	not before, unix seconds 4 | life, minutes 2 | number 4 | revision 4 | signature 64
const (
	Prefix  = "LK1:"
	Version = 1
	BodyLen = 30
	Len     = BodyLen + ed25519.SignatureSize
	// TextLen is the number of characters of every ticket.
	TextLen = len(Prefix) + Len/2*3
	// MaxLife is the longest life of a ticket: what 16 bits of minutes hold, about 45 days.
	MaxLife = 0xffff * time.Minute
)

// domain separates these signatures from any other use of the key. The whole bank id stands in
// what is signed, so that two banks with one print do not share tickets.
const domain = "lockerfleet ticket 1\x00"

// Action is what a ticket is shown for.
type Action byte

// The actions. The first three are the purposes of grants. A sale is a collection against a
// receipt: the bank also compares the ticket with the digest it was told.
const (
	Deposit Action = 1
	Collect Action = 2
	Recall  Action = 3
	Sale    Action = 4
)

// Purpose is what a holder may do at the door; empty for an action that is not known.
func (a Action) Purpose() grant.Purpose {
	switch a {
	case Deposit:
		return grant.Deposit
	case Collect, Sale:
		return grant.Collect
	case Recall:
		return grant.Recall
	}
	return ""
}

// ActionOf is the action of a ticket for a grant's purpose.
func ActionOf(p grant.Purpose, receipt bool) Action {
	switch {
	case p == grant.Deposit:
		return Deposit
	case p == grant.Recall:
		return Recall
	case receipt:
		return Sale
	}
	return Collect
}

// BankPrint is what a ticket carries of a bank's id: enough to tell a person that they stand at
// the wrong one.
type BankPrint [4]byte

// GrantPrint is what a ticket carries of a grant's id.
type GrantPrint [8]byte

// String writes p as 16 hexadecimal digits.
func (p GrantPrint) String() string { return hex.EncodeToString(p[:]) }

// PrintOfBank is the first bytes of a hash of the id.
func PrintOfBank(b locker.BankID) (p BankPrint) {
	sum := sha256.Sum256([]byte("lockerfleet bank print 1\x00" + b))
	copy(p[:], sum[:])
	return p
}

// PrintOfGrant is the first bytes of a hash of the id.
func PrintOfGrant(g locker.GrantID) (p GrantPrint) {
	sum := sha256.Sum256([]byte("lockerfleet grant print 1\x00" + g))
	copy(p[:], sum[:])
	return p
}

// KeyID is the byte by which a ticket names its key, so that a bank with several tries one first.
func KeyID(k ed25519.PublicKey) byte { return sha256.Sum256(k)[0] }

// Ticket is the claims.
type Ticket struct {
	Key         byte // KeyID of the signer
	Action      Action
	Compartment int // 1 to locker.MaxCompartments
	Bank        BankPrint
	Grant       GrantPrint
	NotBefore   time.Time     // whole seconds
	Life        time.Duration // whole minutes, up to MaxLife
	// Number counts the tickets of one grant from 1. Taking tickets back raises the least
	// number that counts.
	Number uint32
	// Rev is the revision of the bank's grants that issued the grant. A bank that holds this
	// revision and not the grant knows that it is over.
	Rev uint32
}

// NotAfter is the first instant at which t is over.
func (t Ticket) NotAfter() time.Time { return t.NotBefore.Add(t.Life) }

// ID names a ticket of a grant.
func (t Ticket) ID() uint64 { return uint64(t.Number)<<32 | uint64(t.Rev) }

func (t Ticket) check() error {
	switch {
	case t.Action.Purpose() == "":
		return fmt.Errorf("ticket: action %d: 1 to 4 are allowed", t.Action)
	case t.Compartment < 1 || t.Compartment > locker.MaxCompartments:
		return fmt.Errorf("ticket: compartment %d: 1 to %d are allowed", t.Compartment, locker.MaxCompartments)
	case t.NotBefore.Unix() < 0 || t.NotBefore.Unix() > 0xffffffff:
		return fmt.Errorf("ticket: not before %s: allowed are 1970 to 2106", t.NotBefore)
	case t.Life < time.Minute || t.Life > MaxLife:
		return fmt.Errorf("ticket: life %s: allowed are 1 minute to %s", t.Life, MaxLife)
	case t.Number == 0 || t.Rev == 0:
		return errors.New("ticket: number or revision 0: they count from 1")
	}
	return nil
}

// body writes the claims.
func (t Ticket) body() (b [BodyLen]byte) {
	b[0], b[1], b[2], b[3] = Version, t.Key, byte(t.Action), byte(t.Compartment)
	copy(b[4:8], t.Bank[:])
	copy(b[8:16], t.Grant[:])
	binary.BigEndian.PutUint32(b[16:], uint32(t.NotBefore.Unix()))
	binary.BigEndian.PutUint16(b[20:], uint16(t.Life/time.Minute))
	binary.BigEndian.PutUint32(b[22:], t.Number)
	binary.BigEndian.PutUint32(b[26:], t.Rev)
	return b
}

func parse(b []byte) Ticket {
	t := Ticket{
		Key: b[1], Action: Action(b[2]), Compartment: int(b[3]),
		NotBefore: time.Unix(int64(binary.BigEndian.Uint32(b[16:])), 0).UTC(),
		Life:      time.Duration(binary.BigEndian.Uint16(b[20:])) * time.Minute,
		Number:    binary.BigEndian.Uint32(b[22:]), Rev: binary.BigEndian.Uint32(b[26:]),
	}
	copy(t.Bank[:], b[4:8])
	copy(t.Grant[:], b[8:16])
	return t
}

// Sign writes t for a bank, with the key's id and the bank's print set.
func Sign(key ed25519.PrivateKey, bank locker.BankID, t Ticket) (string, error) {
	if len(key) != ed25519.PrivateKeySize {
		return "", errors.New("ticket: the key is not an Ed25519 private key")
	}
	t.Key, t.Bank = KeyID(ed25519.PublicKey(key[ed25519.SeedSize:])), PrintOfBank(bank)
	if err := t.check(); err != nil {
		return "", err
	}
	body := t.body()
	return Encode(append(body[:], ed25519.Sign(key, signed(bank, body[:]))...)), nil
}

// Signed is a ticket as it was read, not yet believed.
type Signed struct {
	Ticket Ticket
	raw    [Len]byte
}

// Decode reads a ticket. It takes exactly what Sign writes; nothing else is a ticket.
func Decode(text string) (Signed, error) {
	var s Signed
	b, err := decode45(text)
	if err != nil {
		return s, err
	}
	copy(s.raw[:], b)
	if s.raw[0] != Version {
		return s, fmt.Errorf("ticket: version %d: this release knows %d", s.raw[0], Version)
	}
	s.Ticket = parse(s.raw[:BodyLen])
	return s, s.Ticket.check()
}

// Verify reports whether one of keys signed s for this bank.
func (s *Signed) Verify(keys []ed25519.PublicKey, bank locker.BankID) bool {
	if s.Ticket.Bank != PrintOfBank(bank) {
		return false
	}
	text := signed(bank, s.raw[:BodyLen])
	for _, k := range keys {
		if len(k) == ed25519.PublicKeySize && KeyID(k) == s.Ticket.Key && ed25519.Verify(k, text, s.raw[BodyLen:]) {
			return true
		}
	}
	return false
}

func signed(bank locker.BankID, body []byte) []byte {
	return fmt.Appendf(make([]byte, 0, len(domain)+len(bank)+1+len(body)), "%s%s\x00%s", domain, bank, body)
}

// ReceiptDigest is what a bank is told of a receipt, so that it can compare what the person shows:
// a keyed hash of the ticket's id, bound to the grant, under the bank's code key.
func ReceiptDigest(key []byte, g locker.GrantID, id uint64) (d grant.Digest) {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "lockerfleet receipt 1\x00%s\x00%016x", g, id)
	copy(d[:], m.Sum(nil))
	return d
}
