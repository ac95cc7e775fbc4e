package controlcenter

import (
	"time"

	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/controlcenter/internal/web"
)

// Limits bound what callers may ask of a control center. Zero fields mean the defaults.
type Limits struct {
	// Doors told to open within a minute: of one bank (30), by one caller (120), of the whole
	// fleet (12,000; at most 100,000). More are refused: it is the fuse against a fleet thrown open.
	OpeningsBank, OpeningsCaller, OpeningsFleet int
	// HTTP requests in a second: of one credential (500, twice as many at once), and from one
	// address without a credential (100, five times as many at once).
	RequestsCredential, RequestsAddress int
	// RequestTimeout bounds one HTTP request that is no event stream (30 s).
	RequestTimeout time.Duration
	// Streams is how many event streams and pages may be open (1,000).
	Streams int
}

func (l Limits) fuse() fleet.FuseLimits {
	return fleet.FuseLimits{PerBank: l.OpeningsBank, PerActor: l.OpeningsCaller, Fleet: l.OpeningsFleet}
}

func (l Limits) web() web.Limits {
	return web.Limits{
		Credential: web.Rate{PerSecond: float64(l.RequestsCredential), Burst: 2 * l.RequestsCredential},
		Address:    web.Rate{PerSecond: float64(l.RequestsAddress), Burst: 5 * l.RequestsAddress},
	}
}
