package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/controlcenter/internal/web"
	"lockerfleet/locker"
)

// message is one server-sent event.
type message struct {
	id, kind string
	data     []byte
}

// reader reads a stream until it is closed.
type reader struct {
	t    *testing.T
	out  *bufio.Scanner
	stop func()
}

func (k *kit) open(t *testing.T, path, key string, headers ...string) *reader {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.server.URL+path, nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("%s = %d %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	out := bufio.NewScanner(resp.Body)
	out.Buffer(nil, 16<<20)
	close := func() { stop(); resp.Body.Close() }
	t.Cleanup(close)
	return &reader{t, out, close}
}

// next answers the next event; comments are passed over.
func (r *reader) next() message {
	r.t.Helper()
	var m message
	for r.out.Scan() {
		line := r.out.Text()
		switch {
		case line == "" && m.kind != "":
			return m
		case strings.HasPrefix(line, "id: "):
			m.id = line[4:]
		case strings.HasPrefix(line, "event: "):
			m.kind = line[7:]
		case strings.HasPrefix(line, "data: "):
			m.data = []byte(line[6:])
		}
	}
	r.t.Fatalf("the stream ended: %v", r.out.Err())
	return m
}

// until reads events up to a kind.
func (r *reader) until(kind string) message {
	r.t.Helper()
	for {
		if m := r.next(); m.kind == kind {
			return m
		}
	}
}

// noise makes n facts about a bank, one event of the log each.
func (k *kit) noise(bank locker.BankID, n int) {
	k.t.Helper()
	for range n {
		e := fleet.DeviceEvent{Type: fleet.EvAlarm, No: 20, Alarm: "forced"}
		if k.seqs[bank]%2 == 1 {
			e.Type = fleet.EvClear
		}
		k.tell(bank, e)
	}
}

func TestEventStreamResumesWithoutLossOrRepeat(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.online("b-1")
	k.noise("b-1", 30)
	var first web.List[web.LogEvent]
	eventually(t, "events are in the log", func() bool {
		k.ok("GET", "/api/v1/events?limit=500", k.admin, nil, &first)
		return len(first.Items) >= 30
	})
	for i, e := range first.Items {
		if e.Sequence != int64(i+1) {
			t.Fatalf("event %d has sequence %d", i, e.Sequence)
		}
	}
	last := int64(0)
	for round := range 12 { // cut again and again while facts come in
		headers := []string{"Last-Event-ID", strconv.FormatInt(last, 10)}
		if round%2 == 1 {
			headers = nil
		}
		r := k.open(t, "/api/v1/events/stream?after="+strconv.FormatInt(last, 10), k.admin, headers...)
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.noise("b-1", 7)
		}()
		for range 7 {
			m := r.next()
			if m.id != strconv.FormatInt(last+1, 10) {
				t.Fatalf("round %d: after %d came %s", round, last, m.id)
			}
			var e web.LogEvent
			must(t, json.Unmarshal(m.data, &e))
			if e.Sequence != last+1 || e.Type != m.kind || e.SpecVersion != "1.0" || e.ID == "" {
				t.Fatalf("event = %+v", e)
			}
			last++
		}
		<-done
		r.stop()
	}
}

func TestEventStreamBeginsNow(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.online("b-1")
	k.noise("b-1", 5)
	var page web.List[web.LogEvent]
	for len(page.Items) < 5 && t.Context().Err() == nil { // until they are in the log
		k.ok("GET", "/api/v1/events?limit=500", k.admin, nil, &page)
	}
	r := k.open(t, "/api/v1/events/stream", k.admin)
	k.noise("b-1", 1)
	m := r.next()
	k.ok("GET", "/api/v1/events?limit=500", k.admin, nil, &page)
	id, err := strconv.ParseInt(m.id, 10, 64)
	if err != nil || id <= 4 || id > int64(len(page.Items)) {
		t.Errorf("the stream began with %s of %d", m.id, len(page.Items))
	}
}

func TestPartnersFollowTheirOwnLog(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.online("b-1")
	own := k.open(t, "/api/v1/events/stream?after=0", k.shop)
	for i := range 6 {
		key := k.shop
		if i%2 == 1 {
			key = k.other
		}
		k.ok("POST", "/api/v1/statements/delivery", key, statement(fmt.Sprintf("r-%d", i), "b-1"), nil)
	}
	for want := 1; want <= 3; want++ {
		m := own.next()
		var e web.LogEvent
		must(t, json.Unmarshal(m.data, &e))
		if m.id != strconv.Itoa(want) || e.Partner != "shop" || e.Type != "parcel.reserved" || e.Sequence != int64(want) {
			t.Fatalf("event %d = %s %+v", want, m.id, e)
		}
	}
	own.stop()
	again := k.open(t, "/api/v1/events/stream", k.shop, "Last-Event-ID", "2")
	if m := again.next(); m.id != "3" {
		t.Errorf("after 2 came %s", m.id)
	}
	var page web.List[web.LogEvent]
	k.ok("GET", "/api/v1/events?after=1&limit=1", k.shop, nil, &page)
	if len(page.Items) != 1 || page.Items[0].Sequence != 2 || page.Next != "2" {
		t.Errorf("page = %+v", page)
	}
}

func TestOperatorsOfASiteFollowIt(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.online("b-1")
	k.online("b-2")
	r := k.open(t, "/api/v1/events/stream?after=0", k.operator)
	k.noise("b-2", 3)
	k.noise("b-1", 3)
	for range 4 {
		var e web.LogEvent
		must(t, json.Unmarshal(r.next().data, &e))
		if e.Site != "s-1" {
			t.Fatalf("an operator of s-1 was told %+v", e)
		}
	}
}

func TestLiveStreamBeginsWholeAndThenTellsChanges(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.online("b-1")
	r := k.open(t, "/api/v1/live/stream", k.operator)
	seen := map[string]int{}
	for m := r.next(); m.kind != "ready"; m = r.next() {
		seen[m.kind]++
		if string(m.data) == "null" {
			t.Errorf("%s begins with null; a page needs a list", m.kind)
		}
		if m.kind != "cells" {
			continue
		}
		var cells []web.Cells
		must(t, json.Unmarshal(m.data, &cells))
		for _, c := range cells {
			if c.Bank != "b-1" {
				t.Errorf("an operator of s-1 is shown %s", c.Bank)
			}
			seen["doors"] += len(c.Cells)
		}
	}
	if seen["hello"] != 1 || seen["sites"] == 0 || seen["banks"] == 0 || seen["doors"] < 24 {
		t.Fatalf("the picture began with %v", seen)
	}
	g := locker.Grams(321)
	k.live.PutRows("b-1", []fleet.LiveRow{{No: 5, At: k.later(), Grams: &g}})
	var cells []web.Cells
	must(t, json.Unmarshal(r.until("cells").data, &cells))
	if len(cells) != 1 || len(cells[0].Cells) != 1 || cells[0].Cells[0].No != 5 || *cells[0].Cells[0].Grams != 321 {
		t.Errorf("a change came as %+v", cells)
	}
	k.tell("b-1", fleet.DeviceEvent{Type: fleet.EvAlarm, No: 2, Alarm: "jammed"})
	var alarms []web.Alarm
	for len(alarms) == 0 {
		must(t, json.Unmarshal(r.until("alarms").data, &alarms))
	}
	if alarms[0].Code != "jammed" {
		t.Errorf("alarms = %+v", alarms)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	const places = 5
	k := newKit(t, func(o *web.Options) { o.Streams = places })
	var open []*reader
	for range places {
		open = append(open, k.open(t, "/api/v1/events/stream", k.admin))
	}
	if a := k.do("GET", "/api/v1/events/stream", k.admin, nil); a.status != http.StatusTooManyRequests || a.code() != "too_many_streams" || a.header.Get("Retry-After") == "" {
		t.Errorf("one more = %d %s", a.status, a.body)
	}
	open[0].stop()
	eventually(t, "a place is free again", func() bool {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.server.URL+"/api/v1/events/stream", nil)
		must(t, err)
		r.Header.Set("Authorization", "Bearer "+k.admin)
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}
