//go:build linux

package lockbus_test

import (
	"slices"
	"sync"

	"lockerfleet/firmware-agent/internal/lockbus"
)

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
