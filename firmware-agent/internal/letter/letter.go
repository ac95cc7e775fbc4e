// Package letter is a bank's own channel for letters, used while no control center answers: mail by
// a mail server, short messages by a modem on a serial line. A channel that is not set up is left
// out. Letters carry secret numbers: neither they nor their addresses are logged.
package letter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/locker"
)

// The ways of a letter, as an agent.Post names them.
const (
	ViaSMTP = "smtp"
	ViaSMS  = "sms"
)

// Post sends the letters of one bank. Mail or Phone is nil where the bank has no such channel.
// It sends one letter at a time.
type Post struct {
	Bank  locker.BankID
	Mail  *SMTP
	Phone *Modem
}

// errNoWay is the answer to a letter that no channel can carry.
var errNoWay = errors.New("the bank has no channel for this address: set letters.smtp.host for mail, letters.modem.device for telephones")

// Send writes by mail when an address of that kind is known, else by short message. When mail
// fails and a telephone is known too, that is tried. A nil error says that the mail server or the
// modem has taken the letter over, not that it was read.
func (p *Post) Send(ctx context.Context, m agent.Mail) (via string, err error) {
	text := Compose(p.Bank, m)
	err = errNoWay
	if p.Mail != nil && m.To.Email != "" {
		if err = p.Mail.Send(ctx, m.ID, m.To.Email, text); err == nil {
			return ViaSMTP, nil
		}
		via = ViaSMTP
	}
	if p.Phone != nil && m.To.Phone != "" && ctx.Err() == nil {
		return ViaSMS, p.Phone.Send(ctx, m.To.Phone, text.Short)
	}
	return via, err
}

// number checks a telephone number and drops what people write between digits. Nothing else may
// reach a modem, which would take it for an order.
func number(phone string) (string, error) {
	bare := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -/().", r) {
			return -1
		}
		return r
	}, phone)
	digits := strings.TrimPrefix(bare, "+")
	if len(digits) < 3 || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" {
		return "", fmt.Errorf("telephone number of %d characters: allowed are 3 to 15 digits, with a + in front for the country", len(phone))
	}
	return bare, nil
}
