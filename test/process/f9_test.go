//go:build linux

package process

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"lockerfleet/firmware-agent/lockbustest"
)

// wiredBank is a bank whose doors are channels of lock boards on RS-485, which the agent's own
// binary drives over a serial line, and hands in front of it. Door n is channel n of board 1.
type wiredBank struct {
	*bank
	boards *lockbustest.Bank
	family string
}

const boardPulse = 200 * time.Millisecond

func claimWired(s *server, id, family string, doors int) *wiredBank {
	s.t.Helper()
	w := &wiredBank{
		bank: claim(s, id, doors), family: family,
		boards: lockbustest.Start(s.t, family, lockbustest.Options{Pulse: boardPulse, Springs: true}, 1),
	}
	driver := "lockbus"
	if strings.HasPrefix(family, "modbus") {
		driver = "modbus"
	}
	var p strings.Builder
	fmt.Fprintf(&p, "profile: 1\ndriver: %s\npower: {banks: [{id: main}]}\ndefaults: {bank: main, bus: rs0, lock: {pulse: 200ms}}\n", driver)
	fmt.Fprintf(&p, "buses:\n  - {id: rs0, type: serial, dev: %s, proto: %s, board_pulse: %s}\ncompartments:\n", w.boards.Path, family, boardPulse)
	for no := 1; no <= doors; no++ {
		fmt.Fprintf(&p, "  - no: %d\n    lock: {board: 1, channel: %d}\n    door: {board: 1, channel: %d, closed_is: 1}\n", no, no, no)
		if family == "kr16" {
			fmt.Fprintf(&p, "    presence: {board: 1, channel: %d, field: ir, active: 1}\n", no)
		}
	}
	w.describe(p.String())
	return w
}

func (w *wiredBank) key(no int) lockbustest.Key { return lockbustest.Key{Board: 1, Channel: no} }

// visit types a code at a terminal of the person's own, waits for the door to swing open, moves
// the goods and closes it.
func (w *wiredBank) visit(s *server, no int, code, purpose string, goods bool) {
	w.t.Helper()
	await(w.t, 20*time.Second, "the bank knows the code for the "+purpose, func() bool { return holds(s, w.bank, no, purpose) })
	var attempt struct {
		Open   bool   `json:"open"`
		Reason string `json:"reason"`
	}
	s.must(http.MethodPost, "/attempts", map[string]any{"bank": w.id, "compartment": no, "code": code}, &attempt)
	if !attempt.Open {
		w.t.Fatalf("the attempt to %s is answered %+v", purpose, attempt)
	}
	await(w.t, 10*time.Second, "the door opens for the "+purpose, func() bool { return w.boards.Open(w.key(no)) })
	w.boards.Put(w.key(no), goods)
	await(w.t, 10*time.Second, "the open door is seen", func() bool { return w.door(s, no) == "open" })
	w.boards.SetDoor(w.key(no), false)
}

// door is what the interface shows of a door.
func (w *wiredBank) door(s *server, no int) string {
	var shown struct {
		Items []struct {
			No   int    `json:"no"`
			Door string `json:"door"`
		} `json:"items"`
	}
	if s.ask(http.MethodGet, "/banks/"+w.id+"/compartments", nil, &shown) != nil || len(shown.Items) < no {
		return ""
	}
	return shown.Items[no-1].Door
}

// F9: a bank of lock boards on RS-485, driven by the real agent, takes a parcel in and gives it
// out. The boards are told to unlock twice in all, and each time the one door.
func TestF9ParcelThroughABankOnRS485(t *testing.T) {
	t.Parallel()
	s := newServer(t).begin()
	s.makeSite()
	w := claimWired(s, "hall", "kr16", 4)
	w.run()
	w.online(s)
	p := openPartner(t, "acme", s.makePartner("acme"), s.ready.MQTT)

	a := p.state("order-1", w.id)
	no := a.Compartment
	w.visit(s, no, a.CourierCode, "deposit", true)
	await(t, 20*time.Second, "the partner hears that the parcel is stored", func() bool { return p.told("order-1", "parcel.stored") })
	number := ""
	await(t, 20*time.Second, "the recipient has a number", func() bool { number = inboxNumber(s, "order-1@example.org"); return number != "" })
	w.visit(s, no, number, "collect", false)
	await(t, 20*time.Second, "the partner hears that the parcel is collected", func() bool { return p.told("order-1", "parcel.collected") })

	want := w.key(no)
	if got := w.boards.Unlocks(); len(got) != 2 || got[0] != want || got[1] != want {
		t.Errorf("the boards were told %v, want %v twice", got, want)
	}
}

// F9: every family of boards opens the door that is ordered, and only that one, by the real agent.
func TestF9EveryFamilyOpensTheOrderedDoor(t *testing.T) {
	t.Parallel()
	s := newServer(t).begin()
	s.makeSite()
	for _, family := range []string{"kr16", "wkly", "xor5", "modbus", "modbus-flash"} {
		w := claimWired(s, "bank-"+family, family, 3)
		w.run()
		await(t, 20*time.Second, family+": the interface shows the closed door", func() bool { return w.door(s, 2) == "closed" })
		var made command
		s.must(http.MethodPost, "/commands", map[string]any{"bank": w.id, "compartment": 2, "op": "unlock", "reason": "look"}, &made)
		await(t, 10*time.Second, family+": the door opens", func() bool { return w.boards.Open(w.key(2)) })
		await(t, 10*time.Second, family+": the interface shows it", func() bool { return w.door(s, 2) == "open" })
		if got := w.boards.Unlocks(); len(got) != 1 || got[0] != w.key(2) {
			t.Errorf("%s: the boards were told %v, want door 2 once", family, got)
		}
	}
}
