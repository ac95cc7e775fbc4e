//go:build linux

package letter_test

import (
	"bufio"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/firmware-agent/internal/letter"
	"lockerfleet/firmware-agent/internal/serial"
	"lockerfleet/internal/ptytest"
	"lockerfleet/wire"
)

// modem answers orders by a script: the answer to an order that begins so. Orders it does not name
// are answered OK; an empty answer is silence.
type modem struct {
	line   *ptytest.Line
	script map[string]string
	echo   bool

	mu    sync.Mutex
	heard []string
	texts []string
}

func plug(t *testing.T, script map[string]string, echo bool) (*modem, *letter.Post) {
	t.Helper()
	m := &modem{line: ptytest.Open(t), script: script, echo: echo}
	var work sync.WaitGroup
	work.Go(m.run)
	t.Cleanup(func() { _ = m.line.Close(); work.Wait() })
	open := func() (letter.Line, error) { return serial.Open(m.line.Path, serial.Config{Baud: 115200}) }
	return m, &letter.Post{Bank: "hall-a", Phone: &letter.Modem{Open: open}}
}

func (m *modem) run() {
	in := bufio.NewReader(m.line)
	text, asking := "", false
	for {
		b, err := in.ReadByte()
		if err != nil {
			return
		}
		switch {
		case b == 0x1b:
			text, asking = "", false
		case asking && b == 0x1a:
			m.note(&m.texts, text)
			m.say(".", "\r\n+CMGS: 17\r\n\r\nOK\r\n")
			text, asking = "", false
		case asking:
			text += string(rune(b))
		case b == '\r':
			if text != "" {
				m.note(&m.heard, text)
				asking = m.order(text)
			}
			text = ""
		default:
			text += string(rune(b))
		}
	}
}

func (m *modem) order(text string) (asking bool) {
	if m.echo {
		_, _ = m.line.WriteString(text + "\r")
	}
	switch {
	case strings.HasPrefix(text, "AT+CMGS="):
		m.say("AT+CMGS", "\r\n> ")
		return m.script["AT+CMGS"] == ""
	case strings.HasPrefix(text, "AT+CPIN?"):
		m.say(text, "\r\n+CPIN: READY\r\n\r\nOK\r\n")
	default:
		m.say(text, "\r\nOK\r\n")
	}
	return false
}

func (m *modem) say(order, usual string) {
	if other, ok := m.script[order]; ok {
		usual = other
	}
	_, _ = m.line.WriteString(usual)
}

func (m *modem) note(list *[]string, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*list = append(*list, text)
}

func (m *modem) got() (heard, texts []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append(heard, m.heard...), append(texts, m.texts...)
}

func TestALetterGoesAsAShortMessage(t *testing.T) {
	t.Parallel()
	for _, echo := range []bool{false, true} {
		m, p := plug(t, nil, echo)
		via, err := p.Send(t.Context(), goods("", "+49 151/234-567"))
		if via != letter.ViaSMS || err != nil {
			t.Fatalf("echo %t: via %q, %v", echo, via, err)
		}
		heard, texts := m.got()
		const want = "Schlie\x1efach hall-a: Ware wartet auf Sie bis 15.1. 09:00 Uhr. Fach 4, Nummer 012345."
		if len(texts) != 1 || texts[0] != want || heard[len(heard)-1] != `AT+CMGS="+49151234567"` {
			t.Errorf("echo %t: texts %q, heard %q", echo, texts, heard)
		}
	}
}

func TestAModemThatRefusesSaysWhy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, phone string
		script      map[string]string
		want        string
	}{
		{"no SIM", "+49151", map[string]string{"AT+CPIN?": "\r\n+CME ERROR: 10\r\n"}, "no SIM is inserted"},
		{"PIN", "+49151", map[string]string{"AT+CPIN?": "\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n"}, "switch its PIN off"},
		{"no text mode", "+49151", map[string]string{"AT+CMGF=1": "\r\nERROR\r\n"}, "AT+CMGF=1: ERROR"},
		{"no prompt", "+49151", map[string]string{"AT+CMGS": "\r\n+CMS ERROR: 330\r\n"}, "message center"},
		{"no network", "+49151", map[string]string{".": "\r\n+CMS ERROR: 331\r\n"}, "check the antenna"},
		{"orders in the number", "+49151\";+CFUN=0\r", nil, "allowed are 3 to 15 digits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, p := plug(t, tt.script, false)
			via, err := p.Send(t.Context(), goods("", tt.phone))
			if via != letter.ViaSMS || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("via %q, got %v, want %q in it", via, err, tt.want)
			}
			if heard, _ := m.got(); strings.Contains(strings.Join(heard, " "), "CFUN") {
				t.Errorf("heard %q", heard)
			}
		})
	}
}

func TestASilentModemEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, p := plug(t, map[string]string{"ATE0": ""}, false)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.Send(ctx, goods("", "+49151")); err == nil || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
}

// An interrupted conversation left the modem waiting for a text: the next letter must not become part
// of it.
func TestAnInterruptedMessageIsDropped(t *testing.T) {
	t.Parallel()
	m, p := plug(t, nil, false)
	port, err := serial.Open(m.line.Path, serial.Config{Baud: 115200})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := port.Write([]byte("AT+CMGS=\"+4930\"\rhalf a text")); err != nil {
		t.Fatal(err)
	}
	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), goods("", "+49151")); err != nil {
		t.Fatal(err)
	}
	if _, texts := m.got(); len(texts) != 1 || strings.Contains(texts[0], "half") {
		t.Errorf("texts %q", texts)
	}
}

func TestEveryLetterIsShortAndWhole(t *testing.T) {
	t.Parallel()
	kinds := []wire.LetterKind{
		wire.LetterOffer, wire.LetterMissed, wire.LetterLapsed, wire.LetterNumber, wire.LetterReminder, wire.LetterDue, wire.LetterExtended, wire.LetterTaken,
	}
	for _, kind := range kinds {
		for _, lang := range []string{"", "en", "de-AT", "ja"} {
			m := agent.Mail{Kind: kind, To: wire.Contact{Lang: lang}, C: 64, Number: "123456", UntilMS: 1_799_999_999_000, ZoneMin: 60}
			text := letter.Compose("hauptbahnhof-sued-2", m)
			if n := len([]rune(text.Short)); n > 160 || n < 40 || text.Subject == "" || strings.ContainsAny(text.Short+text.Subject, "{}") {
				t.Errorf("%s in %q: %d characters: %q %q", kind, lang, n, text.Subject, text.Short)
			}
			if german := strings.HasPrefix(text.Short, "Schließfach"); german != (lang == "de-AT") {
				t.Errorf("%s in %q: %q", kind, lang, text.Short)
			}
			carries := kind != wire.LetterMissed && kind != wire.LetterLapsed && kind != wire.LetterTaken
			if strings.Contains(text.Short, m.Number) != carries {
				t.Errorf("%s in %q carries its number: %t; %q", kind, lang, !carries, text.Short)
			}
		}
	}
}

func TestALetterGoesTheWayThatIsLeft(t *testing.T) {
	t.Parallel()
	s := (&server{answers: map[string]string{"RCPT": "450 later"}}).start(t)
	m, p := plug(t, nil, false)
	p.Mail = s.post(letter.NoTLS, "", nil).Mail
	if via, err := p.Send(t.Context(), goods("ada@example.org", "+49151")); via != letter.ViaSMS || err != nil {
		t.Errorf("via %q, %v", via, err)
	}
	if _, texts := m.got(); len(texts) != 1 {
		t.Errorf("texts %q", texts)
	}
	p.Phone = nil
	if _, err := p.Send(t.Context(), goods("", "+49151")); err == nil || !strings.Contains(err.Error(), "letters.modem.device") {
		t.Errorf("no way: %v", err)
	}
}
