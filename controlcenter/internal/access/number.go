package access

import (
	"context"

	"lockerfleet/locker"
)

// Number makes the number of a live grant for its holder. A grant that is over has none any more:
// a message that would carry it is not worth sending.
func (s *Service) Number(ctx context.Context, id locker.GrantID) (string, error) {
	g, err := s.live(ctx, id)
	if err != nil {
		return "", err
	}
	return s.Code(id, g.Generation), nil
}
