package custody

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	weighed := func(c locker.Content, g locker.Grams) Reading { return Reading{c, true, g} }
	object := func(c locker.Content) Reading { return Reading{Content: c} }
	tests := []struct {
		name          string
		purpose       grant.Purpose
		before, after Reading
		want          Outcome
	}{
		{"object went in", grant.Deposit, object(locker.Empty), object(locker.Present), Stored},
		{"both sensors agree it went in", grant.Deposit, weighed(locker.Empty, 3), weighed(locker.Present, 1203), Stored},
		{"only weight speaks", grant.Deposit, weighed(locker.ContentUnknown, 0), weighed(locker.ContentUnknown, 400), Stored},
		{"nothing put in", grant.Deposit, weighed(locker.Empty, 10), weighed(locker.Empty, 35), NothingStored},
		{"weight without object", grant.Deposit, weighed(locker.Empty, 0), weighed(locker.Empty, 900), Ambiguous},
		{"object without weight", grant.Deposit, weighed(locker.Empty, 0), weighed(locker.Present, 10), Ambiguous},
		{"no sensor speaks", grant.Deposit, object(locker.ContentUnknown), object(locker.ContentUnknown), Ambiguous},
		{"deposit into a full door", grant.Deposit, object(locker.Present), object(locker.Present), Ambiguous},
		{"taken", grant.Collect, weighed(locker.Present, 1200), weighed(locker.Empty, -4), Taken},
		{"left inside", grant.Collect, weighed(locker.Present, 1200), weighed(locker.Present, 1190), StillThere},
		{"part taken", grant.Collect, weighed(locker.Present, 1200), weighed(locker.Present, 700), Ambiguous},
		{"something added", grant.Collect, weighed(locker.Present, 1200), weighed(locker.Present, 2000), Ambiguous},
		{"drift of the scale alone", grant.Collect, weighed(locker.Present, 1200), weighed(locker.Present, 1249), StillThere},
		{"recalled", grant.Recall, object(locker.Present), object(locker.Empty), Taken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Decide(tt.purpose, tt.before, tt.after, 0); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestLeastChangeGrowsWithNoiseAndCapacity(t *testing.T) {
	t.Parallel()
	weighed := func(g locker.Grams) Reading { return Reading{locker.ContentUnknown, true, g} }
	tests := []struct {
		name             string
		spread, capacity locker.Grams
		least            locker.Grams
	}{
		{"nothing is known", 0, 0, 50}, {"a quiet scale", 4, 5_000, 50}, {"a noisy one", 30, 5_000, 150}, {"a big one", 4, 40_000, 200},
	}
	for _, tt := range tests {
		if got := Least(tt.spread, tt.capacity); got != tt.least {
			t.Errorf("%s: least %d, want %d", tt.name, got, tt.least)
		}
		if got := Decide(grant.Deposit, weighed(0), weighed(tt.least-1), tt.least); got != NothingStored {
			t.Errorf("%s: just below is %s", tt.name, got)
		}
		if got := Decide(grant.Deposit, weighed(0), weighed(tt.least), tt.least); got != Stored {
			t.Errorf("%s: the least change is %s", tt.name, got)
		}
	}
	if got := Decide(grant.Deposit, weighed(0), weighed(49), 3); got != NothingStored {
		t.Errorf("a least change below the threshold is taken as told: %s", got)
	}
}

func chain(n int) []Link {
	at := time.UnixMilli(1_760_000_000_000)
	holders := []string{"shop", "bank b1/3", "recipient", "shelf", "x"}
	var links []Link
	var prev Link
	for i := range n {
		l := Link{
			Parcel: "pcl-1", Step: StepStored, Giver: holders[i], Taker: holders[i+1],
			Compartment: locker.CompartmentID{Bank: "b1", No: 3}, At: at.Add(time.Duration(i) * time.Minute), Evidence: "1200 g",
		}.Sealed(prev)
		links, prev = append(links, l), l
	}
	return links
}

func TestVerifyAcceptsAWholeChain(t *testing.T) {
	t.Parallel()
	if err := Verify(chain(4)); err != nil {
		t.Error(err)
	}
}

func TestAnyChangeOfAChainIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := chain(4)
		i := rapid.IntRange(0, 3).Draw(t, "link")
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			c[i].Evidence += "x"
		case 1:
			c[i].At = c[i].At.Add(time.Millisecond)
		case 2:
			c[i].Taker = "thief"
		case 3:
			if i == 3 {
				return // a chain cut at its end is a shorter valid chain
			}
			c = append(c[:i], c[i+1:]...)
		case 4:
			c[i].Compartment.No++
		case 5:
			c[i].Giver = "thief"
		}
		if Verify(c) == nil {
			t.Fatal("a changed chain was accepted")
		}
	})
}
