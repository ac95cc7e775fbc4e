package process

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"lockerfleet/locker"
	"lockerfleet/wire"
)

// The deadline of an opening at the panel, and what two readings of one clock may differ.
const (
	panelWithin = 10 * time.Second
	slack       = 20 * time.Millisecond
)

// history is everything the record knows of a bank's events, in order.
func (s *server) history(bank string) ([]wire.Event, error) {
	var all []wire.Event
	for after := uint64(0); ; {
		var page struct {
			Items []struct {
				Seq  uint64          `json:"seq"`
				Data json.RawMessage `json:"data"`
			} `json:"items"`
		}
		path := fmt.Sprintf("/banks/%s/device-events?limit=500&after=%d", bank, after)
		if err := s.ask(http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		for _, row := range page.Items {
			var e wire.Event
			if err := json.Unmarshal(row.Data, &e); err != nil {
				return nil, err
			}
			e.Seq, after = row.Seq, row.Seq
			all = append(all, e)
		}
		if len(page.Items) == 0 {
			return all, nil
		}
	}
}

// command is an order over REST as far as it has come.
type command struct {
	ID          locker.CommandID `json:"id"`
	Compartment int              `json:"compartment"`
	Stage       string           `json:"stage"`
	Code        string           `json:"code"`
	Final       bool             `json:"final"`
	Created     time.Time        `json:"created"`
}

// figures are what an audit counted.
type figures struct {
	pulses, openings, events            int
	late, doubles, unauthorised, broken int
}

func (f figures) String() string {
	return fmt.Sprintf("%d pulses for %d accepted openings: %d late, %d double, %d unauthorised; %d events, %d out of order or told twice",
		f.pulses, f.openings, f.late, f.doubles, f.unauthorised, f.events, f.broken)
}

// audit holds the coil's own record against the record of the control center: every pulse has
// one accepted opening of its own and is in time, every event is there once, in order. A pulse
// belongs to the newest opening that its door had accepted by then; both carry the monotonic clock
// of the machine, which no correction of the wall clock moves. due tells until when the openings
// ordered over REST may begin.
func audit(t testing.TB, s *server, b *bank, due map[locker.CommandID]time.Time) figures {
	t.Helper()
	events, err := s.history(b.id)
	if err != nil {
		t.Fatalf("events of %s: %v", b.id, err)
	}
	pulses := b.pulses()
	f := figures{pulses: len(pulses), events: len(events), broken: disorder(t, events)}
	accepted := map[int][]wire.Event{} // by door
	for _, e := range events {
		if e.Type == wire.EvCommand && e.Stage == wire.StageAccepted {
			accepted[e.C] = append(accepted[e.C], e)
			f.openings++
		}
	}
	used := map[locker.CommandID]int{}
	for _, p := range pulses {
		i := slices.IndexFunc(accepted[p.door], func(e wire.Event) bool { return e.Up > p.up })
		if i < 0 {
			i = len(accepted[p.door])
		}
		if i == 0 {
			t.Errorf("bank %s: pulse %d of door %d has no accepted opening", b.id, p.no, p.door)
			f.unauthorised++
			continue
		}
		e := accepted[p.door][i-1]
		if used[e.Cmd]++; used[e.Cmd] > 1 {
			t.Errorf("bank %s: door %d was pulsed %d times for opening %s", b.id, p.door, used[e.Cmd], e.Cmd)
			f.doubles++
		}
		late := time.Duration(p.up-e.Up)*time.Millisecond - panelWithin
		if end, ordered := due[e.Cmd]; ordered {
			late = time.UnixMilli(p.at).Sub(end)
		}
		if late > slack {
			t.Errorf("bank %s: door %d was pulsed %s after the end of opening %s", b.id, p.door, late, e.Cmd)
			f.late++
		}
	}
	t.Logf("bank %s: %s", b.id, f)
	return f
}

// disorder counts events that are missing, out of order or told twice.
func disorder(t testing.TB, events []wire.Event) (n int) {
	t.Helper()
	stages := map[string]bool{}
	last := map[locker.CommandID]wire.Stage{}
	for i, e := range events {
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d stands at place %d", e.Seq, i+1)
			return n + 1
		}
		if e.Type != wire.EvCommand {
			continue
		}
		if key := string(e.Cmd) + " " + string(e.Stage); stages[key] {
			t.Errorf("event %d tells a second time that %s", e.Seq, key)
			n++
		} else {
			stages[key] = true
		}
		if before := last[e.Cmd]; before.Final() || before != "" && before.Rank() >= e.Stage.Rank() {
			t.Errorf("event %d: opening %s goes from %s to %s", e.Seq, e.Cmd, before, e.Stage)
			n++
		}
		last[e.Cmd] = e.Stage
	}
	return n
}
