package hardware

import (
	"time"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/firmware-agent/board"
)

// Config is what the agent must know of an open board and its profile. Who the bank is, is not in
// it: Bank, Firmware, Keys and CodeKey are left empty.
func Config(p *board.Profile, b *board.Board) agent.Config {
	c := agent.Config{
		Profile: p.Hash, Limits: agent.Limits{FuseCount: p.Limits.FusePerMinute},
		Coils: p.Coils(), Lamp: b.Indicator != nil, Buzzer: b.Buzzer != nil,
	}
	if r := p.Front.Reader; r != nil {
		c.Reader = r.Opens
	}
	for no := range p.Sim.Compartments {
		c.Compartments = append(c.Compartments, agent.Compartment{No: no + 1})
	}
	for i := range p.Compartments {
		k := &p.Compartments[i]
		c.Compartments = append(c.Compartments, agent.Compartment{
			No: k.No, Power: p.PowerIndex(k.Bank), Bolt: k.Bolt != nil, Presence: k.Presence != nil, Scale: k.Scale != nil, NoRetry: k.Lock.NoRetry,
			PulseMS: ms(k.Lock.Pulse), OpenWithinMS: ms(k.Door.OpenWithin), AjarAfterMS: ms(k.Door.AjarAfter), SettleMS: ms(k.Door.Settle),
			Group: k.Group, Band: k.ClimateBand(), Room: k.Room,
		})
	}
	for i := range c.Compartments {
		fitted(&c.Compartments[i], b)
	}
	return c
}

// fitted notes what an open board has at one door.
func fitted(c *agent.Compartment, b *board.Board) {
	k := b.Find(c.No)
	if k == nil {
		return
	}
	c.Lamp, c.Unit = k.Indicator != nil, k.Climate != nil
	if s, ok := k.Scale.(board.Steadiness); ok {
		_, c.Capacity = s.Steadiness()
	}
}

func ms(d board.Duration) int64 { return time.Duration(d).Milliseconds() }
