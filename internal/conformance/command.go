package conformance

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"time"

	"lockerfleet/locker"
	"lockerfleet/wire"
)

// ttl is how long the kit's commands live, as for a person at the door.
const ttl = 10 * time.Second

// order is one command and how it differs from a good one.
type order struct {
	what   wire.Down
	no     int
	cmd    wire.Command
	key    ed25519.PrivateKey
	mutate func(payload []byte) []byte // before signing
	topic  string                      // it is sent to; signed is the one of what and no
	retain bool
}

// first is the door that is used; the lowest unless one was named.
func (b *bench) first() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.snaps.last(); ok && b.o.Door == 0 && len(s.Compartments) > 0 {
		return s.Compartments[0].C
	}
	return max(b.o.Door, 1)
}

// make prepares a good command for the present connection.
func (b *bench) make(what wire.Down, no int) *order {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.envelope()
	e.ID = b.id("cmd")
	return &order{what: what, no: no, key: b.o.Key, cmd: wire.Command{Envelope: e, DL: max(b.up()+ttl.Milliseconds()-100, 1)}}
}

// give sends a command and answers its payload, for a repeat.
func (b *bench) give(o *order) (topic string, payload []byte) {
	topic = wire.DownTopic(b.o.Bank, o.no, o.what)
	payload, err := wire.Encode(&o.cmd)
	if err == nil && o.mutate != nil {
		payload = o.mutate(payload)
	}
	if err == nil && o.key != nil {
		payload, err = wire.Sign(o.key, topic, payload)
	}
	if o.topic != "" {
		topic = o.topic
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		err = b.o.Line.Send(wire.Message{Topic: topic, Payload: payload, QoS: 1, Retain: o.retain})
	}
	if err != nil {
		b.fault("kit", "command %s: %v", o.cmd.ID, err)
	}
	return topic, payload
}

// command sends a good command, changed by how, and answers its id.
func (b *bench) command(what wire.Down, no int, how func(*order)) string {
	o := b.make(what, no)
	if how != nil {
		how(o)
	}
	b.give(o)
	return o.cmd.ID
}

// outcome is how a command ended, in words.
type outcome struct {
	ok   bool
	text string
	end  wire.Event
}

// runCommand sends a command and waits for its end.
func (b *bench) runCommand(ctx context.Context, what wire.Down, no int, how func(*order)) outcome {
	return b.outcome(ctx, b.command(what, no, how))
}

func (b *bench) outcome(ctx context.Context, id string) outcome {
	var e wire.Event
	found := b.await(ctx, answerWithin, func() (ok bool) { e, ok = b.end(id); return ok })
	if !found {
		b.mu.Lock()
		defer b.mu.Unlock()
		if all := b.ends[locker.CommandID(id)]; len(all) > 0 {
			return outcome{text: fmt.Sprintf("it is %s and did not end", join(all))}
		}
		return outcome{text: fmt.Sprintf("no answer within %s", answerWithin)}
	}
	return outcome{ok: true, text: ended(e), end: e}
}

func ended(e wire.Event) string { return strings.TrimSpace(string(e.Stage) + " " + string(e.Code)) }

// endsWith waits for one end and one of the codes.
func (b *bench) endsWith(ctx context.Context, id string, stage wire.Stage, codes ...wire.Code) verdict {
	got := b.outcome(ctx, id)
	if !got.ok || got.end.Stage != stage {
		return fail("%s; %s %s was expected", got.text, stage, oneOf(codes))
	}
	for _, c := range codes {
		if got.end.Code == c {
			return pass("%s", got.text)
		}
	}
	return fail("%s; %s %s was expected", got.text, stage, oneOf(codes))
}

func oneOf(codes []wire.Code) string {
	words := make([]string, len(codes))
	for i, c := range codes {
		words[i] = string(c)
	}
	return strings.Join(words, " or ")
}

// unmoved waits for the refusal of a message that nobody vouches for: the code, or silence.
func (b *bench) unmoved(ctx context.Context, id string, code wire.Code) verdict {
	var e wire.Event
	answered := func() (ok bool) {
		e, ok = b.eventSince(0, func(e wire.Event) bool { return e.Type == wire.EvCommand && e.Cmd == locker.CommandID(id) })
		return ok
	}
	switch {
	case !b.await(ctx, quiet, answered):
		return pass("silence")
	case e.Stage == wire.StageRejected && e.Code == code:
		return pass("%s", ended(e))
	}
	return fail("%s; rejected %s or silence was expected", ended(e), code)
}

func lockMovesNothing(ctx context.Context, b *bench) verdict {
	at := b.mark()
	no := b.first()
	got := b.runCommand(ctx, wire.DownLock, no, nil)
	if !got.ok || got.end.Stage != wire.StageDone {
		return fail("%s; done was expected of a door that is closed and locked", got.text)
	}
	if _, moved := b.moved(ctx, at.events); moved {
		return fail("the door opened")
	}
	return pass("done, door %s, lock %s", got.end.Door, got.end.Lock)
}

// moved listens whether a door opens, or an opening begins.
func (b *bench) moved(ctx context.Context, at int) (wire.Event, bool) {
	var e wire.Event
	found := b.await(ctx, quiet, func() (ok bool) {
		e, ok = b.eventSince(at, func(e wire.Event) bool {
			return e.Stage == wire.StageAccepted || e.Stage == wire.StageActuated || e.Stage == wire.StageVerified || e.Type == wire.EvDoor && e.Door == locker.DoorOpen
		})
		return ok
	})
	return e, found
}

// again sends a command's bytes once more and looks that its end comes under its old number.
func (b *bench) again(ctx context.Context, topic string, payload []byte, id string, end wire.Event) verdict {
	at := b.mark()
	b.send(topic, payload, wire.DownLock)
	same := false
	b.await(ctx, answerWithin, func() bool {
		for _, batch := range b.batches.since(at.batches) {
			for _, e := range batch.Events {
				same = same || e.Seq == end.Seq && e.Cmd == locker.CommandID(id)
			}
		}
		return same || b.events.end() > at.events
	})
	if e, found := b.moved(ctx, at.events); found {
		return fail("it was done again: %s %s, door %s", e.Type, ended(e), e.Door)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, found := b.eventSince(at.events, func(e wire.Event) bool { return e.Cmd == locker.CommandID(id) }); found {
		return fail("it got a new answer: %s as event %d; the stored one is event %d", ended(e), e.Seq, end.Seq)
	}
	if !same {
		return fail("no answer within %s; event %d (%s) was expected again", answerWithin, end.Seq, ended(end))
	}
	return pass("event %d again", end.Seq)
}

func repeated(ctx context.Context, b *bench) verdict {
	o := b.make(wire.DownLock, b.first())
	topic, payload := b.give(o)
	got := b.outcome(ctx, o.cmd.ID)
	if !got.ok {
		return fail("%s", got.text)
	}
	return b.again(ctx, topic, payload, o.cmd.ID, got.end)
}

func conflicting(ctx context.Context, b *bench) verdict {
	o := b.make(wire.DownLock, b.first())
	b.give(o)
	if got := b.outcome(ctx, o.cmd.ID); !got.ok {
		return fail("%s", got.text)
	}
	at := b.mark()
	o.what = wire.DownUnlock
	b.give(o)
	e, ok := b.awaitEvent(ctx, at.events, func(e wire.Event) bool { return e.Cmd == locker.CommandID(o.cmd.ID) })
	if !ok {
		return fail("no answer within %s", answerWithin)
	}
	if e.Stage != wire.StageRejected || e.Code != wire.CodeDupConflict {
		return fail("%s; rejected dup_conflict was expected", ended(e))
	}
	return pass("%s", ended(e))
}

func forged(ctx context.Context, b *bench) verdict {
	_, foreign, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fail("%v", err)
	}
	ways := []struct {
		name string
		how  func(*order)
	}{
		{"signed with another key", func(o *order) { o.key = foreign }},
		{"not signed", func(o *order) { o.key = nil }},
		{"signed as lock", func(o *order) { o.what, o.topic = wire.DownLock, wire.DownTopic(b.o.Bank, o.no, wire.DownUnlock) }},
	}
	seen := ""
	for _, w := range ways {
		v := b.unmoved(ctx, b.command(wire.DownUnlock, b.first(), w.how), wire.CodeBadSig)
		if v.state != Pass {
			return fail("%s: %s", w.name, v.seen)
		}
		seen = v.seen
	}
	return pass("%s", seen)
}

func staleBoot(ctx context.Context, b *bench) verdict {
	id := b.command(wire.DownUnlock, b.first(), func(o *order) { o.cmd.Boot = "00000000deadbeef" })
	return b.endsWith(ctx, id, wire.StageRejected, wire.CodeStaleBoot)
}

func staleEpoch(ctx context.Context, b *bench) verdict {
	for _, by := range []uint32{^uint32(0), 1} { // one before, one ahead
		id := b.command(wire.DownUnlock, b.first(), func(o *order) { o.cmd.Ep += by })
		if v := b.endsWith(ctx, id, wire.StageRejected, wire.CodeStaleEpoch); v.state != Pass {
			return v
		}
	}
	return pass("rejected stale_epoch")
}

func expired(ctx context.Context, b *bench) verdict {
	id := b.command(wire.DownUnlock, b.first(), func(o *order) { o.cmd.DL = max(o.cmd.DL-ttl.Milliseconds()-200, 1) })
	return b.endsWith(ctx, id, wire.StageExpired, wire.CodeExpired)
}

func tooFar(ctx context.Context, b *bench) verdict {
	id := b.command(wire.DownUnlock, b.first(), func(o *order) { o.cmd.DL += 110_000 })
	return b.endsWith(ctx, id, wire.StageRejected, wire.CodeSchema)
}

func noSuchDoor(ctx context.Context, b *bench) verdict {
	b.mu.Lock()
	s, _ := b.snaps.last()
	b.mu.Unlock()
	no := 1
	for _, c := range s.Compartments {
		if c.C == no {
			no++
		}
	}
	if no > locker.MaxCompartments {
		return skip("it has every door there can be")
	}
	return b.endsWith(ctx, b.command(wire.DownUnlock, no, nil), wire.StageRejected, wire.CodeUnsupported)
}

func precondition(ctx context.Context, b *bench) verdict {
	no := b.first()
	row, ok := b.row(no)
	if !ok {
		return fail("no snapshot row of door %d", no)
	}
	wrong := []wire.Preconditions{{Door: locker.DoorOpen}, {Content: locker.Present}}
	if row.Content != locker.Empty {
		wrong[1].Content = locker.Empty
	}
	for _, pre := range wrong {
		id := b.command(wire.DownUnlock, no, func(o *order) { o.cmd.Pre = &pre })
		if v := b.endsWith(ctx, id, wire.StageRejected, wire.CodePrecondition); v.state != Pass {
			return fail("pre %+v of a door that is %s and %s: %s", pre, row.Door, row.Content, v.seen)
		}
	}
	return pass("rejected precondition")
}

// row is a door in the newest snapshot.
func (b *bench) row(no int) (wire.CompartmentState, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, _ := b.snaps.last()
	for _, c := range s.Compartments {
		if c.C == no {
			return c, true
		}
	}
	return wire.CompartmentState{}, false
}

func strictTopics(ctx context.Context, b *bench) verdict {
	root := wire.BankRoot(b.o.Bank) + "/dn/"
	no := b.first()
	for _, level := range []string{fmt.Sprintf("%03d", no), "-", "0"} {
		topic := root + level + "/unlock"
		o := b.make(wire.DownUnlock, no)
		payload, err := wire.Encode(&o.cmd)
		if err == nil {
			payload, err = wire.Sign(b.o.Key, topic, payload)
		}
		if err != nil {
			return fail("%v", err)
		}
		b.send(topic, payload, wire.DownUnlock)
		if v := b.unmoved(ctx, o.cmd.ID, wire.CodeSchema); v.state != Pass {
			return fail("on %s: %s", topic, v.seen)
		}
	}
	return pass("silence")
}

// retainedCommand leaves a command at the broker for the device's next connection, good for it in
// all but the flag.
func retainedCommand(ctx context.Context, b *bench) verdict {
	if _, own := b.o.Line.Connections(); !own {
		return skip("a control center may not retain commands at a foreign broker; use the kit's own")
	}
	at := b.mark()
	o := b.make(wire.DownUnlock, b.first())
	o.cmd.Ep++
	o.cmd.DL += 30_000
	o.retain = true
	topic := wire.DownTopic(b.o.Bank, o.no, o.what)
	defer func() { _ = b.o.Line.Send(wire.Message{Topic: topic, QoS: 1, Retain: true}) }() // the line is our own broker
	// Cut first: the broker also hands the message to who is connected, as live.
	b.o.Line.Cut()
	b.give(o)
	var l wire.Live
	if !b.await(ctx, reconnectWithin, func() bool { return b.birthSince(at.lives, &l) }) {
		return fail("no birth within %s after the connection was cut", reconnectWithin)
	}
	return b.unmoved(ctx, o.cmd.ID, wire.CodeRetained)
}

func holdAndRelease(ctx context.Context, b *bench) verdict {
	no := b.first()
	if got := b.runCommand(ctx, wire.DownHold, no, nil); !got.ok || got.end.Stage != wire.StageDone {
		return fail("hold: %s; done was expected", got.text)
	}
	v := b.endsWith(ctx, b.command(wire.DownUnlock, no, nil), wire.StageRejected, wire.CodeMaintenance)
	got := b.runCommand(ctx, wire.DownRelease, no, nil)
	if v.state != Pass {
		return fail("unlock of a held door: %s", v.seen)
	}
	if !got.ok || got.end.Stage != wire.StageDone {
		return fail("release: %s; done was expected", got.text)
	}
	return pass("done, %s, done", v.seen)
}

func unknownMembers(ctx context.Context, b *bench) verdict {
	id := b.command(wire.DownLock, b.first(), func(o *order) {
		o.mutate = func(p []byte) []byte {
			return append([]byte(`{"of_tomorrow":{"deep":[1,{"x":null}]},"zz":"text",`), p[1:]...)
		}
	})
	return b.endsWith(ctx, id, wire.StageDone, "")
}
