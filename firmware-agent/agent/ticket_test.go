package agent

import (
	"encoding/hex"
	"testing"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/locker/ticket"
	"lockerfleet/wire"
)

// show signs a ticket for a grant of door 1 and holds it before the scanner; it answers what the
// panel says.
func (b *bench) show(t *testing.T, id locker.GrantID, change func(*ticket.Ticket)) string {
	t.Helper()
	c := ticket.Ticket{
		Action: ticket.Collect, Compartment: 1, Grant: ticket.PrintOfGrant(id),
		NotBefore: time.UnixMilli(b.wall).Truncate(time.Second), Life: time.Hour, Number: 1, Rev: 1,
	}
	if change != nil {
		change(&c)
	}
	text, err := ticket.Sign(b.key, b.cfg.Bank, c)
	if err != nil {
		t.Fatal(err)
	}
	return b.scan(text)
}

func (b *bench) scan(text string) (reason string) {
	was := b.check
	defer func() { b.check = was }()
	b.check = func(e Effect) {
		if s, ok := e.(Show); ok {
			reason = s.Reason
		}
	}
	b.step(Scanned{Text: text})
	return reason
}

// ticketBench is a bank with goods in door 1, that has spoken with its control center once.
func ticketBench(t *testing.T) *bench {
	b := newBench(t, Config{Compartments: []Compartment{{No: 1, NoRetry: true}, {No: 2, NoRetry: true}}})
	b.signHello = true
	b.boot(false)
	b.connect()
	b.hello(0)
	b.content(1, 700)
	b.step(Disconnected{})
	return b
}

// visit lets the door open, the goods be taken or not, and the door be closed again.
func (b *bench) visit(take bool) {
	b.until(b.up + 500)
	b.door(1, locker.DoorOpen)
	if take {
		b.content(1, 0)
	}
	b.until(b.up + 2000)
	b.door(1, locker.DoorClosed)
	b.until(b.up + 40_000)
}

func TestTicketOpensOnceWhateverRestarts(t *testing.T) {
	t.Parallel()
	b := ticketBench(t)
	b.push(1, 1, "grt-1", grant.Collect, "123456", false)
	if got := b.show(t, "grt-1", nil); got != "opening" {
		t.Fatalf("the panel says %s, want opening", got)
	}
	b.visit(false)
	if got := b.show(t, "grt-1", nil); got != "used" {
		t.Errorf("shown again: %s, want used", got)
	}
	b.boot(false)
	b.until(b.up + 5000)
	if got := b.show(t, "grt-1", nil); got != "used" {
		t.Errorf("shown again after a restart: %s, want used", got)
	}
	if got := b.show(t, "grt-1", func(c *ticket.Ticket) { c.Number = 2 }); got != "opening" {
		t.Errorf("the next ticket: %s, want opening", got)
	}
	b.visit(true)
	if got := b.show(t, "grt-1", func(c *ticket.Ticket) { c.Number = 3 }); got != "spent" {
		t.Errorf("after the goods were taken: %s, want spent", got)
	}
	if len(b.pushes) != 2 {
		t.Errorf("the coil was fed %d times, want twice", len(b.pushes))
	}
}

// A power cut between any two effects: the coil is never fed for a ticket that is not on disk as
// used, and never twice for one.
func TestTicketIsOnDiskBeforeTheCoil(t *testing.T) {
	t.Parallel()
	for cut := 1; cut < 12; cut++ {
		b := ticketBench(t)
		b.push(1, 1, "grt-1", grant.Collect, "123456", false)
		b.crash = cut
		b.show(t, "grt-1", nil)
		b.until(b.up + 500)
		if len(b.pushes) > 0 && len(b.disk.Tickets) != 1 {
			t.Fatalf("cut before effect %d: the coil was fed and the ticket is not on disk", cut)
		}
		b.crash = 0
		b.boot(false)
		b.until(b.up + 60_000)
		b.show(t, "grt-1", nil)
		b.until(b.up + 60_000)
		if len(b.pushes) > 1 {
			t.Fatalf("cut before effect %d: the coil was fed %d times", cut, len(b.pushes))
		}
	}
}

func TestTicketOfAGrantNobodyToldTheBankOf(t *testing.T) {
	t.Parallel()
	b := ticketBench(t)
	if got := b.show(t, "grt-9", nil); got != "opening" {
		t.Fatalf("the panel says %s, want opening", got)
	}
	b.visit(true)
	want := locker.GrantID("tkt-" + ticket.PrintOfGrant("grt-9").String())
	var closing, access *wire.Event
	for i := range b.story {
		switch e := &b.story[i]; {
		case e.Type == wire.EvClosing:
			closing = e
		case e.Type == wire.EvAccess:
			access = e
		}
	}
	if closing == nil || closing.Grant != want || access == nil || access.Grant != want || access.Ticket != "0000000100000001" {
		t.Errorf("events %+v and %+v, want both to name %s", access, closing, want)
	}
	b.push(1, 1, "grt-9", grant.Collect, "123456", false)
	b.step(PanelCode{C: 1, Code: "123456"})
	if len(b.pushes) != 1 || !b.disk.Grants[0].Spent {
		t.Errorf("the code opens what the ticket emptied: %+v", b.disk.Grants)
	}
	if got := b.show(t, "grt-8", nil); got != "revoked" {
		t.Errorf("a grant of a revision the bank holds, and not the grant: %s, want revoked", got)
	}
}

func TestTicketIsTakenBack(t *testing.T) {
	t.Parallel()
	b := ticketBench(t)
	b.push(1, 1, "grt-1", grant.Collect, "123456", false)
	d := grant.DigestOf(b.cfg.CodeKey, "grt-1", "123456")
	g := &wire.GrantPush{Envelope: b.envelope(), Rev: 2, Grant: "grt-1", Purpose: grant.Collect, NotAfter: b.wall + 3_600_000, Digest: hex.EncodeToString(d[:]), Least: 2}
	b.send(wire.DownTopic(b.cfg.Bank, 1, wire.DownGrant), g, true, false)
	if got := b.show(t, "grt-1", nil); got != "replaced" {
		t.Errorf("the older ticket: %s, want replaced", got)
	}
	receipt := ticket.ReceiptDigest(b.cfg.CodeKey, "grt-1", 3<<32|1)
	g.Rev, g.Least, g.Receipt, g.Member = 3, 3, hex.EncodeToString(receipt[:]), "ada"
	b.send(wire.DownTopic(b.cfg.Bank, 1, wire.DownGrant), g, true, false)
	if got := b.show(t, "grt-1", func(c *ticket.Ticket) { c.Number = 3 }); got != "mismatch" {
		t.Errorf("a plain ticket in place of the receipt: %s, want mismatch", got)
	}
	if got := b.show(t, "grt-1", func(c *ticket.Ticket) { c.Number, c.Action = 3, ticket.Sale }); got != "opening" {
		t.Errorf("the receipt: %s, want opening", got)
	}
	if e := b.story[len(b.story)-2]; e.Type != wire.EvAccess || e.Member != "ada" {
		t.Errorf("the try is told as %+v, want the member named", e)
	}
}

// What a board may believe without a clock: only what it holds, and never past the time that has
// certainly passed.
func TestTicketsAndClocks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		q    wire.TimeQuality
		held bool
		late bool
		want string
	}{
		{"network time, unheard", wire.TimeNTP, false, false, "opening"},
		{"battery clock, unheard", wire.TimeRTC, false, false, "opening"},
		{"floor, unheard", wire.TimeFloor, false, false, "unproven"},
		{"none, unheard", wire.TimeNone, false, false, "unproven"},
		{"floor, held", wire.TimeFloor, true, false, "opening"},
		{"none, held", wire.TimeNone, true, false, "opening"},
		{"floor past the end, held", wire.TimeFloor, true, true, "expired"},
		{"network time past the end", wire.TimeNTP, false, true, "expired"},
	} {
		b := newBench(t, Config{Compartments: compartments(1)})
		b.disk.Synced = true
		if c.late {
			b.disk.Floor = b.wall + 3_700_000
		}
		if c.held {
			b.disk.GrantRev = 1
			b.disk.Grants = []Held{{ID: "grt-1", C: 1, Purpose: grant.Collect, NotAfter: b.wall + 7_200_000}}
		}
		b.q = c.q
		b.boot(false)
		if got := b.show(t, "grt-1", nil); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	b := newBench(t, Config{Compartments: compartments(1)}) // never greeted: its memory may be new
	b.boot(false)
	if got := b.show(t, "grt-1", nil); got != "unproven" {
		t.Errorf("a bank that has never spoken with its control center: %s, want unproven", got)
	}
}

func TestForgedTicketsAreAnsweredAndBounded(t *testing.T) {
	t.Parallel()
	b := ticketBench(t)
	before := len(b.story)
	for range 50 {
		if got := b.scan("LK1:" + string(make([]byte, 141))); got != "bad_ticket" {
			t.Fatalf("the panel says %s, want bad_ticket", got)
		}
	}
	if told := len(b.story) - before; told != maxStray {
		t.Errorf("%d refusals are recorded in a minute, want %d", told, maxStray)
	}
	if len(b.pushes) > 0 {
		t.Error("the coil was fed")
	}
}

// A full list of used tickets opens nothing by ticket, and heals when their lives are over.
func TestUsedTicketsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{Compartments: compartments(1)})
	b.disk.Synced = true
	for i := range uint64(MaxTickets) {
		b.disk.Tickets = append(b.disk.Tickets, UsedTicket{ID: i, Until: b.wall + 1_800_000})
	}
	b.boot(false)
	if got := b.show(t, "grt-1", nil); got != "maintenance" {
		t.Errorf("the panel says %s, want maintenance", got)
	}
	b.until(b.up + 2_500_000)
	if got := b.show(t, "grt-1", nil); got != "opening" || len(b.disk.Tickets) != 1 {
		t.Errorf("the panel says %s with %d tickets kept, want opening and the newest", got, len(b.disk.Tickets))
	}
}

func TestGroupSpendsTogetherAndEndsAlone(t *testing.T) {
	t.Parallel()
	b := ticketBench(t)
	give := func(rev uint64, id locker.GrantID, member string, end bool) {
		d := grant.DigestOf(b.cfg.CodeKey, id, string(id))
		g := &wire.GrantPush{
			Envelope: b.envelope(), Rev: rev, Grant: id, Parcel: "prc-1", Purpose: grant.Collect, Member: member,
			NotAfter: b.wall + 3_600_000, Digest: hex.EncodeToString(d[:]), End: end,
		}
		b.send(wire.DownTopic(b.cfg.Bank, 1, wire.DownGrant), g, true, false)
	}
	give(1, "grt-1", "", false)
	give(2, "grt-2", "ada", false)
	give(3, "grt-3", "bo", false)
	give(4, "grt-3", "bo", true)
	b.step(PanelCode{C: 1, Code: "grt-3"})
	if e := b.story[len(b.story)-1]; e.Reason != grant.Revoked || e.Member != "bo" {
		t.Errorf("the removed member is answered %+v, want revoked", e)
	}
	b.step(PanelCode{C: 1, Code: "grt-2"})
	b.visit(true)
	b.step(PanelCode{C: 1, Code: "grt-1"})
	if e := b.story[len(b.story)-1]; e.Reason != grant.Spent || len(b.pushes) != 1 {
		t.Errorf("the holder, after a member took the goods: %+v, want spent", e)
	}
}
