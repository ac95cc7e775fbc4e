package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// content is the data of a notice. It never holds a code.
type content struct {
	About event.About    `json:"about"`
	Name  string         `json:"name,omitzero"`
	Grant locker.GrantID `json:"grant,omitzero"`
	Until time.Time      `json:"until,omitzero"` // end of the code, of the collection period
	Body  string         `json:"body,omitzero"`  // of a webhook, as signed
}

// draft is a notice a fact asks for.
type draft struct {
	channel   Channel
	template  Template
	recipient string
	content   content
}

// letters are the mails a fact asks for. A reminder has no address of its own: it goes where
// the first letter went.
func letters(f event.Fact) []draft {
	about := f.What()
	switch f := f.(type) {
	case event.ParcelReserved:
		return mailTo(CourierReserved, f.Courier, content{About: about, Grant: f.Grant, Until: f.Expires})
	case event.ParcelStored:
		return mailTo(ParcelStored, f.Recipient, content{About: about, Grant: f.Grant, Until: f.Keep})
	case event.ParcelRekeyed: // the same letter again, with the number that counts now
		return mailTo(rekeyed(f), f.Holder, content{About: about, Grant: f.Grant, Until: f.Expires})
	case event.ParcelCollected:
		return mailTo(ParcelCollected, f.Recipient, content{About: about})
	case event.LetterTold:
		return ownLetter(f)
	}
	return nil
}

// ownLetter is a letter that a bank had to write and could not.
func ownLetter(f event.LetterTold) []draft {
	t := Template("own_" + f.Topic)
	if _, known := ownWords[t]; !known || f.Holder == nil || f.State == "sent" {
		return nil
	}
	c := content{About: f.About}
	if f.UntilMS > 0 {
		c.Until = time.UnixMilli(f.UntilMS).UTC()
	}
	switch t {
	case OwnOffer, OwnNumber, OwnReminder, OwnDue, OwnExtended:
		c.Grant = f.Grant
	}
	return mailTo(t, *f.Holder, c)
}

// rekeyed is the letter whose number is dead.
func rekeyed(f event.ParcelRekeyed) Template {
	if f.Purpose == grant.Deposit {
		return CourierReserved
	}
	return ParcelStored
}

func mailTo(t Template, p event.Person, c content) []draft {
	if p.Email == "" {
		return nil
	}
	c.Name = Mask(p.Name)
	return []draft{{Mail, t, p.Email, c}}
}

// outdated lists the templates of a parcel that must not be sent any more once f is true: a
// code that opens nothing, a call to collect what was collected.
func outdated(f event.Fact) []Template {
	switch f := f.(type) {
	case event.ParcelRekeyed:
		return []Template{rekeyed(f)}
	case event.ParcelReserved, event.ParcelStored, event.ParcelExpired, event.ParcelCancelled:
		return []Template{CourierReserved}
	case event.ParcelCollected:
		return []Template{CourierReserved, ParcelStored, ParcelOverdue}
	}
	return nil
}

// Hears lists the kinds of facts OnFact wants.
func Hears() []event.Kind {
	return []event.Kind{
		event.KindParcelReserved, event.KindParcelRejected, event.KindParcelDepositing, event.KindParcelStored,
		event.KindParcelCollecting, event.KindParcelCollected, event.KindParcelDoubtful, event.KindParcelExpired,
		event.KindParcelOverdue, event.KindParcelCancelled, event.KindParcelRekeyed, event.KindLetterTold,
	}
}

// forPartner reports whether a fact is a webhook's business.
func forPartner(f event.Fact) bool {
	return f.What().Partner != "" && strings.HasPrefix(string(f.Kind()), "parcel.")
}

// hook is the body of a webhook: type, timestamp and data as Standard Webhooks proposes. It
// names nobody.
type hook struct {
	Type      event.Kind `json:"type"`
	Timestamp time.Time  `json:"timestamp"`
	Data      hookData   `json:"data"`
}

type hookData struct {
	ID          string          `json:"id"`
	Seq         uint64          `json:"seq"` // place in the partner's own log
	Ref         string          `json:"ref"`
	Parcel      locker.ParcelID `json:"parcel"`
	Site        locker.SiteID   `json:"site,omitzero"`
	Bank        locker.BankID   `json:"bank,omitzero"`
	Compartment int             `json:"compartment,omitzero"`
	Reason      string          `json:"reason,omitzero"`
}

func webhookOf(rec event.Record) (draft, error) {
	a := rec.Fact.What()
	body, err := json.Marshal(hook{rec.Fact.Kind(), a.At.UTC(), hookData{
		ID: rec.ID, Seq: rec.PartnerSeq, Ref: a.Ref, Parcel: a.Parcel, Site: a.Site, Bank: a.Bank,
		Compartment: a.No, Reason: reasonOf(rec.Fact),
	}})
	if err != nil {
		return draft{}, fmt.Errorf("encode webhook of %s: %w", rec.ID, err)
	}
	return draft{Webhook, PartnerEvent, string(a.Partner), content{About: a, Body: string(body)}}, nil
}

func reasonOf(f event.Fact) string {
	switch f := f.(type) {
	case event.ParcelRejected:
		return f.Code
	case event.ParcelDoubtful:
		return f.Reason
	}
	return ""
}

// notice makes the row of a draft.
func (d draft) notice(id, cause string) (Notice, error) {
	data, err := json.Marshal(d.content)
	if err != nil {
		return Notice{}, fmt.Errorf("encode notice of %s: %w", cause, err)
	}
	return Notice{
		ID: id, Cause: cause, Channel: d.channel, Template: d.template, Recipient: d.recipient,
		Lane: d.lane(), Parcel: d.content.About.Parcel, Data: data,
	}, nil
}

// lane orders a partner's webhooks and the letters about one parcel to one person.
func (d draft) lane() string {
	if d.channel == Webhook {
		return "webhook/" + d.recipient
	}
	return "mail/" + string(d.content.About.Parcel) + "/" + d.recipient
}
