package conformance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"lockerfleet/locker"
	"lockerfleet/wire"
)

// beat is the heartbeat interval the kit asks for: the shortest of the contract.
const beat = time.Second

// bench is the control center of one run. What it heard is guarded by mu.
type bench struct {
	o     Options
	start time.Time

	mu      sync.Mutex
	news    chan struct{} // closed at the next message, nil while nobody waits
	over    bool
	met     bool // a hello was said
	greet   bool // answers births
	ack     bool // acknowledges events
	order   tape[wire.Up]
	lives   tape[wire.Live]
	snaps   tape[wire.Snapshot]
	beats   tape[wire.Heartbeat]
	batches tape[wire.EventBatch]
	events  tape[wire.Event] // new ones, in order
	birth   wire.Live        // newest
	greeted wire.Envelope    // of the newest birth that was answered
	offset  int64            // of the device's clock: largest up minus ours, of this boot
	taken   uint64           // newest event without gaps below
	prints  map[uint64]string
	ends    map[locker.CommandID][]wire.Stage
	faults  map[string][]string // by the row they break
	lastUp  int64
	snapped int64 // up of the newest snapshot that nothing asked for
	count   int   // ids made
	run     string

	// What one row leaves for another, on the goroutine of Run alone.
	opened  opening
	old     stored
	granted locker.GrantID // of the kit, good for the first door
	holds   bool           // the device has taken it
	keeps   bool           // the device follows desired documents
}

func newBench(o Options) *bench {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails on the systems we run on
	return &bench{
		o: o, start: o.Now(), greet: true, ack: true, run: hex.EncodeToString(b[:]),
		birth: wire.Live{Envelope: wire.Envelope{Boot: noBoot}}, prints: map[uint64]string{}, ends: map[locker.CommandID][]wire.Stage{}, faults: map[string][]string{},
	}
}

func (b *bench) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}

// mono is the kit's own monotonic clock, in milliseconds.
func (b *bench) mono() int64 { return b.o.Now().Sub(b.start).Milliseconds() }

// up is the device's clock as the contract derives it. The lock is held.
func (b *bench) up() int64 { return b.offset + b.mono() }

// take hears the device, on the line's goroutine.
func (b *bench) take(m wire.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	bank, up, err := wire.ParseUp(m.Topic)
	if err != nil || bank != b.o.Bank {
		b.fault("messages.valid", "topic %s is none of the bank's", m.Topic)
		return
	}
	b.order.add(up)
	if err := b.read(up, m.Payload); err != nil {
		b.fault("messages.valid", "%s: %v", up, err)
	}
	if b.news != nil {
		close(b.news)
		b.news = nil
	}
}

func (b *bench) read(up wire.Up, payload []byte) error {
	switch up {
	case wire.UpLive:
		var l wire.Live
		return decoded(payload, wire.MaxSmall, &l, func() { b.live(l) })
	case wire.UpState:
		var s wire.Snapshot
		return decoded(payload, wire.MaxPayload, &s, func() { b.snapshot(s) })
	case wire.UpHeartbeat:
		var h wire.Heartbeat
		return decoded(payload, wire.MaxSmall, &h, func() { b.clock(h.Envelope); b.beats.add(h) })
	case wire.UpEvents:
		var e wire.EventBatch
		return decoded(payload, wire.MaxPayload, &e, func() { b.batch(e) })
	case wire.UpTelemetry:
		var t wire.Telemetry
		return decoded(payload, wire.MaxSmall, &t, func() { b.clock(t.Envelope) })
	}
	return nil
}

func decoded(payload []byte, limit int, m wire.Payload, then func()) error {
	if err := wire.Decode(payload, limit, m); err != nil {
		return err
	}
	then()
	return nil
}

// fault notes what breaks a row that is judged at the end. The lock is held.
func (b *bench) fault(row, format string, args ...any) {
	if len(b.faults[row]) < 5 {
		b.faults[row] = append(b.faults[row], fmt.Sprintf(format, args...))
	}
}

// clock keeps the offset and looks that time does not go back. The lock is held.
func (b *bench) clock(e wire.Envelope) {
	if e.Boot != b.birth.Boot {
		return
	}
	if e.Up < b.lastUp {
		b.fault("clock.forward", "up went back from %d to %d ms", b.lastUp, e.Up)
	}
	b.lastUp = max(b.lastUp, e.Up)
	b.offset = max(b.offset, e.Up-b.mono())
}

func (b *bench) live(l wire.Live) {
	if l.Status == wire.Birth {
		if l.Boot != b.birth.Boot {
			b.lastUp, b.offset, b.snapped = 0, l.Up-b.mono(), 0
		}
		b.birth = l
		b.clock(l.Envelope)
	}
	b.lives.add(l)
	if l.Status == wire.Birth && b.greet {
		b.hello(l.Envelope, 0)
	}
}

// hello answers a birth; acked 0 means what was taken. The lock is held.
func (b *bench) hello(e wire.Envelope, acked uint64) {
	if !b.met { // what it reported to others is theirs
		b.met, b.taken = true, b.birth.Acked
	}
	if acked == 0 {
		acked = b.taken
	}
	b.greeted = e
	b.say(0, wire.DownHello, &wire.Hello{
		Envelope: b.envelope(), Acked: acked, Now: b.o.Now().UnixMilli(), HBms: beat.Milliseconds(), GrantRev: b.birth.GrantRev,
	}, b.o.Key)
}

func (b *bench) snapshot(s wire.Snapshot) {
	b.clock(s.Envelope)
	if last, ok := b.order.before(1); ok && last != wire.UpLive {
		if b.snapped > 0 && s.Up-b.snapped < 900 {
			b.fault("state.rate", "two snapshots %d ms apart", s.Up-b.snapped)
		}
		b.snapped = s.Up
	}
	b.snaps.add(s)
}

// envelope is that of a message to the device's present connection. The lock is held.
func (b *bench) envelope() wire.Envelope {
	return wire.Envelope{V: wire.Minor, Boot: b.birth.Boot, Ep: b.birth.Ep, TS: b.o.Now().UnixMilli()}
}

// say encodes, signs where there is a key, and sends. The lock is held.
func (b *bench) say(no int, what wire.Down, msg any, key ed25519.PrivateKey) []byte {
	topic := wire.DownTopic(b.o.Bank, no, what)
	payload, err := wire.Encode(msg)
	if err == nil && key != nil {
		payload, err = wire.Sign(key, topic, payload)
	}
	if err != nil {
		b.fault("kit", "%v", err)
		return nil
	}
	b.raw(topic, payload, what)
	return payload
}

func (b *bench) raw(topic string, payload []byte, what wire.Down) {
	qos := byte(1)
	if what == wire.DownAck {
		qos = 0
	}
	if err := b.o.Line.Send(wire.Message{Topic: topic, Payload: payload, QoS: qos}); err != nil {
		b.fault("kit", "send %s: %v", topic, err)
	}
}

// send is raw for who does not hold the lock.
func (b *bench) send(topic string, payload []byte, what wire.Down) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.raw(topic, payload, what)
}

// ask sends a message that needs no signature.
func (b *bench) ask(what wire.Down) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var msg any = &wire.Ping{Envelope: b.envelope()}
	if what == wire.DownRebirth {
		msg = &wire.Rebirth{Envelope: b.envelope()}
	}
	b.say(0, what, msg, nil)
}

// id makes an identifier that no run used before.
func (b *bench) id(what string) string {
	b.count++
	return fmt.Sprintf("%s-%s-%d", what, b.run, b.count)
}

// policy sets whether births and events are answered.
func (b *bench) policy(greet, ack bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.greet, b.ack = greet, ack
}

// catchUp answers what was left unanswered.
func (b *bench) catchUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.greet, b.ack = true, true
	if b.birth.Boot != noBoot && (b.greeted.Boot != b.birth.Boot || b.greeted.Ep != b.birth.Ep) {
		b.hello(b.birth.Envelope, 0)
	}
	b.acknowledge()
}

func (b *bench) born() wire.Live {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.birth
}

// errPatience is a wait that ended without what was waited for.
var errPatience = errors.New("not in time")

// await waits until met, which is asked with the lock held after every message, or until d is over.
func (b *bench) await(ctx context.Context, d time.Duration, met func() bool) bool {
	ctx, cancel := context.WithTimeoutCause(ctx, d, errPatience)
	defer cancel()
	for {
		b.mu.Lock()
		if met() {
			b.mu.Unlock()
			return true
		}
		if b.news == nil {
			b.news = make(chan struct{})
		}
		news := b.news
		b.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}

// meet waits for the device and asks it to introduce itself.
func (b *bench) meet(ctx context.Context) error {
	known := func() bool { return b.birth.Boot != noBoot && b.snaps.end() > 0 && b.beats.end() > 0 }
	deadline := b.o.Now().Add(b.o.Connect)
	for !b.await(ctx, min(answerWithin, b.o.Connect), known) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !b.o.Now().Before(deadline) {
			return fmt.Errorf("bank %s sent no birth, snapshot and heartbeat within %s: is it pointed to this broker, with this user name and password?%s",
				b.o.Bank, b.o.Connect, b.complaint())
		}
		b.ask(wire.DownRebirth) // it may be connected already
	}
	return nil
}

// noBoot is the boot of messages that are for no life of the device.
const noBoot = "0000000000000000"

func (b *bench) complaint() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, row := range slices.Sorted(maps.Keys(b.faults)) {
		return fmt.Sprintf(" The first complaint: %s", b.faults[row][0])
	}
	return ""
}

// settle brings the device to rest: greeted, everything it reported acknowledged, every door shut.
func (b *bench) settle(ctx context.Context) error {
	b.catchUp()
	b.closeDoors(ctx)
	var from int
	atRest := func() bool {
		h, ok := b.beats.last()
		return ok && b.beats.end() > from && (b.o.Hands.Close == nil || !b.anyOpen()) && h.Boot == b.birth.Boot && h.Ep == b.birth.Ep && h.Head <= b.taken && b.greeted.Ep == b.birth.Ep && b.greeted.Boot == b.birth.Boot
	}
	for i := range 5 {
		b.mu.Lock()
		from = b.beats.end()
		b.mu.Unlock()
		b.ask(wire.DownPing)
		if b.await(ctx, answerWithin, atRest) {
			return nil
		}
		b.catchUp()
		b.closeDoors(ctx)
		b.ask(wire.DownRebirth)
		if i >= 2 { // longer than events may take to come again
			b.writeOff()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	h, _ := b.beats.last()
	return fmt.Errorf("the device did not come to rest: its newest heartbeat has head %d in connection %d, and %d was taken in connection %d",
		h.Head, h.Ep, b.taken, b.birth.Ep)
}

// writeOff gives up events that the device has by its heartbeat and does not send, so that one
// fault is one fault.
func (b *bench) writeOff() {
	b.mu.Lock()
	defer b.mu.Unlock()
	h, ok := b.beats.last()
	if !ok || h.Boot != b.greeted.Boot || h.Ep != b.greeted.Ep || h.Head <= b.taken {
		return
	}
	b.fault("events.numbers", "events %d to %d were never sent", b.taken+1, h.Head)
	b.taken = h.Head
	b.acknowledge()
}

// try runs one duty from rest.
func (b *bench) try(ctx context.Context, d duty) Row {
	row := Row{ID: d.id, Section: d.section, Expect: d.expect}
	if !d.anyhow {
		if err := b.settle(ctx); err != nil {
			row.State, row.Seen = Blocked, err.Error()
			return row
		}
	}
	v := d.check(ctx, b)
	row.State, row.Seen = v.state, v.seen
	return row
}
