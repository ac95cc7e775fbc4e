package people

import (
	"context"
	"strings"

	"lockerfleet/internal/fault"
	"lockerfleet/locker"
)

// LoginLink makes a one-time link token for a person; the face puts it into an address.
// Administrators may ask for everybody's. Others may ask for their own with a credential of
// their full role, since the session has that role.
func (s *Service) LoginLink(ctx context.Context, by Actor, id locker.PersonID) (token string, err error) {
	own := by.Kind == KindPerson && by.ID == string(id)
	if !own {
		if err := Allow(by, ManagePeople, ""); err != nil {
			return "", err
		}
	}
	token = LinkPrefix + s.opts.IDs.Secret(secretBytes)
	e, err := s.entry(by, "people.login_link", "person/"+string(id), nil)
	if err != nil {
		return "", err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		p, err := person(tx, id)
		if err != nil {
			return err
		}
		if p.Disabled {
			return fault.Conflictf("person_disabled", "%q is disabled; enable them first.", p.Name)
		}
		if own && by.Role != p.Role {
			return fault.Forbiddenf("role_too_low", "This key acts as %q and cannot open a session of %q.", by.Role, p.Role)
		}
		if err := tx.InsertLoginLink(hashOf(token), id, tx.Now().Add(LinkLife)); err != nil {
			return err
		}
		return note(tx, e)
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// Login spends a link token and opens a session.
func (s *Service) Login(ctx context.Context, token string) (session string, a Actor, err error) {
	bad := fault.Unauthenticatedf("bad_login_link", "This login link was used already, is older than %d minutes or is not ours; ask for a new one.", int(LinkLife.Minutes()))
	if len(token) > maxSecret || !strings.HasPrefix(token, LinkPrefix) {
		return "", Actor{}, bad
	}
	session = SessionPrefix + s.opts.IDs.Secret(secretBytes)
	entryID := s.opts.IDs.New("aud")
	err = s.store.Update(ctx, func(tx Tx) error {
		id, found, err := tx.UseLoginLink(hashOf(token))
		if err != nil {
			return err
		}
		p, known, err := tx.Person(id)
		if err != nil {
			return err
		}
		if !found || !known || p.Disabled {
			return bad
		}
		a = personActor(p)
		p.LoggedIn = tx.Now()
		if err := tx.UpdatePerson(p); err != nil {
			return err
		}
		if err := tx.InsertSession(hashOf(session), id, tx.Now().Add(SessionLife)); err != nil {
			return err
		}
		return note(tx, Entry{ID: entryID, Actor: a.String(), Action: "people.login", Object: "person/" + a.ID, Detail: []byte("{}")})
	})
	if err != nil {
		return "", Actor{}, err
	}
	return session, a, nil
}

// Logout ends a session, at once in this process and within CacheLife in others.
func (s *Service) Logout(ctx context.Context, session string) error {
	if len(session) > maxSecret || !strings.HasPrefix(session, SessionPrefix) {
		return nil
	}
	err := s.store.Update(ctx, func(tx Tx) error { return tx.DeleteSession(hashOf(session)) })
	s.cache.clear()
	return err
}

// firstAdmin is the id of the administrator made at the first start.
const firstAdmin locker.PersonID = "admin"

// EnsureAdmin answers a login link token while no administrator has ever logged in, and makes
// the first administrator ("admin") when there is none. Otherwise token is empty.
func (s *Service) EnsureAdmin(ctx context.Context) (token string, created bool, err error) {
	token = LinkPrefix + s.opts.IDs.Secret(secretBytes)
	e, err := s.entry(System(), "people.first_admin", "person/"+string(firstAdmin), nil)
	if err != nil {
		return "", false, err
	}
	var needed bool
	err = s.store.Update(ctx, func(tx Tx) error {
		id, made, err := waitingAdmin(tx)
		created, needed = made, id != ""
		if err != nil || !needed {
			return err
		}
		if err := tx.InsertLoginLink(hashOf(token), id, tx.Now().Add(LinkLife)); err != nil {
			return err
		}
		return note(tx, e)
	})
	if err != nil || !needed {
		return "", false, err
	}
	return token, created, nil
}

// waitingAdmin answers the administrator who has never logged in, made if there is none at
// all, or no id when one has.
func waitingAdmin(tx Tx) (id locker.PersonID, made bool, err error) {
	admins, err := everyAdmin(tx)
	if err != nil {
		return "", false, err
	}
	for _, a := range admins {
		if !fullAdmin(a) {
			continue
		}
		if !a.LoggedIn.IsZero() {
			return "", false, nil
		}
		if id == "" {
			id = a.ID
		}
	}
	if id != "" {
		return id, false, nil
	}
	made, err = tx.InsertPerson(Person{ID: firstAdmin, Role: locker.RoleAdmin, Name: "Administrator", Created: tx.Now()})
	if err == nil && !made {
		err = fault.Conflictf("admin_id_taken", "There is no administrator of every site, and the id %q is taken by another.", firstAdmin)
	}
	return firstAdmin, made, err
}
