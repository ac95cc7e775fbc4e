package agent

import (
	"slices"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

func (m *Memory) held(id locker.GrantID) *Held {
	if id == "" {
		return nil
	}
	for i := range m.Grants {
		if m.Grants[i].ID == id {
			return &m.Grants[i]
		}
	}
	return nil
}

func (m *Memory) takeGrant(r GrantRecord) {
	m.GrantRev = r.Rev
	if h := m.held(r.Held.ID); h != nil {
		if r.End {
			h.Revoked = true
			return
		}
		used := *h
		*h = r.Held
		h.Openings, h.Failures, h.Spent = used.Openings, used.Failures, used.Spent
		if used.Digest != r.Held.Digest { // a new code was made: the tries against the old one are over
			h.Failures = 0
		}
		return
	}
	if r.End {
		return
	}
	r.Held.Spent = m.spentBefore(r.Held.ID)
	m.Grants = append(m.Grants, r.Held)
	m.thinGrants(r.Held.C)
}

// thinGrants keeps MaxGrantsPerDoor grants of one compartment: ended ones go first, then the
// oldest.
func (m *Memory) thinGrants(c int) {
	count := 0
	oldest, ended := -1, -1
	for i, h := range m.Grants {
		if h.C != c {
			continue
		}
		count++
		if oldest < 0 {
			oldest = i
		}
		if ended < 0 && (h.Spent || h.Revoked) {
			ended = i
		}
	}
	if count <= MaxGrantsPerDoor {
		return
	}
	if ended >= 0 {
		oldest = ended
	}
	m.Grants = slices.Delete(m.Grants, oldest, oldest+1)
}

// grantsOf lists the grants of one compartment for a check.
func (m *Memory) grantsOf(bank locker.BankID, c int, ignoreStart bool) []grant.Grant {
	var out []grant.Grant
	for _, h := range m.Grants {
		if h.C == c {
			out = append(out, h.grant(bank, ignoreStart))
		}
	}
	return out
}

func (h Held) grant(bank locker.BankID, ignoreStart bool) grant.Grant {
	g := grant.Grant{
		ID: h.ID, Compartment: locker.CompartmentID{Bank: bank, No: h.C}, Parcel: h.Parcel,
		Purpose: h.Purpose, Digest: h.Digest, NotAfter: time.UnixMilli(h.NotAfter),
		Member: h.Member, Openings: h.Openings, Failures: h.Failures, Spent: h.Spent, Revoked: h.Revoked,
	}
	if !ignoreStart {
		g.NotBefore = time.UnixMilli(h.NotBefore)
	}
	return g
}

// spend marks the authority that moved the goods, and with it the grants of the others who had one
// for the same goods. h is nil when only a ticket named it.
func (m *Memory) spend(id locker.GrantID, h *Held) {
	m.spendTickets(id)
	if h == nil {
		return
	}
	h.Spent = true
	for i := range m.Grants {
		if o := &m.Grants[i]; h.Parcel != "" && o.Parcel == h.Parcel && o.C == h.C && o.Purpose == h.Purpose {
			o.Spent = true
		}
	}
}
