package agent

import (
	"lockerfleet/locker/custody"
	"lockerfleet/wire"
)

// sign puts the board's signature on a closing that is about to be recorded, chained to the one signed
// before, and answers the hash that names it in the next; empty for other events and for a board
// without a key. Ed25519 needs no randomness: the same closing has the same signature at every replay.
// One signature is made for each closing, none for anything else.
func (m *mind) sign(e *wire.Event) string {
	if e.Type != wire.EvClosing || len(m.cfg.DeviceKey) == 0 {
		return ""
	}
	e.Prev = m.mem.Signed
	c := custody.Closing{
		Bank: m.cfg.Bank, Seq: e.Seq, Boot: e.Boot, No: e.C, Command: e.Cmd, Grant: e.Grant, Purpose: e.Purpose,
		Before: told(e.Before), After: told(e.After), OpenMS: e.OpenMS, Least: e.LeastG, TS: e.TS, Prev: e.Prev,
	}
	e.Sig = c.Sign(m.cfg.DeviceKey)
	return c.Hash()
}

func told(r *wire.Reading) *custody.Reading {
	if r == nil {
		return nil
	}
	s := sensed(*r)
	return &s
}
