package access

import (
	"context"
	"crypto/hmac"
	"fmt"

	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

// MaxCards bounds the cards of one door: a bank keeps 16 grants of a door, ended ones included, and
// lets the oldest go.
const MaxCards = 12

// Cards lists the live grants to enter of one door, the oldest first.
func (s *Service) Cards(ctx context.Context, door locker.CompartmentID) (cards []Grant, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		cards, err = cardsAt(tx, door)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the cards of %s: %w", door, err)
	}
	return cards, nil
}

// EndCard takes the grant of a card of one door back. One that is over already stays as it ended.
func (s *Service) EndCard(ctx context.Context, door locker.CompartmentID, id locker.GrantID) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		g, found, err := tx.Grant(id)
		if err != nil {
			return err
		}
		if !found || g.Compartment != door || g.Purpose != grant.Enter {
			return unknownGrant(id)
		}
		return end(tx, g, EndRevoked)
	})
	if err != nil {
		return fmt.Errorf("end a card of %s: %w", door, err)
	}
	return nil
}

func cardsAt(tx Tx, door locker.CompartmentID) (cards []Grant, err error) {
	all, err := tx.GrantsAt(door)
	for _, g := range all {
		if g.Purpose == grant.Enter && g.EndReason == "" {
			cards = append(cards, g)
		}
	}
	return cards, err
}

// admitsCard checks that one more card may open a door, and that it is nobody else's.
func admitsCard(tx Tx, key []byte, o Order) error {
	cards, err := cardsAt(tx, o.Door)
	if err != nil {
		return err
	}
	for _, g := range cards {
		d := grant.DigestOfCard(key, g.ID, o.Card)
		if hmac.Equal(d[:], g.Digest[:]) {
			return fault.Conflictf("card_exists", "This card opens compartment %s already, by grant %s; end that one first.", o.Door, g.ID).At("number")
		}
	}
	if len(cards) >= MaxCards {
		return fault.Exhaustedf("too_many_cards", "Compartment %s has %d cards; that is the most. End one first.", o.Door, MaxCards)
	}
	return nil
}
