package kiosk

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/firmware-agent/board"
	"lockerfleet/wire"
)

// asker answers every request at once and keeps it.
type asker struct {
	answer agent.Answer
	silent bool
	asked  chan agent.Ask
}

func (a *asker) Ask(ctx context.Context, in agent.Ask) (agent.Answer, error) {
	if a.silent {
		<-ctx.Done()
		return agent.Answer{}, ctx.Err()
	}
	a.asked <- in
	return a.answer, nil
}

// beside is a keypad, a display and a scanner.
type beside struct {
	codes chan board.Code
	scans chan string
	shown chan board.Screen
}

func (b *beside) Codes() <-chan board.Code  { return b.codes }
func (b *beside) Scans() <-chan string      { return b.scans }
func (b *beside) Show(s board.Screen) error { b.shown <- s; return nil }

func start(t *testing.T, a *asker, now func() time.Time) (*Kiosk, *beside, string) {
	t.Helper()
	b := &beside{codes: make(chan board.Code, 4), scans: make(chan string, 4), shown: make(chan board.Screen, 64)}
	k, err := Open(Options{Listen: "127.0.0.1:0", Bank: "hall-a", Phone: "+49 30 1234", Doors: []int{1, 2}, Beside: b, Scanner: b, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Serve(ctx, a) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k, b, "http://" + k.Addr().String()
}

func request(t *testing.T, method, url, body string, head ...string) (int, Answer, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
		if head[i] == "Host" {
			r.Host = head[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a Answer
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(text, &a) // a refusal of the guard is text
	return resp.StatusCode, a, resp.Header
}

func TestACodeIsAnsweredWithWhatTheBankSays(t *testing.T) {
	t.Parallel()
	k, b, url := start(t, &asker{}, time.Now)
	go func() {
		c := <-k.Codes()
		if c != (board.Code{Compartment: 2, Text: "123456"}) {
			return
		}
		_ = k.Show(board.Screen{Compartment: 1, Reason: "stored"})
		_ = k.Show(board.Screen{Compartment: 2, Reason: "throttled", Wait: 1500 * time.Millisecond, For: time.Second, Lines: [2]string{"a", "b"}})
	}()
	status, a, _ := request(t, "POST", url+"/code", `{"door":2,"code":"123456"}`)
	want := Answer{Reason: "throttled", Door: 2, WaitS: 2, ForMS: 1000, Lines: [2]string{"a", "b"}}
	if status != 200 || a != want {
		t.Errorf("%d %+v, want %+v", status, a, want)
	}
	for _, reason := range []string{"stored", "throttled"} {
		if s := <-b.shown; s.Reason != reason {
			t.Errorf("the display beside shows %+v, want %s", s, reason)
		}
	}
	b.codes <- board.Code{Compartment: 1, Text: "7"}
	if c := <-k.Codes(); c.Text != "7" {
		t.Errorf("the keypad beside typed 7, got %+v", c)
	}
}

// A bank that is stuck takes nothing later: a door must not open for somebody who has gone.
func TestABankThatIsStuckIsSaidAndNothingWaits(t *testing.T) {
	t.Parallel()
	k, _, url := start(t, &asker{silent: true}, time.Now)
	began := time.Now()
	status, a, _ := request(t, "POST", url+"/code", `{"door":1,"code":"123456"}`)
	if status != 503 || a.Reason != NoAnswer || time.Since(began) > answerWithin+time.Second {
		t.Errorf("code: %d %+v after %v", status, a, time.Since(began))
	}
	select {
	case c := <-k.Codes():
		t.Errorf("a code waits: door %d", c.Compartment)
	default:
	}
	if status, a, _ = request(t, "POST", url+"/ask", `{"what":"deposit","size":"s","contact":{"phone":"+4930"}}`); status != 503 || a.Reason != NoAnswer {
		t.Errorf("ask: %d %+v", status, a)
	}
}

func TestAskReachesTheBank(t *testing.T) {
	t.Parallel()
	bank := &asker{answer: agent.Answer{Reason: wire.AskOK, Ahead: 3}, asked: make(chan agent.Ask, 1)}
	_, _, url := start(t, bank, time.Now)
	status, a, _ := request(t, "POST", url+"/ask", `{"what":"join","size":"m","contact":{"email":"a@b.example","lang":"de"}}`)
	if status != 200 || a.Reason != "ask_join_ok" || a.Ahead != 3 {
		t.Errorf("%d %+v", status, a)
	}
	want := agent.Ask{What: wire.AskJoin, Size: "m", Contact: wire.Contact{Email: "a@b.example", Lang: "de"}}
	if in := <-bank.asked; in != want {
		t.Errorf("asked %+v, want %+v", in, want)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	_, _, url := start(t, &asker{}, time.Now)
	for _, tt := range []struct {
		name, path, body string
		head             []string
		want             int
	}{
		{"no door", "/code", `{"code":"1"}`, nil, 400},
		{"long code", "/code", `{"door":1,"code":"` + strings.Repeat("1", 40) + `"}`, nil, 400},
		{"not JSON", "/code", `door=1`, nil, 400},
		{"a form of another page", "/code", `{"door":1,"code":"1"}`, []string{"Content-Type", "text/plain"}, 400},
		{"another page", "/code", `{"door":1,"code":"1"}`, []string{"Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"another name of this machine", "/code", `{"door":1,"code":"1"}`, []string{"Host", "evil.example:8085"}, 421},
		{"what only an operator may", "/ask", `{"what":"recall","contact":{}}`, nil, 400},
		{"long body", "/ask", `{"what":"join","size":"` + strings.Repeat("s", 4000) + `"}`, nil, 400},
	} {
		if status, _, _ := request(t, "POST", url+tt.path, tt.body, tt.head...); status != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, status, tt.want)
		}
	}
}

func TestTooManyTriesWait(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_800_000_000_000)
	bank := &asker{asked: make(chan agent.Ask, 64)}
	_, _, url := start(t, bank, func() time.Time { return at })
	for i := range 6 {
		status, a, h := request(t, "POST", url+"/ask", `{"what":"leave","contact":{"phone":"+4930"}}`)
		if slow := i == 5; slow != (status == 429) || slow && (a.Reason != SlowDown || a.WaitS != 10 || h.Get("Retry-After") != "10") {
			t.Errorf("request %d: %d %+v", i+1, status, a)
		}
	}
}

func TestAPageHearsScreensAndScansButNoTicket(t *testing.T) {
	t.Parallel()
	k, b, url := start(t, &asker{}, time.Now)
	resp, err := http.Get(url + "/happenings")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() (kind, data string) {
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				kind = v
			}
			if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return kind, v
			}
		}
		t.Fatal("the stream ended")
		return "", ""
	}
	if kind, _ := next(); kind != "beat" {
		t.Fatalf("first %s", kind)
	}
	if err := k.Show(board.Screen{Compartment: 2, Reason: "open", Code: "secret"}); err != nil {
		t.Fatal(err)
	}
	if kind, data := next(); kind != "screen" || !strings.Contains(data, `"reason":"open"`) || strings.Contains(data, "secret") {
		t.Errorf("%s %s", kind, data)
	}
	b.scans <- "LK1:SECRETSECRET"
	if text := <-k.Scans(); text != "LK1:SECRETSECRET" {
		t.Errorf("the bank got %q", text)
	}
	if kind, data := next(); kind != "scan" || data != `{"ticket":true,"length":16}` {
		t.Errorf("%s %s", kind, data)
	}
}

func TestThePageIsItsOwn(t *testing.T) {
	t.Parallel()
	_, _, url := start(t, &asker{}, time.Now)
	for _, path := range []string{"/", "/kiosk.js", "/kiosk.css", "/words.js", "/bank"} {
		status, _, h := request(t, "GET", url+path, "")
		if csp := h.Get("Content-Security-Policy"); status != 200 || !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %d %q", path, status, csp)
		}
	}
	if status, _, _ := request(t, "GET", url+"/page/index.html", ""); status != 404 {
		t.Errorf("a path nobody serves: %d", status)
	}
}

func TestOnlyLoopback(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"127.0.0.1:8085": true, "[::1]:8085": true, "0.0.0.0:8085": false, ":8085": false, "192.168.1.4:8085": false, "localhost:8085": false, "": false,
	} {
		if err := CheckListen(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// Every answer of the bank has words in German and French, with the same places for numbers, and
// the page has the answers it gives itself in all three.
func TestEveryAnswerHasWords(t *testing.T) {
	t.Parallel()
	text, err := page.ReadFile("page/words.js")
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`(?m)^  (en|de|fr): \{$`).Split(string(text), -1)
	if len(parts) != 4 {
		t.Fatalf("%d languages", len(parts)-1)
	}
	for reason, english := range agent.Texts() {
		for lang, words := range map[string]string{"de": parts[2], "fr": parts[3]} {
			line := regexp.MustCompile(`(?m)^      ` + reason + `: \[.*\],$`).FindString(words)
			if line == "" {
				t.Errorf("%s has no words for %s", lang, reason)
			}
			if names := strings.Contains(english[0]+english[1], "{wait}"); names != strings.Contains(line, "{wait}") {
				t.Errorf("%s: %s: %q has a waiting time: %t", lang, reason, line, !names)
			}
		}
	}
	own := []string{"no_answer", "slow_down", "bad_input", "scanned", "scanned_other", "ask_deposit_ok", "ask_join_ok", "ask_leave_ok"}
	for _, r := range []wire.AskReason{
		wire.AskNoDoor, wire.AskNoContact, wire.AskNotOffered, wire.AskFull, wire.AskHindered, wire.AskBusy,
		"already_waiting", "waitlist_full", "never_fits", "invalid", "not_waiting",
	} {
		own = append(own, "ask_"+string(r))
	}
	for _, reason := range own {
		if n := strings.Count(string(text), "\n      "+reason+": ["); n != 3 {
			t.Errorf("%s has words in %d languages, want 3", reason, n)
		}
	}
}
