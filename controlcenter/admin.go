package controlcenter

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/internal/fault"
	"lockerfleet/internal/ident"
	"lockerfleet/locker"
)

// FirstAdminLink answers a one-time link while no administrator has ever logged in, and makes the
// first administrator when there is none. Otherwise it is empty.
func (c *Center) FirstAdminLink(ctx context.Context) (string, error) {
	token, _, err := c.people.EnsureAdmin(ctx)
	if err != nil || token == "" {
		return "", err
	}
	return c.o.PublicURL + loginPath + token, nil
}

// LoginLink makes a one-time link for a person from the record alone; an empty id means the first
// administrator.
func LoginLink(ctx context.Context, databaseURL, publicURL, person string, log *slog.Logger) (string, error) {
	db, err := store.Open(ctx, store.Options{URL: databaseURL, Logger: log})
	if err != nil {
		return "", err
	}
	defer db.Close()
	p := people.New(db.People(), people.Options{Now: time.Now, IDs: ident.New(time.Now, rand.Reader), Log: log})
	id := locker.PersonID(person)
	if id == "" {
		admin, err := firstAdmin(ctx, p)
		if err != nil {
			return "", err
		}
		id = admin.ID
	}
	token, err := p.LoginLink(ctx, people.System(), id)
	if err != nil {
		return "", err
	}
	return publicURL + loginPath + token, nil
}

// Migrate brings the record to the version of this program.
func Migrate(ctx context.Context, databaseURL string, log *slog.Logger) error {
	db, err := store.Open(ctx, store.Options{URL: databaseURL, Logger: log})
	if err != nil {
		return err
	}
	return db.Close()
}

// loginPath is where the web face takes one-time tokens.
const loginPath = "/login?token="

func firstAdmin(ctx context.Context, service *people.Service) (people.Person, error) {
	page, _, err := service.People(ctx, people.System(), locker.RoleAdmin, people.List{Limit: 10})
	if err != nil {
		return people.Person{}, err
	}
	for _, p := range page {
		if !p.Disabled {
			return p, nil
		}
	}
	return people.Person{}, fault.NotFoundf("no_admin", "There is no administrator yet.")
}

// ScriptKey makes an administrator's API key for scripts on this machine. The one made at the
// last start stops working.
func (c *Center) ScriptKey(ctx context.Context) (string, error) {
	if _, _, err := c.people.EnsureAdmin(ctx); err != nil {
		return "", err
	}
	admin, err := firstAdmin(ctx, c.people)
	if err != nil {
		return "", err
	}
	_, secret, err := c.people.RenewKey(ctx, people.System(), people.NewKey{
		OwnerKind: "person", Owner: string(admin.ID), Role: locker.RoleAdmin, Name: "ready file",
	})
	return secret, err
}

// Healthy reports whether the record answers. Redis may be away: the live state works without it.
func (c *Center) Healthy(ctx context.Context) error {
	if err := c.store.Ping(ctx); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// AuditHead is the newest entry of the audit's chain.
type AuditHead = people.AuditHead

// AuditCheck is what a walk along the audit's chain found.
type AuditCheck = people.AuditCheck

// VerifyAudit walks the audit's chain in the record itself. witness is a head that was noted
// elsewhere before; the zero head is none.
func VerifyAudit(ctx context.Context, databaseURL string, witness AuditHead, log *slog.Logger) (AuditCheck, error) {
	db, err := store.Open(ctx, store.Options{URL: databaseURL, Logger: log})
	if err != nil {
		return AuditCheck{}, err
	}
	defer db.Close()
	p := people.New(db.People(), people.Options{Now: time.Now, IDs: ident.New(time.Now, rand.Reader), Log: log})
	return p.VerifyAudit(ctx, people.System(), witness)
}
