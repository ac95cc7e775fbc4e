package delivery

import (
	"context"
	"fmt"
	"time"

	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// MaxMembers bounds who else may collect one parcel: codes of one door that live together make
// guessing easier.
const MaxMembers = 7

// Share is the right of one more person to collect a parcel: a grant of their own.
type Share struct {
	Member string
	Grant  locker.GrantID
	Until  time.Time
}

// AddMember gives one more person a grant to collect the goods that are inside now. It ends with
// the parcel, with its time, or by RemoveMember. member is an identifier the caller chooses; it is
// named in what the bank reports.
func (s *Service) AddMember(ctx context.Context, id locker.ParcelID, member string) (Share, error) {
	if !locker.ValidID(member) {
		return Share{}, fault.Invalidf("member_invalid", "The member %q: allowed are %d to %d of a-z, 0-9 and -.", cutText(member), locker.MinIDLen, locker.MaxIDLen).At("member")
	}
	share := Share{Member: member, Grant: newGrantID(s.ids)}
	err := s.store.Update(ctx, func(tx Tx) error {
		p, others, err := s.shared(tx, id)
		if err != nil {
			return err
		}
		if err := admits(p, others, member); err != nil {
			return err
		}
		share.Until = later(p.KeepEnd, tx.Now()).Add(CollectableFor).Truncate(time.Millisecond)
		return s.issueTo(tx, p, share)
	})
	if err != nil {
		return Share{}, fmt.Errorf("share parcel %s: %w", id, err)
	}
	return share, nil
}

func (s *Service) issueTo(tx Tx, p Parcel, share Share) error {
	f, err := s.grant(tx, p, share.Grant, tx.Now(), share.Until, grant.Collect, share.Member)
	if err == nil {
		tx.Tell(f)
	}
	return err
}

// admits checks that member may join.
func admits(p Parcel, others []grant.Grant, member string) error {
	if !p.State.hasGoods() || p.Collect == "" {
		return fault.Conflictf("not_inside", "The parcel %s is %s; it can be shared while its goods are inside.", p.ID, p.State)
	}
	for _, g := range others {
		if g.Member == member {
			return fault.Conflictf("member_exists", "The member %q has a grant for this parcel already: %s.", member, g.ID).At("member")
		}
	}
	if len(others) >= MaxMembers {
		return fault.Exhaustedf("too_many_members", "The parcel %s is shared by %d members; that is the most.", p.ID, MaxMembers)
	}
	return nil
}

func (s *Service) shared(tx Tx, id locker.ParcelID) (Parcel, []grant.Grant, error) {
	p, found, err := tx.Parcel(id)
	if err == nil && !found {
		err = fault.NotFoundf("parcel_unknown", "There is no parcel %q.", id)
	}
	if err != nil {
		return p, nil, err
	}
	others, err := tx.Shares(id, MaxMembers+1)
	return p, others, err
}

// RemoveMember takes a member's grant back: at once at terminals, and at the bank as soon as it is
// told.
func (s *Service) RemoveMember(ctx context.Context, id locker.ParcelID, member string) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		p, others, err := s.shared(tx, id)
		if err != nil {
			return err
		}
		for _, g := range others {
			if g.Member == member {
				_, err := end(tx, p, g.ID, grant.Collect, grantRevoked)
				return err
			}
		}
		return fault.NotFoundf("member_unknown", "The parcel %s is not shared with %q.", id, cutText(member))
	})
	if err != nil {
		return fmt.Errorf("end a share of parcel %s: %w", id, err)
	}
	return nil
}

// Members lists who else may collect a parcel now, by name.
func (s *Service) Members(ctx context.Context, id locker.ParcelID) ([]Share, error) {
	var out []Share
	err := s.store.View(ctx, func(tx Tx) error {
		_, others, err := s.shared(tx, id)
		out = nil
		for _, g := range others {
			out = append(out, Share{Member: g.Member, Grant: g.ID, Until: g.NotAfter})
		}
		return err
	})
	return out, err
}

// endShares ends what members still hold of p.
func endShares(tx Tx, p Parcel, reason string) error {
	others, err := tx.Shares(p.ID, MaxMembers+1)
	for _, g := range others {
		if err != nil {
			break
		}
		_, err = end(tx, p, g.ID, grant.Collect, reason)
	}
	return err
}

func cutText(s string) string {
	if len(s) > locker.MaxIDLen {
		return s[:locker.MaxIDLen] + "..."
	}
	return s
}
