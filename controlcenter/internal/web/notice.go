package web

import (
	"context"
	"net/http"
	"time"

	"lockerfleet/controlcenter/internal/notify"
	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
)

// Notice is one message to a person or a partner.
type Notice struct {
	ID        string          `json:"id"`
	Channel   notify.Channel  `json:"channel" enum:"mail,webhook"`
	Template  notify.Template `json:"template"`
	Recipient string          `json:"recipient" doc:"Address, shortened, or partner"`
	Parcel    locker.ParcelID `json:"parcel,omitzero"`
	State     notify.State    `json:"state" enum:"waiting,sent,given_up"`
	Round     int             `json:"round,omitzero" doc:"Times it was sent again by hand"`
	Attempts  int             `json:"attempts"`
	Error     string          `json:"error,omitzero" doc:"Of the last try"`
	Created   time.Time       `json:"created"`
	Next      time.Time       `json:"next,omitzero"`
	Sent      time.Time       `json:"sent,omitzero"`
	GivenUp   time.Time       `json:"given_up,omitzero"`
}

// Letter is a captured mail.
type Letter struct {
	ID      string          `json:"id"`
	To      string          `json:"to"`
	Subject string          `json:"subject"`
	Text    string          `json:"text"`
	Parcel  locker.ParcelID `json:"parcel,omitzero"`
	At      time.Time       `json:"at"`
	Ticket  []byte          `json:"ticket,omitzero" doc:"PNG of the attached ticket, base64"`
}

func noticeOf(n notify.Notice) Notice {
	to := n.Recipient
	if n.Channel == notify.Mail {
		to = notify.MaskAddress(to)
	}
	return Notice{
		ID: n.ID, Channel: n.Channel, Template: n.Template, Recipient: to, Parcel: n.Parcel, State: n.State(), Round: n.Round,
		Attempts: n.Attempts, Error: n.Error, Created: n.Created, Next: n.Next, Sent: n.Sent, GivenUp: n.GivenUp,
	}
}

func letterOf(l notify.Letter) Letter {
	return Letter{ID: l.ID, To: l.To, Subject: l.Subject, Text: l.Text, Parcel: l.Parcel, At: l.At, Ticket: l.Ticket}
}

func (s *Server) noticeRoutes() {
	type list struct {
		Paged
		Parcel  string `query:"parcel" maxLength:"48"`
		Channel string `query:"channel" enum:"mail,webhook"`
		State   string `query:"state" enum:"waiting,sent,given_up"`
	}
	add(s, route{method: http.MethodGet, path: "/notices", id: "list-notices", tag: "Messages", need: people.ReadNotices, summary: "List messages, newest first"}, func(ctx context.Context, in *list) (*Listed[Notice], error) {
		a, err := may(ctx, people.ReadNotices, "")
		if err != nil {
			return nil, err
		}
		f := notify.Filter{Parcel: locker.ParcelID(in.Parcel), Channel: notify.Channel(in.Channel), State: notify.State(in.State)}
		rows, next, err := s.Notify.Notices(ctx, f, in.Cursor, in.Limit)
		if err != nil {
			return nil, err
		}
		return listed(rows, next, noticeOf, func(n notify.Notice) bool { return s.ownNotice(ctx, a, n) }), nil
	})
	type one struct {
		ID string `path:"id" maxLength:"48"`
	}
	add(s, route{method: http.MethodPost, path: "/notices/{id}/resend", id: "resend-notice", tag: "Messages", need: people.Resend, summary: "Send a finished message once more"}, func(ctx context.Context, in *one) (*Answer[Notice], error) {
		a, err := may(ctx, people.Resend, "")
		if err != nil {
			return nil, err
		}
		n, err := s.Notify.Notice(ctx, in.ID)
		if err == nil && !s.ownNotice(ctx, a, n) {
			err = fault.NotFoundf("notice_unknown", "There is no message %q.", clip(in.ID))
		}
		if err != nil {
			return nil, err
		}
		if n, err = s.Notify.Resend(ctx, n.ID); err != nil {
			return nil, err
		}
		s.audit(ctx, a, people.Resend, "notice/"+n.ID, map[string]string{"template": string(n.Template)})
		return answer(noticeOf(n)), nil
	})
	add(s, route{method: http.MethodGet, path: "/inbox", id: "list-inbox", tag: "Messages", need: people.ManagePeople, summary: "Mail captured instead of sent, newest first; for administrators"}, func(ctx context.Context, _ *struct{}) (*Listed[Letter], error) {
		if _, err := may(ctx, people.ManagePeople, ""); err != nil {
			return nil, err
		}
		if s.Inbox == nil {
			return nil, fault.NotFoundf("no_inbox", "Mail is not captured here; it is sent.")
		}
		return listed(s.Inbox.Letters(), "", letterOf, nil), nil
	})
}

// ownNotice reports whether an actor limited to some sites may know of a message.
func (s *Server) ownNotice(ctx context.Context, a people.Actor, n notify.Notice) bool {
	if len(a.Sites) == 0 {
		return true
	}
	if n.Parcel == "" {
		return false
	}
	p, err := s.Delivery.Parcel(ctx, n.Parcel)
	return err == nil && a.Sees(p.Site)
}
