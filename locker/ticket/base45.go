package ticket

import (
	"errors"
	"fmt"
	"strings"
)

// alphabet is that of RFC 9285: what the alphanumeric mode of a QR code holds. The last of three
// characters is never a space, so no mail program and no scanner that trims a line harms a ticket.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

// Encode writes an even number of bytes behind the prefix, two as three characters.
func Encode(b []byte) string {
	var out strings.Builder
	out.WriteString(Prefix)
	for i := 0; i+1 < len(b); i += 2 {
		n := int(b[i])<<8 | int(b[i+1])
		out.WriteByte(alphabet[n%45])
		out.WriteByte(alphabet[n/45%45])
		out.WriteByte(alphabet[n/45/45])
	}
	return out.String()
}

var errText = errors.New("ticket: this is not a ticket: it begins with " + Prefix + " and has " + fmt.Sprint(TextLen) + " characters")

// decode45 reads the one spelling of Len bytes.
func decode45(text string) ([]byte, error) {
	if len(text) != TextLen || !strings.HasPrefix(text, Prefix) {
		return nil, errText
	}
	out := make([]byte, 0, Len)
	for i := len(Prefix); i < len(text); i += 3 {
		n := 0
		for j := 2; j >= 0; j-- {
			d := strings.IndexByte(alphabet, text[i+j])
			if d < 0 {
				return nil, errText
			}
			n = n*45 + d
		}
		if n > 0xffff {
			return nil, errText
		}
		out = append(out, byte(n>>8), byte(n))
	}
	return out, nil
}
