package notify

import (
	"context"
	"encoding/json"
	"time"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/locker"
)

// Store is where the room keeps its records.
type Store interface {
	// Update runs fn in one transaction; fn may run more than once.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn on one snapshot; fn must not write.
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is one transaction of the room.
type Tx interface {
	Now() time.Time
	Tell(event.Fact)

	// InsertNotice answers false when cause, channel and template are known.
	InsertNotice(Notice) (bool, error)
	Notice(id string) (n Notice, found bool, err error)
	// NoticeAbout answers the newest notice of a parcel and template.
	NoticeAbout(parcel locker.ParcelID, template Template) (n Notice, found bool, err error)
	// Notices lists notices, newest first.
	Notices(f Filter, cursor string, limit int) (page []Notice, next string, err error)

	// ClaimNotices takes up to limit notices that are due and the first of their lanes, counts
	// the attempt and keeps them from others until the given time.
	ClaimNotices(c Channel, until time.Time, limit int) ([]Notice, error)
	// ReleaseNotices makes due at once what was claimed and whose try never ended.
	ReleaseNotices() error
	// NextNotice is when the next first of a lane is due.
	NextNotice(c Channel) (at time.Time, found bool, err error)
	// SettleNotice writes Next, Error, Sent and GivenUp, unless the notice was claimed or
	// begun anew since.
	SettleNotice(Notice) (bool, error)
	// RestartNotice begins a new round at once.
	RestartNotice(id string) error
	// WaitingAbout lists the notices of a parcel and template that are not finished.
	WaitingAbout(parcel locker.ParcelID, template Template) ([]Notice, error)
	// PruneNotices deletes up to limit finished notices made before the given time.
	PruneNotices(before time.Time, limit int) error
}

// Mailer hands a letter to the mail system. An error that is not a *Failure is tried again.
type Mailer interface {
	Send(ctx context.Context, l Letter) error
}

// Poster posts a webhook and answers nil when the receiver took it (status 2xx). An error that
// is not a *Failure is tried again.
type Poster interface {
	Post(ctx context.Context, p Post) error
}

// Codes makes the code of a grant. A grant that has ended is the fault NotFound or Conflict.
type Codes interface {
	// TicketPNG draws the ticket of a grant; nil when it can have none.
	TicketPNG(ctx context.Context, g locker.GrantID) ([]byte, error)
	Code(ctx context.Context, grant locker.GrantID) (string, error)
}

// Places names a bank for people.
type Places interface {
	Place(ctx context.Context, bank locker.BankID) (Place, error)
}

// Webhooks knows where partners want to be told. ok is false for one that does not.
type Webhooks interface {
	Webhook(ctx context.Context, partner locker.PartnerID) (url string, secret []byte, ok bool, err error)
}

// Place is how people find a bank. Empty fields are left out of letters.
type Place struct {
	Bank    string // name of the bank
	Site    string // name of the site
	Address string
}

// Letter is one mail of plain text, perhaps with a picture.
type Letter struct {
	ID       string // local part of the Message-ID, the same at every try
	To       string
	Subject  string // one line
	Text     string // UTF-8, lines end with \n
	Template Template
	Parcel   locker.ParcelID
	At       time.Time
	Ticket   []byte // PNG of the ticket, attached as ticket.png; nil for none
}

// Post is one HTTP POST of JSON.
type Post struct {
	URL     string
	Headers map[string]string
	Body    []byte
}

// Channel is how a notice leaves.
type Channel string

// The channels.
const (
	Mail    Channel = "mail"
	Webhook Channel = "webhook"
)

// Channels lists every channel.
func Channels() []Channel { return []Channel{Mail, Webhook} }

// Template is what a notice says.
type Template string

// The templates.
const (
	CourierReserved Template = "courier_reserved" // where to deposit, with the code
	ParcelStored    Template = "parcel_stored"    // where to collect, with the number
	ParcelOverdue   Template = "parcel_overdue"   // the collection period is over
	ParcelCollected Template = "parcel_collected" // the goods were taken out
	PartnerEvent    Template = "partner_event"    // a webhook

	// Of what banks keep by themselves.
	OwnOffer    Template = "own_offer"    // a compartment is kept for you
	OwnMissed   Template = "own_missed"   // you did not come
	OwnLapsed   Template = "own_lapsed"   // nothing came free
	OwnNumber   Template = "own_number"   // goods are kept for you
	OwnReminder Template = "own_reminder" // your goods wait
	OwnDue      Template = "own_due"      // your goods are overdue
	OwnExtended Template = "own_extended" // they may stay until
	OwnTaken    Template = "own_taken"    // they were taken out
)

// State says how far a notice is.
type State string

// The states.
const (
	Waiting State = "waiting"
	Sent    State = "sent"
	GivenUp State = "given_up"
)

// Notice is one message in the queue.
type Notice struct {
	ID        string
	Cause     string // id of the fact
	Channel   Channel
	Template  Template
	Recipient string // address or partner id
	Lane      string
	Parcel    locker.ParcelID
	Data      json.RawMessage
	Round     int       // counts resends ordered by a person, from 0
	Attempts  int       // tries of this round
	Due       time.Time // when the round began
	Next      time.Time // next try; zero = finished
	Error     string    // of the last try
	Created   time.Time
	Sent      time.Time // zero = not sent
	GivenUp   time.Time // zero = not given up
}

// State says how far the notice is.
func (n Notice) State() State {
	switch {
	case !n.Next.IsZero():
		return Waiting
	case !n.GivenUp.IsZero():
		return GivenUp
	}
	return Sent
}

// Filter narrows a list; empty fields do not.
type Filter struct {
	Parcel  locker.ParcelID
	Channel Channel
	State   State
}
