package post

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"lockerfleet/controlcenter/internal/notify"
)

const (
	smtpTimeout = 20 * time.Second // of one letter, from dialling to the last answer
	smtpConns   = 4                // to the mail server at the same time; more wait
)

// TLS modes of a mail server.
const (
	StartTLS    = "starttls" // plain greeting, then TLS or nothing
	ImplicitTLS = "tls"      // from the first byte
	NoTLS       = "none"
)

// SMTPOptions say which mail server takes letters.
type SMTPOptions struct {
	Host     string
	Port     int
	Username string // empty: none is given
	Password string
	From     string // NAME <ADDRESS> or ADDRESS
	TLS      string // starttls, tls, none; empty: starttls
	// TLSConfig is for servers with a certificate of an own authority. Nil: the system's.
	TLSConfig *tls.Config
}

// SMTP is a notify.Mailer over one mail server. Each letter has a connection of its own, at most
// four at a time. It is safe for concurrent use.
type SMTP struct {
	opts   SMTPOptions
	from   *netmail.Address
	domain string        // of Message-IDs
	slots  chan struct{} // size smtpConns: connections open now
}

// NewSMTP checks the options; it does not dial.
func NewSMTP(o SMTPOptions) (*SMTP, error) {
	if o.TLS == "" {
		o.TLS = StartTLS
	}
	if !slices.Contains([]string{StartTLS, ImplicitTLS, NoTLS}, o.TLS) {
		return nil, fmt.Errorf("mail server: tls is %q, want starttls, tls or none", o.TLS)
	}
	if o.Host == "" || o.Port < 1 || o.Port > 65535 {
		return nil, fmt.Errorf("mail server: %q port %d is not an address", o.Host, o.Port)
	}
	from, err := netmail.ParseAddress(o.From)
	if err != nil {
		return nil, fmt.Errorf("mail server: sender %q: %w", o.From, err)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	return &SMTP{opts: o, from: from, domain: domain, slots: make(chan struct{}, smtpConns)}, nil
}

// Send hands one letter to the mail server and returns nil once the server has taken it. An
// address or a letter the server refuses for good is a permanent *notify.Failure.
func (s *SMTP) Send(ctx context.Context, l notify.Letter) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.slots }()
	msg, err := s.message(l)
	if err != nil {
		return &notify.Failure{Permanent: true, Err: err}
	}
	line := &line{}
	client, err := s.client(line)
	if err != nil {
		return err
	}
	defer line.close() // the library leaves it open when the greeting goes wrong
	ctx, cancel := context.WithTimeout(ctx, smtpTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, line.close)()
	err = client.DialAndSendWithContext(ctx, msg)
	if msg.IsDelivered() {
		return nil // taken: what went wrong while saying goodbye must not send it again
	}
	return verdict(err)
}

func (s *SMTP) message(l notify.Letter) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	m.FromMailAddress(s.from)
	to, err := netmail.ParseAddress(l.To)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", l.To, err)
	}
	m.ToMailAddress(to)
	m.Subject(l.Subject)
	m.SetDateWithValue(l.At)
	m.SetMessageIDWithValue(l.ID + "@" + s.domain)
	m.SetGenHeader(mail.Header("Auto-Submitted"), "auto-generated") // RFC 3834: no out-of-office answers
	m.SetBodyString(mail.TypeTextPlain, l.Text)
	if l.Ticket != nil {
		if err := m.AttachReader("ticket.png", bytes.NewReader(l.Ticket), mail.WithFileContentType("image/png")); err != nil {
			return nil, fmt.Errorf("attach the ticket: %w", err)
		}
	}
	return m, nil
}

func (s *SMTP) client(line *line) (*mail.Client, error) {
	config := s.opts.TLSConfig.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	if config.ServerName == "" {
		config.ServerName = s.opts.Host
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	opts := []mail.Option{
		mail.WithPort(s.opts.Port), mail.WithTimeout(smtpTimeout), mail.WithTLSConfig(config),
		mail.WithDialContextFunc(s.dialer(config, line)), mail.WithoutNoop(),
	}
	switch s.opts.TLS {
	case StartTLS:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	case ImplicitTLS: // the dialer has made TLS; this policy notices it
		opts = append(opts, mail.WithTLSPolicy(mail.TLSOpportunistic))
	case NoTLS:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	}
	if s.opts.Username != "" {
		opts = append(opts, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(s.opts.Username), mail.WithPassword(s.opts.Password))
	}
	c, err := mail.NewClient(s.opts.Host, opts...)
	if err != nil {
		return nil, fmt.Errorf("mail server %s: %w", s.opts.Host, err)
	}
	return c, nil
}

func (s *SMTP) dialer(config *tls.Config, line *line) mail.DialContextFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		d := &net.Dialer{}
		conn, err := d.DialContext(ctx, network, net.JoinHostPort(s.opts.Host, strconv.Itoa(s.opts.Port)))
		if err != nil {
			return nil, err
		}
		line.hold(conn)
		if s.opts.TLS != ImplicitTLS {
			return conn, nil
		}
		t := tls.Client(conn, config)
		return t, t.HandshakeContext(ctx)
	}
}

// verdict tells what cannot be mended by trying again: a recipient or a letter the server
// refused with a code of 500 and above.
func verdict(err error) error {
	if err == nil {
		return nil
	}
	var sent *mail.SendError
	if !errors.As(err, &sent) {
		return err
	}
	refusable := sent.Reason == mail.ErrSMTPRcptTo || sent.Reason == mail.ErrSMTPDataClose || sent.Reason == mail.ErrGetRcpts
	return &notify.Failure{Permanent: refusable && sent.ErrorCode() >= 500, Err: err}
}
