package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func answer(bank string) map[string]any {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	return map[string]any{
		"bank": bank, "broker_url": "mqtt://127.0.0.1:1", "username": bank, "password": "secret-of-the-bank",
		"center_keys": []string{base64.StdEncoding.EncodeToString(key)},
		"code_key":    base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)),
	}
}

func center(t *testing.T, status int, body any) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Code string }
		if r.URL.Path != claimPath || json.NewDecoder(r.Body).Decode(&in) != nil || in.Code != "code-1" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// command runs the command line and returns its exit code and output.
func command(ctx context.Context, args ...string) (int, string) {
	var out bytes.Buffer
	root := Root()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	if err := root.ExecuteContext(ctx); err != nil {
		return 1, out.String() + err.Error()
	}
	return 0, out.String()
}

func TestClaimKeepsTheCredentialForItsOwner(t *testing.T) {
	t.Parallel()
	s, dir := center(t, 201, answer("bank-1")), filepath.Join(t.TempDir(), "state")
	if code, out := command(t.Context(), "claim", "--server", s.URL, "--code", "code-1", "--state", dir); code != 0 || strings.Contains(out, "secret") {
		t.Fatalf("exit %d: %s", code, out)
	}
	info, err := os.Stat(filepath.Join(dir, credentialFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("credential: %v %v", info, err)
	}
	c, err := loadCredential(dir)
	if _, err := os.Stat(filepath.Join(dir, seedFile)); err == nil || len(c.deviceKey()) == 0 {
		t.Errorf("the device key is not in the credential alone: %v", err)
	}
	if c == nil || c.Bank != "bank-1" || len(c.keys()) != 1 {
		t.Fatalf("credential %+v: %v", c, err)
	}
	if code, out := command(t.Context(), "claim", "--server", s.URL, "--code", "code-1", "--state", dir); code == 0 || !strings.Contains(out, "claimed already") {
		t.Errorf("a second claim: exit %d: %s", code, out)
	}
	if err := os.Chmod(filepath.Join(dir, credentialFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadCredential(dir); err == nil || !strings.Contains(err.Error(), "make it 600") {
		t.Errorf("a credential for everybody: %v", err)
	}
}

// The control center did its part and the line broke: the second try must be the same request.
func TestClaimIsAskedAgainWithTheSameNonce(t *testing.T) {
	t.Parallel()
	var nonces []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Code, Nonce string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		if nonces = append(nonces, in.Nonce); len(nonces) == 1 {
			panic(http.ErrAbortHandler)
		}
		_ = json.NewEncoder(w).Encode(answer("bank-1"))
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	for i, want := range []bool{false, true} {
		if code, out := command(t.Context(), "claim", "--server", s.URL, "--code", "code-1", "--state", dir); (code == 0) != want {
			t.Fatalf("claim %d: exit %d: %s", i+1, code, out)
		}
	}
	if len(nonces) != 2 || nonces[0] != nonces[1] || len(nonces[0]) != nonceLen {
		t.Errorf("nonces = %q", nonces)
	}
	if _, err := os.Stat(filepath.Join(dir, nonceFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the nonce of a claim that is over is kept: %v", err)
	}
}

func TestClaimTellsWhyNot(t *testing.T) {
	t.Parallel()
	short := answer("bank-1")
	short["center_keys"] = []string{"AAAA"}
	tests := []struct {
		name   string
		status int
		body   any
		code   string
		want   string
	}{
		{"spent code", 409, map[string]string{"title": "Claim refused", "detail": "The code was used already."}, "code-1", "The code was used already."},
		{"bad request", 400, map[string]string{}, "other", "400"},
		{"not json", 200, "hello", "code-1", "cannot be read"},
		{"short key", 200, short, "code-1", "center_keys[0]"},
		{"bad bank", 200, answer("Bank 1"), "code-1", "not an identifier"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, dir := center(t, tt.status, tt.body), t.TempDir()
			code, out := command(t.Context(), "claim", "--server", s.URL, "--code", tt.code, "--state", dir)
			if code == 0 || !strings.Contains(out, tt.want) {
				t.Errorf("exit %d: %s; want %q", code, out, tt.want)
			}
			if _, err := os.Stat(filepath.Join(dir, credentialFile)); err == nil {
				t.Error("a credential was kept")
			}
		})
	}
	if code, out := command(t.Context(), "claim", "--server", "ftp://x", "--code", "c", "--state", t.TempDir()); code == 0 || !strings.Contains(out, "http") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestRunNeedsAClaimAndAProfile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, out := command(t.Context(), "run", "--state", dir, "--profile", "x.yaml"); code == 0 || !strings.Contains(out, "claim first") {
		t.Errorf("exit %d: %s", code, out)
	}
	claimed(t, dir, "mqtt://127.0.0.1:1")
	if code, out := command(t.Context(), "run", "--state", dir, "--profile", filepath.Join(dir, "none.yaml")); code == 0 || !strings.Contains(out, "no such file") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := command(t.Context(), "run", "--state", dir, "--profile", "../../../configs/boards/gpio-demo.yaml"); code == 0 || !strings.Contains(out, "lock of compartment 1") {
		t.Errorf("on a machine without these lines: exit %d: %s", code, out)
	}
}

func TestBoardCheckAndVersion(t *testing.T) {
	t.Parallel()
	if code, out := command(t.Context(), "board", "check", "../../../configs/boards/gpio-demo.yaml"); code != 0 || !strings.Contains(out, "6 compartments") {
		t.Errorf("exit %d: %s", code, out)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("profile: 1\ndriver: gpio\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := command(t.Context(), "board", "check", bad); code == 0 || !strings.Contains(out, "compartments: 0") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := command(t.Context(), "version"); code != 0 || !strings.HasPrefix(out, "firmware-agent ") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// claimed puts a credential into dir and returns the path of a simulated board's profile there.
func claimed(t *testing.T, dir, broker string) string {
	t.Helper()
	a := answer("bank-1")
	a["broker_url"] = broker
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	c := new(credential)
	if err := json.Unmarshal(text, c); err != nil {
		t.Fatal(err)
	}
	if err := save(dir, filepath.Join(dir, credentialFile), c); err != nil {
		t.Fatal(err)
	}
	profile := filepath.Join(dir, "sim.yaml")
	sim := fmt.Sprintf("profile: 1\ndriver: sim\nsim: {compartments: 3, control: %q, coils: %q, world: %q}\n",
		filepath.Join(dir, "c"), filepath.Join(dir, "coils"), filepath.Join(dir, "world"))
	if err := os.WriteFile(profile, []byte(sim), 0o600); err != nil {
		t.Fatal(err)
	}
	return profile
}

// eventually waits for a condition with a deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(15 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// say gives one order to the simulated board and returns its answer.
func say(dir, order string) string {
	c, err := net.Dial("unix", filepath.Join(dir, "c"))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	buf := make([]byte, 4096)
	if _, err := fmt.Fprintln(c, order); err != nil {
		return err.Error()
	}
	n, err := c.Read(buf)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(buf[:n]))
}

// start runs the agent in this process and returns its stop.
func start(t *testing.T, dir, profile string) (stop func() (int, string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	type end struct {
		code int
		out  string
	}
	done := make(chan end, 1)
	go func() {
		code, out := command(ctx, "run", "--state", dir, "--profile", profile)
		done <- end{code, out}
	}()
	return func() (int, string) {
		cancel()
		e := <-done
		return e.code, e.out
	}
}

func TestRunServesWithoutANetworkAndTellsSystemd(t *testing.T) {
	dir := t.TempDir()
	profile := claimed(t, dir, "mqtt://127.0.0.1:1")
	socket := filepath.Join(dir, "notify")
	l, err := net.ListenPacket("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "3000000")
	stop := start(t, dir, profile)
	var heard []string
	buf := make([]byte, 64)
	for len(heard) < 3 {
		if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, _, err := l.ReadFrom(buf)
		if err != nil {
			t.Fatalf("systemd heard %q: %v", heard, err)
		}
		heard = append(heard, string(buf[:n]))
	}
	if got := strings.Join(heard, " "); got != "READY=1 WATCHDOG=1 WATCHDOG=1" {
		t.Errorf("systemd heard %q", got)
	}
	if got := say(dir, "open 2"); got != "ok" {
		t.Fatalf("open: %s", got)
	}
	eventually(t, "the panel to speak", func() bool { return strings.Contains(say(dir, "stat"), "Door 2 is open and should not be") })
	if code, out := stop(); code != 0 || strings.Contains(out, "secret") {
		t.Errorf("exit %d: %s", code, out)
	}
}
