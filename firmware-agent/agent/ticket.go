package agent

import (
	"fmt"
	"slices"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/locker/ticket"
	"lockerfleet/wire"
)

// MaxTickets bounds the used tickets a bank remembers. One is forgotten when its life is over, so
// only a flood of tickets fills the list; then no door opens by ticket until some are over.
const MaxTickets = 2048

// Scanned is the text of a code that a person held before the scanner.
type Scanned struct{ Text string }

func (Scanned) input() {}

// UsedTicket remembers a ticket that opened its door.
type UsedTicket struct {
	Grant ticket.GrantPrint `json:"grant"`
	ID    uint64            `json:"id"`
	Until int64             `json:"until"`          // unix ms at which its life is over
	Spent bool              `json:"spent,omitzero"` // the goods were moved with it
}

// takeTicket notes a use, and forgets tickets whose life is certainly over.
func (m *Memory) takeTicket(u UsedTicket) {
	m.Tickets = slices.DeleteFunc(m.Tickets, func(t UsedTicket) bool { return t.Until <= m.Floor })
	m.Tickets = append(m.Tickets, u)
}

// used reports whether a ticket opened a door before.
func (m *Memory) used(t ticket.Ticket) bool {
	return slices.ContainsFunc(m.Tickets, func(u UsedTicket) bool { return u.Grant == t.Grant && u.ID == t.ID() })
}

// roomForTicket reports whether one more use can be remembered.
func (m *Memory) roomForTicket() bool {
	return len(m.Tickets) < MaxTickets || slices.ContainsFunc(m.Tickets, func(u UsedTicket) bool { return u.Until <= m.Floor })
}

// heldBy finds the grant of a print. Ended ones count: they explain a refusal.
func (m *Memory) heldBy(p ticket.GrantPrint) *Held {
	for i := range m.Grants {
		if ticket.PrintOfGrant(m.Grants[i].ID) == p {
			return &m.Grants[i]
		}
	}
	return nil
}

// strangerPrefix begins the name of a grant that the bank only knows by the print on a ticket.
const strangerPrefix = "tkt-"

func stranger(p ticket.GrantPrint) locker.GrantID { return locker.GrantID(strangerPrefix + p.String()) }

// spendTickets marks the used tickets of a grant whose goods were moved: when the grant arrives
// later it is spent from the first.
func (m *Memory) spendTickets(id locker.GrantID) {
	for i := range m.Tickets {
		if u := &m.Tickets[i]; stranger(u.Grant) == id || ticket.PrintOfGrant(id) == u.Grant {
			u.Spent = true
		}
	}
}

// spentBefore reports whether the goods of a grant were moved before the bank was told of it.
func (m *Memory) spentBefore(id locker.GrantID) bool {
	p := ticket.PrintOfGrant(id)
	return slices.ContainsFunc(m.Tickets, func(u UsedTicket) bool { return u.Spent && u.Grant == p })
}

// synced notes, once, that the bank holds every revision of its grants that the control center
// had made by its hello. Before that a bank may be a board in place of another, or one whose
// journal was lost, and does not know which tickets are over.
func (m *mind) synced() {
	if !m.mem.Synced && m.link.grants > 0 && m.mem.GrantRev+1 >= m.link.grants {
		m.record(Record{Synced: true}, false)
	}
}

// scanned answers a person who shows a ticket, with no network: what they get is on disk, as used,
// before the coil moves.
func (m *mind) scanned(in Scanned) {
	r := ticket.Reader{Bank: m.cfg.Bank, Keys: m.cfg.Keys, CodeKey: m.cfg.CodeKey}
	t, reason := r.Read(in.Text)
	if reason != grant.OK { // nothing of it is believed, the door least of all
		m.refuseTicket(0, ticket.Ticket{}, nil, reason)
		return
	}
	d := m.find(t.Compartment)
	if d == nil {
		m.show(t.Compartment, textNoDoor)
		return
	}
	ms, q := m.clock()
	h := m.mem.heldBy(t.Grant)
	reason = r.Check(t, m.known(t, h, q), time.UnixMilli(ms))
	if reason != grant.OK {
		m.refuseTicket(d.No, t, h, reason)
		return
	}
	m.openByTicket(d, t, h)
}

// known gathers what the bank knows of a ticket.
func (m *mind) known(t ticket.Ticket, h *Held, q wire.TimeQuality) ticket.Known {
	k := ticket.Known{
		Used: m.mem.used(t), Clock: q == wire.TimeNTP || q == wire.TimeRTC, Synced: m.mem.Synced, Rev: m.mem.GrantRev,
	}
	if h != nil {
		g := h.grant(m.cfg.Bank, true)
		k.Held, k.Least, k.Receipt = &g, h.Least, h.Receipt
	}
	return k
}

// openByTicket opens by the machine that serves commands. The use is on disk with the try, before
// the opening is.
func (m *mind) openByTicket(d *door, t ticket.Ticket, h *Held) {
	code := m.admit(d, nil, t.Action.Purpose(), false)
	if code == "" && !m.mem.roomForTicket() {
		code = wire.CodeMaintenance
	}
	if code != "" { // not used up: the person tries again
		m.event(m.tried(d.No, t, h, grant.OK, ""))
		m.show(d.No, codeText(code))
		return
	}
	memo := m.panelCommand()
	v := grant.Verdict{Grant: nameOf(t, h), Purpose: t.Action.Purpose()}
	u := &UsedTicket{Grant: t.Grant, ID: t.ID(), Until: t.NotAfter().UnixMilli()}
	m.event(m.tried(d.No, t, h, grant.OK, memo.ID), func(r *Record) { r.Ticket = u })
	m.accept(d, memo, panelJob(memo, v))
}

// refuseTicket tells the person, and reports at most maxStray refusals a minute: anybody can hold
// up a picture.
func (m *mind) refuseTicket(no int, t ticket.Ticket, h *Held, reason grant.Reason) {
	if m.strayRoom() {
		m.event(m.tried(no, t, h, reason, ""))
	}
	m.showRefusal(no, grant.Verdict{Reason: reason})
}

// tried is the report of a try by ticket. A text that is no ticket of ours names nothing.
func (m *mind) tried(no int, t ticket.Ticket, h *Held, reason grant.Reason, cmd locker.CommandID) wire.Event {
	e := wire.Event{Type: wire.EvAccess, C: no, Cmd: cmd, Reason: reason}
	if no > 0 {
		e.Grant, e.Purpose, e.Ticket = nameOf(t, h), t.Action.Purpose(), fmt.Sprintf("%016x", t.ID())
	}
	if h != nil {
		e.Member = h.Member
	}
	return e
}

func nameOf(t ticket.Ticket, h *Held) locker.GrantID {
	if h != nil {
		return h.ID
	}
	return stranger(t.Grant)
}
