package conformance

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/wire"
)

// The codes of the rows: one is right.
const (
	rightDigits = "482913"
	wrongDigits = "111111"
)

// rev is the newest grant revision the device tells. The lock is held.
func (b *bench) rev() uint64 {
	rev := b.birth.GrantRev
	if h, ok := b.beats.last(); ok && h.Boot == b.birth.Boot {
		rev = max(rev, h.GrantRev)
	}
	return rev
}

// push sends a grant of the first door, or its end.
func (b *bench) push(rev uint64, id locker.GrantID, end bool, key ed25519.PrivateKey) {
	no := b.first()
	b.mu.Lock()
	defer b.mu.Unlock()
	g := wire.GrantPush{
		Envelope: wire.Envelope{V: wire.Minor, Boot: noBoot, TS: b.o.Now().UnixMilli()},
		Rev:      rev, Grant: id, Parcel: "par-conformance", Purpose: grant.Deposit, End: end,
	}
	if !end {
		d := grant.DigestOf(b.o.CodeKey, id, rightDigits)
		g.Digest = hex.EncodeToString(d[:])
		g.NotAfter = b.o.Now().Add(time.Hour).UnixMilli()
	}
	b.say(no, wire.DownGrant, &g, key)
}

// taken waits until a revision is reported and told.
func (b *bench) takenIn(ctx context.Context, at marks, rev uint64) verdict {
	e, ok := b.awaitEvent(ctx, at.events, func(e wire.Event) bool { return e.Type == wire.EvGrant && e.Rev == rev })
	if !ok {
		return fail("no event grant with rev %d", rev)
	}
	b.ask(wire.DownPing)
	if !b.await(ctx, answerWithin, func() bool { return b.rev() == rev }) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return fail("rev %d was reported, and gr is %d", rev, b.rev())
	}
	return pass("event %d, gr %d", e.Seq, rev)
}

// ignored looks that nothing came of a push.
func (b *bench) ignored(ctx context.Context, at marks, rev uint64) verdict {
	b.ask(wire.DownPing)
	var e wire.Event
	if b.await(ctx, quiet, func() (ok bool) {
		e, ok = b.eventSince(at.events, func(e wire.Event) bool { return e.Type == wire.EvGrant })
		return ok || b.rev() != rev
	}) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return fail("it was taken: event grant with rev %d, gr %d", e.Rev, b.rev())
	}
	return pass("gr stays %d", rev)
}

func (b *bench) newestRev() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rev()
}

func grantOrder(ctx context.Context, b *bench) verdict {
	rev, at := b.newestRev(), b.mark()
	b.granted = locker.GrantID(b.id("grt"))
	b.push(rev+1, b.granted, false, b.o.Key)
	v := b.takenIn(ctx, at, rev+1)
	b.holds = v.state == Pass
	return v
}

func grantGap(ctx context.Context, b *bench) verdict {
	rev := b.newestRev()
	for _, wrong := range []uint64{rev + 2, rev} {
		if wrong == 0 {
			continue
		}
		at := b.mark()
		b.push(wrong, locker.GrantID(b.id("grt")), false, b.o.Key)
		if v := b.ignored(ctx, at, rev); v.state != Pass {
			return fail("rev %d after %d: %s", wrong, rev, v.seen)
		}
	}
	return pass("gr stays %d", rev)
}

func grantForged(ctx context.Context, b *bench) verdict {
	_, foreign, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fail("%v", err)
	}
	rev, at := b.newestRev(), b.mark()
	b.push(rev+1, locker.GrantID(b.id("grt")), false, foreign)
	return b.ignored(ctx, at, rev)
}

func grantEnd(ctx context.Context, b *bench) verdict {
	rev := b.newestRev()
	id := locker.GrantID(b.id("grt"))
	at := b.mark()
	b.push(rev+1, id, false, b.o.Key)
	if v := b.takenIn(ctx, at, rev+1); v.state != Pass {
		return v
	}
	at = b.mark()
	b.push(rev+2, id, true, b.o.Key)
	return b.takenIn(ctx, at, rev+2)
}

// typed enters a code and waits for what the device says of it.
func (b *bench) typed(ctx context.Context, code string) (wire.Event, verdict) {
	switch {
	case b.o.Hands.Type == nil:
		return wire.Event{}, skip("nobody types here, or there is no panel: see --ask and --type-cmd")
	case len(b.o.CodeKey) == 0:
		return wire.Event{}, skip("no code key was given: see --code-key")
	case !b.holds:
		return wire.Event{}, skip("the device holds no grant of the kit: see grant.order")
	}
	at, no := b.mark(), b.first()
	limit, cancel := context.WithTimeout(ctx, b.o.DoorWait)
	defer cancel()
	if err := b.o.Hands.Type(limit, no, code); err != nil {
		return wire.Event{}, skip("nobody typed: %v", err)
	}
	e, ok := b.awaitEvent(ctx, at.events, func(e wire.Event) bool { return e.Type == wire.EvAccess })
	if !ok {
		return e, fail("no event access within %s", answerWithin)
	}
	return e, verdict{}
}

func wrongCode(ctx context.Context, b *bench) verdict {
	e, v := b.typed(ctx, wrongDigits)
	switch {
	case v.state != "":
		return v
	case e.Reason != grant.WrongCode:
		return fail("reason %q", e.Reason)
	case len(e.Charged) == 0 || e.Cmd != "":
		return fail("charged %v, cmd %q", e.Charged, e.Cmd)
	}
	for _, g := range e.Charged {
		if g == b.granted {
			return pass("wrong_code, charged to %d grants", len(e.Charged))
		}
	}
	return fail("charged %v, not %s", e.Charged, b.granted)
}

func rightCode(ctx context.Context, b *bench) verdict {
	if b.o.Hands.Close == nil {
		return skip("nobody closes a door here: see --ask and --close-cmd")
	}
	e, v := b.typed(ctx, rightDigits)
	switch {
	case v.state != "":
		return v
	case e.Reason != grant.OK:
		return fail("reason %q", e.Reason)
	case e.Grant != b.granted || e.Cmd == "":
		return fail("grant %q, cmd %q; %s was expected, and a command", e.Grant, e.Cmd, b.granted)
	}
	if err := b.open(ctx, b.first()); err != nil {
		return fail("after the code: %v", err)
	}
	if err := b.shut(ctx, b.first()); err != nil {
		return fail("%v", err)
	}
	if got := b.outcome(ctx, string(e.Cmd)); !got.ok || got.end.Stage != wire.StageDone {
		return fail("command %s: %s; done was expected", e.Cmd, got.text)
	}
	return pass("ok, command %s is done", e.Cmd)
}
