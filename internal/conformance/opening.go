package conformance

import (
	"context"
	"time"

	"lockerfleet/locker"
	"lockerfleet/wire"
)

// opening is one door opened and closed for the rows about it, tried once.
type opening struct {
	done    bool
	failure verdict
	topic   string
	payload []byte
	id      string
	no      int
	busy    outcome // of a second command while it stood open
	end     wire.Event
	closing wire.Event
	told    bool // the closing came before the end
}

// openOnce opens and closes the door; its rows look at what came of it.
func (b *bench) openOnce(ctx context.Context) *opening {
	p := &b.opened
	if p.done {
		return p
	}
	p.done = true
	if b.o.Hands.Close == nil {
		p.failure = skip("nobody closes a door here: see --ask and --close-cmd")
		return p
	}
	p.no = b.first()
	b.rest(ctx)
	at := b.mark()
	o := b.make(wire.DownUnlock, p.no)
	o.cmd.Pre = &wire.Preconditions{Door: locker.DoorClosed}
	p.id = o.cmd.ID
	p.topic, p.payload = b.give(o)
	if err := b.open(ctx, p.no); err != nil {
		p.failure = fail("after unlock: %v; %s", err, b.outcomeNow(p.id))
		return p
	}
	p.busy = b.runCommand(ctx, wire.DownUnlock, p.no, nil)
	if err := b.shut(ctx, p.no); err != nil {
		p.failure = fail("%v", err)
		return p
	}
	got := b.outcome(ctx, p.id)
	if p.end = got.end; !got.ok {
		p.failure = fail("after the door was closed: %s", got.text)
		return p
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.closing(at.events, p.id); ok {
		p.closing, p.told = e, e.Seq < p.end.Seq
	}
	return p
}

// rest waits until the coil may be fed again: three pulses in 10 s are the most.
func (b *bench) rest(ctx context.Context) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (b *bench) outcomeNow(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return "stages: " + join(b.ends[locker.CommandID(id)])
}

func openStages(ctx context.Context, b *bench) verdict {
	p := b.openOnce(ctx)
	if p.failure.state != "" {
		return p.failure
	}
	b.mu.Lock()
	all := b.ends[locker.CommandID(p.id)]
	b.mu.Unlock()
	switch {
	case p.end.Stage != wire.StageDone:
		return fail("%s; done was expected", ended(p.end))
	case all[0] != wire.StageAccepted:
		return fail("%s; accepted comes first", join(all))
	case len(all) < 3:
		return fail("%s; actuated or verified is missing", join(all))
	}
	return pass("%s", join(all))
}

func openBusy(ctx context.Context, b *bench) verdict {
	p := b.openOnce(ctx)
	if p.failure.state != "" && p.busy.text == "" {
		return skip("no door was open: %s", p.failure.seen)
	}
	if p.busy.ok && p.busy.end.Stage == wire.StageRejected && (p.busy.end.Code == wire.CodeBusy || p.busy.end.Code == wire.CodeInterlock) {
		return pass("%s", p.busy.text)
	}
	return fail("%s; rejected busy or interlock was expected", p.busy.text)
}

func openClosing(ctx context.Context, b *bench) verdict {
	p := b.openOnce(ctx)
	if p.failure.state != "" {
		return skip("no door was opened and closed: %s", p.failure.seen)
	}
	c := p.closing
	switch {
	case c.Seq == 0:
		return fail("there is no event closing with this cmd")
	case !p.told:
		return fail("it came as event %d, after the end, event %d", c.Seq, p.end.Seq)
	case c.Before == nil || c.After == nil:
		return fail("before or after is missing")
	case c.C != p.no || c.Door != locker.DoorClosed || c.Lock == "":
		return fail("compartment %d, door %q, lock %q", c.C, c.Door, c.Lock)
	case c.OpenMS <= 0:
		return fail("open_ms %d", c.OpenMS)
	}
	return pass("%s, then %s; open for %d ms", c.Before.Content, c.After.Content, c.OpenMS)
}

func openRepeat(ctx context.Context, b *bench) verdict {
	p := b.openOnce(ctx)
	if p.failure.state != "" {
		return skip("no door was opened and closed: %s", p.failure.seen)
	}
	b.rest(ctx)
	return b.again(ctx, p.topic, p.payload, p.id, p.end)
}
