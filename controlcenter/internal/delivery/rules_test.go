package delivery

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lockerfleet/locker"
	"lockerfleet/locker/custody"
	"lockerfleet/locker/grant"
)

var contents = []locker.Content{locker.Empty, locker.Present, locker.ContentUnknown}

func empty() custody.Reading   { return custody.Reading{Content: locker.Empty} }
func present() custody.Reading { return custody.Reading{Content: locker.Present} }
func unknown() custody.Reading { return custody.Reading{Content: locker.ContentUnknown} }

func TestClosings(t *testing.T) {
	t.Parallel()
	dep, col := grant.Deposit, grant.Collect
	for _, c := range []struct {
		name    string
		state   State
		own     bool
		purpose grant.Purpose
		before  custody.Reading
		after   custody.Reading
		to      State
		reason  string
		step    custody.Step
	}{
		{"goods went in", Depositing, true, dep, empty(), present(), Stored, "", custody.StepStored},
		{"goods went in, opening not heard of", Reserved, true, dep, empty(), present(), Stored, "", custody.StepStored},
		{"nothing put in", Depositing, true, dep, empty(), empty(), Reserved, "", ""},
		{"deposit unclear", Depositing, true, dep, unknown(), present(), Doubtful, DoubtDeposit, ""},
		{"deposit into something", Depositing, true, dep, present(), present(), Doubtful, DoubtDeposit, ""},
		{"deposit after the end", Expired, true, dep, empty(), present(), Doubtful, DoubtLate, custody.StepStored},
		{"looked in after the end", Cancelled, true, dep, empty(), empty(), "", "", ""},
		{"goods taken", Collecting, true, col, present(), empty(), Collected, "", custody.StepCollected},
		{"goods taken while overdue", Overdue, true, col, present(), empty(), Collected, "", custody.StepCollected},
		{"goods taken in doubt", Doubtful, true, col, present(), empty(), Collected, "", custody.StepCollected},
		{"only looked", Collecting, true, col, present(), present(), Stored, "", ""},
		{"collection unclear", Collecting, true, col, present(), unknown(), Doubtful, DoubtCollect, ""},
		{"operator looked", Stored, false, "", present(), present(), "", "", ""},
		{"operator took it", Stored, false, "", present(), empty(), Doubtful, DoubtDisturbed, custody.StepDisturbed},
		{"courier's old code took it", Stored, true, dep, present(), empty(), Doubtful, DoubtDisturbed, custody.StepDisturbed},
		{"operator opened an empty door", Reserved, false, "", empty(), empty(), "", "", ""},
		{"operator put something in", Reserved, false, "", empty(), present(), Doubtful, DoubtForeign, ""},
		{"more doubt changes nothing", Doubtful, false, "", present(), empty(), "", "", ""},
		{"the end is the end", Collected, true, col, present(), empty(), "", "", ""},
	} {
		p := Parcel{State: c.state, Collect: "g-2"}
		m := closed(p, closing{own: c.own, purpose: c.purpose, before: c.before, after: c.after})
		if m.to != c.to || m.reason != c.reason || m.step != c.step {
			t.Errorf("%s: got %+v, want %s %s %s", c.name, m, c.to, c.reason, c.step)
		}
	}
}

func drawParcel(t *rapid.T) Parcel {
	p := Parcel{ID: "prc-1", State: rapid.SampledFrom(States()).Draw(t, "state")}
	if p.State.hasGoods() || rapid.Bool().Draw(t, "has collect grant") {
		p.Collect = "g-2"
	}
	if rapid.Bool().Draw(t, "late") {
		p.Late = time.Unix(1, 0)
	}
	return p
}

func drawReading(t *rapid.T, name string) custody.Reading {
	r := custody.Reading{Content: rapid.SampledFrom(contents).Draw(t, name)}
	if rapid.Bool().Draw(t, name+" scale") {
		r.HasGrams, r.Grams = true, locker.Grams(rapid.IntRange(-100, 2000).Draw(t, name+" g"))
	}
	return r
}

// Whatever the sensors say, a parcel makes legal moves only, goods are believed in or out only on
// evidence, and whoever has no right to the door never moves it forward.
func TestOnlyLegalMovesFollowFromWhatIsSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawParcel(t)
		c := closing{
			own: rapid.Bool().Draw(t, "own"), purpose: rapid.SampledFrom([]grant.Purpose{"", grant.Deposit, grant.Collect, grant.Recall}).Draw(t, "purpose"),
			before: drawReading(t, "before"), after: drawReading(t, "after"),
		}
		for name, m := range map[string]move{
			"closed": closed(p, c), "opened": opened(p, c.purpose), "changed": changed(p, c.after.Content),
		} {
			if m.to != "" && !Legal(p.State, m.to) {
				t.Fatalf("%s: %s to %s is not legal", name, p.State, m.to)
			}
			if m.to == Doubtful && m.reason == "" {
				t.Fatalf("%s: doubt without a reason", name)
			}
		}
		m := closed(p, c)
		if m.to == Collected && (!c.own || c.after.Content == locker.Present) {
			t.Fatalf("collected by %+v", c)
		}
		if m.to == Stored && m.step == custody.StepStored && (!c.own || c.purpose != grant.Deposit || custody.Decide(grant.Deposit, c.before, c.after, 0) != custody.Stored) {
			t.Fatalf("stored by %+v", c)
		}
		if m.step == custody.StepStored && p.State.hasGoods() {
			t.Fatalf("stored twice from %s", p.State)
		}
	})
}

func TestEveryStateButTheEndsLeadsOn(t *testing.T) {
	t.Parallel()
	for _, s := range States() {
		for _, next := range successors(s) {
			if !slices.Contains(States(), next) {
				t.Errorf("%s leads to %s, which is no state", s, next)
			}
			p := Parcel{State: s}
			if err := p.to(next, ""); err != nil {
				t.Errorf("%s to %s: %v", s, next, err)
			}
			over := Parcel{State: s, Ended: time.Unix(1, 0)}
			if err := over.to(next, ""); err == nil {
				t.Errorf("a parcel that gave its door back went from %s to %s", s, next)
			}
		}
		if len(successors(s)) == 0 && s != Collected {
			t.Errorf("%s leads nowhere", s)
		}
		p := Parcel{State: s}
		for _, next := range States() {
			if got := p; !Legal(s, next) && got.to(next, "") == nil {
				t.Errorf("%s went to %s", s, next)
			}
		}
	}
}

func TestSpreadKeepsBestFit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		best := rapid.IntRange(0, 10).Draw(t, "best")
		rest := rapid.IntRange(0, 5).Draw(t, "rest")
		var all []Candidate
		for i := range best + rest {
			c := Candidate{Bank: "b-1", No: i + 1, Size: locker.SizeS}
			if i >= best {
				c.Size = locker.SizeL
			}
			all = append(all, c)
		}
		got := spread(all, rapid.Uint64().Draw(t, "seed"))
		if len(got) != len(all) {
			t.Fatalf("%d candidates of %d", len(got), len(all))
		}
		if best > 0 {
			for i := range best {
				if got[i].Size != locker.SizeS {
					t.Fatalf("a larger door was put before a fitting one: %+v", got)
				}
			}
		}
		slices.SortFunc(got, func(a, b Candidate) int { return a.No - b.No })
		if diff := cmp.Diff(all, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func good() Statement {
	return Statement{
		Ref: "r-1", Place: Place{Bank: "b-1"}, Goods: Goods{Size: locker.SizeM},
		Recipient: Contact{Name: "R", Email: "r@example.org"},
	}
}

func at(n int32) *int32 { return &n }

func TestStatementsThatCannotBeMet(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	for want, spoil := range map[string]func(*Statement){
		"":                          func(*Statement) {},
		"place_missing":             func(s *Statement) { s.Place = Place{} },
		"place_ambiguous":           func(s *Statement) { s.Place.Site = "s-1" },
		"place_invalid":             func(s *Statement) { s.Place = Place{Bank: "B 1"} },
		"size_missing":              func(s *Statement) { s.Goods.Size = "" },
		"size_invalid":              func(s *Statement) { s.Goods.Size = "xxl" },
		"class_invalid":             func(s *Statement) { s.Goods.Class = "warm" },
		"weight_invalid":            func(s *Statement) { s.Goods.Grams = -1 },
		"reach_invalid":             func(s *Statement) { s.Goods.ReachMM = MaxReachMM + 1 },
		"recipient_contact_missing": func(s *Statement) { s.Recipient = Contact{Name: "R", Phone: "+49 30 0000000"} },
		"email_invalid":             func(s *Statement) { s.Recipient.Email = "nobody" },
		"phone_invalid":             func(s *Statement) { s.Courier.Phone = "call me" },
		"contact_too_long":          func(s *Statement) { s.Courier.Name = strings.Repeat("x", MaxText+1) },
		"contact_invalid":           func(s *Statement) { s.Recipient.Name = "R\r\nBcc: all@example.org" },
		"keep_invalid":              func(s *Statement) { s.KeepHours = MaxKeepHours + 1 },
		"window_past":               func(s *Statement) { s.Arrives = now.Add(-2 * time.Hour) },
		"window_far":                func(s *Statement) { s.Arrives = now.Add(8 * 24 * time.Hour) },
	} {
		s := good()
		spoil(&s)
		got := ""
		if f := s.normal().check(now); f != nil {
			got = f.Code
			if f.Detail == "" || f.Field == "" {
				t.Errorf("%s: %+v lacks a sentence or a field", want, f)
			}
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for name, p := range map[string]Place{
		"one coordinate": {LatE6: at(1)}, "no such latitude": {LatE6: at(90_000_001), LonE6: at(0)},
	} {
		if f := p.check(); f == nil || f.Code != "place_invalid" {
			t.Errorf("%s: got %v, want place_invalid", name, f)
		}
	}
}

func TestTheSameContentHasTheSameHash(t *testing.T) {
	t.Parallel()
	hash := func(s Statement) string {
		_, h, err := s.normal().content()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	spelled := good()
	spelled.Goods.Size, spelled.Goods.Class, spelled.KeepHours = "M", locker.Ambient, KeepHours
	if hash(good()) != hash(spelled) {
		t.Error("defaults written down change the hash")
	}
	other := good()
	other.Goods.Size = locker.SizeL
	if hash(good()) == hash(other) {
		t.Error("another size has the same hash")
	}
}

func TestChainsFollow(t *testing.T) {
	t.Parallel()
	p := Parcel{ID: "prc-1", Partner: "acme", Door: locker.CompartmentID{Bank: "b-1", No: 1}}
	now := time.Unix(1000, 0)
	var chain []custody.Link
	var prev custody.Link
	for i, s := range []struct {
		step  custody.Step
		taker string
	}{
		{custody.StepAnnounced, courierName}, {custody.StepStored, bankName("b-1")},
		{custody.StepDisturbed, unknownName}, {custody.StepStored, bankName("b-1")}, {custody.StepCollected, recipientName},
	} {
		prev = follow(prev, p, s.step, s.taker, happened{evidence: "seen", at: now.Add(time.Duration(-i) * time.Second)}) // a board's clock may be behind
		chain = append(chain, prev)
	}
	if err := custody.Verify(chain); err != nil {
		t.Error(err)
	}
	if chain[0].Giver != "partner/acme" || chain[4].Taker != "recipient" {
		t.Errorf("chain from %s to %s", chain[0].Giver, chain[4].Taker)
	}
}

func FuzzStatement(f *testing.F) {
	f.Add("r-1", "b-1", "m", "R", "r@example.org", "+49 30 1234", int64(0), 72)
	f.Add("", "B", "xxl", "R\r\nBcc: x", "nobody", "call me", int64(-1), -1)
	f.Fuzz(func(t *testing.T, ref, bank, size, name, email, phone string, arrives int64, keep int) {
		s := Statement{
			Ref: ref, Place: Place{Bank: locker.BankID(bank)}, Goods: Goods{Size: locker.Size(size)},
			Recipient: Contact{Name: name, Email: email, Phone: phone}, Arrives: time.UnixMilli(arrives), KeepHours: keep,
		}.normal()
		if checkRef(ref) != nil || s.check(time.UnixMilli(0)) != nil {
			return
		}
		for _, text := range []string{ref, bank, s.Recipient.Name, s.Recipient.Email, s.Recipient.Phone} {
			if strings.ContainsAny(text, "\r\n\x00") || len(text) > MaxText {
				t.Errorf("accepted %q", text)
			}
		}
		body, hash, err := s.content()
		if err != nil || len(hash) != 64 || len(body) > 4096 {
			t.Errorf("content of %d bytes, hash %q, %v", len(body), hash, err)
		}
	})
}

func TestWeightAloneDecidesNothingBehindADoorNobodySawOpen(t *testing.T) {
	t.Parallel()
	weighed := func(g locker.Grams) custody.Reading {
		return custody.Reading{Content: locker.ContentUnknown, HasGrams: true, Grams: g}
	}
	c := closing{own: true, purpose: grant.Collect, before: weighed(1200), after: weighed(1100)}
	p := Parcel{State: Collecting, Collect: "grt-1"}
	if m := closed(p, c); m.to != Collected {
		t.Errorf("a door that was open: got %q, want %q", m.to, Collected)
	}
	c.unseen = true
	if m := closed(p, c); m.to != Doubtful {
		t.Errorf("a door nobody saw open: got %q, want %q", m.to, Doubtful)
	}
}
