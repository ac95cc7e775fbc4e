package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"lockerfleet/locker"
)

// memory measures (c): what one more connected bank that does nothing costs the server.
func memory(ctx context.Context, b *bench) error {
	if err := b.idleBanks(ctx, nil, ""); err != nil {
		return err
	}
	m, url, err := b.startMosquitto(ctx)
	if errors.Is(err, errAbsent) {
		b.report.failed("c", "with mosquitto", err)
		return nil
	} else if err != nil {
		return err
	}
	defer m.stop()
	return b.idleBanks(ctx, m, url)
}

// idle is how long the banks do nothing before their memory is read: an operator looks at a server
// that has stood for a while, not at the moment after ten thousand connections.
const idle = 45 * time.Second

// footprint is the memory of the server, of an external broker and of the agents, in bytes.
type footprint struct{ resident, peak, heap, stacks, broker, agents float64 }

// footprint reads what is resident before it asks for a collection, which would tidy up.
func (b *bench) footprint(ctx context.Context, s *server, m *child) (f footprint, err error) {
	f.resident, f.peak = s.memory("VmRSS"), s.memory("VmHWM")
	if m != nil {
		f.broker = m.memory("VmRSS")
	}
	if f.heap, f.stacks, err = s.heap(ctx); err != nil {
		return f, err
	}
	debug.FreeOSMemory()
	f.agents = memoryOf(os.Getpid(), "VmRSS")
	return f, nil
}

func (b *bench) idleBanks(ctx context.Context, m *child, broker string) error {
	var args []string
	if broker != "" {
		args = []string{"--broker", broker}
	}
	n := b.scale().manyBanks
	s, err := b.up(ctx, "data", args...)
	if err != nil {
		return err
	}
	defer s.stop()
	if _, err := b.provision(ctx, s, n); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	if err := pause(ctx, idle); err != nil {
		return err
	}
	before, err := b.footprint(ctx, s, m)
	if err != nil {
		return err
	}
	_, stop, err := b.fleet(ctx, s, n)
	if err != nil {
		return err
	}
	defer stop()
	b.progress.say("c: %d idle agents%s", n, via(broker))
	if err := pause(ctx, idle); err != nil {
		return err
	}
	if m == nil {
		b.profile(ctx, s, "memory", "heap", "goroutine")
	}
	after, err := b.footprint(ctx, s, m)
	if err != nil {
		return err
	}
	each := func(a, z float64) float64 { return (z - a) / float64(n) / 1024 }
	about := fmt.Sprintf("of %d%s", n, via(broker))
	whole := each(before.resident, after.resident) + each(before.broker, after.broker)
	b.report.atMost("c", "resident memory a connected idle bank, "+about, whole, "KiB", 15, fmt.Sprintf("%d compartments each; after %s of doing nothing", compartments, idle))
	b.report.add("c", "  of it in use by the server's heap", each(before.heap, after.heap), "KiB", "after a collection")
	b.report.add("c", "  of it in use by the server's stacks", each(before.stacks, after.stacks), "KiB", "after a collection")
	b.report.add("c", "  with the peak of connecting", each(before.resident, after.peak)+each(before.broker, after.broker), "KiB", "the most that was ever resident")
	if m != nil {
		b.report.add("c", "  of it mosquitto", each(before.broker, after.broker), "KiB", "")
	}
	b.report.add("c", "  server without a connection, "+about, before.resident/(1<<20), "MiB", fmt.Sprintf("%d banks with %d compartments on record", n, locker.DefaultCompartments))
	b.report.add("c", "  agent, world and journal in the load generator", each(before.agents, after.agents), "KiB", "a bank; not the server's")
	return nil
}
