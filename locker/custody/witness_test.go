package custody_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/custody"
	"lockerfleet/locker/grant"
)

var (
	boardKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	otherKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32))
)

func keysOf(k ed25519.PrivateKey) []custody.DeviceKey {
	return []custody.DeviceKey{{Bank: "hall", Key: k.Public().(ed25519.PublicKey), From: time.Unix(0, 0).UTC()}}
}

// closings are a deposit and a collection as the board signs them.
func closings() (in, out custody.Closing) {
	empty := &custody.Reading{Content: locker.Empty, HasGrams: true}
	full := &custody.Reading{Content: locker.Present, HasGrams: true, Grams: 700}
	in = custody.Closing{Bank: "hall", Seq: 5, Boot: "00c0ffee0badcafe", No: 7, Command: "cmd-1", Grant: "grt-1", Purpose: grant.Deposit, Before: empty, After: full, OpenMS: 900}
	out = custody.Closing{Bank: "hall", Seq: 9, Boot: "00c0ffee0badcafe", No: 7, Grant: "grt-2", Purpose: grant.Collect, Before: full, After: empty, TS: 1, Prev: in.Hash()}
	return in, out
}

// proved is a chain whose two links rest on closings, made by a control center that may first change
// what it says.
func proved(key ed25519.PrivateKey, change func(links []custody.Link)) []custody.Link {
	in, out := closings()
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	link := func(s custody.Step, giver, taker string, c custody.Closing, at time.Time) custody.Link {
		return custody.Link{
			Parcel: "prc-1", Step: s, Giver: giver, Taker: taker, Compartment: locker.CompartmentID{Bank: "hall", No: 7}, At: at,
			Evidence: c.Evidence() + "; event evt-1",
			Proof:    custody.Proof{Statement: c.Statement(), Sig: c.Sign(key), Key: custody.KeyPrint(key.Public().(ed25519.PublicKey))},
		}
	}
	links := []custody.Link{
		link(custody.StepStored, "partner/acme", "bank/hall", in, at),
		link(custody.StepCollected, "bank/hall", "recipient", out, at.Add(time.Hour)),
	}
	change(links)
	var prev custody.Link
	for i := range links {
		links[i] = links[i].Sealed(prev)
		prev = links[i]
	}
	return links
}

// A control center that changes what a board saw, and makes every hash and its own signature anew, is
// found by the board's signature.
func TestADishonestControlCenterIsFound(t *testing.T) {
	t.Parallel()
	restate := func(change func(*custody.Closing)) func([]custody.Link) {
		return func(l []custody.Link) {
			c, _ := closings()
			change(&c)
			l[0].Proof.Statement, l[0].Evidence = c.Statement(), c.Evidence()+"; event evt-1"
		}
	}
	for name, change := range map[string]func([]custody.Link){
		"other evidence": func(l []custody.Link) { l[0].Evidence = strings.Replace(l[0].Evidence, "700 g", "900 g", 1) },
		"another statement": restate(func(c *custody.Closing) {
			c.After = &custody.Reading{Content: locker.Present, HasGrams: true, Grams: 900}
		}),
		"another grant":       restate(func(c *custody.Closing) { c.Grant = "grt-9" }),
		"another number":      restate(func(c *custody.Closing) { c.Seq = 6 }),
		"another predecessor": restate(func(c *custody.Closing) { c.Prev = strings.Repeat("a", 64) }),
		"another time":        restate(func(c *custody.Closing) { c.TS = 7 }),
		"another door":        func(l []custody.Link) { l[0].Compartment.No = 8 },
		"another step":        func(l []custody.Link) { l[0].Step = custody.StepCollected },
		"no signature":        func(l []custody.Link) { l[0].Proof = custody.Proof{} },
		"half a proof":        func(l []custody.Link) { l[0].Proof.Sig = "" },
		"no key":              func(l []custody.Link) { l[0].Proof.Key = "" },
		"signed by itself": func(l []custody.Link) {
			c, _ := closings()
			l[0].Proof.Sig = c.Sign(otherKey)
		},
		"signed by itself, and says so": func(l []custody.Link) {
			c, _ := closings()
			l[0].Proof.Sig, l[0].Proof.Key = c.Sign(otherKey), custody.KeyPrint(otherKey.Public().(ed25519.PublicKey))
		},
	} {
		b, err := custody.WriteFile(fileKey, "prc-1", proved(boardKey, change), keysOf(boardKey), time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		head, links, err := custody.ReadFile(b)
		if err != nil {
			t.Fatalf("%s: the file itself must be without fault: %v", name, err)
		}
		if s, why := links[0].Standing(head.Boards); s != custody.Unverified || why == "" {
			t.Errorf("%s: the link is %s (%s), want unverified", name, s, why)
		}
		if s, why := links[1].Standing(head.Boards); s != custody.Verified {
			t.Errorf("%s: the untouched link is %s (%s), want verified", name, s, why)
		}
	}
}

// One closing cannot stand for two steps, nor an older one come after a newer.
func TestAClosingIsUsedOnce(t *testing.T) {
	t.Parallel()
	links := proved(boardKey, func(l []custody.Link) { l[1].Proof, l[1].Evidence, l[1].Step = l[0].Proof, l[0].Evidence, l[0].Step })
	if custody.Rising(links) == nil {
		t.Error("one closing made two links")
	}
	if err := custody.Rising(proved(boardKey, func([]custody.Link) {})); err != nil {
		t.Error(err)
	}
}

// A key counts for what happened until it was replaced, and asks for signatures from then on.
func TestKeysHaveTheirTime(t *testing.T) {
	t.Parallel()
	links := proved(boardKey, func([]custody.Link) {})
	old := keysOf(boardKey)
	old[0].Until = links[0].At
	if s, why := links[0].Standing(old); s != custody.Verified {
		t.Errorf("a closing of the key's time is %s (%s)", s, why)
	}
	if s, _ := links[1].Standing(old); s != custody.Unverified {
		t.Errorf("a closing after the key's time is %s", s)
	}
	bare := custody.Link{Compartment: locker.CompartmentID{Bank: "hall", No: 7}, At: links[1].At, Evidence: "door hall/7 opened by no grant"}
	if s, _ := bare.Standing(old); s != custody.Stated {
		t.Errorf("without a key the closing is %s, want stated", s)
	}
	if s, _ := bare.Standing(keysOf(boardKey)); s != custody.Unverified {
		t.Errorf("an unsigned closing of a bank with a key is %s", s)
	}
}

func FuzzParseClosing(f *testing.F) {
	in, out := closings()
	f.Add(in.Statement())
	f.Add(out.Statement())
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := custody.ParseClosing(s); err == nil && c.Statement() != s {
			t.Errorf("%q is read and is written as %q", s, c.Statement())
		}
	})
}
