package grant

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"lockerfleet/locker"
)

// Card is what a reader says of a card, or of a person it recognised by finger, vein or face: the
// data bits of a Wiegand frame. The number is printed on many cards, so it is personal and half a
// secret: it is never stored, logged or sent, only its keyed digest. The zero value is no card.
type Card struct {
	Bits   int    // 24 of a frame of 26, 32 of a frame of 34
	Number uint64 // below two to the power of Bits
}

// Valid reports whether c can come from a reader.
func (c Card) Valid() bool { return (c.Bits == 24 || c.Bits == 32) && c.Number < 1<<c.Bits }

// DigestOfCard is HMAC-SHA256 (RFC 2104) of the grant id and the card under the bank's code key,
// cut to DigestLen bytes. No code has the digest of a card, whatever is typed.
func DigestOfCard(key []byte, id locker.GrantID, c Card) Digest {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "lockerfleet card 1\x00%s\x00%d\x00%d", id, c.Bits, c.Number)
	var d Digest
	copy(d[:], m.Sum(nil))
	return d
}
