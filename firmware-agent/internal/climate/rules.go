package climate

import (
	"time"

	"lockerfleet/firmware-agent/board"
)

// powers is what the machines are given, in percent.
type powers struct{ cool, heat, fan int }

// state is what the protection of the machines has to remember.
type state struct {
	want    board.Stage
	cooling bool
	coolOff time.Time // when cooling was last switched off
	heatOff time.Time
	blowOut time.Time // until when the fan cools the heater down
	fanOn   time.Time // zero while the fan is off
}

// plan is what the machines may do now. ok is false when something is wanted that may not be,
// because no air moves.
func (s *state) plan(parts *Parts, air bool, now time.Time) (p powers, ok bool) {
	ok = true
	if s.want.Mode == board.ClimateCool || s.want.Mode == board.ClimateHeat || s.want.Fan || now.Before(s.blowOut) {
		p.fan = 100
	}
	share := s.want.Percent
	if share == 0 {
		share = 100
	}
	switch s.want.Mode {
	case board.ClimateCool:
		rest := turn
		if now.Sub(s.heatOff) < rest {
			break
		}
		if parts.Compressor {
			share, rest = 100, parts.MinOff
		}
		if s.cooling || !parts.Compressor || now.Sub(s.coolOff) >= rest {
			p.cool = share
		}
	case board.ClimateHeat:
		if now.Sub(s.coolOff) < turn || s.cooling {
			break
		}
		if air && !s.fanOn.IsZero() {
			p.heat = share
		} else {
			ok = s.fanOn.IsZero() || now.Sub(s.fanOn) < airWithin
		}
	case board.ClimateOff:
		if s.want.Fan && s.want.Percent > 0 {
			p.fan = s.want.Percent
		}
	}
	if parts.Fan == nil {
		p.fan = 0
	}
	return p, ok
}

// note remembers what was switched.
func (s *state) note(was, is powers, now time.Time) {
	if was.cool > 0 && is.cool == 0 {
		s.coolOff = now
	}
	if was.heat > 0 && is.heat == 0 {
		s.heatOff, s.blowOut = now, now.Add(overrun)
	}
	if is.fan == 0 {
		s.fanOn = time.Time{}
	} else if was.fan == 0 {
		s.fanOn = now
	}
	s.cooling = is.cool > 0
}
