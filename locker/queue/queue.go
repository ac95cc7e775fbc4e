// Package queue is the waitlist of one bank: who waits for which kind of compartment, who is
// offered one that came free, and until when it is kept for them. The control center and a bank
// that is alone run this same code.
//
// Order is priority, then the instant of joining, then the id. Nobody is overtaken by a later one
// of the same priority for a compartment that would have done for them: each freed compartment
// goes to the first in order whose goods it holds, and of several the first takes the smallest.
// A compartment is offered with a deadline; who does not come by then loses their place and the
// next in order is offered it.
//
// All functions are pure and change nothing they are given.
package queue

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"lockerfleet/locker"
)

// Bounds of a waitlist.
const (
	MaxWaiting  = 100 // applicants of one bank who wait or are offered a compartment
	MaxPriority = 9   // highest stated priority; 0 is the common one
	MinHold     = 5 * time.Minute
	MaxHold     = 24 * time.Hour
	DefaultHold = 30 * time.Minute   // how long an offered compartment is kept
	MaxWait     = 7 * 24 * time.Hour // an applicant who was offered nothing for so long is told and dropped
)

// ID names one applicant's place in a waitlist.
type ID string

// State is where an applicant stands.
type State string

// The states. Waiting and Offered are alive, the others are ends.
const (
	Waiting State = "waiting"
	Offered State = "offered" // a compartment is kept until the deadline
	Claimed State = "claimed" // they came and opened it
	Missed  State = "missed"  // they did not come in time
	Left    State = "left"    // they gave their place up
	Lapsed  State = "lapsed"  // nothing came free within MaxWait
)

// Alive reports whether the applicant still holds a place.
func (s State) Alive() bool { return s == Waiting || s == Offered }

// Valid reports whether s is one of the states.
func (s State) Valid() bool {
	return s.Alive() || s == Claimed || s == Missed || s == Left || s == Lapsed
}

// Applicant is one person's place.
type Applicant struct {
	ID       ID
	Size     locker.Size         // of their goods
	Class    locker.ClimateClass // the kind of compartment they need
	Priority int                 // 0 to MaxPriority, higher first; it is stated to everybody
	Joined   time.Time
	// Who tells applicants with one address apart from another: a digest of the contact address,
	// never the address. One address waits once.
	Who      string
	State    State
	No       int       // the compartment offered or claimed, 0 for none
	Deadline time.Time // of the offer
	Ended    time.Time // when State became an end
}

// Door is a compartment that could be given away now: closed, empty, locked, in service and
// nobody's.
type Door struct {
	No    int
	Size  locker.Size
	Class locker.ClimateClass
}

// takes reports whether d does for a.
func (d Door) takes(a Applicant) bool { return d.Class == a.Class && d.Size.Holds(a.Size) }

// Reason says why a person was answered as they were. It is stable.
type Reason string

// The reasons.
const (
	OK        Reason = "ok"
	Already   Reason = "already_waiting" // this address waits here
	Full      Reason = "waitlist_full"   // MaxWaiting wait
	NeverFits Reason = "never_fits"      // no compartment of this bank takes such goods
	Invalid   Reason = "invalid"         // size, class, priority or id is not allowed
	Unknown   Reason = "not_waiting"     // no such applicant, or their place has ended
	NoOffer   Reason = "no_offer"        // nothing is kept for them yet
	Late      Reason = "offer_over"      // the deadline has passed
)

// Join adds a to the list. all are the compartments of the bank, whatever their state. The same id
// again is answered OK and changes nothing, so a repeated request is one place.
func Join(list []Applicant, a Applicant, all []Door) ([]Applicant, Reason) {
	if slices.ContainsFunc(list, func(b Applicant) bool { return b.ID == a.ID }) {
		return list, OK
	}
	if a.ID == "" || a.Size.Rank() == 0 || !a.Class.Valid() || a.Priority < 0 || a.Priority > MaxPriority || a.Joined.IsZero() {
		return list, Invalid
	}
	if !slices.ContainsFunc(all, func(d Door) bool { return d.takes(a) }) {
		return list, NeverFits
	}
	alive := 0
	for _, b := range list {
		if !b.State.Alive() {
			continue
		}
		alive++
		if a.Who != "" && b.Who == a.Who {
			return list, Already
		}
	}
	if alive >= MaxWaiting {
		return list, Full
	}
	a.State, a.No, a.Deadline, a.Ended = Waiting, 0, time.Time{}, time.Time{}
	next := append(slices.Clone(list), a)
	slices.SortStableFunc(next, order)
	return next, OK
}

// Before reports whether a stands before b in a waitlist.
func Before(a, b Applicant) bool { return order(a, b) < 0 }

// order sorts by priority, joining and id.
func order(a, b Applicant) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.Joined.Compare(b.Joined), cmp.Compare(a.ID, b.ID))
}

// Change is one applicant whose state changed.
type Change struct {
	From State
	Applicant
}

// Advance ends what is over at now and offers what is free, each for hold, bounded by MinHold and
// MaxHold. It returns the new list and what changed, ends first, then offers in order.
// A door that is offered already is never in free: the caller takes it out of use with the offer.
func Advance(list []Applicant, free []Door, hold time.Duration, now time.Time) ([]Applicant, []Change) {
	next, changes := slices.Clone(list), []Change(nil)
	for i := range next {
		a := &next[i]
		from := a.State
		switch {
		case from == Offered && !now.Before(a.Deadline):
			a.State = Missed
		case from == Waiting && now.Sub(a.Joined) >= MaxWait:
			a.State = Lapsed
		default:
			continue
		}
		a.Ended = now
		changes = append(changes, Change{from, *a})
	}
	doors := slices.Clone(free)
	slices.SortFunc(doors, func(a, b Door) int {
		return cmp.Or(cmp.Compare(a.Size.Rank(), b.Size.Rank()), cmp.Compare(a.No, b.No))
	})
	hold = min(max(hold, MinHold), MaxHold)
	for i := range next {
		a := &next[i]
		if a.State != Waiting {
			continue
		}
		at := slices.IndexFunc(doors, func(d Door) bool { return d.takes(*a) })
		if at < 0 {
			continue
		}
		a.State, a.No, a.Deadline = Offered, doors[at].No, now.Add(hold)
		doors = slices.Delete(doors, at, at+1)
		changes = append(changes, Change{Waiting, *a})
	}
	return next, changes
}

// Claim marks that the applicant came and opened the compartment kept for them.
func Claim(list []Applicant, id ID, now time.Time) ([]Applicant, Reason) {
	return end(list, id, func(a *Applicant) Reason {
		switch {
		case a.State == Waiting:
			return NoOffer
		case !now.Before(a.Deadline):
			return Late
		}
		a.State = Claimed
		return OK
	}, now)
}

// Leave gives a place up, offered or not.
func Leave(list []Applicant, id ID, now time.Time) ([]Applicant, Reason) {
	return end(list, id, func(a *Applicant) Reason {
		a.State = Left
		return OK
	}, now)
}

func end(list []Applicant, id ID, how func(*Applicant) Reason, now time.Time) ([]Applicant, Reason) {
	i := slices.IndexFunc(list, func(a Applicant) bool { return a.ID == id })
	if i < 0 || !list[i].State.Alive() {
		return list, Unknown
	}
	a := list[i]
	if why := how(&a); why != OK {
		return list, why
	}
	a.Ended = now
	next := slices.Clone(list)
	next[i] = a
	return next, OK
}

// Ahead counts who waits before the applicant for a compartment that would do for them too. It is
// what a person asks: how many are before me.
func Ahead(list []Applicant, id ID) int {
	i := slices.IndexFunc(list, func(a Applicant) bool { return a.ID == id })
	if i < 0 {
		return 0
	}
	n := 0
	for _, a := range list {
		if a.State == Waiting && a.Class == list[i].Class && order(a, list[i]) < 0 {
			n++
		}
	}
	return n
}

// NextDue is the instant at which Advance has something to end; zero when nothing is alive.
func NextDue(list []Applicant) time.Time {
	var due time.Time
	for _, a := range list {
		at := a.Deadline
		if a.State == Waiting {
			at = a.Joined.Add(MaxWait)
		}
		if a.State.Alive() && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	return due
}

// Check finds a list that no sequence of the functions above makes.
func Check(list []Applicant) error {
	held := map[int]ID{}
	for i, a := range list {
		if i > 0 && order(list[i-1], a) > 0 {
			return fmt.Errorf("waitlist: %s stands before %s", list[i-1].ID, a.ID)
		}
		if a.State != Offered {
			continue
		}
		if a.No == 0 || a.Deadline.IsZero() {
			return fmt.Errorf("waitlist: %s is offered nothing", a.ID)
		}
		if other, taken := held[a.No]; taken {
			return fmt.Errorf("waitlist: compartment %d is offered to %s and %s", a.No, other, a.ID)
		}
		held[a.No] = a.ID
	}
	return nil
}
