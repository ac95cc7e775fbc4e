package people_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
	"lockerfleet/internal/fault"
	"lockerfleet/internal/ident"
	"lockerfleet/locker"
)

// clock is a time that stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type room struct {
	*people.Service
	clock   *clock
	db      *store.DB
	revoked *[]string
}

// onEach runs a test with a room of its own on each engine.
func onEach(t *testing.T, test func(t *testing.T, r room)) {
	t.Parallel()
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		test(t, newRoom(db, c))
	}, storetest.Clock(c.Now))
}

// onOne runs a test whose subject is no SQL on SQLite alone.
func onOne(t *testing.T, test func(t *testing.T, r room)) {
	t.Parallel()
	c := newClock()
	test(t, newRoom(storetest.New(t, storetest.Clock(c.Now)), c))
}

func newRoom(db *store.DB, c *clock) room {
	var revoked []string
	s := people.New(db.People(), people.Options{
		Now: c.Now, IDs: ident.New(c.Now, rand.Reader), PlainLoopback: true,
		Revoked: func(kind, owner string) { revoked = append(revoked, kind+"/"+owner) },
	})
	return room{s, c, db, &revoked}
}

func (r room) person(t *testing.T, id locker.PersonID, role locker.Role, sites ...locker.SiteID) people.Actor {
	t.Helper()
	p, err := r.CreatePerson(t.Context(), people.System(), people.NewPerson{ID: id, Role: role, Name: string(id), Sites: sites})
	if err != nil {
		t.Fatalf("CreatePerson %s: %v", id, err)
	}
	return people.Actor{Kind: people.KindPerson, ID: string(p.ID), Role: p.Role, Sites: p.Sites, Name: p.Name}
}

func (r room) key(t *testing.T, by people.Actor, n people.NewKey) (people.Key, string) {
	t.Helper()
	n.Name = "test"
	k, secret, err := r.CreateKey(t.Context(), by, n)
	if err != nil {
		t.Fatalf("CreateKey for %s/%s: %v", n.OwnerKind, n.Owner, err)
	}
	return k, secret
}

func wantCode(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	if !errors.Is(err, kind) || fault.CodeOf(err) != code {
		t.Errorf("error %v (code %s), want %v %s", err, fault.CodeOf(err), kind, code)
	}
}

func TestKeySpeaksForItsOwner(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		ctx := t.Context()
		ann := r.person(t, "ann", locker.RoleOperator, "s1", "s2")
		k, secret := r.key(t, people.System(), people.NewKey{OwnerKind: people.KindPerson, Owner: "ann", Role: locker.RoleViewer})
		if !strings.HasPrefix(secret, people.KeyPrefix) || len(secret) < len(people.KeyPrefix)+26 {
			t.Fatalf("secret %q has too little to guess", secret)
		}
		want := ann
		want.Role = locker.RoleViewer
		for range 2 { // read, then remembered
			got, err := r.Authenticate(ctx, secret)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("actor (-want +got):\n%s", diff)
			}
		}
		if _, err := r.AuthenticateMQTT(ctx, "ann", secret); err != nil {
			t.Errorf("MQTT: %v", err)
		}
		_, err := r.AuthenticateMQTT(ctx, "bob", secret)
		wantCode(t, err, fault.Unauthenticated, "bad_credential")
		for _, bad := range []string{"", "lfk-", secret + "x", secret[:len(secret)-1], "lfs-" + secret[4:], strings.Repeat("lfk-", 50)} {
			_, err := r.Authenticate(ctx, bad)
			wantCode(t, err, fault.Unauthenticated, "bad_credential")
		}
		if err := r.RevokeKey(ctx, people.System(), k.ID); err != nil {
			t.Fatal(err)
		}
		_, err = r.Authenticate(ctx, secret)
		wantCode(t, err, fault.Unauthenticated, "bad_credential")
		if diff := cmp.Diff([]string{"person/ann"}, *r.revoked); diff != "" {
			t.Errorf("told as revoked (-want +got):\n%s", diff)
		}
	})
}

func TestSecretsAreNotInTheDatabase(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		r.person(t, "ann", locker.RoleAdmin)
		_, secret := r.key(t, people.System(), people.NewKey{OwnerKind: people.KindPerson, Owner: "ann"})
		_, hook, err := r.CreatePartner(t.Context(), people.System(), people.NewPartner{ID: "shop", Name: "Shop", Kind: people.Shop, WebhookURL: "https://shop.example/"})
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, err = r.Webhook(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		err = r.db.View(t.Context(), func(tx *store.Tx) error {
			text.Reset()
			rows, err := store.All(tx, store.Value[string],
				`SELECT hash || name FROM api_keys UNION ALL SELECT webhook_secret FROM partners UNION ALL SELECT detail FROM audit`)
			fmt.Fprint(&text, rows)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{secret, strings.TrimPrefix(hook, "whsec_")} {
			if strings.Contains(text.String(), s) {
				t.Errorf("the database holds the secret %s", s)
			}
		}
	})
}

func TestRevocationReachesOtherProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		other := newRoom(r.db, r.clock)
		r.person(t, "ann", locker.RoleOperator)
		k, secret := r.key(t, people.System(), people.NewKey{OwnerKind: people.KindPerson, Owner: "ann"})
		if _, err := other.Authenticate(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		if err := r.RevokeKey(t.Context(), people.System(), k.ID); err != nil {
			t.Fatal(err)
		}
		r.clock.pass(people.CacheLife)
		_, err := other.Authenticate(t.Context(), secret)
		wantCode(t, err, fault.Unauthenticated, "bad_credential")
	})
}

func TestKeyRoles(t *testing.T) {
	onOne(t, func(t *testing.T, r room) {
		ctx := t.Context()
		ann := r.person(t, "ann", locker.RoleOperator)
		bob := r.person(t, "bob", locker.RoleViewer)
		if _, _, err := r.CreatePartner(ctx, people.System(), people.NewPartner{ID: "shop", Name: "Shop", Kind: people.Shop}); err != nil {
			t.Fatal(err)
		}
		annAsViewer := ann
		annAsViewer.Role = locker.RoleViewer
		tests := []struct {
			name string
			by   people.Actor
			key  people.NewKey
			code string
		}{
			{"own", ann, people.NewKey{OwnerKind: "person", Owner: "ann", Role: locker.RoleViewer}, ""},
			{"own, too high", ann, people.NewKey{OwnerKind: "person", Owner: "ann", Role: locker.RoleAdmin}, "role_too_high"},
			{"own, above the key in use", annAsViewer, people.NewKey{OwnerKind: "person", Owner: "ann", Role: locker.RoleOperator}, "role_too_high"},
			{"another's", ann, people.NewKey{OwnerKind: "person", Owner: "bob"}, "role_forbids"},
			{"viewer's own", bob, people.NewKey{OwnerKind: "person", Owner: "bob"}, ""},
			{"partner", people.System(), people.NewKey{OwnerKind: "partner", Owner: "shop"}, ""},
			{"partner as admin", people.System(), people.NewKey{OwnerKind: "partner", Owner: "shop", Role: locker.RoleAdmin}, "role_too_high"},
			{"nobody's", people.System(), people.NewKey{OwnerKind: "person", Owner: "nobody"}, "person_not_found"},
			{"a bank's", people.System(), people.NewKey{OwnerKind: "bank", Owner: "b1"}, "bad_owner"},
		}
		for _, tt := range tests {
			tt.key.Name = tt.name
			_, _, err := r.CreateKey(ctx, tt.by, tt.key)
			if got := fault.CodeOf(err); got != tt.code {
				t.Errorf("%s: code %q (%v), want %q", tt.name, got, err, tt.code)
			}
		}
	})
}

func TestOwnerSinksAndIsDisabled(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		ctx := t.Context()
		r.person(t, "root", locker.RoleAdmin)
		r.person(t, "ann", locker.RoleOperator)
		_, secret := r.key(t, people.System(), people.NewKey{OwnerKind: people.KindPerson, Owner: "ann"})
		viewer, yes := locker.RoleViewer, true
		if _, err := r.UpdatePerson(ctx, people.System(), "ann", people.PersonChange{Role: &viewer}); err != nil {
			t.Fatal(err)
		}
		if a, err := r.Authenticate(ctx, secret); err != nil || a.Role != locker.RoleViewer {
			t.Errorf("after sinking: %q, %v, want viewer", a.Role, err)
		}
		if _, err := r.UpdatePerson(ctx, people.System(), "ann", people.PersonChange{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		_, err := r.Authenticate(ctx, secret)
		wantCode(t, err, fault.Unauthenticated, "bad_credential")
		_, err = r.UpdatePerson(ctx, people.System(), "root", people.PersonChange{Disabled: &yes})
		wantCode(t, err, fault.Conflict, "last_admin")
	})
}

func TestRenewKeyEndsTheLastOne(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		ctx := t.Context()
		r.person(t, "ann", locker.RoleAdmin)
		n := people.NewKey{OwnerKind: people.KindPerson, Owner: "ann", Name: "start"}
		_, first, err := r.RenewKey(ctx, people.System(), n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Authenticate(ctx, first); err != nil {
			t.Fatal(err)
		}
		_, second, err := r.RenewKey(ctx, people.System(), n)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Authenticate(ctx, first)
		wantCode(t, err, fault.Unauthenticated, "bad_credential")
		if _, err := r.Authenticate(ctx, second); err != nil {
			t.Error(err)
		}
		r.clock.pass(time.Minute)
		if _, err := r.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		keys, _, err := r.Keys(ctx, people.System(), "", "", people.List{})
		if err != nil || len(keys) != 2 || keys[0].Revoked.IsZero() || keys[1].Used.IsZero() {
			t.Errorf("keys %+v, %v, want one revoked and one used", keys, err)
		}
	})
}

func TestPartnerWebhook(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		ctx := t.Context()
		_, shown, err := r.CreatePartner(ctx, people.System(), people.NewPartner{ID: "shop", Name: "Shop", Kind: people.Shop})
		if err != nil || !strings.HasPrefix(shown, "whsec_") {
			t.Fatalf("CreatePartner: %q, %v", shown, err)
		}
		if _, _, ok, err := r.Webhook(ctx, "shop"); ok || err != nil {
			t.Errorf("webhook without an address: %v, %v", ok, err)
		}
		url, plain := "https://shop.example/hook", "http://shop.example/hook"
		if _, err := r.UpdatePartner(ctx, people.System(), "shop", people.PartnerChange{WebhookURL: &url}); err != nil {
			t.Fatal(err)
		}
		got, first, ok, err := r.Webhook(ctx, "shop")
		if err != nil || !ok || got != url || len(first) != 32 {
			t.Errorf("Webhook = %q, %d bytes, %v, %v", got, len(first), ok, err)
		}
		if _, err := r.RenewWebhookSecret(ctx, people.System(), "shop"); err != nil {
			t.Fatal(err)
		}
		if _, second, _, err := newRoom(r.db, r.clock).Webhook(ctx, "shop"); err != nil || bytes.Equal(first, second) {
			t.Errorf("the secret was not renewed, or %v", err)
		}
		_, err = r.UpdatePartner(ctx, people.System(), "shop", people.PartnerChange{WebhookURL: &plain})
		wantCode(t, err, fault.Invalid, "bad_webhook_url")
		_, _, err = r.CreatePartner(ctx, people.System(), people.NewPartner{ID: "shop", Name: "Shop", Kind: people.Shop})
		wantCode(t, err, fault.Conflict, "id_taken")
		_, err = r.CreatePerson(ctx, people.System(), people.NewPerson{ID: "shop", Role: locker.RoleViewer, Name: "Viola"})
		wantCode(t, err, fault.Conflict, "id_taken")
		_, _, err = r.CreatePartner(ctx, people.System(), people.NewPartner{ID: "lockerfleet-controlcenter", Name: "Shop", Kind: people.Shop})
		wantCode(t, err, fault.Conflict, "id_taken")
		shop := people.Actor{Kind: people.KindPartner, ID: "shop", Role: locker.RolePartner}
		if _, err := r.Partner(ctx, shop, "shop"); err != nil {
			t.Errorf("a partner reads itself: %v", err)
		}
		_, err = r.Partner(ctx, shop, "other")
		wantCode(t, err, fault.Forbidden, "role_forbids")
	})
}

func TestSecretsAreMadeOnce(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		var all sync.WaitGroup
		got := make([]people.Secrets, 6)
		for i := range got {
			all.Go(func() {
				s, err := newRoom(r.db, r.clock).LoadSecrets(context.WithoutCancel(t.Context()))
				if err != nil {
					t.Error(err)
				}
				got[i] = s
			})
		}
		all.Wait()
		for _, s := range got[1:] {
			if !bytes.Equal(s.Code, got[0].Code) || !bytes.Equal(s.Seal, got[0].Seal) || !s.Signing.Equal(got[0].Signing) {
				t.Fatal("two processes have different secrets")
			}
		}
		if len(got[0].Code) != 32 || bytes.Equal(got[0].Code, got[0].Seal) {
			t.Errorf("secrets of %d bytes, or all the same", len(got[0].Code))
		}
	})
}

func TestLists(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		ctx := t.Context()
		var want []string
		for i := range 7 {
			id := fmt.Sprintf("person-%d", i)
			role := []locker.Role{locker.RoleCourier, locker.RoleOperator}[i%2]
			r.person(t, locker.PersonID(id), role)
			if role == locker.RoleCourier {
				want = append(want, id)
			}
		}
		var got []string
		list := people.List{Limit: 3}
		for {
			page, next, err := r.People(ctx, people.System(), locker.RoleCourier, list)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page {
				got = append(got, string(p.ID))
			}
			if list.Cursor = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("couriers (-want +got):\n%s", diff)
		}
		_, _, err := r.People(ctx, people.System(), "", people.List{Cursor: "%%"})
		wantCode(t, err, fault.Invalid, "bad_cursor")

		first, next, err := r.AuditEntries(ctx, people.System(), "", people.List{Limit: 5})
		if err != nil || len(first) != 5 || next == "" || first[0].Object != "person/person-6" || first[0].Actor != "system/system" {
			t.Errorf("audit %+v, %q, %v, want the newest five", first, next, err)
		}
		rest, _, err := r.AuditEntries(ctx, people.System(), "", people.List{Limit: 5, Cursor: next})
		if err != nil || len(rest) != 2 {
			t.Errorf("rest of the audit: %d, %v, want 2", len(rest), err)
		}
		if err := r.Audit(ctx, people.System(), people.Command, "bank/b1/3", map[string]string{"op": "unlock"}); err != nil {
			t.Fatal(err)
		}
		one, _, err := r.AuditEntries(ctx, people.System(), "bank/b1/3", people.List{})
		if err != nil || len(one) != 1 || string(one[0].Detail) != `{"op":"unlock"}` || !one[0].At.Equal(r.clock.Now()) {
			t.Errorf("audit of one object: %+v, %v", one, err)
		}
		_, _, err = r.AuditEntries(ctx, people.Actor{Role: locker.RoleOperator}, "", people.List{})
		wantCode(t, err, fault.Forbidden, "role_forbids")
	})
}

func TestBadInput(t *testing.T) {
	onOne(t, func(t *testing.T, r room) {
		tests := []struct {
			name  string
			new   people.NewPerson
			field string
		}{
			{"no name", people.NewPerson{Role: locker.RoleViewer}, "name"},
			{"control", people.NewPerson{Role: locker.RoleViewer, Name: "a\x00b"}, "name"},
			{"not utf-8", people.NewPerson{Role: locker.RoleViewer, Name: "a\xff"}, "name"},
			{"long", people.NewPerson{Role: locker.RoleViewer, Name: strings.Repeat("a", 201)}, "name"},
			{"role", people.NewPerson{Role: "king", Name: "a"}, "role"},
			{"partner", people.NewPerson{Role: locker.RolePartner, Name: "a"}, "role"},
			{"id", people.NewPerson{ID: "A/#", Role: locker.RoleViewer, Name: "a"}, "id"},
			{"mail", people.NewPerson{Role: locker.RoleViewer, Name: "a", Email: "a@b\r\nbcc: x@y"}, "email"},
			{"site", people.NewPerson{Role: locker.RoleViewer, Name: "a", Sites: []locker.SiteID{"#"}}, "sites"},
		}
		for _, tt := range tests {
			_, err := r.CreatePerson(t.Context(), people.System(), tt.new)
			found := fault.All(err)
			if len(found) != 1 || found[0].Kind != fault.Invalid || found[0].Field != tt.field {
				t.Errorf("%s: %v, want one fault of field %s", tt.name, err, tt.field)
			}
		}
	})
}
