package tidy

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"
)

func TestDue(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct {
		name        string
		before, now sample
		want        bool
	}{
		{"after a peak", sample{allocated: 900 * mib}, sample{allocated: 905 * mib, held: 400 * mib, used: 150 * mib}, true},
		{"at work", sample{allocated: 100 * mib}, sample{allocated: 900 * mib, held: 400 * mib, used: 150 * mib}, false},
		{"little to gain", sample{}, sample{allocated: mib, held: 45 * mib, used: 30 * mib}, false},
		{"little for its size", sample{}, sample{allocated: mib, held: 440 * mib, used: 400 * mib}, false},
		{"no collection yet", sample{}, sample{allocated: mib, held: 90 * mib}, false},
	} {
		if got := due(c.before, c.now, every); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}

func TestTheRuntimeHasWhatIsRead(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, d := range metrics.All() {
		known[d.Name] = d.Kind == metrics.KindUint64
	}
	for _, name := range names() {
		if !known[name] {
			t.Errorf("%s is not a metric of this runtime", name)
		}
	}
	runtime.GC()
	if s := read(); s.allocated == 0 || s.used == 0 || s.held < s.used {
		t.Errorf("got %+v", s)
	}
}

// TestMemoryComesBack is not parallel: others would allocate meanwhile.
func TestMemoryComesBack(t *testing.T) {
	const peak = 96 << 20
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		block := make([]byte, peak)
		for i := range block {
			block[i] = 1
		}
		runtime.GC()
		runtime.KeepAlive(block)
		ended := make(chan error)
		go func() { ended <- Run(ctx, slog.New(slog.DiscardHandler)) }()
		synctest.Wait()
		high := read().held
		runtime.GC() // the block is found unused
		time.Sleep(every + time.Second)
		synctest.Wait()
		if low := read().held; low > high-peak/2 {
			t.Errorf("%d bytes held after a peak of %d, and %d when idle", low, peak, high)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
