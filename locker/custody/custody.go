// Package custody turns what door and content sensors saw into what happened to the goods, and
// keeps the hash-chained record of who held them. An ambiguous result asks a person; it never
// guesses.
package custody

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// Reading is what the content sensors said at one instant with the door closed.
type Reading struct {
	Content  locker.Content `json:"content"`
	HasGrams bool           `json:"has_g,omitzero"`
	Grams    locker.Grams   `json:"g,omitzero"`
}

// String is the reading in words, with grams where there is a scale.
func (r Reading) String() string {
	if r.HasGrams {
		return fmt.Sprintf("%s, %d g", r.Content, r.Grams)
	}
	return string(r.Content)
}

// Threshold is the least change of weight that ever counts: 50 g, wider than the noise and drift of
// cheap load cells over one door cycle.
const Threshold locker.Grams = 50

// Least is the least change of weight that counts on a scale with this spread of its readings and
// this capacity, both in grams and 0 when not known: five times the spread, half a percent of the
// capacity, and never less than Threshold.
func Least(spread, capacity locker.Grams) locker.Grams {
	return max(Threshold, 5*spread, capacity/200)
}

// Outcome is what one opening and closing of the door did.
type Outcome string

// The outcomes.
const (
	Stored        Outcome = "stored"         // goods went in
	NothingStored Outcome = "nothing_stored" // opened to deposit, still empty
	Taken         Outcome = "taken"          // goods went out
	StillThere    Outcome = "still_there"    // opened to collect, goods stayed
	Ambiguous     Outcome = "ambiguous"      // sensors disagree or are unknown: a person decides
)

// Decide compares the reading before the door opened with the one after it closed and settled.
// Weight is judged by its change, never by its absolute value; a change below least is none, and a
// least below Threshold counts as Threshold.
func Decide(p grant.Purpose, before, after Reading, least locker.Grams) Outcome {
	seen := change(before, after, max(least, Threshold))
	if seen == conflict {
		return Ambiguous
	}
	if p == grant.Deposit {
		return deposit(seen, after)
	}
	return collect(seen, after)
}

type change8 int8

const (
	conflict change8 = iota
	same
	in
	out
)

// change joins the object sensor and the scale; where both speak they must agree.
func change(before, after Reading, least locker.Grams) change8 {
	byObject := objectChange(before.Content, after.Content)
	if !before.HasGrams || !after.HasGrams {
		return byObject
	}
	byWeight := weightChange(after.Grams-before.Grams, least)
	if byObject == conflict || byObject == byWeight {
		return byWeight
	}
	return conflict
}

// Disagree reports whether object sensor and scale both speak and tell different stories: a reason
// to look again before a person is asked.
func Disagree(before, after Reading, least locker.Grams) bool {
	byObject := objectChange(before.Content, after.Content)
	if !before.HasGrams || !after.HasGrams || byObject == conflict {
		return false
	}
	return byObject != weightChange(after.Grams-before.Grams, max(least, Threshold))
}

func objectChange(before, after locker.Content) change8 {
	switch {
	case before == locker.Empty && after == locker.Present:
		return in
	case before == locker.Present && after == locker.Empty:
		return out
	case before == after && before != locker.ContentUnknown && before != "":
		return same
	}
	return conflict
}

func weightChange(d, least locker.Grams) change8 {
	switch {
	case d >= least:
		return in
	case d <= -least:
		return out
	}
	return same
}

func deposit(c change8, after Reading) Outcome {
	switch {
	case c == in:
		return Stored
	case c == same && after.Content != locker.Present:
		return NothingStored
	}
	return Ambiguous
}

func collect(c change8, after Reading) Outcome {
	switch {
	case c == out && after.Content != locker.Present:
		return Taken
	case c == same && after.Content != locker.Empty:
		return StillThere
	}
	return Ambiguous
}

// Step is what a link of the chain records.
type Step string

// The steps.
const (
	StepAnnounced Step = "announced"
	StepStored    Step = "stored"
	StepCollected Step = "collected"
	StepRecalled  Step = "recalled"
	StepDisturbed Step = "disturbed"
)

// Link is one step of a parcel's custody. Giver of a link equals taker of the one before.
type Link struct {
	Parcel      locker.ParcelID
	No          int // 1 for the first
	Step        Step
	Giver       string
	Taker       string
	Compartment locker.CompartmentID
	At          time.Time // to the millisecond
	Evidence    string    // what was seen, as text fixed for ever
	Proof       Proof     // the board's own word for it
	Prev        string    // hash of the link before, empty for the first
	Hash        string
}

// Sealed returns l joined to the chain after prev, with its number, predecessor and hash set.
// The zero Link as prev starts a chain.
func (l Link) Sealed(prev Link) Link {
	l.No, l.Prev = prev.No+1, prev.Hash
	l.At = l.At.Truncate(time.Millisecond)
	l.Hash = l.sum()
	return l
}

// sum hashes every field length-prefixed, so that no two different links share an input.
func (l Link) sum() string {
	h := sha256.New()
	var n [8]byte
	put := func(s string) {
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	for _, s := range []string{
		"lockerfleet custody 1", l.Prev, string(l.Parcel), fmt.Sprint(l.No), string(l.Step), l.Giver, l.Taker,
		l.Compartment.String(), fmt.Sprint(l.At.UnixMilli()), l.Evidence,
	} {
		put(s)
	}
	if l.Proof != (Proof{}) { // a link without one has the hash it had before boards signed
		put(l.Proof.Statement)
		put(l.Proof.Sig)
		put(l.Proof.Key)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Verify checks a whole chain in order and names the first fault it finds: a changed link, a
// missing one, or a giver who did not hold the goods.
func Verify(chain []Link) error {
	var prev Link
	for i, l := range chain {
		switch {
		case l.No != i+1:
			return fmt.Errorf("link %d is numbered %d: a link is missing or out of order", i+1, l.No)
		case l.Prev != prev.Hash:
			return fmt.Errorf("link %d does not follow the one before it", l.No)
		case i > 0 && l.Giver != prev.Taker:
			return fmt.Errorf("link %d is given by %q but %q held the goods", l.No, l.Giver, prev.Taker)
		case i > 0 && l.At.Before(prev.At):
			return fmt.Errorf("link %d is earlier than the one before it", l.No)
		case l.Hash != l.sum():
			return fmt.Errorf("link %d was changed after it was sealed", l.No)
		}
		prev = l
	}
	return nil
}
