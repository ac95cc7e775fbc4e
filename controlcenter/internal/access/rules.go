package access

import (
	"fmt"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// Bounds of the room.
const (
	CommandTTL   = 10 * time.Second // how long a person at the door waits for it to open
	outcomeAfter = 30 * time.Second // when a command's outcome counts as unknown
	MaxEnded     = 4                // ended grants of a door that still explain a refusal
	MaxPage      = 500              // revisions of one resynchronisation page
	MaxKeyLen    = 128              // bytes of an idempotency key
	keepTries    = 30 * 24 * time.Hour
	sweepBatch   = 200  // grants one sweep ends
	pruneBatch   = 1000 // rows one sweep forgets of each kind
	pruneEvery   = time.Minute
)

// Why a grant ended.
const (
	EndSpent    = "spent"     // the goods were moved
	EndRevoked  = "revoked"   // taken back
	EndExpired  = "expired"   // its time is over
	EndCodeDead = "code_dead" // too many wrong tries
	EndTooMany  = "too_many"  // opened grant.MaxOpenings times and nothing was moved
)

// Reasons the room adds to those of locker/grant.
const (
	BankOffline grant.Reason = "bank_offline" // right code, but the bank cannot be reached now
	Busy        grant.Reason = "busy"         // right code, and the door is being opened already
	Crowded     grant.Reason = "fuse"         // right code, but more doors are opening than people cause
)

// Reasons lists every reason an answer can have.
func Reasons() []grant.Reason {
	return []grant.Reason{
		grant.OK, grant.WrongCode, grant.NotYet, grant.Expired, grant.Spent, grant.Revoked, grant.CodeDead,
		grant.TooMany, grant.Throttled, grant.NothingHere, BankOffline, Busy, Crowded,
	}
}

// Text tells the person at the door what happened, why, and what to do now. It names no code.
func Text(r grant.Reason, no int, retry time.Duration) string {
	switch r {
	case grant.OK:
		return fmt.Sprintf("Compartment %d is opening. The code is right. Pull the door, and close it when you are done.", no)
	case grant.WrongCode:
		return fmt.Sprintf("Compartment %d stays closed. The code does not belong to it. Compare number and code with your message%s.", no, wait(retry))
	case grant.NothingHere:
		return fmt.Sprintf("Compartment %d stays closed. No code is valid for it. Check the compartment number in your message%s.", no, wait(retry))
	case grant.NotYet:
		return fmt.Sprintf("Compartment %d stays closed. The code is right but does not count yet. Come back at the time in your message.", no)
	case grant.Expired:
		return fmt.Sprintf("Compartment %d stays closed. The code is right but its time is over. Ask the sender or the operator for a new one.", no)
	case grant.Spent:
		return fmt.Sprintf("Compartment %d stays closed. The code was used: the goods were moved with it. If that was not you, call the operator.", no)
	case grant.Revoked:
		return fmt.Sprintf("Compartment %d stays closed. The code was taken back. Ask whoever gave it to you, or call the operator.", no)
	case grant.CodeDead:
		return fmt.Sprintf("Compartment %d stays closed. Too many wrong tries ended this code. A new one is sent to the address on record; use that one.", no)
	case grant.TooMany:
		return fmt.Sprintf("Compartment %d stays closed. It was opened %d times with this code and nothing was moved. A new code is sent to the address on record; use that one.", no, grant.MaxOpenings)
	case grant.Throttled:
		return fmt.Sprintf("Nothing was tried. There were several wrong codes at compartment %d. Wait %s and try again.", no, whole(retry))
	case BankOffline:
		return fmt.Sprintf("Compartment %d cannot be opened from here now. The code is right, but the locker is not connected. Type the code at its panel: that works without network.", no)
	case Busy:
		return fmt.Sprintf("Compartment %d is being opened already. Another request came first. Pull the door; if it stays closed, try again in 30 seconds.", no)
	case Crowded:
		return fmt.Sprintf("Compartment %d stays closed for a moment. The code is right, but too many doors were opened here just now. Try again in a minute, or type the code at the panel.", no)
	}
	return "The door stays closed. Call the operator."
}

func wait(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf(" and try again after %s", whole(d))
}

// whole rounds a wait up to seconds, as people read it.
func whole(d time.Duration) string {
	s := int((d + time.Second - 1) / time.Second)
	if s >= 120 {
		return fmt.Sprintf("%d minutes", (s+59)/60)
	}
	if s == 1 {
		return "1 second"
	}
	return fmt.Sprintf("%d seconds", s)
}

// expected is the content a door must have for a grant to open it from here: goods are never put
// where something lies already. A collection is not held up by a sensor.
func expected(p grant.Purpose) locker.Content {
	if p == grant.Deposit {
		return locker.Empty
	}
	return ""
}

// check decides a try. Ended grants explain a refusal to whoever has their code; to everybody
// else they do not exist.
func check(kept []Grant, th grant.Throttle, key []byte, door locker.CompartmentID, code string, now time.Time) grant.Verdict {
	grants := make([]grant.Grant, len(kept))
	live := false
	for i, g := range kept {
		grants[i] = g.Grant
		live = live || g.EndReason == ""
	}
	v := grant.Check(grants, th, key, grant.Attempt{Compartment: door, Code: code}, now)
	if v.Reason == grant.WrongCode && !live {
		v.Reason = grant.NothingHere
	}
	return v
}

// observed is the memory of a door after its panel answered a try by itself.
func observed(th grant.Throttle, r grant.Reason, at time.Time) grant.Throttle {
	switch r {
	case grant.WrongCode, grant.NothingHere:
		th.Failures++
		th.Until = time.Time{}
		if d := grant.Delay(th.Failures); d > 0 {
			th.Until = at.Add(d)
		}
		return th
	case grant.OK:
		return grant.Throttle{}
	}
	return th
}
