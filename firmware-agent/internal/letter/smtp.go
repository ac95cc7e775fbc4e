package letter

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"strconv"
	"strings"
	"time"
)

// smtpTimeout bounds one letter, from dialling to the last answer.
const smtpTimeout = 30 * time.Second

// The ways to a mail server.
const (
	StartTLS    = "starttls" // plain greeting, then TLS or nothing
	ImplicitTLS = "tls"      // from the first byte
	NoTLS       = "none"
)

// SMTP is a mail server. All fields but Username, Password and Config must be set.
type SMTP struct {
	Host     string
	Port     int
	Username string // empty: none is given
	Password string // never sent without TLS but to this machine
	From     string // NAME <ADDRESS> or ADDRESS
	TLS      string // starttls, tls or none
	// Config says whom TLS trusts and what time it is. It is copied for each letter.
	Config *tls.Config
	Now    func() time.Time
}

// Send hands one letter to the server and returns nil once the server has taken it. id makes the
// Message-ID, so that a letter sent twice is known as one.
func (s *SMTP) Send(ctx context.Context, id, to string, text Text) error {
	ctx, cancel := context.WithTimeout(ctx, smtpTimeout)
	defer cancel()
	if err := s.send(ctx, id, to, text); err != nil {
		return fmt.Errorf("mail server %s: %w", s.Host, err)
	}
	return nil
}

func (s *SMTP) send(ctx context.Context, id, to string, text Text) error {
	from, err := mail.ParseAddress(s.From)
	if err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	rcpt, err := mail.ParseAddress(to)
	if err != nil {
		return fmt.Errorf("the address is none: allowed is NAME@HOST")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c, err := s.greet(ctx, conn)
	if err != nil {
		return err
	}
	if err := s.envelope(c, from.Address, rcpt.Address); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(s.message(id, from, rcpt, text)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // the letter is taken: what goes wrong now must not send it again
	return nil
}

func (s *SMTP) greet(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	config := s.Config.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.ServerName = s.Host
	if s.TLS == ImplicitTLS {
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	c, err := smtp.NewClient(conn, s.Host)
	if err != nil {
		return nil, err
	}
	if s.TLS == StartTLS {
		err = c.StartTLS(config)
	}
	if err == nil && s.Username != "" {
		err = c.Auth(smtp.PlainAuth("", s.Username, s.Password, s.Host))
	}
	return c, err
}

func (s *SMTP) envelope(c *smtp.Client, from, to string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	return c.Rcpt(to)
}

func (s *SMTP) message(id string, from, to *mail.Address, text Text) []byte {
	_, domain, _ := strings.Cut(from.Address, "@")
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", from.String()}, {"To", to.String()}, {"Subject", mime.QEncoding.Encode("utf-8", text.Subject)},
		{"Date", s.Now().UTC().Format(time.RFC1123Z)}, {"Message-ID", "<" + id + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834: no out-of-office answers
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b)
	_, _ = body.Write([]byte(text.Short + "\r\n")) // a buffer takes everything
	_ = body.Close()
	return b.Bytes()
}
