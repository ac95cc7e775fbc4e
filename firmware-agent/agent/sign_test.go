package agent

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"lockerfleet/locker"
	"lockerfleet/locker/custody"
	"lockerfleet/wire"
)

// Every closing is signed and names the one before, over a restart and when the events are numbered
// anew; nothing else is signed.
func TestClosingsAreSignedAndChained(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	b := newBench(t, Config{Compartments: []Compartment{{No: 1}}, DeviceKey: key})
	b.boot(false)
	b.connect()
	b.hello(0)
	open := func(id string) {
		b.unlock(1, b.command(1, id, 5000))
		b.until(b.up + 200)
		b.door(1, locker.DoorOpen)
		b.until(b.up + 3000)
		b.door(1, locker.DoorClosed)
		b.until(b.up + 3000)
	}
	open("cmd-1")
	b.boot(false)
	b.connect()
	b.hello(b.disk.Head + 100)
	open("cmd-2")
	prev, seen := "", 0
	for _, e := range b.story {
		if e.Type != wire.EvClosing {
			if e.Sig != "" {
				t.Errorf("%s is signed", e.Type)
			}
			continue
		}
		seen++
		c := custody.Closing{
			Bank: b.cfg.Bank, Seq: e.Seq, Boot: e.Boot, No: e.C, Command: e.Cmd, Grant: e.Grant, Purpose: e.Purpose,
			Before: told(e.Before), After: told(e.After), OpenMS: e.OpenMS, Least: e.LeastG, TS: e.TS, Prev: e.Prev,
		}
		if e.Prev != prev || !c.SignedBy(key.Public().(ed25519.PublicKey), e.Sig) {
			t.Errorf("closing %d: prev %q, want %q, signed %q", e.Seq, e.Prev, prev, e.Sig)
		}
		prev = c.Hash()
	}
	if seen != 2 || b.disk.Signed != prev {
		t.Errorf("%d closings, the disk remembers %q, want 2 and %q", seen, b.disk.Signed, prev)
	}
	m := Memory{Head: 9, Outbox: []wire.Event{{Seq: 9, Type: wire.EvClosing, Sig: "s"}}}
	m.Apply(Record{Rebase: 40})
	m.Apply(Record{Rebase: 50})
	if e := m.Outbox[0]; e.Seq != 51 || e.SignedSeq != 9 {
		t.Errorf("numbered anew as %d, signed as %d; want 51 and 9", e.Seq, e.SignedSeq)
	}
}
