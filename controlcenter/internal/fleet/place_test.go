package fleet_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
)

func code(t *testing.T, err error, want string) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Fatalf("error %v has code %q, want %q", err, got, want)
	}
}

func TestClaimIsGoodOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		claim := w.create(bank, "")
		got, err := w.Claim(w.ctx(), " "+strings.ToUpper(claim)+" ", "", "10.0.0.1", fleet.Board{})
		w.must(err)
		if got.Bank != bank || got.Site != site || len(got.Secret) < 51 {
			t.Fatalf("Claim = %+v, want the bank and a secret of 256 bits", got)
		}
		w.must(w.AuthenticateBank(w.ctx(), bank, got.Secret))
		for name, secret := range map[string]string{"wrong": got.Secret + "0", "empty": "", "code": claim} {
			t.Log(name)
			code(t, w.AuthenticateBank(w.ctx(), bank, secret), "bad_credential")
		}
		code(t, w.AuthenticateBank(w.ctx(), "nobody", got.Secret), "bad_credential")
		_, err = w.Claim(w.ctx(), claim, "", "10.0.0.1", fleet.Board{})
		code(t, err, "bad_claim")
		want := []event.Kind{event.KindBankCreated, event.KindBankClaimed}
		if diff := cmp.Diff(want, w.kinds()); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
	})
}

func TestClaimSaysThatItReplacesABoard(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		claim := w.create(bank, "")
		_, err := w.Claim(w.ctx(), claim, "", "10.0.0.1", fleet.Board{})
		w.must(err)
		again, _, err := w.NewClaim(w.ctx(), bank)
		w.must(err)
		_, err = w.Claim(w.ctx(), again, "", "10.0.0.1", fleet.Board{})
		w.must(err)
		var replaced []bool
		for _, f := range w.facts() {
			if c, is := f.(event.BankClaimed); is {
				replaced = append(replaced, c.Replaced)
			}
		}
		if diff := cmp.Diff([]bool{false, true}, replaced); diff != "" {
			t.Errorf("replaced (-want +got):\n%s", diff)
		}
	})
}

func TestUnclaimedBankHasNoSecret(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.create(bank, "")
	code(t, w.AuthenticateBank(w.ctx(), bank, ""), "bad_credential")
}

func TestClaimDiesOfAgeAndOfWrongTries(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		old := w.create(bank, "")
		w.clock.add(fleet.ClaimTTL)
		_, err := w.Claim(w.ctx(), old, "", "10.0.0.1", fleet.Board{})
		code(t, err, "bad_claim")

		fresh, _, err := w.NewClaim(w.ctx(), bank)
		w.must(err)
		wrong := fresh[:len(fresh)-26] + strings.Repeat("0", 26)
		for range fleet.MaxClaimFailures {
			_, err := w.Claim(w.ctx(), wrong, "", "10.0.0.1", fleet.Board{})
			code(t, err, "bad_claim")
		}
		_, err = w.Claim(w.ctx(), fresh, "", "10.0.0.2", fleet.Board{})
		code(t, err, "bad_claim")

		again, _, err := w.NewClaim(w.ctx(), bank)
		w.must(err)
		_, err = w.Claim(w.ctx(), again, "", "10.0.0.2", fleet.Board{})
		w.must(err)
	})
}

func TestWrongClaimsOfOneCallerAreBounded(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	good := w.create(bank, "")
	for range 20 {
		_, err := w.Claim(w.ctx(), "no code at all", "", "10.0.0.1", fleet.Board{})
		code(t, err, "bad_claim")
	}
	_, err := w.Claim(w.ctx(), good, "", "10.0.0.1", fleet.Board{})
	code(t, err, "too_many_tries")
	if _, err := w.Claim(w.ctx(), good, "", "10.0.0.2", fleet.Board{}); err != nil {
		t.Fatalf("another caller: %v", err)
	}
}

func TestRevokeEndsTheCredential(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		got, err := w.Claim(w.ctx(), w.create(bank, ""), "", "", fleet.Board{})
		w.must(err)
		w.birth(bank, boot1, 1)
		open, _, err := w.NewClaim(w.ctx(), bank)
		w.must(err)
		w.kinds()
		w.must(w.Revoke(w.ctx(), bank))
		w.must(w.Revoke(w.ctx(), bank))
		code(t, w.AuthenticateBank(w.ctx(), bank, got.Secret), "bad_credential")
		_, err = w.Claim(w.ctx(), open, "", "", fleet.Board{})
		code(t, err, "bad_claim")
		if diff := cmp.Diff([]event.Kind{event.KindBankOffline, event.KindBankRevoked}, w.kinds()); diff != "" {
			t.Errorf("facts of two revocations (-want +got):\n%s", diff)
		}
		if w.live.online(bank) {
			t.Error("a revoked bank is shown online")
		}
		code(t, w.Revoke(w.ctx(), "nobody"), "no_bank")
	})
}

func TestPlacesAreChecked(t *testing.T) {
	t.Parallel()
	w := inMemory(t)
	w.create(bank, "")
	for _, tt := range []struct {
		name string
		do   func() error
		want string
	}{
		{"site twice", func() error { _, err := w.CreateSite(w.ctx(), fleet.NewSite{ID: site, Name: "x"}); return err }, "site_exists"},
		{"site without a name", func() error { _, err := w.CreateSite(w.ctx(), fleet.NewSite{}); return err }, "bad_name"},
		{"site with a bad id", func() error { _, err := w.CreateSite(w.ctx(), fleet.NewSite{ID: "A/B", Name: "x"}); return err }, "bad_id"},
		{"site off the earth", func() error {
			_, err := w.CreateSite(w.ctx(), fleet.NewSite{Name: "x", Position: &fleet.Position{LonE6: 180_000_001}})
			return err
		}, "bad_position"},
		{"bank twice", func() error { _, _, err := w.CreateBank(w.ctx(), fleet.NewBank{ID: bank, Site: site}); return err }, "bank_exists"},
		{"bank nowhere", func() error { _, _, err := w.CreateBank(w.ctx(), fleet.NewBank{Site: "nowhere"}); return err }, "no_site"},
		{"bank with a bad id", func() error { _, _, err := w.CreateBank(w.ctx(), fleet.NewBank{ID: "b/1", Site: site}); return err }, "bad_id"},
		{"bank of too many doors", func() error {
			_, _, err := w.CreateBank(w.ctx(), fleet.NewBank{Site: site, Doors: make([]fleet.Door, locker.MaxCompartments+1)})
			return err
		}, "bad_layout"},
		{"bank of impossible doors", func() error {
			_, _, err := w.CreateBank(w.ctx(), fleet.NewBank{Site: site, Doors: []fleet.Door{{Size: "huge"}}})
			return err
		}, "bad_layout"},
		{"no such bank", func() error { _, err := w.Bank(w.ctx(), "nobody"); return err }, "no_bank"},
		{"no such door", func() error {
			_, err := w.SetService(w.ctx(), locker.CompartmentID{Bank: bank, No: 99}, locker.Cleaning, "")
			return err
		}, "no_compartment"},
	} {
		t.Run(tt.name, func(t *testing.T) { code(t, tt.do(), tt.want) })
	}
}

func TestListsPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, id := range []locker.BankID{"b3", "b1", "b2"} {
			w.create(id, "S:2")
		}
		w.birth("b2", boot1, 1)
		var got []locker.BankID
		cursor := ""
		for {
			rows, next, err := w.Banks(w.ctx(), fleet.BankFilter{Site: site}, fleet.Page{Cursor: cursor, Limit: 2})
			w.must(err)
			for _, b := range rows {
				got = append(got, b.ID)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if diff := cmp.Diff([]locker.BankID{"b1", "b2", "b3"}, got); diff != "" {
			t.Errorf("banks (-want +got):\n%s", diff)
		}
		yes := true
		online, _, err := w.Banks(w.ctx(), fleet.BankFilter{Online: &yes}, fleet.Page{})
		w.must(err)
		if len(online) != 1 || online[0].ID != "b2" {
			t.Errorf("online banks = %+v, want b2", online)
		}
		_, _, err = w.Banks(w.ctx(), fleet.BankFilter{}, fleet.Page{Cursor: "made up"})
		code(t, err, "bad_cursor")
		sites, _, err := w.Sites(w.ctx(), fleet.Page{})
		w.must(err)
		if len(sites) != 1 || sites[0].Position == nil || sites[0].Position.LatE6 != 52_520_000 {
			t.Errorf("sites = %+v", sites)
		}
	})
}

func TestSetService(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ready(bank, 2)
		w.kinds()
		id := locker.CompartmentID{Bank: bank, No: 1}
		c, err := w.SetService(w.ctx(), id, locker.OutOfService, "hinge broken")
		w.must(err)
		if c.Service != locker.OutOfService || c.Reason != "hinge broken" {
			t.Fatalf("SetService = %+v", c)
		}
		w.must(w.Snapshot(w.ctx(), bank, w.calm(2, 2, 0)))
		if got := w.door(1); got.Service != locker.OutOfService {
			t.Fatalf("a snapshot returned what a person took out: %+v", got)
		}
		_, err = w.SetService(w.ctx(), id, locker.InService, "")
		w.must(err)
		_, err = w.SetService(w.ctx(), id, "resting", "")
		code(t, err, "bad_service")
		want := []event.Kind{event.KindServiceChanged, event.KindServiceChanged}
		if diff := cmp.Diff(want, w.kinds()); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
	})
}
