package process

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// postOffice is a mail server that takes every letter.
type postOffice struct {
	addr *net.TCPAddr

	mu      sync.Mutex
	letters []letter
}

type letter struct{ id, to, subject, text string }

func openPostOffice(t testing.TB) *postOffice {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &postOffice{addr: l.Addr().(*net.TCPAddr)}
	var work sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			work.Go(func() {
				defer c.Close()
				_ = o.serve(c) // the sender sees how far it came
			})
		}
	})
	return o
}

// flags let a server send its mail here.
func (o *postOffice) flags() []string {
	return []string{
		"--set", "mail.smtp.host=127.0.0.1", "--set", fmt.Sprintf("mail.smtp.port=%d", o.addr.Port),
		"--set", "mail.smtp.tls=none", "--set", "mail.smtp.from=lockers@example.org",
	}
}

// serve speaks as much of RFC 5321 as a letter needs.
func (o *postOffice) serve(c net.Conn) error {
	in := bufio.NewReader(c)
	if _, err := fmt.Fprint(c, "220 test\r\n"); err != nil {
		return err
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		answer := "250 ok\r\n"
		switch verb := strings.ToUpper(strings.TrimSpace(line)); {
		case verb == "DATA":
			if _, err := fmt.Fprint(c, "354 go on\r\n"); err != nil {
				return err
			}
			if err := o.take(in); err != nil {
				return err
			}
		case verb == "QUIT":
			_, err := fmt.Fprint(c, "221 bye\r\n")
			return err
		}
		if _, err := fmt.Fprint(c, answer); err != nil {
			return err
		}
	}
}

func (o *postOffice) take(in *bufio.Reader) error {
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	m, err := mail.ReadMessage(strings.NewReader(text.String()))
	if err != nil {
		return err
	}
	body, err := words(m)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.letters = append(o.letters, letter{
		id: m.Header.Get("Message-ID"), to: strings.Trim(m.Header.Get("To"), "<>"), subject: m.Header.Get("Subject"), text: body,
	})
	return nil
}

// words is what a letter says. One with a ticket says it in its first part, and the picture is
// in the next.
func words(m *mail.Message) (string, error) {
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	body := io.Reader(quotedprintable.NewReader(m.Body))
	if strings.HasPrefix(kind, "multipart/") {
		if body, err = multipart.NewReader(m.Body, params["boundary"]).NextPart(); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(body)
	return string(text), err
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// number is the newest number that was sent to somebody, or empty.
func (o *postOffice) number(to string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(o.letters) - 1; i >= 0; i-- {
		if l := o.letters[i]; l.to == to {
			if n := sixDigits.FindString(l.text); n != "" {
				return n
			}
		}
	}
	return ""
}
