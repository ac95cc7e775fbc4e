package queue

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lockerfleet/locker"
)

var start = time.UnixMilli(1_760_000_000_000)

func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

func person(id string, size locker.Size, minute int) Applicant {
	return Applicant{ID: ID(id), Who: "address of " + id, Size: size, Class: locker.Ambient, Joined: at(minute)}
}

func bank() []Door {
	return []Door{{1, locker.SizeS, locker.Ambient}, {2, locker.SizeM, locker.Ambient}, {3, locker.SizeL, locker.Ambient}, {4, locker.SizeM, locker.Chilled}}
}

func waiting(t *testing.T, people ...Applicant) []Applicant {
	t.Helper()
	var list []Applicant
	for _, p := range people {
		var why Reason
		if list, why = Join(list, p, bank()); why != OK {
			t.Fatalf("%s cannot join: %s", p.ID, why)
		}
	}
	return list
}

// told writes changes as a story.
func told(changes []Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s %s->%s %d", c.ID, c.From, c.State, c.No))
	}
	return out
}

func TestFreedDoorGoesToTheFirstItFits(t *testing.T) {
	t.Parallel()
	list := waiting(t, person("late", locker.SizeS, 5), person("big", locker.SizeL, 1), person("early", locker.SizeS, 2))
	list, changes := Advance(list, []Door{bank()[0]}, DefaultHold, at(10))
	if diff := cmp.Diff([]string{"early waiting->offered 1"}, told(changes)); diff != "" {
		t.Errorf("a small door came free (-want +got):\n%s", diff)
	}
	_, changes = Advance(list, []Door{bank()[1], bank()[2]}, DefaultHold, at(11))
	if diff := cmp.Diff([]string{"big waiting->offered 3", "late waiting->offered 2"}, told(changes)); diff != "" {
		t.Errorf("two larger doors came free (-want +got):\n%s", diff)
	}
}

func TestNoShowMakesWayForTheNext(t *testing.T) {
	t.Parallel()
	list := waiting(t, person("a", locker.SizeS, 1), person("b", locker.SizeS, 2))
	list, _ = Advance(list, bank()[:1], 10*time.Minute, at(5))
	if _, why := Claim(list, "b", at(6)); why != NoOffer {
		t.Errorf("b claims before an offer: %s", why)
	}
	if _, why := Claim(list, "a", at(15)); why != Late {
		t.Errorf("a claims at the deadline: %s", why)
	}
	list, changes := Advance(list, nil, 10*time.Minute, at(15))
	if diff := cmp.Diff([]string{"a offered->missed 1"}, told(changes)); diff != "" {
		t.Fatalf("at the deadline (-want +got):\n%s", diff)
	}
	list, changes = Advance(list, bank()[:1], 10*time.Minute, at(15))
	if diff := cmp.Diff([]string{"b waiting->offered 1"}, told(changes)); diff != "" {
		t.Fatalf("next in line (-want +got):\n%s", diff)
	}
	list, why := Claim(list, "b", at(20))
	if why != OK || list[1].State != Claimed {
		t.Errorf("b claims in time: %s, %s", why, list[1].State)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	list := waiting(t, person("a", locker.SizeS, 1))
	twice := person("b", locker.SizeS, 2)
	twice.Who = list[0].Who
	frozen := person("c", locker.SizeS, 2)
	frozen.Class = locker.Frozen
	loud := person("d", locker.SizeS, 2)
	loud.Priority = MaxPriority + 1
	var crowd []Applicant
	for i := range MaxWaiting {
		crowd = append(crowd, person(fmt.Sprintf("p%03d", i), locker.SizeS, i))
	}
	tests := []struct {
		name string
		list []Applicant
		a    Applicant
		want Reason
	}{
		{"the same request again", list, person("a", locker.SizeS, 9), OK},
		{"the same address", list, twice, Already},
		{"larger than any door", list, person("e", locker.SizeXL, 2), NeverFits},
		{"no such climate here", list, frozen, NeverFits},
		{"no size", list, person("f", "", 2), Invalid},
		{"priority", list, loud, Invalid},
		{"one too many", waiting(t, crowd...), person("z", locker.SizeS, 999), Full},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			next, why := Join(tt.list, tt.a, bank())
			if why != tt.want || len(next) != len(tt.list) {
				t.Errorf("got %s and %d places, want %s and %d", why, len(next), tt.want, len(tt.list))
			}
		})
	}
}

func TestAhead(t *testing.T) {
	t.Parallel()
	urgent := person("u", locker.SizeS, 9)
	urgent.Priority = 5
	cold := person("k", locker.SizeS, 0)
	cold.Class = locker.Chilled
	list := waiting(t, person("a", locker.SizeS, 1), person("b", locker.SizeM, 2), urgent, cold)
	for id, want := range map[ID]int{"u": 0, "a": 1, "b": 2, "k": 0, "nobody": 0} {
		if got := Ahead(list, id); got != want {
			t.Errorf("before %s: got %d, want %d", id, got, want)
		}
	}
}

func TestWhoWaitsTooLongIsTold(t *testing.T) {
	t.Parallel()
	list := waiting(t, person("a", locker.SizeS, 0))
	if due := NextDue(list); !due.Equal(at(0).Add(MaxWait)) {
		t.Errorf("due %s", due)
	}
	list, changes := Advance(list, bank(), DefaultHold, at(0).Add(MaxWait))
	if diff := cmp.Diff([]string{"a waiting->lapsed 0"}, told(changes)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if due := NextDue(list); !due.IsZero() {
		t.Errorf("due %s with nobody waiting", due)
	}
}

// Whatever happens in whatever order, a door is kept for one person, the order stands, and nobody
// is passed over for a door that would have done for them.
func TestNobodyIsOvertaken(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var list []Applicant
		now := start
		for step := range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "minutes")) * time.Minute)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				a := Applicant{
					ID: ID(fmt.Sprintf("p%02d", step)), Class: locker.Ambient, Joined: now,
					Size: rapid.SampledFrom(locker.Sizes()).Draw(t, "size"), Priority: rapid.IntRange(0, 1).Draw(t, "priority"),
				}
				list, _ = Join(list, a, bank())
			case 1:
				list, _ = Claim(list, anyone(t, list), now)
			case 2:
				list, _ = Leave(list, anyone(t, list), now)
			case 3:
				free := unheld(list, rapid.SliceOfDistinct(rapid.SampledFrom(bank()), func(d Door) int { return d.No }).Draw(t, "free"))
				before := list
				var changes []Change
				list, changes = Advance(list, free, DefaultHold, now)
				fair(t, before, list, changes)
			}
			if err := Check(list); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func anyone(t *rapid.T, list []Applicant) ID {
	if len(list) == 0 {
		return "nobody"
	}
	return rapid.SampledFrom(list).Draw(t, "who").ID
}

func unheld(list []Applicant, doors []Door) []Door {
	return slices.DeleteFunc(doors, func(d Door) bool {
		return slices.ContainsFunc(list, func(a Applicant) bool { return a.State == Offered && a.No == d.No })
	})
}

func fair(t *rapid.T, before, after []Applicant, changes []Change) {
	for _, c := range changes {
		if c.State != Offered {
			continue
		}
		door := bank()[slices.IndexFunc(bank(), func(d Door) bool { return d.No == c.No })]
		for _, a := range after {
			if a.State == Waiting && door.takes(a) && order(a, c.Applicant) < 0 {
				t.Fatalf("%s was passed over for %s at door %d\nbefore %v", a.ID, c.ID, c.No, before)
			}
		}
	}
}
