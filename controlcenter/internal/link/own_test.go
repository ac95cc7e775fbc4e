package link_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/booking"
	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/locker"
	"lockerfleet/locker/queue"
	"lockerfleet/wire"
)

// downs lists what was sent to the bank on a kind of topic.
func downs[M any](t *testing.T, b *bench, d wire.Down) []M {
	t.Helper()
	var all []M
	for _, m := range b.sent {
		if !strings.HasSuffix(m.Topic, "/"+string(d)) {
			continue
		}
		msg := new(M)
		if err := wire.Decode(m.Payload, wire.MaxSmall, any(msg).(wire.Payload)); err != nil {
			t.Fatalf("%s: %v", m.Payload, err)
		}
		all = append(all, *msg)
	}
	return all
}

func TestABankIsRemindedOfWhatItLacks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.keeping.own = booking.Own{Rev: 3, Doors: []booking.Door{{No: 1, Size: locker.SizeS, Class: locker.Ambient}, {No: 4, Size: locker.SizeS, Class: locker.Ambient}, {No: 2, Size: locker.SizeM, Class: locker.Chilled}}}
	b.answer.Hello = true
	b.keeping.asks = []booking.Ask{{ID: "ask-1", Bank: bank, What: booking.Join, About: "plc-1", Size: locker.SizeM, Made: b.now, Contact: event.Person{Email: "a@example.org"}}}
	b.say(t, wire.UpTopic(bank, wire.UpLive), &wire.Live{Envelope: envelope(), Status: wire.Birth, Compartments: 4})
	docs := downs[wire.Desired](t, b, wire.DownDesired)
	if len(docs) != 1 || docs[0].Rev != 3 {
		t.Fatalf("documents %+v", docs)
	}
	want := []wire.OwnDoors{{Size: locker.SizeS, Class: locker.Ambient, C: []int{1, 4}}, {Size: locker.SizeM, Class: locker.Chilled, C: []int{2}}}
	if diff := cmp.Diff(want, docs[0].Own); diff != "" {
		t.Errorf("own (-want +got):\n%s", diff)
	}
	if asks := downs[wire.Ask](t, b, wire.DownAsk); len(asks) != 1 || asks[0].ID != "ask-1" || asks[0].Joined != b.now.UnixMilli() {
		t.Errorf("requests %+v", asks)
	}
	b.sent = nil
	b.keeping.asks = nil
	b.say(t, wire.UpTopic(bank, wire.UpHeartbeat), &wire.Heartbeat{Envelope: envelope(), DesiredRev: 3})
	if docs := downs[wire.Desired](t, b, wire.DownDesired); len(docs) != 0 {
		t.Errorf("a bank that has the document is sent it again")
	}
}

func TestWhatABankKeepsIsToldWithoutWhom(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	contact := &wire.Contact{Name: "Ada Example", Email: "ada@example.org"}
	b.say(t, wire.UpTopic(bank, wire.UpEvents), &wire.EventBatch{Envelope: envelope(), Events: []wire.Event{
		{Seq: 1, Boot: boot, Type: wire.EvSpot, C: 4, Grant: "grt-1", Spot: &wire.Spot{ID: "plc-1", State: queue.Waiting, Size: locker.SizeM, Joined: 5, Contact: contact}},
		{Seq: 2, Boot: boot, Type: wire.EvStay, C: 4, Grant: "grt-2", Kept: &wire.Kept{Parcel: "prc-1", State: wire.StayOpened, Contact: contact}},
		{Seq: 3, Boot: boot, Type: wire.EvOwn, Rev: 3, Doors: []int{2}},
		{Seq: 4, Boot: boot, Type: wire.EvAsked, Ask: "ask-1", Reason: "over"},
		{Seq: 5, Boot: boot, Type: wire.EvLetter, Grant: "grt-2", Letter: &wire.Notice{ID: "ltr-1", Kind: wire.LetterNumber, State: wire.LetterWanted, About: "prc-1", Contact: contact}},
	}})
	if len(b.ingested) != 5 {
		t.Fatalf("%d events", len(b.ingested))
	}
	spot, is := b.ingested[0].Own.(event.SpotChanged)
	if !is || spot.Holder == nil || spot.Holder.Email != "ada@example.org" || spot.Grant != "grt-1" {
		t.Errorf("place %+v", b.ingested[0].Own)
	}
	if a, is := b.ingested[3].Own.(event.AskAnswered); !is || a.Reason != "over" {
		t.Errorf("answer %+v", b.ingested[3].Own)
	}
	for _, e := range b.ingested {
		if strings.Contains(string(e.Told), "ada") {
			t.Errorf("event %d is kept with whom to tell: %s", e.Seq, e.Told)
		}
		if e.Told == nil {
			t.Errorf("event %d is kept without what it tells", e.Seq)
		}
	}
}
