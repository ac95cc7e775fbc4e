package letter_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/firmware-agent/internal/letter"
	"lockerfleet/wire"
)

// server is a mail server; answers replaces what it says to a command, "cut" hangs up.
type server struct {
	answers  map[string]string
	implicit bool
	tls      *tls.Config
	port     int

	mu      sync.Mutex
	heard   []string
	letters []string
}

func (s *server) start(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer conn.Close(); s.talk(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return s
}

func (s *server) talk(conn net.Conn) {
	if s.implicit {
		conn = tls.Server(conn, s.tls)
	}
	in := bufio.NewReader(conn)
	say := func(command, usual string) bool {
		if other, ok := s.answers[command]; ok {
			usual = other
		}
		if usual == "cut" {
			return false
		}
		_, err := io.WriteString(conn, usual+"\r\n")
		return err == nil
	}
	for ok := say("HELLO", "220 test"); ok; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		s.mu.Lock()
		s.heard = append(s.heard, line)
		s.mu.Unlock()
		switch word, _, _ := strings.Cut(line, " "); word {
		case "EHLO":
			_, secure := conn.(*tls.Conn)
			ok = say(word, map[bool]string{true: "250-test\r\n250 AUTH PLAIN", false: "250-test\r\n250 STARTTLS"}[secure])
		case "STARTTLS":
			ok = say(word, "220 go")
			conn = tls.Server(conn, s.tls)
			in = bufio.NewReader(conn)
		case "AUTH":
			ok = say(word, "235 welcome")
		case "DATA":
			if ok = say(word, "354 go on"); ok && s.answers[word] == "" {
				s.take(in)
				ok = say(".", "250 taken")
			}
		case "QUIT":
			say(word, "221 bye")
			return
		default:
			ok = say(word, "250 fine")
		}
	}
}

func (s *server) take(in *bufio.Reader) {
	var all strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			break
		}
		all.WriteString(strings.TrimPrefix(line, "."))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters = append(s.letters, all.String())
}

func (s *server) got() (heard, letters []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(heard, s.heard...), append(letters, s.letters...)
}

// authority makes a certificate for this machine and the settings of who trusts it.
func authority(t *testing.T) (serverSide, clientSide *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func (s *server) post(mode, user string, trust *tls.Config) *letter.Post {
	return &letter.Post{Bank: "hall-a", Mail: &letter.SMTP{
		Host: "127.0.0.1", Port: s.port, Username: user, Password: "secret", From: "Lockers <lockers@example.org>", TLS: mode, Config: trust,
		Now: func() time.Time { return time.UnixMilli(1_800_000_000_000) },
	}}
}

func goods(email, phone string) agent.Mail {
	return agent.Mail{
		ID: "ltr-1", Kind: wire.LetterNumber, To: wire.Contact{Email: email, Phone: phone, Lang: "de"}, C: 4, Number: "012345",
		UntilMS: 1_800_000_000_000, ZoneMin: 60,
	}
}

func TestALetterGoesByMail(t *testing.T) {
	t.Parallel()
	theirs, ours := authority(t)
	for _, tt := range []struct{ name, mode, user string }{
		{"starttls with a password", letter.StartTLS, "bank"},
		{"tls from the first byte", letter.ImplicitTLS, "bank"},
		{"plain, on a network of its own", letter.NoTLS, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := (&server{tls: theirs, implicit: tt.mode == letter.ImplicitTLS}).start(t)
			via, err := s.post(tt.mode, tt.user, ours).Send(t.Context(), goods("ada@example.org", ""))
			if via != letter.ViaSMTP || err != nil {
				t.Fatalf("via %q, %v", via, err)
			}
			heard, letters := s.got()
			if len(letters) != 1 {
				t.Fatalf("letters %q", letters)
			}
			if asked := strings.Contains(strings.Join(heard, "\n"), "AUTH PLAIN"); asked != (tt.user != "") {
				t.Errorf("password given: %t; heard %q", asked, heard)
			}
			m, err := mail.ReadMessage(strings.NewReader(letters[0]))
			if err != nil {
				t.Fatal(err)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			body, bad := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil || bad != nil {
				t.Fatal(err, bad)
			}
			const want = "Schließfach hall-a: Ware wartet auf Sie bis 15.1. 09:00 Uhr. Fach 4, Nummer 012345.\r\n"
			if subject != "Ware wartet auf Sie" || string(body) != want || m.Header.Get("Message-Id") != "<ltr-1@example.org>" {
				t.Errorf("%q %q %v", subject, body, m.Header)
			}
		})
	}
}

func TestAMailThatIsNotTakenIsAnError(t *testing.T) {
	t.Parallel()
	theirs, ours := authority(t)
	for _, tt := range []struct {
		name, mode, to string
		answers        map[string]string
		want           string
	}{
		{"refused recipient", letter.NoTLS, "ada@example.org", map[string]string{"RCPT": "550 no such user"}, "no such user"},
		{"refused letter", letter.NoTLS, "ada@example.org", map[string]string{".": "554 no"}, "554"},
		{"hangs up at the greeting", letter.NoTLS, "ada@example.org", map[string]string{"HELLO": "cut"}, "EOF"},
		{"has no TLS", letter.StartTLS, "ada@example.org", map[string]string{"STARTTLS": "502 not here"}, "not here"},
		{"no address", letter.NoTLS, "ada", nil, "NAME@HOST"},
		{"an order in the address", letter.NoTLS, "ada@example.org>\r\nRCPT TO:<eve@example.org", nil, "NAME@HOST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := (&server{tls: theirs, answers: tt.answers}).start(t)
			_, err := s.post(tt.mode, "", ours).Send(t.Context(), goods(tt.to, ""))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
			if heard, _ := s.got(); strings.Contains(fmt.Sprint(heard), "eve") {
				t.Errorf("heard %q", heard)
			}
		})
	}
}

func TestALetterThatIsTakenIsSentWhateverFollows(t *testing.T) {
	t.Parallel()
	s := (&server{answers: map[string]string{"QUIT": "cut"}}).start(t)
	if _, err := s.post(letter.NoTLS, "", nil).Send(t.Context(), goods("ada@example.org", "")); err != nil {
		t.Error(err)
	}
}

func TestAStrangersCertificateIsRefused(t *testing.T) {
	t.Parallel()
	theirs, _ := authority(t)
	_, others := authority(t)
	s := (&server{tls: theirs}).start(t)
	if _, err := s.post(letter.StartTLS, "bank", others).Send(t.Context(), goods("ada@example.org", "")); err == nil {
		t.Error("the letter went to a stranger")
	}
	if _, letters := s.got(); len(letters) != 0 {
		t.Errorf("letters %q", letters)
	}
}

func TestASilentServerEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts nobody
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &server{port: l.Addr().(*net.TCPAddr).Port}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.post(letter.NoTLS, "", nil).Send(ctx, goods("ada@example.org", "")); err == nil {
		t.Error("a silent server took a letter")
	}
}
