package access_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/access"
	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

func TestARightCodeMakesOneCommand(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		g := b.issue(t, 2, grant.Deposit, time.Hour)
		b.facts(t)
		a := b.try(t, "k1", 2, b.Code(g.ID, 0))
		if !a.OK() || a.Grant != g.ID || a.Command == "" {
			t.Fatalf("got %+v, want ok with grant and command", a)
		}
		if again := b.try(t, "k1", 2, b.Code(g.ID, 0)); again != a {
			t.Errorf("the same key is answered %+v, want as at first %+v", again, a)
		}
		facts := b.facts(t)
		if diff := cmp.Diff([]event.Kind{event.KindCommandRequested, event.KindAccessTried}, kinds(facts)); diff != "" {
			t.Fatalf("facts (-want +got):\n%s", diff)
		}
		want := event.CommandRequested{
			About:   event.About{Site: "s-1", Bank: "b-1", No: 2, Cause: string(g.ID), At: b.clock()},
			Command: a.Command, Op: event.Unlock, Boot: "0123456789abcdef", Ep: 4, DL: access.CommandTTL.Milliseconds(),
			Grant: g.ID, Purpose: grant.Deposit, Content: locker.Empty,
		}
		if diff := cmp.Diff(event.Fact(want), facts[0]); diff != "" {
			t.Errorf("command (-want +got):\n%s", diff)
		}
		if n := b.count(t, `SELECT COUNT(*) FROM commands`); n != 1 {
			t.Errorf("%d commands, want 1", n)
		}
		_, err := b.Attempt(t.Context(), access.Try{Key: "k1", Bank: "b-1", No: 3, Code: "1"})
		if fault.CodeOf(err) != "key_reused" {
			t.Errorf("the key at another door: %v, want key_reused", err)
		}
	})
}

func TestRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		spent, revoked := b.issue(t, 1, grant.Deposit, time.Hour), b.issue(t, 1, grant.Collect, time.Hour)
		short, live := b.issue(t, 2, grant.Collect, time.Minute), b.issue(t, 3, grant.Collect, time.Hour)
		b.end(t, spent.ID, access.EndSpent)
		if err := b.Revoke(t.Context(), revoked.ID); err != nil {
			t.Fatal(err)
		}
		b.pass(2 * time.Minute)
		for i, c := range []struct {
			no   int
			code string
			want grant.Reason
		}{
			{1, b.Code(spent.ID, 0), grant.Spent},
			{1, b.Code(revoked.ID, 0), grant.Revoked},
			{1, "nonsense", grant.NothingHere},
			{2, b.Code(short.ID, 0), grant.Expired},
			{3, b.wrong(live), grant.WrongCode},
			{4, b.Code(live.ID, 0), grant.NothingHere},
		} {
			if a := b.try(t, fmt.Sprint("k", i), c.no, c.code); a.Reason != c.want || a.Command != "" {
				t.Errorf("door %d: got %+v, want %s and no command", c.no, a, c.want)
			}
		}
	})
}

func (b *bench) end(t *testing.T, id locker.GrantID, reason string) {
	t.Helper()
	err := b.db.Update(t.Context(), func(tx *store.Tx) error { _, _, err := tx.EndGrant(id, reason); return err })
	if err != nil {
		t.Fatal(err)
	}
}

func TestGuessingIsSlowedAndKillsTheCode(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		g := b.issue(t, 1, grant.Collect, 100*time.Hour)
		b.facts(t)
		for i := range grant.FreeFailures {
			if a := b.try(t, fmt.Sprint("free", i), 1, b.wrong(g)); a.Reason != grant.WrongCode || a.RetryAfter != 0 {
				t.Fatalf("wrong try %d: %+v", i+1, a)
			}
		}
		if a := b.try(t, "fourth", 1, b.wrong(g)); a.RetryAfter != 2*time.Second {
			t.Fatalf("the fourth wrong try waits %s, want 2 s", a.RetryAfter)
		}
		if a := b.try(t, "early", 1, b.Code(g.ID, 0)); a.Reason != grant.Throttled {
			t.Fatalf("the right code within the wait: %s, want throttled", a.Reason)
		}
		b.pass(2 * time.Second)
		b.try(t, "fifth", 1, b.wrong(g))
		b.pass(time.Hour)
		if a := b.try(t, "dead", 1, b.Code(g.ID, 0)); a.Reason != grant.CodeDead {
			t.Errorf("the right code after five wrong ones: %s, want code_dead", a.Reason)
		}
		var ended []event.GrantEnded
		for _, f := range b.facts(t) {
			if e, ok := f.(event.GrantEnded); ok {
				ended = append(ended, e)
			}
		}
		if len(ended) != 1 || ended[0].Reason != access.EndCodeDead || ended[0].Rev != 2 || ended[0].Grant != g.ID {
			t.Errorf("ends told: %+v, want one, code_dead, rev 2", ended)
		}
	})
}

func TestAnUnreachableBankCountsWrongCodesAndOpensNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		g := b.issue(t, 1, grant.Collect, time.Hour)
		b.off = fault.Unavailablef("bank_offline", "The bank cannot be reached.")
		b.try(t, "w", 1, b.wrong(g))
		if n := b.count(t, `SELECT failures FROM grants WHERE id = $1`, string(g.ID)); n != 1 {
			t.Errorf("%d failures counted, want 1", n)
		}
		if a := b.try(t, "r", 1, b.Code(g.ID, 0)); a.Reason != access.BankOffline || a.Command != "" {
			t.Errorf("right code: %+v, want bank_offline", a)
		}
		b.off = fault.Exhaustedf("fuse", "Too many doors were opened.")
		if a := b.try(t, "f", 1, b.Code(g.ID, 0)); a.Reason != access.Crowded || a.Command != "" {
			t.Errorf("right code while the fuse is blown: %+v, want fuse", a)
		}
		if n := b.count(t, `SELECT COUNT(*) FROM commands`); n != 0 {
			t.Errorf("%d commands for a bank that cannot be reached", n)
		}
	})
}

func TestManyCallersMakeOneCommand(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		g := b.issue(t, 1, grant.Collect, time.Hour)
		const callers = 32
		answers := make([]access.Answer, callers)
		errs := make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				answers[i], errs[i] = b.Attempt(t.Context(), access.Try{
					Key: fmt.Sprint("k", i%8), Bank: "b-1", No: 1, Code: b.Code(g.ID, 0), Caller: fmt.Sprint(i),
				})
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		byKey := map[int]access.Answer{}
		opened := 0
		for i, a := range answers {
			if was, ok := byKey[i%8]; ok && was != a {
				t.Errorf("key %d is answered %+v and %+v", i%8, was, a)
			} else if !ok && a.OK() {
				opened++
			}
			byKey[i%8] = a
			if !a.OK() && a.Reason != access.Busy {
				t.Errorf("caller %d: %s, want ok or busy", i, a.Reason)
			}
		}
		if n := b.count(t, `SELECT COUNT(*) FROM commands`); n != 1 || opened != 1 {
			t.Errorf("%d commands and %d keys told ok, want 1 and 1", n, opened)
		}
	})
}

func TestWhatNobodyCanDecideIsAFault(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		for want, try := range map[string]access.Try{
			"bank_unknown":        {Bank: "b-9", No: 1, Code: "1"},
			"compartment_invalid": {Bank: "b-1", No: 0, Code: "1"},
			"code_invalid":        {Bank: "b-1", No: 1},
			"key_invalid":         {Bank: "b-1", No: 1, Code: "1", Key: string(make([]byte, access.MaxKeyLen+1))},
		} {
			if _, err := b.Attempt(t.Context(), try); fault.CodeOf(err) != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		var err error
		for range 100 {
			if _, err = b.Attempt(t.Context(), access.Try{Bank: "b-1", No: 1, Code: "1", Caller: "greedy"}); err != nil {
				break
			}
		}
		f, _ := fault.As(err)
		if f == nil || f.Code != "too_many_requests" || f.RetryAfter <= 0 {
			t.Errorf("a greedy caller gets %v, want too_many_requests with a wait", err)
		}
	})
}

func TestTriesAtThePanelCountOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		g := b.issue(t, 1, grant.Collect, 100*time.Hour)
		tried := func(id string, r grant.Reason) event.Record {
			f := event.AccessTried{
				About: event.About{Site: "s-1", Bank: "b-1", No: 1, At: b.clock()}, Reason: r, Via: "panel",
			}
			if r == grant.WrongCode {
				f.Charged = []locker.GrantID{g.ID}
			}
			return event.Record{ID: id, Fact: f}
		}
		for i := range 4 {
			for range 2 { // every reaction may come twice
				if err := b.OnTried(t.Context(), tried(fmt.Sprint("e", i), grant.WrongCode)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := b.count(t, `SELECT failures FROM grants WHERE id = $1`, string(g.ID)); n != 4 {
			t.Errorf("%d failures after 4 tries told twice", n)
		}
		if a := b.try(t, "now", 1, b.Code(g.ID, 0)); a.Reason != grant.Throttled {
			t.Errorf("a terminal right after the panel's wrong tries: %s, want throttled", a.Reason)
		}
		if err := b.OnTried(t.Context(), tried("ok", grant.OK)); err != nil {
			t.Fatal(err)
		}
		open := event.Record{ID: "o1", Fact: event.DoorOpened{About: event.About{Bank: "b-1", No: 1}, Grant: g.ID}}
		for range 2 {
			if err := b.OnDoorOpened(t.Context(), open); err != nil {
				t.Fatal(err)
			}
		}
		if n := b.count(t, `SELECT openings FROM grants WHERE id = $1`, string(g.ID)); n != 1 {
			t.Errorf("%d openings counted, want 1", n)
		}
		if a := b.try(t, "after", 1, b.Code(g.ID, 0)); !a.OK() {
			t.Errorf("after a right code at the panel: %s, want ok", a.Reason)
		}
	})
}

func TestOpeningsThatMoveNothingEndTheCode(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		g := b.issue(t, 1, grant.Collect, time.Hour)
		b.facts(t)
		about := event.About{Bank: "b-1", No: 1, At: b.clock()}
		for i := range grant.MaxOpenings {
			if a := b.try(t, fmt.Sprint("k", i), 1, b.Code(g.ID, 0)); a.Reason == grant.TooMany {
				t.Fatalf("try %d: %s", i+1, a.Reason)
			}
			opened := event.Record{ID: fmt.Sprint("o", i), Fact: event.DoorOpened{About: about, Grant: g.ID}}
			closed := event.Record{ID: fmt.Sprint("c", i), Fact: event.DoorClosed{About: about, Grant: g.ID}}
			if err := errors.Join(b.OnDoorOpened(t.Context(), opened), b.OnDoorClosed(t.Context(), closed), b.OnDoorClosed(t.Context(), closed)); err != nil {
				t.Fatal(err)
			}
		}
		if a := b.try(t, "more", 1, b.Code(g.ID, 0)); a.Reason != grant.TooMany || a.Command != "" {
			t.Errorf("after %d openings: %+v, want too_many", grant.MaxOpenings, a)
		}
		var ended []event.GrantEnded
		for _, f := range b.facts(t) {
			if e, ok := f.(event.GrantEnded); ok {
				ended = append(ended, e)
			}
		}
		if len(ended) != 1 || ended[0].Reason != access.EndTooMany || ended[0].Grant != g.ID {
			t.Errorf("ends told: %+v, want one, too_many", ended)
		}
	})
}

func TestABankCannotChargeTheGrantsOfOthers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		g := b.issue(t, 1, grant.Collect, time.Hour)
		elsewhere := event.About{Site: "s-1", Bank: "b-2", No: 1, At: b.clock()}
		for i := range grant.MaxFailures + 1 {
			tried := event.AccessTried{About: elsewhere, Reason: grant.WrongCode, Via: "panel", Charged: []locker.GrantID{g.ID}}
			if err := b.OnTried(t.Context(), event.Record{ID: fmt.Sprint("t", i), Fact: tried}); err != nil {
				t.Fatal(err)
			}
			opened := event.DoorOpened{About: elsewhere, Grant: g.ID}
			closed := event.DoorClosed{About: elsewhere, Grant: g.ID}
			err := errors.Join(b.OnDoorOpened(t.Context(), event.Record{ID: fmt.Sprint("o", i), Fact: opened}),
				b.OnDoorClosed(t.Context(), event.Record{ID: fmt.Sprint("c", i), Fact: closed}))
			if err != nil {
				t.Fatal(err)
			}
		}
		if a := b.try(t, "own", 1, b.Code(g.ID, 0)); !a.OK() {
			t.Errorf("the right code after another bank's reports: %s, want ok", a.Reason)
		}
	})
}

func TestSweepEndsWhatIsOver(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.issue(t, 1, grant.Collect, time.Hour)
		b.issue(t, 2, grant.Collect, 2*time.Hour)
		next, err := b.Sweep(t.Context())
		if err != nil || !next.Equal(b.clock().Add(time.Hour)) {
			t.Fatalf("next sweep at %s (%v), want in an hour", next, err)
		}
		b.facts(t)
		b.pass(time.Hour)
		for range 2 {
			if _, err := b.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		facts := b.facts(t)
		if len(facts) != 1 || facts[0].(event.GrantEnded).Reason != access.EndExpired {
			t.Errorf("facts %+v, want one grant expired", facts)
		}
	})
}

// A bank asks from any revision and gets every one after it, once, in order, with the present
// state of each grant: a bank that applies them holds exactly the live grants.
func TestSinceLeavesNoGap(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		var ids []locker.GrantID
		for i := range 40 {
			ids = append(ids, b.issue(t, i%4+1, grant.Collect, time.Hour).ID)
			if i%5 == 0 {
				if _, err := b.RenewTicket(t.Context(), ids[i], i%10 == 0); err != nil {
					t.Fatal(err)
				}
			}
			if i%3 == 0 {
				if err := b.Revoke(t.Context(), ids[i/2]); err != nil {
					t.Fatal(err)
				}
			}
		}
		head := uint64(b.count(t, `SELECT grant_rev FROM banks WHERE id = 'b-1'`))
		live := map[locker.GrantID]bool{}
		for _, id := range ids {
			live[id] = b.count(t, `SELECT ended_ms FROM grants WHERE id = $1`, string(id)) == 0
		}
		for from := uint64(0); from <= head; from++ {
			rows, err := b.Since(t.Context(), "b-1", from)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) != int(head-from) {
				t.Fatalf("since %d: %d revisions, want %d", from, len(rows), head-from)
			}
			for i, r := range rows {
				if r.Rev != from+uint64(i)+1 {
					t.Fatalf("since %d: place %d holds revision %d", from, i, r.Rev)
				}
				if r.Ended == live[r.Grant.ID] {
					t.Fatalf("revision %d pushes grant %s ended=%t, live=%t", r.Rev, r.Grant.ID, r.Ended, live[r.Grant.ID])
				}
			}
		}
	})
}
