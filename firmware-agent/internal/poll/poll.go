// Package poll lets slow chips share one goroutine. Each has a step: a few milliseconds of work
// that ends by saying when it wants to go on. Whoever waits for a conversion gives the bus to the
// others meanwhile, and readers of a chip never wait: they get what its last step found.
package poll

import (
	"context"
	"sync"
	"time"
)

// least is the shortest wait between two steps of one chip. It keeps a step that asks for no wait
// from taking a core for itself.
const least = time.Millisecond

// Step does one part of a chip's work at now and returns how long to wait before the next. It is
// called from one goroutine only. A failing chip is no reason to stop: the step keeps the error
// for its readers and asks to be called again.
type Step func(now time.Time) (again time.Duration)

// Loop owns the goroutine that runs steps.
type Loop struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Start runs the steps until Close, each for the first time at once. A loop without steps has no
// goroutine.
func Start(steps ...Step) *Loop {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Loop{cancel: cancel}
	if len(steps) > 0 {
		l.done.Go(func() { run(ctx, steps) })
	}
	return l
}

// Close ends the loop and returns when its goroutine has ended: after it no step runs. It may be
// called again. It must not be called from a step.
func (l *Loop) Close() error {
	l.cancel()
	l.done.Wait()
	return nil
}

// run calls whichever step is due first. The times are those of the clock that goes on when
// somebody sets the date.
func run(ctx context.Context, steps []Step) {
	due := make([]time.Time, len(steps))
	now := time.Now()
	for i := range due {
		due[i] = now
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := 0
		for i := range due {
			if due[i].Before(due[next]) {
				next = i
			}
		}
		timer.Reset(time.Until(due[next]))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		again := steps[next](now)
		due[next] = time.Now().Add(max(again, least))
	}
}
