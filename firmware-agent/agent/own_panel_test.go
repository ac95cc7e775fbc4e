package agent

import (
	"testing"

	"lockerfleet/locker/queue"
	"lockerfleet/wire"
)

func TestAPlaceIsGivenUpWithTheAddressItWasTakenWith(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 1)
	h.fill(t, "+490")
	if a := h.ask(wire.AskJoin, "+491"); a.Reason != wire.AskOK {
		t.Fatalf("join: %+v", a)
	}
	for _, tt := range []struct {
		who  string
		want wire.AskReason
	}{
		{"+492", wire.AskReason(queue.Unknown)}, {"+491", wire.AskOK}, {"+491", wire.AskReason(queue.Unknown)},
	} {
		if a := h.ask(wire.AskLeave, tt.who); a.Reason != tt.want {
			t.Errorf("%s leaves: %s, want %s", tt.who, a.Reason, tt.want)
		}
	}
}

func TestABankWithMailAlonePromisesNothingToATelephone(t *testing.T) {
	t.Parallel()
	h := &house{bench: newBench(t, Config{Compartments: compartments(1), Post: true, MailOnly: true})}
	h.check = func(e Effect) {
		if a, ok := e.(Answer); ok {
			h.answers = append(h.answers, a)
		}
	}
	h.boot(false)
	h.desired(1, 1)
	h.until(h.up + aloneMS)
	for who, want := range map[string]wire.AskReason{"+491": wire.AskNoContact, "ada@example.org": wire.AskOK} {
		if a := h.ask(wire.AskJoin, who); a.Reason != want {
			t.Errorf("%s: %s, want %s", who, a.Reason, want)
		}
	}
}
