package delivery

import (
	"context"
	"fmt"

	"lockerfleet/locker"
	"lockerfleet/locker/custody"
)

// CustodyFile writes the custody of a parcel as a signed file that anybody can check offline.
func (s *Service) CustodyFile(ctx context.Context, id locker.ParcelID) ([]byte, error) {
	links, err := s.Custody(ctx, id)
	if err != nil {
		return nil, err
	}
	b, err := custody.WriteFile(s.custodyKey, id, links, s.now())
	if err != nil {
		return nil, fmt.Errorf("write custody of %s: %w", id, err)
	}
	return b, nil
}
