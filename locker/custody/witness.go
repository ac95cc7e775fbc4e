package custody

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"time"

	"lockerfleet/locker"
)

// MaxDeviceKeys bounds the keys of boards in one file.
const MaxDeviceKeys = 64

// DeviceKey is the public key of a board, and when it was the key of its bank. The private half never
// left the board.
type DeviceKey struct {
	Bank  locker.BankID     `json:"bank"`
	Key   ed25519.PublicKey `json:"key"`
	From  time.Time         `json:"from"`
	Until time.Time         `json:"until,omitzero"` // zero = it still is
}

// Good reports whether a closing of that time may be signed with the key: until it was replaced.
func (k DeviceKey) Good(at time.Time) bool { return k.Until.IsZero() || !at.After(k.Until) }

// Held reports whether the bank had the key at that time, and so had to sign.
func (k DeviceKey) Held(at time.Time) bool { return k.Good(at) && !at.Before(k.From) }

// Proof is the board's own word for a link. The zero Proof says that none was asked for: the bank had
// no key, or no closing made the link.
type Proof struct {
	Statement string `json:"statement,omitzero"` // of the Closing
	Sig       string `json:"sig,omitzero"`       // as the board sent it
	Key       string `json:"key,omitzero"`       // KeyPrint of the key that fits; empty = none does: not verified
}

// Standing says on whose word a link rests.
type Standing string

// The standings.
const (
	Verified   Standing = "verified"   // the board signed what it saw, and it shows the step
	Unverified Standing = "unverified" // the board should have signed it and did not, or the signature does not fit
	Stated     Standing = "stated"     // no board signs such a link: the control center's word, or a person's through it
)

// Standing checks the board's word for a link against the keys of boards, by itself, whatever the
// control center says of it. reason says why a link is Unverified.
func (l Link) Standing(keys []DeviceKey) (s Standing, reason string) {
	if l.Proof == (Proof{}) {
		if l.ByClosing() && anyKey(keys, l) {
			return Unverified, "the bank has a key and the closing carries no signature"
		}
		return Stated, ""
	}
	c, err := ParseClosing(l.Proof.Statement)
	switch {
	case err != nil:
		return Unverified, err.Error()
	case !signedByAny(keys, l, c):
		return Unverified, "no key of the bank's boards fits the signature"
	case c.Bank != l.Compartment.Bank || c.No != l.Compartment.No:
		return Unverified, fmt.Sprintf("the board signed for door %s/%d", c.Bank, c.No)
	case !strings.HasPrefix(l.Evidence, c.Evidence()+";"):
		return Unverified, "the evidence is not what the board signed"
	case !c.shows(l.Step):
		return Unverified, fmt.Sprintf("what the board signed does not show %q", l.Step)
	}
	return Verified, ""
}

// ByClosing reports whether a closing of a door made the link, by its evidence.
func (l Link) ByClosing() bool { return strings.HasPrefix(l.Evidence, evidenceStart) }

func anyKey(keys []DeviceKey, l Link) bool {
	for _, k := range keys {
		if k.Bank == l.Compartment.Bank && k.Held(l.At) {
			return true
		}
	}
	return false
}

func signedByAny(keys []DeviceKey, l Link, c Closing) bool {
	for _, k := range keys {
		if k.Bank == c.Bank && k.Good(l.At) && KeyPrint(k.Key) == l.Proof.Key && c.SignedBy(k.Key, l.Proof.Sig) {
			return true
		}
	}
	return false
}

// Rising checks that of the closings of one board behind a chain none is used twice and none is older
// than the one before it.
func Rising(links []Link) error {
	type board struct {
		bank locker.BankID
		key  string
	}
	last := map[board]uint64{}
	for _, l := range links {
		c, err := ParseClosing(l.Proof.Statement)
		if l.Proof.Key == "" || err != nil {
			continue
		}
		b := board{c.Bank, l.Proof.Key}
		if c.Seq <= last[b] {
			return fmt.Errorf("link %d rests on closing %d of %s, which is used or older than that of a link before it", l.No, c.Seq, c.Bank)
		}
		last[b] = c.Seq
	}
	return nil
}
