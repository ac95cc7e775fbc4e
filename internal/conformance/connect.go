package conformance

import (
	"context"
	"slices"

	"lockerfleet/wire"
)

// newest is the device's connection, as it was seen when it was made.
func (b *bench) newest() (Connection, verdict) {
	all, sees := b.o.Line.Connections()
	if !sees {
		return Connection{}, skip("not seen through a foreign broker; use the kit's own")
	}
	if len(all) == 0 {
		return Connection{}, fail("no CONNECT was read")
	}
	return all[len(all)-1], verdict{}
}

func connectSession(_ context.Context, b *bench) verdict {
	c, v := b.newest()
	switch {
	case v.state != "":
		return v
	case c.Protocol != "MQTT" || c.Level != 4:
		return fail("protocol %q level %d; MQTT 3.1.1 is level 4", c.Protocol, c.Level)
	case !c.Clean:
		return fail("clean session is not asked for: a broker would keep commands")
	case c.ClientID != string(b.o.Bank):
		return fail("client id %q", c.ClientID)
	case c.KeepAlive == 0 || c.KeepAlive > 30:
		return fail("keepalive %d s", c.KeepAlive)
	}
	return pass("clean session, keepalive %d s", c.KeepAlive)
}

func connectWill(_ context.Context, b *bench) verdict {
	c, v := b.newest()
	if v.state != "" {
		return v
	}
	if c.Will == nil {
		return fail("no last will")
	}
	var l wire.Live
	born := b.born()
	switch err := wire.Decode(c.Will.Payload, wire.MaxSmall, &l); {
	case err != nil:
		return fail("%v", err)
	case c.Will.Topic != wire.UpTopic(b.o.Bank, wire.UpLive):
		return fail("on topic %s", c.Will.Topic)
	case c.Will.QoS != 1 || !c.Will.Retain:
		return fail("QoS %d, retained %t", c.Will.QoS, c.Will.Retain)
	case l.Status != wire.Lost:
		return fail("status %q", l.Status)
	case l.Boot != born.Boot || l.Ep != born.Ep:
		return fail("boot %s ep %d; the birth has %s and %d", l.Boot, l.Ep, born.Boot, born.Ep)
	}
	return pass("lost, ep %d", l.Ep)
}

func connectFilter(_ context.Context, b *bench) verdict {
	c, v := b.newest()
	if v.state != "" {
		return v
	}
	if want := wire.DownFilter(b.o.Bank); len(c.Filters) != 1 || c.Filters[0].Text != want || c.Filters[0].QoS != 1 {
		return fail("%v; want %s with QoS 1 alone", c.Filters, want)
	}
	return pass("%s", c.Filters[0].Text)
}

func birthOrder(ctx context.Context, b *bench) verdict {
	at := b.mark()
	b.ask(wire.DownRebirth)
	var got []wire.Up
	done := b.await(ctx, answerWithin, func() bool {
		got = b.order.since(at.order)
		if i := slices.Index(got, wire.UpLive); i >= 0 {
			got = got[i:]
		}
		return len(got) >= 3
	})
	if !done || got[0] != wire.UpLive || got[1] != wire.UpState || got[2] != wire.UpHeartbeat {
		return fail("after a rebirth: %v", got)
	}
	return pass("live, state, hb")
}

func birthFields(_ context.Context, b *bench) verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.birth
	s, _ := b.snaps.last()
	switch {
	case l.Firmware == "":
		return fail("fw is empty")
	case l.Compartments < 1:
		return fail("compartments %d", l.Compartments)
	case l.Head < l.Acked:
		return fail("head %d is below acked %d", l.Head, l.Acked)
	case l.Ep < 1:
		return fail("ep %d; it begins at 1", l.Ep)
	case len(s.Compartments) != l.Compartments:
		return fail("%d doors in the birth, %d rows in the snapshot", l.Compartments, len(s.Compartments))
	case s.Boot != l.Boot || s.Rev < 1:
		return fail("snapshot of boot %s with rev %d", s.Boot, s.Rev)
	}
	return pass("%s, %d doors", l.Firmware, l.Compartments)
}

func birthRetained(ctx context.Context, b *bench) verdict {
	for _, up := range wire.Ups() {
		want := up == wire.UpLive || up == wire.UpState
		got, err := b.o.Line.Retained(ctx, wire.UpTopic(b.o.Bank, up))
		if err != nil {
			return fail("%v", err)
		}
		if got != want {
			return fail("%s: retained %t", up, got)
		}
	}
	return pass("live and state alone")
}

// birthSince finds a birth. The lock is held.
func (b *bench) birthSince(at int, found *wire.Live) bool {
	for _, l := range b.lives.since(at) {
		if l.Status == wire.Birth {
			*found = l
			return true
		}
	}
	return false
}

func rebirthAnswered(ctx context.Context, b *bench) verdict {
	before, at := b.born(), b.mark()
	b.ask(wire.DownRebirth)
	var l wire.Live
	if !b.await(ctx, answerWithin, func() bool { return b.birthSince(at.lives, &l) && b.snaps.end() > at.snaps }) {
		return fail("no birth and snapshot within %s", answerWithin)
	}
	if l.Boot != before.Boot || l.Ep != before.Ep {
		return fail("the birth came from connection %d of boot %s; it was %d of %s", l.Ep, l.Boot, before.Ep, before.Boot)
	}
	return pass("birth and snapshot")
}

func pingAnswered(ctx context.Context, b *bench) verdict {
	// Three pings faster than any rhythm: heartbeats of their own account cannot answer them all.
	for i := range 3 {
		at := b.mark()
		b.ask(wire.DownPing)
		if !b.await(ctx, beat*6/10, func() bool { return b.beats.end() > at.beats }) {
			return fail("ping %d of 3 was not answered within %s", i+1, beat*6/10)
		}
	}
	return pass("3 of 3")
}

func heartbeatRhythm(ctx context.Context, b *bench) verdict {
	at := b.mark()
	const span, least, most = 4, 3, 6
	b.await(ctx, span*beat+beat/2, func() bool { return b.beats.end() >= at.beats+most+1 })
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.beats.since(at.beats)
	if len(all) < least || len(all) > most {
		return fail("%d heartbeats in %s with hb_ms %d", len(all), span*beat+beat/2, beat.Milliseconds())
	}
	h := all[len(all)-1]
	if h.Head != b.taken || h.GrantRev != b.birth.GrantRev {
		return fail("head %d and gr %d; the events reach %d and the birth had gr %d", h.Head, h.GrantRev, b.taken, b.birth.GrantRev)
	}
	return pass("%d in %s", len(all), span*beat+beat/2)
}

const noCut = "nobody can cut the connection here; use the kit's own broker"

func reconnects(ctx context.Context, b *bench) verdict {
	before, at := b.born(), b.mark()
	if !b.o.Line.Cut() {
		return skip(noCut)
	}
	var l wire.Live
	if !b.await(ctx, reconnectWithin, func() bool { return b.birthSince(at.lives, &l) }) {
		return fail("no birth within %s after the connection was cut", reconnectWithin)
	}
	b.mu.Lock()
	order := b.order.since(at.order)
	lives := b.lives.since(at.lives)
	b.mu.Unlock()
	switch {
	case l.Boot != before.Boot:
		return fail("boot %s became %s: a lost connection is no restart", before.Boot, l.Boot)
	case l.Ep <= before.Ep:
		return fail("ep was %d and is %d", before.Ep, l.Ep)
	}
	for _, live := range lives {
		if live.Status == wire.Lost && live.Ep != before.Ep {
			return fail("the last will names ep %d, not %d", live.Ep, before.Ep)
		}
	}
	for i := 1; i < len(order); i++ { // the last will comes first
		if order[i-1] == wire.UpLive && order[i] == wire.UpLive {
			return pass("ep %d, then %d", before.Ep, l.Ep)
		}
	}
	return pass("ep %d, then %d", before.Ep, l.Ep)
}

func helloBefore(ctx context.Context, b *bench) verdict {
	b.policy(false, true)
	defer b.catchUp()
	at := b.mark()
	if !b.o.Line.Cut() {
		return skip(noCut)
	}
	var l wire.Live
	if !b.await(ctx, reconnectWithin, func() bool { return b.birthSince(at.lives, &l) }) {
		return fail("no birth within %s after the connection was cut", reconnectWithin)
	}
	id := b.command(wire.DownLock, b.first(), nil)
	if b.await(ctx, quiet, func() bool { return b.batches.end() > at.batches }) {
		return fail("events were sent before the hello")
	}
	b.catchUp()
	return b.endsWith(ctx, id, wire.StageRejected, wire.CodeStaleEpoch)
}

func helloLost(ctx context.Context, b *bench) verdict {
	b.policy(false, true)
	defer b.catchUp()
	at := b.mark()
	if !b.o.Line.Cut() {
		return skip(noCut)
	}
	var l wire.Live
	if !b.await(ctx, reconnectWithin, func() bool { return b.birthSince(at.lives, &l) }) {
		return fail("no birth within %s after the connection was cut", reconnectWithin)
	}
	at = b.mark()
	if !b.await(ctx, rebirthWithin, func() bool { return b.birthSince(at.lives, &l) }) {
		return fail("the birth did not come again within %s", rebirthWithin)
	}
	return pass("the birth came again")
}
