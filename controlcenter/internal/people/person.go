package people

import (
	"context"
	"errors"

	"lockerfleet/internal/fault"
	"lockerfleet/locker"
)

// NewPerson is what makes a person.
type NewPerson struct {
	ID    locker.PersonID // empty: one is made
	Role  locker.Role     // admin, operator, viewer, courier
	Name  string
	Email string
	Sites []locker.SiteID // empty: every site
}

// PersonChange says what to change; nil fields stay.
type PersonChange struct {
	Role     *locker.Role     `json:"role,omitzero"`
	Name     *string          `json:"name,omitzero"`
	Email    *string          `json:"email,omitzero"`
	Sites    *[]locker.SiteID `json:"sites,omitzero"`
	Disabled *bool            `json:"disabled,omitzero"`
}

// CreatePerson adds a person. A taken id is the fault Conflict, id_taken.
func (s *Service) CreatePerson(ctx context.Context, by Actor, n NewPerson) (Person, error) {
	if err := Allow(by, ManagePeople, ""); err != nil {
		return Person{}, err
	}
	p := Person{ID: n.ID, Role: n.Role, Name: n.Name, Email: n.Email, Sites: n.Sites}
	if err := errors.Join(checkID("id", string(p.ID)), checkPerson(p)); err != nil {
		return Person{}, err
	}
	if p.ID == "" {
		p.ID = locker.PersonID(s.opts.IDs.New("per"))
	}
	e, err := s.entry(by, "people.create", "person/"+string(p.ID), map[string]any{"role": p.Role, "name": p.Name, "sites": p.Sites})
	if err != nil {
		return Person{}, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		p.Created = tx.Now()
		fresh, err := tx.InsertPerson(p)
		if err != nil {
			return err
		}
		if !fresh {
			return errIDTaken(string(p.ID))
		}
		return note(tx, e)
	})
	return p, err
}

// UpdatePerson changes a person. The last administrator stays one: Conflict, last_admin.
func (s *Service) UpdatePerson(ctx context.Context, by Actor, id locker.PersonID, c PersonChange) (p Person, err error) {
	if err := Allow(by, ManagePeople, ""); err != nil {
		return Person{}, err
	}
	e, err := s.entry(by, "people.update", "person/"+string(id), c)
	if err != nil {
		return Person{}, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		old, err := person(tx, id)
		if err != nil {
			return err
		}
		p = c.apply(old)
		if err := checkPerson(p); err != nil {
			return err
		}
		if err := keepAdmin(tx, old, p); err != nil {
			return err
		}
		if err := tx.UpdatePerson(p); err != nil {
			return err
		}
		if p.Disabled {
			if err := tx.DeleteSessionsOf(id); err != nil {
				return err
			}
		}
		return note(tx, e)
	})
	if err == nil {
		s.revoked(KindPerson, string(id))
	}
	return p, err
}

// Person answers one person.
func (s *Service) Person(ctx context.Context, by Actor, id locker.PersonID) (p Person, err error) {
	if by.Kind != KindPerson || by.ID != string(id) {
		if err := Allow(by, ReadPeople, ""); err != nil {
			return Person{}, err
		}
	}
	err = s.store.View(ctx, func(tx Tx) error {
		p, err = person(tx, id)
		return err
	})
	return p, err
}

// People lists persons by id; an empty role means every role.
func (s *Service) People(ctx context.Context, by Actor, role locker.Role, list List) (page []Person, next string, err error) {
	if err := Allow(by, ReadPeople, ""); err != nil {
		return nil, "", err
	}
	err = s.store.View(ctx, func(tx Tx) error {
		page, next, err = tx.People(role, list.Cursor, pageSize(list.Limit))
		return err
	})
	return page, next, err
}

func (c PersonChange) apply(p Person) Person {
	if c.Role != nil {
		p.Role = *c.Role
	}
	if c.Name != nil {
		p.Name = *c.Name
	}
	if c.Email != nil {
		p.Email = *c.Email
	}
	if c.Sites != nil {
		p.Sites = *c.Sites
	}
	if c.Disabled != nil {
		p.Disabled = *c.Disabled
	}
	return p
}

func checkPerson(p Person) error {
	return errors.Join(checkPersonRole(p.Role), checkName("name", p.Name), checkEmail("email", p.Email), checkSites(p.Sites))
}

func person(tx Tx, id locker.PersonID) (Person, error) {
	p, found, err := tx.Person(id)
	if err == nil && !found {
		err = errNoPerson(id)
	}
	return p, err
}

// fullAdmin reports whether p can administer everything.
func fullAdmin(p Person) bool {
	return p.Role == locker.RoleAdmin && !p.Disabled && len(p.Sites) == 0
}

// keepAdmin refuses a change that leaves nobody who can administer everything.
func keepAdmin(tx Tx, old, changed Person) error {
	if !fullAdmin(old) || fullAdmin(changed) {
		return nil
	}
	admins, err := everyAdmin(tx)
	if err != nil {
		return err
	}
	for _, a := range admins {
		if a.ID != old.ID && fullAdmin(a) {
			return nil
		}
	}
	return fault.Conflictf("last_admin", "%q is the last administrator of every site; make another one first.", old.Name)
}

// everyAdmin lists administrators, at most the first 1,000.
func everyAdmin(tx Tx) (all []Person, err error) {
	cursor := ""
	for len(all) < 1000 {
		page, next, err := tx.People(locker.RoleAdmin, cursor, MaxPage)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if cursor = next; cursor == "" {
			break
		}
	}
	return all, nil
}
