package agent

import (
	"encoding/hex"
	"testing"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/wire"
)

var annsCard = grant.Card{Bits: 24, Number: 4711}

// roomBench is a bank whose door 2 is that of a room, with a reader, and a card of ann.
func roomBench(t *testing.T) *bench {
	b := newBench(t, Config{Reader: 2, Buzzer: true, Compartments: []Compartment{{No: 1, NoRetry: true}, {No: 2, NoRetry: true, Room: true}}})
	b.boot(false)
	b.connect()
	b.hello(0)
	b.give(2, 1, "grt-ann", annsCard, false)
	b.step(Disconnected{})
	return b
}

func (b *bench) give(c int, rev uint64, id locker.GrantID, card grant.Card, end bool) {
	g := &wire.GrantPush{Envelope: b.envelope(), Rev: rev, Grant: id, Purpose: grant.Enter, End: end, Member: "ann", NotAfter: b.wall + 86_400_000}
	if !end {
		d := grant.DigestOfCard(b.cfg.CodeKey, id, card)
		g.Digest = hex.EncodeToString(d[:])
	}
	b.send(wire.DownTopic(b.cfg.Bank, c, wire.DownGrant), g, true, false)
}

// present holds a card before the reader; it answers what the panel says.
func (b *bench) present(c grant.Card) (reason string) {
	was := b.check
	defer func() { b.check = was }()
	b.check = func(e Effect) {
		if s, ok := e.(Show); ok {
			reason = s.Reason
		}
	}
	b.step(Presented{Card: c})
	return reason
}

func (b *bench) tries() (all []wire.Event) {
	for _, e := range b.story {
		if e.Type == wire.EvAccess {
			all = append(all, e)
		}
	}
	return all
}

// U6: a card opens the room's door again and again, with no network, across a restart, until it is
// taken back; the try names the grant and whose it is.
func TestACardOpensTheRoomUntilItIsTakenBack(t *testing.T) {
	t.Parallel()
	b := roomBench(t)
	for range grant.MaxOpenings + 2 {
		if got := b.present(annsCard); got != "opening" {
			t.Fatalf("the card is answered %q, want opening", got)
		}
		b.until(b.up + 300)
		b.door(2, locker.DoorOpen)
		b.until(b.up + 2000)
		b.door(2, locker.DoorClosed)
		b.until(b.up + 60_000)
	}
	b.boot(false)
	if got := b.present(annsCard); got != "opening" {
		t.Fatalf("after a restart the card is answered %q, want opening", got)
	}
	b.until(b.up + 60_000)
	if n := len(b.pushes); n != grant.MaxOpenings+3 {
		t.Errorf("%d pulses, want one for each card", n)
	}
	for _, p := range b.pushes {
		if p.c != 2 {
			t.Errorf("a card moved coil %d", p.c)
		}
	}
	for _, e := range b.tries() {
		if e.C != 2 || e.Grant != "grt-ann" || e.Member != "ann" || e.Purpose != grant.Enter || e.Reason != grant.OK || e.Cmd == "" {
			t.Errorf("try %+v, want grant and member", e)
		}
	}
	if h := b.disk.held("grt-ann"); h == nil || h.Spent {
		t.Errorf("grant %+v, want it live: nothing was handed over", h)
	}
	b.connect()
	b.hello(b.disk.Head)
	b.give(2, 2, "grt-ann", annsCard, true)
	if got := b.present(annsCard); got != "card_over" {
		t.Errorf("taken back, the card is answered %q", got)
	}
}

// U6: wrong cards delay cards, whoever's, and cost nobody their card; the codes of the bank are not
// delayed, and what is typed is never a card.
func TestWrongCardsAreThrottled(t *testing.T) {
	t.Parallel()
	b := roomBench(t)
	for i := range uint64(8) {
		if got := b.present(grant.Card{Bits: 24, Number: 100 + i}); got != "wrong_card" && got != "card_throttled" {
			t.Fatalf("a wrong card is answered %q", got)
		}
	}
	if got := b.present(annsCard); got != "card_throttled" {
		t.Errorf("after wrong cards the right one is answered %q, want throttled", got)
	}
	b.boot(false)
	if got := b.present(annsCard); got != "card_throttled" {
		t.Errorf("a restart forgets the wrong cards: %q", got)
	}
	b.step(PanelCode{C: 2, Code: "4711"})
	for _, e := range b.tries() {
		if len(e.Charged) > 0 || e.Grant != "" {
			t.Errorf("a wrong try costs %v and names %q", e.Charged, e.Grant)
		}
	}
	b.until(b.up + grant.MaxCardDelay.Milliseconds())
	if got := b.present(annsCard); got != "opening" {
		t.Errorf("after the wait the card is answered %q, want opening", got)
	}
	if got := b.present(grant.Card{Bits: 26, Number: 1}); got != "" {
		t.Errorf("a card of no known width is answered %q", got)
	}
}

// U6: whoever is inside goes out without the agent, and nobody is alarmed; at a compartment the same
// is a break-in.
func TestLeavingARoomIsNoBreakIn(t *testing.T) {
	t.Parallel()
	b := roomBench(t)
	siren := false
	b.check = func(e Effect) {
		if s, ok := e.(Siren); ok {
			siren = siren || s.On
		}
	}
	b.door(2, locker.DoorOpen)
	b.until(b.up + 3000)
	if len(b.disk.door(2).Alarms) != 0 || siren || b.state.Phase(2) != Open {
		t.Errorf("alarms %v, siren %v, phase %v", b.disk.door(2).Alarms, siren, b.state.Phase(2))
	}
	b.door(2, locker.DoorClosed)
	b.until(b.up + 3000)
	if got := b.state.Phase(2); got != Locked {
		t.Errorf("after the door closed it is %v", got)
	}
	if got := b.present(annsCard); got != "opening" {
		t.Errorf("the next card is answered %q, want opening", got)
	}
	b.until(b.up + 60_000)
	b.door(1, locker.DoorOpen)
	if !siren || len(b.disk.door(1).Alarms) == 0 {
		t.Error("a compartment that opens by itself is no alarm")
	}
}

func TestCardsOpenOnlyRooms(t *testing.T) {
	t.Parallel()
	cfg := Config{Bank: "bank-1", Reader: 1, Compartments: []Compartment{{No: 1}}}
	if _, err := New(cfg, nil); err == nil {
		t.Error("a reader that opens a compartment is allowed")
	}
}
