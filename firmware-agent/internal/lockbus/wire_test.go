//go:build linux

package lockbus_test

import (
	"flag"
	"os"
	"slices"
	"sync"
	"testing"

	"lockerfleet/firmware-agent/internal/lockbus"
)

// TestMain lets more tests run at once than there are processors: they wait for pulses and
// answers most of the time. -parallel on the command line wins.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "8") // a number it takes
	}
	os.Exit(m.Run())
}

// wireLog keeps the frames a driver sent.
type wireLog struct {
	mu     sync.Mutex
	frames [][]byte
}

func (w *wireLog) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = nil
}

func (w *wireLog) unlocks(family string) (found [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.frames {
		if isUnlock(family, f) {
			found = append(found, f)
		}
	}
	return found
}

// logged is a port whose frames are kept.
type logged struct {
	lockbus.Port
	log *wireLog
}

// Write keeps one frame; the driver writes each in one call.
func (l *logged) Write(b []byte) (int, error) {
	l.log.mu.Lock()
	l.log.frames = append(l.log.frames, slices.Clone(b))
	l.log.mu.Unlock()
	return l.Port.Write(b)
}
