package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"lockerfleet/simulator"
)

// restart measures (e): the server is killed in the middle of work and started again.
func restart(ctx context.Context, b *bench) error {
	n := b.scale().manyBanks
	s, err := b.up(ctx, "data")
	if err != nil {
		return err
	}
	defer func() { s.stop() }()
	f, stop, err := b.fleet(ctx, s, n)
	if err != nil {
		return err
	}
	defer stop()
	// Counted from here: an agent that begins with an empty journal takes the numbers of its bank
	// over from the record, and what it noted before that under old numbers is not told.
	before, err := b.beforeWork(ctx, s, f)
	if err != nil {
		return err
	}
	if err := b.killAtWork(ctx, s, f); err != nil {
		return err
	}
	killed := time.Now()
	if s, err = b.up(ctx, "data"); err != nil {
		return err
	}
	ready := time.Now()
	b.progress.say("e: %d banks come back", n)
	profiled := b.busy(ctx, s, "restart", 5)
	used, ours := s.processor(), processor(os.Getpid())
	online := func() bool {
		return int(s.metric(ctx, "lockerfleet_fleet_banks_online")) >= n && f.Stats().Greeted >= n
	}
	if err := s.await(ctx, "all banks", 3*time.Minute, online); err != nil {
		return fmt.Errorf("%d of %d banks greeted: %w", f.Stats().Greeted, n, err)
	}
	back := time.Now()
	used, ours = s.processor()-used, processor(os.Getpid())-ours
	profiled()
	b.report.atMost("e", fmt.Sprintf("%d banks online again after the server was", n), back.Sub(ready).Seconds(), "s", 5, fmt.Sprintf("%s s after the kill; agents wait 1 s and more, with jitter", figure(back.Sub(killed).Seconds())))
	b.report.add("e", "  processor time of the server meanwhile, a bank", float64(used.Microseconds())/float64(n), "us", fmt.Sprintf("after its start; of agents and worlds %s us", figure(float64(ours.Microseconds())/float64(n))))
	b.report.add("e", "  server started on the record", ready.Sub(killed).Seconds(), "s", "")
	if err := s.settle(ctx); err != nil {
		return err
	}
	return b.compare(ctx, s, f, before)
}

// beforeWork counts the events on record that are not of these agents' own counting. It waits until
// agents record nothing and the record takes in nothing, for a second: what is on its way would be
// counted on one side only.
func (b *bench) beforeWork(ctx context.Context, s *server, f *simulator.Fleet) (before int, err error) {
	recorded, still := uint64(0), time.Now()
	err = s.await(ctx, "events to be told", time.Minute, func() bool {
		kept, failed := b.kept(ctx)
		if n := f.Stats().Events; failed != nil || kept != before || n != recorded {
			before, recorded, still = kept, n, time.Now()
		}
		return time.Since(still) > time.Second
	})
	return before - int(recorded), err
}

// killAtWork kills the server while doors are opened.
func (b *bench) killAtWork(ctx context.Context, s *server, f *simulator.Fleet) error {
	rest, err := simulator.NewServer(s.ready.HTTP, s.ready.APIKey)
	if err != nil {
		return err
	}
	defer rest.Close()
	working, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- simulator.Operators{Server: rest, Fleet: f, Rate: b.scale().rate}.Run(working) }()
	b.progress.say("e: doors are opened until the kill")
	err = pause(ctx, b.scale().commandsFor/2)
	s.kill()
	cancel()
	return errors.Join(err, <-ended)
}

// kept counts the events of banks on record. The record is read beside the server, which allows it.
func (b *bench) kept(ctx context.Context) (n int, err error) {
	err = b.ask(ctx, &n, `SELECT COUNT(*) FROM device_events`)
	return n, err
}

func (b *bench) ask(ctx context.Context, out *int, text string) error {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.dir, "data", "lockerfleet.db")+"?_pragma=query_only(1)&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	return db.QueryRowContext(ctx, text).Scan(out)
}

// compare looks whether the record has every event that agents recorded, once and in order.
func (b *bench) compare(ctx context.Context, s *server, f *simulator.Fleet, before int) error {
	var after, gaps int
	arrived := func() bool {
		var err error
		after, err = b.kept(ctx)
		return err == nil && after-before >= int(f.Stats().Events)
	}
	err := s.await(ctx, "all events", 30*time.Second, arrived)
	if err != nil && ctx.Err() != nil {
		return err
	}
	recorded := int(f.Stats().Events)
	if err := b.ask(ctx, &gaps, `SELECT COUNT(*) FROM (SELECT bank FROM device_events GROUP BY bank HAVING MAX(seq) - MIN(seq) + 1 <> COUNT(*))`); err != nil {
		return err
	}
	note := fmt.Sprintf("%d recorded by agents, %d on record", recorded, after-before)
	b.report.atMost("e", "events lost", float64(max(recorded-(after-before), 0)), "", 0, note)
	b.report.atMost("e", "banks whose events have gaps or doubles on record", float64(gaps), "", 0, "")
	return nil
}
