package delivery

import (
	"context"
	"fmt"

	"lockerfleet/locker"
	"lockerfleet/locker/custody"
)

// CustodyFile writes the custody of a parcel as a signed file that anybody can check offline.
func (s *Service) CustodyFile(ctx context.Context, id locker.ParcelID) ([]byte, error) {
	links, boards, err := s.Custody(ctx, id)
	if err != nil {
		return nil, err
	}
	b, err := custody.WriteFile(s.custodyKey, id, links, boards, s.now())
	if err != nil {
		return nil, fmt.Errorf("write custody of %s: %w", id, err)
	}
	return b, nil
}

// Custody answers the chain of a parcel, the first link first, and the keys of the boards behind it.
func (s *Service) Custody(ctx context.Context, id locker.ParcelID) (links []custody.Link, boards []custody.DeviceKey, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		p, err := mustParcel(tx, id)
		if err != nil {
			return err
		}
		if links, err = tx.Links(id); err != nil {
			return err
		}
		boards, err = tx.BoardKeys(p.Door.Bank)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read custody of %s: %w", id, err)
	}
	return links, boards, nil
}
