package simulator

import (
	"context"
	"errors"

	"lockerfleet/firmware-agent/agent"
)

// errOff is the answer of a bank without power.
var errOff = errors.New("the bank is off")

// Ask is a person who asks something at the panel: for a compartment, or for a place in the
// waitlist.
func (b *Bank) Ask(ctx context.Context, in agent.Ask) (agent.Answer, error) {
	b.mu.Lock()
	r := b.runner
	b.mu.Unlock()
	if r == nil {
		return agent.Answer{}, errOff
	}
	return r.Ask(ctx, in)
}
