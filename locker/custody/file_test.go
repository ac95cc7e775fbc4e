package custody_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/custody"
)

var fileKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{6}, 32))

func fileLinks() []custody.Link {
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	door := locker.CompartmentID{Bank: "hall", No: 7}
	first := custody.Link{
		Parcel: "prc-1", Step: custody.StepStored, Giver: "partner/acme", Taker: "bank/hall", Compartment: door, At: at,
		Evidence: "before: empty; after: present, 700 g <&> \u00e9",
	}.Sealed(custody.Link{})
	second := custody.Link{
		Parcel: "prc-1", Step: custody.StepCollected, Giver: "bank/hall", Taker: "recipient", Compartment: door, At: at.Add(time.Hour),
		Evidence: "before: present, 701 g; after: empty",
	}.Sealed(first)
	return []custody.Link{first, second}
}

func file(t *testing.T, links []custody.Link) []byte {
	t.Helper()
	b, err := custody.WriteFile(fileKey, "prc-1", links, nil, time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFileIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for name, links := range map[string][]custody.Link{"two links": fileLinks(), "nothing happened yet": nil} {
		head, got, err := custody.ReadFile(file(t, links))
		if err != nil || head.Parcel != "prc-1" || len(got) != len(links) || !head.Key.Equal(fileKey.Public()) {
			t.Fatalf("%s: read %+v with %d links (%v)", name, head, len(got), err)
		}
		for i := range got {
			if got[i] != links[i] {
				t.Errorf("%s: link %d is %+v, want %+v", name, i+1, got[i], links[i])
			}
		}
	}
}

// Every changed bit, every missing tail, every added byte and every removed line is found.
func TestEveryChangeOfAFileIsFound(t *testing.T) {
	t.Parallel()
	good := file(t, fileLinks())
	for i := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if _, _, err := custody.ReadFile(bad); err == nil {
			t.Fatalf("bit %d of byte %d (%q) may be changed", i%8, i/8, good[i/8])
		}
	}
	for i := range good {
		if _, _, err := custody.ReadFile(good[:i]); err == nil {
			t.Fatalf("cut after %d of %d bytes and taken", i, len(good))
		}
		if _, _, err := custody.ReadFile(append(append(bytes.Clone(good[:i]), ' '), good[i:]...)); err == nil {
			t.Fatalf("a space at %d is not found", i)
		}
	}
	lines := strings.SplitAfter(string(good), "\n")
	for i := range len(lines) - 1 {
		if _, _, err := custody.ReadFile([]byte(strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), ""))); err == nil {
			t.Errorf("line %d may be left out", i+1)
		}
	}
}

// Who signs a chain with a fault does not make it good.
func TestSignedFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([]custody.Link) []custody.Link{
		"a link left out":      func(l []custody.Link) []custody.Link { return l[1:] },
		"other evidence":       func(l []custody.Link) []custody.Link { l[0].Evidence = "none"; return l },
		"another taker":        func(l []custody.Link) []custody.Link { l[1].Giver = "bank/other"; return l },
		"the order turned":     func(l []custody.Link) []custody.Link { return []custody.Link{l[1], l[0]} },
		"a time that was made": func(l []custody.Link) []custody.Link { l[1].At = l[1].At.Add(time.Second); return l },
	} {
		if _, _, err := custody.ReadFile(file(t, change(fileLinks()))); err == nil {
			t.Errorf("%s is not found", name)
		}
	}
	if _, err := custody.WriteFile(nil, "prc-1", nil, nil, time.Time{}); err == nil {
		t.Error("written without a key")
	}
	if _, _, err := custody.ReadFile(make([]byte, custody.MaxFile+1)); err == nil {
		t.Error("a file beyond its bound is read")
	}
}

func FuzzReadFile(f *testing.F) {
	good, err := custody.WriteFile(fileKey, "prc-1", fileLinks(), nil, time.Unix(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"sig":""}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		head, _, err := custody.ReadFile(b)
		if err == nil && head.Key.Equal(fileKey.Public()) && !bytes.Equal(b, good) {
			t.Errorf("took %q, which nobody signed", b)
		}
	})
}
