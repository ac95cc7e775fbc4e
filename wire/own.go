package wire

import (
	"fmt"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/queue"
	"lockerfleet/locker/stay"
)

// Bounds of what a bank keeps by itself.
const (
	MaxStay        = 200 // goods a bank keeps at a time: one a compartment
	MaxOwnGroups   = 24  // groups of own compartments
	MaxReminders   = stay.MaxReminders
	MaxZoneMinutes = 14 * 60 // of a place's clock from UTC
)

// OwnDoors are compartments of one kind that a bank gives away by itself.
type OwnDoors struct {
	Size  locker.Size         `json:"size" jsonschema:"enum=xs,enum=s,enum=m,enum=l,enum=xl"`
	Class locker.ClimateClass `json:"class,omitzero" jsonschema:"enum=ambient,enum=chilled,enum=frozen,enum=hot"` // empty = ambient
	C     []int               `json:"c" jsonschema:"minItems=1,maxItems=200"`
}

// Desired is on dn/-/desired: what a bank is to do by itself. The document with the highest Rev
// counts; the bank keeps it on disk and tells its revision with every birth and heartbeat.
//
// Own names the compartments that the bank gives away by itself, connected or alone. The control
// center promises none of them to anybody, so that a compartment has one allocator at any time.
// One that is left out is given back as soon as nothing is in it: the event own tells which are
// still kept.
type Desired struct {
	Envelope
	Rev       uint64     `json:"rev" jsonschema:"minimum=1"`
	Own       []OwnDoors `json:"own,omitzero" jsonschema:"maxItems=24"`
	HoldMin   int        `json:"hold_min,omitzero" jsonschema:"minimum=0,maximum=1440"`   // how long an offered compartment is kept, 0 = 30
	KeepMin   int        `json:"keep_min,omitzero" jsonschema:"minimum=0,maximum=129600"` // agreed period of goods taken in, 0 = 4320 (three days)
	Reminders []int      `json:"reminders,omitzero" jsonschema:"maxItems=6"`              // minutes before (negative) or after the end; none = the plan that is shipped
	DecideMin int        `json:"decide_min,omitzero" jsonschema:"minimum=0"`              // minutes after the end until a decision is due, with reminders
	QuietFrom int        `json:"quiet_from,omitzero" jsonschema:"minimum=0,maximum=1439"` // minutes after midnight at the place: nobody is written to
	QuietTo   int        `json:"quiet_to,omitzero" jsonschema:"minimum=0,maximum=1439"`
	ZoneMin   int        `json:"zone_min,omitzero" jsonschema:"minimum=-840,maximum=840"` // the place's clock from UTC
	Sig       string     `json:"sig,omitzero" jsonschema:"maxLength=88"`
}

// AskWhat is what a bank is asked to do with its waitlist and the goods it keeps.
type AskWhat string

// What can be asked.
const (
	AskJoin    AskWhat = "join"    // give somebody a place: About names it
	AskLeave   AskWhat = "leave"   // end the place About
	AskExtend  AskWhat = "extend"  // the stay About ends at Until
	AskRecall  AskWhat = "recall"  // a courier takes the goods of the stay About out
	AskSettle  AskWhat = "settle"  // a person looked: the stay About is As
	AskNumber  AskWhat = "number"  // make a new number for the stay About and tell its owner
	AskDeposit AskWhat = "deposit" // at the panel only: take goods in
)

// Ask is on dn/-/ask: a request to the waitlist of a bank or to the goods it keeps. It is repeated
// under its id until the event asked answers it; the same id is done once.
type Ask struct {
	Envelope
	What     AskWhat             `json:"what" jsonschema:"enum=join,enum=leave,enum=extend,enum=recall,enum=settle,enum=number"`
	About    string              `json:"about" jsonschema:"maxLength=48"` // the place or the stay
	Size     locker.Size         `json:"size,omitzero" jsonschema:"maxLength=2"`
	Class    locker.ClimateClass `json:"class,omitzero" jsonschema:"maxLength=8"` // empty = ambient
	Priority int                 `json:"priority,omitzero" jsonschema:"minimum=0,maximum=9"`
	Joined   int64               `json:"joined,omitzero"` // unix ms at which they asked
	Contact  *Contact            `json:"contact,omitzero"`
	Until    int64               `json:"until,omitzero"` // unix ms
	As       StayState           `json:"as,omitzero" jsonschema:"maxLength=16"`
	Sig      string              `json:"sig,omitzero" jsonschema:"maxLength=88"`
}

// AskReason answers an Ask. Beside these it may be one of queue.Reason.
type AskReason string

// The answers of a bank.
const (
	AskOK         AskReason = "ok"
	AskNoDoor     AskReason = "no_free_door"  // nothing free takes it: join the waitlist
	AskNotHere    AskReason = "not_here"      // the bank keeps no such goods
	AskOver       AskReason = "over"          // what it is about has ended meanwhile
	AskBusy       AskReason = "busy"          // somebody stands at the door just now: ask again
	AskNoContact  AskReason = "no_contact"    // an address or a telephone number is needed
	AskNotOffered AskReason = "not_offered"   // this bank takes in nothing by itself
	AskFull       AskReason = "bank_full"     // the bank cannot record more
	AskBadUntil   AskReason = "bad_until"     // not after now, or beyond stay.MaxStay
	AskHindered   AskReason = "door_hindered" // the compartment cannot be opened now
)

// Spot is a place in the waitlist of a bank, with the event place. C of the event is the
// compartment offered or claimed.
type Spot struct {
	ID       queue.ID            `json:"id" jsonschema:"maxLength=48"`
	State    queue.State         `json:"state" jsonschema:"maxLength=16"`
	Size     locker.Size         `json:"size,omitzero" jsonschema:"maxLength=2"`
	Class    locker.ClimateClass `json:"class,omitzero" jsonschema:"maxLength=8"`
	Priority int                 `json:"priority,omitzero"`
	Joined   int64               `json:"joined,omitzero"`  // unix ms
	Contact  *Contact            `json:"contact,omitzero"` // with state waiting
	Until    int64               `json:"until,omitzero"`   // unix ms: deadline of the offer
}

// StayState is where goods are that a bank took in by itself.
type StayState string

// The states of a stay. Collected, Recalled and Void are ends.
const (
	StayOpened    StayState = "opened"    // a door was opened for the goods
	StayStored    StayState = "stored"    // they are inside
	StayDue       StayState = "due"       // reminders led to nothing: extend, recall or return
	StayDoubtful  StayState = "doubtful"  // the sensors disagree: a person looks
	StayCollected StayState = "collected" // their owner has them
	StayRecalled  StayState = "recalled"  // a courier took them out
	StayVoid      StayState = "void"      // nothing was put in
)

// Over reports whether s is an end.
func (s StayState) Over() bool { return s == StayCollected || s == StayRecalled || s == StayVoid }

// Inside reports whether goods are, or may be, inside.
func (s StayState) Inside() bool { return s == StayStored || s == StayDue || s == StayDoubtful }

// Kept is goods that a bank took in by itself, with the event stay. C of the event is their
// compartment, Grant the newest authority over them, from which their number follows
// (grant.OwnNumber).
type Kept struct {
	Parcel   locker.ParcelID `json:"parcel" jsonschema:"maxLength=48"`
	State    StayState       `json:"state" jsonschema:"maxLength=16"`
	Spot     queue.ID        `json:"spot,omitzero" jsonschema:"maxLength=48"` // the place they came from
	Contact  *Contact        `json:"contact,omitzero"`                        // with state opened
	Until    int64           `json:"until,omitzero"`                          // unix ms: end of the agreed period
	Reminded int             `json:"reminded,omitzero"`
}

// LetterKind says what a letter is about.
type LetterKind string

// The kinds of letters.
const (
	LetterOffer    LetterKind = "offer"    // a compartment is kept for you: door, number, deadline
	LetterMissed   LetterKind = "missed"   // you did not come: the compartment went to the next
	LetterLapsed   LetterKind = "lapsed"   // nothing came free
	LetterNumber   LetterKind = "number"   // goods are kept for you: door, number
	LetterReminder LetterKind = "reminder" // your goods wait
	LetterDue      LetterKind = "due"      // your goods are overdue
	LetterExtended LetterKind = "extended" // they may stay until
	LetterTaken    LetterKind = "taken"    // they were collected
)

// LetterState is how far a letter came.
type LetterState string

// The states of a letter.
const (
	LetterWanted LetterState = "wanted" // the bank asks the control center to send it
	LetterSent   LetterState = "sent"   // the bank sent it by its own channel
	LetterFailed LetterState = "failed" // the bank's own channel refused it: the control center sends it
)

// Notice is one letter of a bank, with the event letter. It names no number: who sends it makes
// the number from Grant.
type Notice struct {
	ID      string      `json:"id" jsonschema:"maxLength=48"`
	Kind    LetterKind  `json:"kind" jsonschema:"maxLength=16"`
	State   LetterState `json:"state" jsonschema:"maxLength=16"`
	About   string      `json:"about" jsonschema:"maxLength=48"`       // the place or the stay
	Via     string      `json:"via,omitzero" jsonschema:"maxLength=8"` // smtp or sms
	Reason  string      `json:"reason,omitzero" jsonschema:"maxLength=120"`
	Until   int64       `json:"until,omitzero"`
	Contact *Contact    `json:"contact,omitzero"`
}

func (d *Desired) check() error {
	if d.Rev == 0 {
		return invalid("rev", 0, "1 or more")
	}
	if len(d.Own) > MaxOwnGroups || len(d.Reminders) > MaxReminders {
		return invalid("own or reminders", len(d.Own), fmt.Sprintf("at most %d groups and %d reminders", MaxOwnGroups, MaxReminders))
	}
	seen := map[int]bool{}
	for _, g := range d.Own {
		if g.Size.Rank() == 0 || g.Class != "" && !g.Class.Valid() || len(g.C) == 0 || len(g.C) > locker.MaxCompartments {
			return invalid("own", clip(string(g.Size)), "size, class and 1 to 200 compartments")
		}
		for _, c := range g.C {
			if c < 1 || c > locker.MaxCompartments || seen[c] {
				return invalid("own.c", c, "each compartment once, from 1 to 200")
			}
			seen[c] = true
		}
	}
	if d.HoldMin < 0 || d.HoldMin > 1440 || d.KeepMin < 0 || d.KeepMin > 129_600 || d.ZoneMin < -MaxZoneMinutes || d.ZoneMin > MaxZoneMinutes {
		return invalid("hold_min, keep_min or zone_min", d.HoldMin, "the bounds of the contract")
	}
	if len(d.Sig) > 88 {
		return invalid("sig", "longer text", "at most 88 bytes")
	}
	if err := d.Plan().Check(); err != nil {
		return fmt.Errorf("field reminders: %w", err)
	}
	return d.Envelope.check()
}

func (a *Ask) check() error {
	switch {
	case !locker.ValidID(a.ID):
		return invalid("id", clip(a.ID), "an identifier")
	case !locker.ValidID(a.About):
		return invalid("about", clip(a.About), "an identifier")
	case a.What == "" || len(a.What) > 16:
		return invalid("what", len(a.What), "1 to 16 bytes")
	case a.Size != "" && a.Size.Rank() == 0:
		return invalid("size", clip(string(a.Size)), "xs, s, m, l, xl")
	case a.Class != "" && !a.Class.Valid():
		return invalid("class", clip(string(a.Class)), "ambient, chilled, frozen, hot")
	case a.Priority < 0 || a.Priority > queue.MaxPriority:
		return invalid("priority", a.Priority, fmt.Sprintf("0 to %d", queue.MaxPriority))
	case len(a.As) > 16 || len(a.Sig) > 88:
		return invalid("as or sig", "longer text", "the bounds of the contract")
	}
	if a.Contact != nil {
		if err := a.Contact.check(); err != nil {
			return err
		}
	}
	return a.Envelope.check()
}

func (c *Contact) check() error {
	if len(c.Name) > MaxText || len(c.Email) > MaxText || len(c.Phone) > 32 || len(c.Lang) > 16 {
		return invalid("contact", "longer text", "the bounds of the contract")
	}
	return nil
}

// checkOwn checks what events of the bank's own keeping carry.
func (e *Event) checkOwn() error {
	if s := e.Spot; s != nil {
		if !locker.ValidID(string(s.ID)) || len(s.State) > 16 || s.Size != "" && s.Size.Rank() == 0 || s.Class != "" && !s.Class.Valid() {
			return invalid("spot", clip(string(s.ID)), "an identifier, size and class of the contract")
		}
	}
	if k := e.Kept; k != nil {
		if !locker.ValidID(string(k.Parcel)) || len(k.State) > 16 || len(k.Spot) > locker.MaxIDLen {
			return invalid("kept", clip(string(k.Parcel)), "an identifier and a state of the contract")
		}
	}
	if n := e.Letter; n != nil {
		if !locker.ValidID(n.ID) || len(n.Kind) > 16 || len(n.State) > 16 || len(n.About) > locker.MaxIDLen || len(n.Via) > 8 || len(n.Reason) > 120 {
			return invalid("letter", clip(n.ID), "an identifier and the bounds of the contract")
		}
	}
	if len(e.Ask) > locker.MaxIDLen || len(e.Doors) > locker.MaxCompartments {
		return invalid("ask or doors", len(e.Doors), "the bounds of the contract")
	}
	for _, c := range e.contacts() {
		if err := c.check(); err != nil {
			return err
		}
	}
	return nil
}

// contacts lists whom e names.
func (e *Event) contacts() []*Contact {
	var all []*Contact
	if e.Spot != nil && e.Spot.Contact != nil {
		all = append(all, e.Spot.Contact)
	}
	if e.Kept != nil && e.Kept.Contact != nil {
		all = append(all, e.Kept.Contact)
	}
	if e.Letter != nil && e.Letter.Contact != nil {
		all = append(all, e.Letter.Contact)
	}
	return all
}

// Plan is when owners of goods are reminded.
func (d *Desired) Plan() stay.Plan {
	p := stay.DefaultPlan()
	if len(d.Reminders) > 0 {
		p.Reminders = nil
		for _, m := range d.Reminders {
			p.Reminders = append(p.Reminders, time.Duration(m)*time.Minute)
		}
		p.Decide = time.Duration(d.DecideMin) * time.Minute
	}
	if d.QuietFrom != d.QuietTo {
		p.Quiet = stay.Quiet{From: d.QuietFrom, To: d.QuietTo}
	}
	return p
}

// Hold is how long an offered compartment is kept.
func (d *Desired) Hold() time.Duration {
	if d.HoldMin == 0 {
		return queue.DefaultHold
	}
	return time.Duration(d.HoldMin) * time.Minute
}

// Keep is the agreed period of goods that the bank took in.
func (d *Desired) Keep() time.Duration {
	if d.KeepMin == 0 {
		return 3 * 24 * time.Hour
	}
	return time.Duration(d.KeepMin) * time.Minute
}

// Zone is the place's clock.
func (d *Desired) Zone() *time.Location { return time.FixedZone("", d.ZoneMin*60) }
