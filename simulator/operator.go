package simulator

import (
	"context"
	"sync"
	"time"
)

// maxOrders bounds the commands that operators follow at the same time.
const maxOrders = 2048

// Operators order doors open over REST, one after the other through all banks and compartments, and
// let somebody close them: a measure of commands from end to end.
type Operators struct {
	Server *Server
	Fleet  *Fleet
	Rate   float64 // commands in a second
}

// finishWithin bounds how long an order goes on after the last was given. One that is cut off leaves
// a door that the control center still takes for busy.
const finishWithin = 30 * time.Second

// Run gives orders until ctx ends and lets those under way come to their end.
func (o Operators) Run(ctx context.Context) error {
	if o.Rate <= 0 || len(o.Fleet.banks) == 0 {
		return nil
	}
	var orders sync.WaitGroup
	defer orders.Wait()
	places := make(chan struct{}, maxOrders)
	every := time.Duration(float64(time.Second) / o.Rate)
	begun := o.Fleet.opts.Now()
	for i := 0; ; i++ {
		wait := begun.Add(time.Duration(i) * every).Sub(o.Fleet.opts.Now())
		if wait > 0 && pause(ctx, wait) != nil || ctx.Err() != nil {
			return nil
		}
		select {
		case places <- struct{}{}:
		default:
			o.Fleet.meter.Error("operators are behind")
			continue
		}
		n := len(o.Fleet.banks)
		bank, no := o.Fleet.banks[i%n], i/n%o.Fleet.opts.Compartments+1
		orders.Go(func() {
			defer func() { <-places }()
			whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
			defer cancel()
			o.order(whole, bank, no)
		})
	}
}

// order opens one door and closes it again.
func (o Operators) order(ctx context.Context, b *Bank, no int) {
	begun, now := b.opts.Now(), b.opts.Now
	b.expect(no)
	defer b.settled(no)
	c, err := o.Server.unlock(ctx, b.ID(), no)
	if err != nil {
		o.count(ctx, "order: "+kindOf(err))
		return
	}
	b.meter.Observe(RequestCreated, now().Sub(begun))
	if !o.passThrough(ctx, b, no) {
		o.count(ctx, "order: door did not open")
		return
	}
	o.learn(ctx, b, no, c)
}

// passThrough waits for the door to open and closes it.
func (o Operators) passThrough(ctx context.Context, b *Bank, no int) bool {
	limit, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if b.Open(limit, no) != nil {
		return false
	}
	return b.Close(context.WithoutCancel(ctx), no) == nil
}

// learn follows the command to its end.
func (o Operators) learn(ctx context.Context, b *Bank, no int, c command) {
	end, err := o.Server.follow(ctx, c.ID, "final")
	switch {
	case err != nil:
		o.count(ctx, "order: "+kindOf(err))
	case end.Stage != "done":
		o.count(ctx, "order ended "+end.Stage+" "+end.Code)
	default:
		if done := b.settled(no); !done.IsZero() {
			b.meter.Observe(RequestKnown, b.opts.Now().Sub(done))
		}
		b.meter.Did("order done")
	}
}

func (o Operators) count(ctx context.Context, kind string) {
	if ctx.Err() == nil {
		o.Fleet.meter.Error(kind)
	}
}
