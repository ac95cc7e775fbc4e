package web

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"lockerfleet/controlcenter/internal/people"
	"lockerfleet/locker"
)

func siteID(s string) locker.SiteID { return locker.SiteID(s) }

// Person is an administrator, operator, viewer or courier.
type Person struct {
	ID       locker.PersonID `json:"id"`
	Role     locker.Role     `json:"role" enum:"admin,operator,viewer,courier"`
	Name     string          `json:"name"`
	Email    string          `json:"email,omitzero"`
	Sites    []locker.SiteID `json:"sites,omitzero" doc:"Missing: every site"`
	Disabled bool            `json:"disabled,omitzero"`
	Created  time.Time       `json:"created"`
	LoggedIn time.Time       `json:"logged_in,omitzero"`
}

// NewPerson is what makes a person.
type NewPerson struct {
	ID    locker.PersonID `json:"id,omitzero" maxLength:"48"`
	Role  locker.Role     `json:"role" enum:"admin,operator,viewer,courier"`
	Name  string          `json:"name" minLength:"1" maxLength:"200"`
	Email string          `json:"email,omitzero" maxLength:"200"`
	Sites []locker.SiteID `json:"sites,omitzero" maxItems:"200" nullable:"false"`
}

// PersonChange says what to change; what is missing stays.
type PersonChange struct {
	Role     *locker.Role     `json:"role,omitzero" enum:"admin,operator,viewer,courier"`
	Name     *string          `json:"name,omitzero" minLength:"1" maxLength:"200"`
	Email    *string          `json:"email,omitzero" maxLength:"200"`
	Sites    *[]locker.SiteID `json:"sites,omitzero" maxItems:"200"`
	Disabled *bool            `json:"disabled,omitzero"`
}

// LoginLink is an address that signs in once.
type LoginLink struct {
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
}

// AuditEntry is one line of the audit.
type AuditEntry struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Object string    `json:"object"`
	Detail any       `json:"detail,omitzero"`
	No     uint64    `json:"no,omitzero" doc:"Place in the chain; missing for entries from before there was one"`
	Hash   string    `json:"hash,omitzero" doc:"Over this entry and the hash before it"`
}

// AuditHead is the newest entry of the audit's chain.
type AuditHead struct {
	No   uint64 `json:"no" doc:"Entries in the chain"`
	Hash string `json:"hash" doc:"Of the newest one. Note both outside of the database: lockerfleet audit verify --head NO:HASH tells later that nothing up to it was changed"`
}

func personOf(p people.Person) Person {
	return Person{ID: p.ID, Role: p.Role, Name: p.Name, Email: p.Email, Sites: p.Sites, Disabled: p.Disabled, Created: p.Created, LoggedIn: p.LoggedIn}
}

func auditOf(e people.Entry) AuditEntry {
	out := AuditEntry{ID: e.ID, At: e.At, Actor: e.Actor, Action: e.Action, Object: e.Object, No: e.No, Hash: e.Hash}
	if len(e.Detail) > 0 {
		out.Detail = e.Detail
	}
	return out
}

// OnPerson is an operation on one person.
type OnPerson struct {
	Person string `path:"person" maxLength:"48"`
}

func (s *Server) peopleRoutes() {
	type newPerson struct{ Body NewPerson }
	add(s, route{method: http.MethodPost, path: "/people", id: "create-person", tag: "People", need: people.ManagePeople, summary: "Add a person", status: http.StatusCreated}, func(ctx context.Context, in *newPerson) (*Made[Person], error) {
		n := in.Body
		p, err := s.People.CreatePerson(ctx, of(ctx).actor, people.NewPerson{ID: n.ID, Role: n.Role, Name: n.Name, Email: n.Email, Sites: n.Sites})
		if err != nil {
			return nil, err
		}
		return &Made[Person]{Location: s.link("/api/v1/people/" + string(p.ID)), Body: personOf(p)}, nil
	})
	type list struct {
		Paged
		Role string `query:"role" enum:"admin,operator,viewer,courier"`
	}
	add(s, route{method: http.MethodGet, path: "/people", id: "list-people", tag: "People", need: people.ReadPeople, summary: "List persons by id"}, func(ctx context.Context, in *list) (*Listed[Person], error) {
		rows, next, err := s.People.People(ctx, of(ctx).actor, locker.Role(in.Role), in.people())
		if err != nil {
			return nil, err
		}
		return listed(rows, next, personOf, nil), nil
	})
	add(s, route{method: http.MethodGet, path: "/people/{person}", id: "get-person", tag: "People", summary: "Read a person"}, func(ctx context.Context, in *OnPerson) (*Answer[Person], error) {
		p, err := s.People.Person(ctx, of(ctx).actor, locker.PersonID(in.Person))
		if err != nil {
			return nil, err
		}
		return answer(personOf(p)), nil
	})
	type change struct {
		OnPerson
		Body PersonChange
	}
	add(s, route{method: http.MethodPatch, path: "/people/{person}", id: "change-person", tag: "People", need: people.ManagePeople, summary: "Change a person; what is missing stays"}, func(ctx context.Context, in *change) (*Answer[Person], error) {
		p, err := s.People.UpdatePerson(ctx, of(ctx).actor, locker.PersonID(in.Person), people.PersonChange(in.Body))
		if err != nil {
			return nil, err
		}
		return answer(personOf(p)), nil
	})
	s.loginLinkRoutes()
	type audit struct {
		Paged
		Object string `query:"object" maxLength:"100" doc:"Only entries about it, such as bank/abc"`
	}
	add(s, route{method: http.MethodGet, path: "/audit", id: "list-audit", tag: "People", need: people.ReadAudit, summary: "Who did what to which object, newest first"}, func(ctx context.Context, in *audit) (*Listed[AuditEntry], error) {
		rows, next, err := s.People.AuditEntries(ctx, of(ctx).actor, in.Object, in.people())
		if err != nil {
			return nil, err
		}
		return listed(rows, next, auditOf, nil), nil
	})
	add(s, route{method: http.MethodGet, path: "/audit/head", id: "read-audit-head", tag: "People", need: people.ReadAudit, summary: "The newest entry of the audit's chain"}, func(ctx context.Context, _ *struct{}) (*Answer[AuditHead], error) {
		h, err := s.People.AuditHead(ctx, of(ctx).actor)
		if err != nil {
			return nil, err
		}
		return answer(AuditHead{No: h.No, Hash: h.Hash}), nil
	})
}

func (s *Server) loginLinkRoutes() {
	add(s, route{
		method: http.MethodPost, path: "/people/{person}/login-link", id: "create-login-link", tag: "People", summary: "Make an address that signs a person in, once, within 15 minutes",
		status: http.StatusCreated, policy: policy{secret: true},
	}, func(ctx context.Context, in *OnPerson) (*Answer[LoginLink], error) {
		token, err := s.People.LoginLink(ctx, of(ctx).actor, locker.PersonID(in.Person))
		if err != nil {
			return nil, err
		}
		return answer(LoginLink{URL: s.LoginURL(token), Expires: s.now().Add(people.LinkLife).UTC()}), nil
	})
}

// LoginURL is the address of a login link.
func (s *Server) LoginURL(token string) string {
	return s.link("/login?token=" + url.QueryEscape(token))
}
