// Package tidy gives memory back to the system when a process stands idle.
//
// Go's collector lets the heap grow to twice what is used, and keeps what a peak has left for two
// minutes and longer. A server that ten thousand banks have connected to at once would hold three
// times what it needs for as long as nothing happens, which is most of the day. A collection costs
// processor time, so none is forced while there is work, nor for little.
package tidy

import (
	"context"
	"log/slog"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// When memory is given back.
const (
	every     = 10 * time.Second
	idleRate  = 8 << 20  // bytes allocated in a second by a process that counts as idle
	leastGain = 16 << 20 // bytes not worth a collection
)

// sample is the memory of the process in bytes.
type sample struct {
	allocated uint64 // since the start
	held      uint64 // of the system
	used      uint64 // by what the last collection found in use, and by stacks
}

// names of the runtime's metrics, in the order read uses them.
func names() []string {
	return []string{
		"/gc/heap/allocs:bytes", "/memory/classes/total:bytes", "/memory/classes/heap/released:bytes",
		"/gc/heap/live:bytes", "/memory/classes/heap/stacks:bytes",
	}
}

func read() sample {
	all := make([]metrics.Sample, len(names()))
	for i, name := range names() {
		all[i].Name = name
	}
	metrics.Read(all)
	value := func(i int) uint64 {
		if all[i].Value.Kind() != metrics.KindUint64 {
			return 0 // a runtime without it; the process then keeps what it has
		}
		return all[i].Value.Uint64()
	}
	return sample{allocated: value(0), held: value(1) - value(2), used: value(3) + value(4)}
}

// due reports whether a process that went from before to now within d was idle and holds enough
// that it does not use: more than leastGain, and more than an eighth of what it uses.
func due(before, now sample, d time.Duration) bool {
	rate := float64(now.allocated-before.allocated) / d.Seconds()
	return rate <= idleRate && now.used > 0 && now.held > now.used+max(now.used/8, leastGain)
}

// Run looks every ten seconds until ctx ends. It returns nil.
func Run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	before, at := read(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := read()
		if due(before, now, time.Since(at)) {
			debug.FreeOSMemory()
			log.Debug("memory given back", slog.Uint64("held_before", now.held), slog.Uint64("held", read().held))
		}
		before, at = read(), time.Now()
	}
}
