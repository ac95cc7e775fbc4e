package web

import (
	"context"
	"net/http"
	"time"

	"lockerfleet/controlcenter/internal/delivery"
	"lockerfleet/controlcenter/internal/notify"
	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/locker/custody"
)

// Parcel is announced goods with their door.
type Parcel struct {
	ID          locker.ParcelID     `json:"id"`
	Partner     locker.PartnerID    `json:"partner"`
	Ref         string              `json:"ref"`
	State       delivery.State      `json:"state" enum:"reserved,depositing,stored,collecting,collected,overdue,doubtful,expired,cancelled"`
	Reason      string              `json:"reason,omitzero"`
	Site        locker.SiteID       `json:"site"`
	Bank        locker.BankID       `json:"bank"`
	Compartment int                 `json:"compartment"`
	Size        locker.Size         `json:"size"`
	Class       locker.ClimateClass `json:"class"`
	Grams       locker.Grams        `json:"g,omitzero"`
	Recipient   Contact             `json:"recipient"`
	Courier     Contact             `json:"courier,omitzero"`
	Reserved    time.Time           `json:"reserved_until,omitzero"`
	KeepUntil   time.Time           `json:"keep_until,omitzero"`
	Created     time.Time           `json:"created"`
	Stored      time.Time           `json:"stored,omitzero"`
	Ended       time.Time           `json:"ended,omitzero"`
}

// CustodyLink is one step of who held the goods. Hash is over the link and the one before.
type CustodyLink struct {
	No          int       `json:"no"`
	Step        string    `json:"step"`
	Giver       string    `json:"giver"`
	Taker       string    `json:"taker"`
	Bank        string    `json:"bank"`
	Compartment int       `json:"compartment"`
	At          time.Time `json:"at"`
	Evidence    string    `json:"evidence"`
	Board       string    `json:"board" enum:"verified,unverified,stated" doc:"verified: the board signed what it saw and it shows the step; unverified: it should have and did not, or the signature does not fit; stated: the word of the control center or of a person"`
	Doubt       string    `json:"doubt,omitzero" doc:"Why the link is unverified"`
	Prev        string    `json:"prev"`
	Hash        string    `json:"hash"`
}

// CustodyChain is the whole record of a parcel.
type CustodyChain struct {
	Parcel locker.ParcelID `json:"parcel"`
	Intact bool            `json:"intact" doc:"Every hash and every hand-over fits the one before"`
	Fault  string          `json:"fault,omitzero"`
	Links  []CustodyLink   `json:"links" nullable:"false"`
}

// Resolution is what a person found behind the door of a doubtful parcel.
type Resolution struct {
	Outcome string `json:"outcome" enum:"stored,collected,removed" doc:"stored: the goods are inside; collected: the recipient has them; removed: the compartment is empty"`
	Reason  string `json:"reason,omitzero" maxLength:"200"`
}

func contactOf(c delivery.Contact) Contact {
	return Contact{Name: c.Name, Email: c.Email, Phone: c.Phone, Lang: c.Lang}
}

func parcelOf(p delivery.Parcel) Parcel {
	return Parcel{
		ID: p.ID, Partner: p.Partner, Ref: p.Ref, State: p.State, Reason: p.Reason, Site: p.Site, Bank: p.Door.Bank, Compartment: p.Door.No,
		Size: p.Size, Class: p.Class, Grams: p.Grams, Recipient: contactOf(p.Recipient), Courier: contactOf(p.Courier),
		Reserved: p.Reserve, KeepUntil: p.KeepEnd, Created: p.Created, Stored: p.Stored, Ended: p.Ended,
	}
}

// owns reports whether a parcel is one the actor may know of.
func owns(a people.Actor, p delivery.Parcel) bool {
	if a.Kind == people.KindPartner {
		return p.Partner == a.Partner()
	}
	return a.Sees(p.Site)
}

// parcel reads a parcel for an action. Another partner's, or one at another site, answers like none.
func (s *Server) parcel(ctx context.Context, action people.Action, id string) (people.Actor, delivery.Parcel, error) {
	a, err := signedIn(ctx)
	if err != nil {
		return a, delivery.Parcel{}, err
	}
	if err := roleAllows(a, action); err != nil {
		return a, delivery.Parcel{}, err
	}
	p, err := s.Delivery.Parcel(ctx, locker.ParcelID(id))
	if err == nil && !owns(a, p) {
		err = fault.NotFoundf("parcel_unknown", "There is no parcel %q.", clip(id))
	}
	if err != nil {
		return a, delivery.Parcel{}, err
	}
	return a, p, nil
}

// OnParcel is an operation on one parcel.
type OnParcel struct {
	Parcel string `path:"parcel" maxLength:"48"`
}

func (s *Server) parcelRoutes() {
	type list struct {
		Paged
		Partner string `query:"partner" maxLength:"48"`
		Site    string `query:"site" maxLength:"48"`
		Bank    string `query:"bank" maxLength:"48"`
		State   string `query:"state" enum:"reserved,depositing,stored,collecting,collected,overdue,doubtful,expired,cancelled"`
	}
	add(s, route{method: http.MethodGet, path: "/parcels", id: "list-parcels", tag: "Statements", need: people.ReadParcels, summary: "List parcels, oldest first; a partner its own"}, func(ctx context.Context, in *list) (*Listed[Parcel], error) {
		a, err := may(ctx, people.ReadParcels, "")
		if err != nil {
			return nil, err
		}
		f := delivery.Filter{Partner: locker.PartnerID(in.Partner), Site: locker.SiteID(in.Site), Bank: locker.BankID(in.Bank), State: delivery.State(in.State)}
		if a.Kind == people.KindPartner {
			f.Partner = a.Partner()
		}
		rows, next, err := s.Delivery.Parcels(ctx, f, in.Cursor, in.Limit)
		if err != nil {
			return nil, err
		}
		return listed(rows, next, parcelOf, func(p delivery.Parcel) bool { return owns(a, p) }), nil
	})
	add(s, route{method: http.MethodGet, path: "/parcels/{parcel}", id: "get-parcel", tag: "Statements", need: people.ReadParcels, summary: "Read a parcel"}, func(ctx context.Context, in *OnParcel) (*Answer[Parcel], error) {
		_, p, err := s.parcel(ctx, people.ReadParcels, in.Parcel)
		if err != nil {
			return nil, err
		}
		return answer(parcelOf(p)), nil
	})
	add(s, route{method: http.MethodGet, path: "/parcels/{parcel}/custody", id: "get-custody", tag: "Statements", need: people.ReadParcels, summary: "Who held the goods, when, and what was seen"}, func(ctx context.Context, in *OnParcel) (*Answer[CustodyChain], error) {
		_, p, err := s.parcel(ctx, people.ReadParcels, in.Parcel)
		if err != nil {
			return nil, err
		}
		links, boards, err := s.Delivery.Custody(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		return answer(chainOf(p.ID, links, boards)), nil
	})
	type file struct {
		Type string `header:"Content-Type"`
		Name string `header:"Content-Disposition"`
		Body []byte `contentType:"application/x-ndjson"`
	}
	add(s, route{
		method: http.MethodGet, path: "/parcels/{parcel}/custody/file", id: "get-custody-file", tag: "Statements", need: people.ReadParcels,
		summary: "The same as one signed file of JSON lines", text: "Anybody can check it without a network: lockerfleet custody verify FILE.",
	}, func(ctx context.Context, in *OnParcel) (*file, error) {
		_, p, err := s.parcel(ctx, people.ReadParcels, in.Parcel)
		if err != nil {
			return nil, err
		}
		b, err := s.Delivery.CustodyFile(ctx, p.ID)
		return &file{Type: "application/x-ndjson", Name: `attachment; filename="` + string(p.ID) + `.custody"`, Body: b}, err
	})
	s.parcelActs()
}

func chainOf(id locker.ParcelID, links []custody.Link, boards []custody.DeviceKey) CustodyChain {
	out := CustodyChain{Parcel: id, Intact: true, Links: []CustodyLink{}}
	if err := custody.Verify(links); err != nil {
		out.Intact, out.Fault = false, err.Error()
	}
	for _, l := range links {
		standing, why := l.Standing(boards)
		out.Links = append(out.Links, CustodyLink{
			No: l.No, Step: string(l.Step), Giver: l.Giver, Taker: l.Taker, Bank: string(l.Compartment.Bank), Compartment: l.Compartment.No,
			At: l.At, Evidence: l.Evidence, Board: string(standing), Doubt: why, Prev: l.Prev, Hash: l.Hash,
		})
	}
	return out
}

// parcelActs are what people do about a parcel.
func (s *Server) parcelActs() {
	type resolve struct {
		OnParcel
		Body Resolution
	}
	add(s, route{method: http.MethodPost, path: "/parcels/{parcel}/resolve", id: "resolve-parcel", tag: "Statements", need: people.Resolve, summary: "End the doubt about a parcel by what a person found"}, func(ctx context.Context, in *resolve) (*Answer[Parcel], error) {
		a, p, err := s.parcel(ctx, people.Resolve, in.Parcel)
		if err != nil {
			return nil, err
		}
		if p, err = s.Delivery.Resolve(ctx, p.ID, in.Body.Outcome, a.String()); err != nil {
			return nil, err
		}
		s.picture.touch(p.Door.Bank)
		s.audit(ctx, a, people.Resolve, "parcel/"+string(p.ID), map[string]string{"outcome": in.Body.Outcome, "reason": in.Body.Reason})
		return answer(parcelOf(p)), nil
	})
	type resend struct {
		OnParcel
		Body struct {
			To string `json:"to" enum:"recipient,courier"`
		}
	}
	add(s, route{
		method: http.MethodPost, path: "/parcels/{parcel}/resend", id: "resend-number", tag: "Messages", need: people.ReadParcels, summary: "Send the number of the recipient or the courier once more",
		text: "It goes to the address on record, never into this answer. For the parcel's partner and for operators.",
	}, func(ctx context.Context, in *resend) (*Answer[Notice], error) {
		a, p, err := s.parcel(ctx, people.ReadParcels, in.Parcel)
		if err != nil {
			return nil, err
		}
		if a.Kind != people.KindPartner {
			if err := people.Allow(a, people.Resend, ""); err != nil {
				return nil, err
			}
		}
		n, err := s.resend(ctx, p.ID, in.Body.To)
		if err != nil {
			return nil, err
		}
		s.audit(ctx, a, people.Resend, "parcel/"+string(p.ID), map[string]string{"to": in.Body.To, "notice": n.ID})
		return answer(noticeOf(n)), nil
	})
}

// resend repeats the newest letter that carries a number.
func (s *Server) resend(ctx context.Context, parcel locker.ParcelID, to string) (notify.Notice, error) {
	want := notify.ParcelStored
	if to == "courier" {
		want = notify.CourierReserved
	}
	rows, _, err := s.Notify.Notices(ctx, notify.Filter{Parcel: parcel, Channel: notify.Mail}, "", MaxPage)
	if err != nil {
		return notify.Notice{}, err
	}
	for _, n := range rows {
		if n.Template == want {
			return s.Notify.Resend(ctx, n.ID)
		}
	}
	return notify.Notice{}, fault.Conflictf("no_letter", "No letter with a number went to the %s of this parcel.", to)
}
