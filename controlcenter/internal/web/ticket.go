package web

import (
	"context"
	"net/http"
	"time"

	"lockerfleet/controlcenter/internal/access"
	"lockerfleet/controlcenter/internal/delivery"
	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/internal/fault"
	"lockerfleet/internal/qr"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// Ticket is what a person shows at a bank's scanner in place of a code. It opens a door once, also
// when the bank has no network.
type Ticket struct {
	Text        string         `json:"text" doc:"As a scanner reads it"`
	PNG         []byte         `json:"png" doc:"QR code, base64"`
	SVG         string         `json:"svg" doc:"The same, to be scaled"`
	Grant       locker.GrantID `json:"grant"`
	Bank        locker.BankID  `json:"bank"`
	Compartment int            `json:"compartment"`
	Purpose     grant.Purpose  `json:"purpose" enum:"deposit,collect,recall"`
	Member      string         `json:"member,omitzero"`
	Receipt     bool           `json:"receipt" doc:"The bank takes this ticket alone, which it compares with what it was told"`
	Number      uint32         `json:"number" doc:"Counts the tickets of the grant; older ones are taken back"`
	NotBefore   time.Time      `json:"not_before"`
	NotAfter    time.Time      `json:"not_after"`
}

// TicketOrder says whose ticket is wanted.
type TicketOrder struct {
	For     string `json:"for,omitzero" enum:"recipient,courier,member" doc:"Missing: the recipient"`
	Member  string `json:"member,omitzero" maxLength:"48" doc:"With member: which one"`
	Renew   bool   `json:"renew,omitzero" doc:"Take back every ticket made so far and make another: one that was lost, shown to others or used up"`
	Receipt bool   `json:"receipt,omitzero" doc:"With renew: goods are handed out against this ticket only"`
}

// Member is one more person who may collect a parcel.
type Member struct {
	Member string         `json:"member"`
	Grant  locker.GrantID `json:"grant"`
	Until  time.Time      `json:"until"`
}

// NewMember names the person. Code is theirs alone.
type NewMember struct {
	Member string `json:"member" minLength:"2" maxLength:"48" doc:"A name of your own for them: a-z, 0-9 and -. It stands in what the bank reports"`
}

// MemberCode is a member with the code they enter at the panel.
type MemberCode struct {
	Member
	Compartment int    `json:"compartment"`
	Code        string `json:"code"`
}

func memberOf(m delivery.Share) Member {
	return Member{Member: m.Member, Grant: m.Grant, Until: m.Until}
}

func ticketOf(t access.IssuedTicket) (Ticket, error) {
	out := Ticket{
		Text: t.Text, Grant: t.Grant, Bank: t.Door.Bank, Compartment: t.Door.No, Purpose: t.Purpose, Member: t.Member,
		Receipt: t.Receipt, Number: t.Number, NotBefore: t.NotBefore, NotAfter: t.NotAfter,
	}
	var err error
	if out.PNG, err = qr.PNG(t.Text); err == nil {
		out.SVG, err = qr.SVG(t.Text)
	}
	return out, err
}

// ticketRoutes are tickets, and the members of a group who share a parcel.
func (s *Server) ticketRoutes() {
	type order struct {
		OnParcel
		Body TicketOrder
	}
	add(s, route{
		method: http.MethodPost, path: "/parcels/{parcel}/ticket", id: "make-ticket", tag: "Statements", need: people.Ticket,
		summary: "Make the ticket with which a person opens the door, as text and QR code",
		text:    "Whoever shows it first opens the door: hand it to nobody but its holder. Asking again gives the same ticket.",
		policy:  policy{secret: true, repeatable: true},
	}, func(ctx context.Context, in *order) (*Answer[Ticket], error) {
		a, p, err := s.parcel(ctx, people.Ticket, in.Parcel)
		if err != nil {
			return nil, err
		}
		t, err := s.ticket(ctx, p, in.Body)
		if err != nil {
			return nil, err
		}
		s.audit(ctx, a, people.Ticket, "parcel/"+string(p.ID), map[string]any{"grant": t.Grant, "number": t.Number, "renew": in.Body.Renew})
		out, err := ticketOf(t)
		return answer(out), err
	})
	s.memberRoutes()
}

func (s *Server) ticket(ctx context.Context, p delivery.Parcel, o TicketOrder) (access.IssuedTicket, error) {
	id, err := s.grantFor(ctx, p, o)
	switch {
	case err != nil:
		return access.IssuedTicket{}, err
	case id == "":
		return access.IssuedTicket{}, fault.Conflictf("no_grant", "The parcel %s is %s; nobody can open its door with a ticket now.", p.ID, p.State)
	case o.Receipt && !o.Renew:
		return access.IssuedTicket{}, fault.Invalidf("receipt_invalid", "A receipt is a new ticket: send renew too.").At("renew")
	case o.Renew:
		return s.Access.RenewTicket(ctx, id, o.Receipt)
	}
	return s.Access.Ticket(ctx, id)
}

func (s *Server) grantFor(ctx context.Context, p delivery.Parcel, o TicketOrder) (locker.GrantID, error) {
	switch o.For {
	case "courier":
		return p.Deposit, nil
	case "member":
		members, err := s.Delivery.Members(ctx, p.ID)
		for _, m := range members {
			if m.Member == o.Member {
				return m.Grant, nil
			}
		}
		if err == nil {
			err = fault.NotFoundf("member_unknown", "The parcel %s is not shared with %q.", p.ID, clip(o.Member)).At("member")
		}
		return "", err
	}
	return p.Collect, nil
}

func (s *Server) memberRoutes() {
	add(s, route{method: http.MethodGet, path: "/parcels/{parcel}/members", id: "list-members", tag: "Statements", need: people.ReadParcels, summary: "List who else may collect a parcel"}, func(ctx context.Context, in *OnParcel) (*Listed[Member], error) {
		_, p, err := s.parcel(ctx, people.ReadParcels, in.Parcel)
		if err != nil {
			return nil, err
		}
		rows, err := s.Delivery.Members(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		return listed(rows, "", memberOf, nil), nil
	})
	type join struct {
		OnParcel
		Body NewMember
	}
	add(s, route{
		method: http.MethodPost, path: "/parcels/{parcel}/members", id: "add-member", tag: "Statements", need: people.Ticket,
		summary: "Let one more person collect a parcel, with a code of their own", status: http.StatusCreated, policy: policy{secret: true},
		text: "Up to 7. The goods are handed out once: when one has taken them, the codes of the others end.",
	}, func(ctx context.Context, in *join) (*Answer[MemberCode], error) {
		a, p, err := s.parcel(ctx, people.Ticket, in.Parcel)
		if err != nil {
			return nil, err
		}
		m, err := s.Delivery.AddMember(ctx, p.ID, in.Body.Member)
		if err != nil {
			return nil, err
		}
		s.audit(ctx, a, people.Ticket, "parcel/"+string(p.ID), map[string]string{"did": "add member", "member": m.Member})
		return answer(MemberCode{Member: memberOf(m), Compartment: p.Door.No, Code: s.Access.Code(m.Grant, 0)}), nil
	})
	type leave struct {
		OnParcel
		Member string `path:"member" maxLength:"48"`
	}
	add(s, route{
		method: http.MethodDelete, path: "/parcels/{parcel}/members/{member}", id: "remove-member", tag: "Statements", need: people.Ticket,
		summary: "End a member's right to collect a parcel", text: "At terminals at once, at the bank as soon as it is told.",
	}, func(ctx context.Context, in *leave) (*struct{}, error) {
		a, p, err := s.parcel(ctx, people.Ticket, in.Parcel)
		if err != nil {
			return nil, err
		}
		if err := s.Delivery.RemoveMember(ctx, p.ID, in.Member); err != nil {
			return nil, err
		}
		s.audit(ctx, a, people.Ticket, "parcel/"+string(p.ID), map[string]string{"did": "remove member", "member": in.Member})
		return nil, nil
	})
}
