package cli

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/custody"
)

func TestCustodyVerify(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{6}, 32))
	link := custody.Link{
		Parcel: "prc-1", Step: custody.StepStored, Giver: "partner/acme", Taker: "bank/hall",
		Compartment: locker.CompartmentID{Bank: "hall", No: 7}, At: time.UnixMilli(1_760_000_000_000), Evidence: "seen\x1b[2J",
	}.Sealed(custody.Link{})
	good, err := custody.WriteFile(key, "prc-1", []custody.Link{link}, nil, time.UnixMilli(1_760_000_000_000))
	if err != nil {
		t.Fatal(err)
	}
	print := custody.KeyPrint(key.Public().(ed25519.PublicKey))
	for _, c := range []struct {
		name  string
		file  []byte
		flags []string
		code  int
		want  string
	}{
		{"good", good, nil, exitOK, "\nINTACT"},
		{"good, of the key", good, []string{"--key", print}, exitOK, "\nINTACT"},
		{"of another key", good, []string{"--key", strings.Repeat("0", 32)}, exitFailed, "NOT INTACT: it is signed by key " + print},
		{"changed", bytes.Replace(good, []byte("acme"), []byte("evil"), 1), nil, exitFailed, "NOT INTACT"},
		{"cut off", good[:len(good)-9], nil, exitFailed, "cut off"},
		{"empty", nil, nil, exitFailed, "NOT INTACT"},
	} {
		path := filepath.Join(t.TempDir(), "parcel.custody")
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, _ := say(t, append([]string{"custody", "verify", path}, c.flags...)...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, %s; want %d and %q", c.name, code, out, c.code, c.want)
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%s: the file writes to the terminal: %q", c.name, out)
		}
	}
	if code, _, errs := say(t, "custody", "verify", filepath.Join(t.TempDir(), "none")); code != exitFailed || errs == "" {
		t.Errorf("no file: exit %d, %s", code, errs)
	}
}
