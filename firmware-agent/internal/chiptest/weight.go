package chiptest

import (
	"errors"
	"sync"
	"time"
)

// HX711 is an Avia HX711 at its two lines. Clock and Data are what the driver is given.
type HX711 struct {
	Now    func() time.Time
	Period time.Duration

	mu      sync.Mutex
	counts  int32
	noise   bool
	since   time.Time // the last sample was taken or the chip started
	shift   uint32
	pulses  int
	high    bool
	raised  time.Time
	stuck   int // 1 + level of a data line that does not move
	broken  error
	samples int
}

// NewHX711 returns a chip that converts every period.
func NewHX711(now func() time.Time, period time.Duration) *HX711 {
	return &HX711{Now: now, Period: period, since: now()}
}

// Load sets what the chip measures; with noise its last bits move.
func (h *HX711) Load(counts int32, noise bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts, h.noise = counts, noise
}

// Stick holds the data line at a level; -1 lets go.
func (h *HX711) Stick(level int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stuck = level + 1
}

// Break makes both lines fail; nil mends them.
func (h *HX711) Break(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = err
}

// Clock is the line the driver drives.
func (h *HX711) Clock() HX711Clock { return HX711Clock{h} }

// HX711Clock is the clock line of an HX711.
type HX711Clock struct{ chip *HX711 }

// SetValue drives the clock. A clock that was high for 60 us restarts the chip.
func (c HX711Clock) SetValue(v int) error {
	h := c.chip
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != nil {
		return h.broken
	}
	now := h.Now()
	switch {
	case v == 1 && !h.high:
		h.high, h.raised = true, now
		h.rise(now)
	case v == 0 && h.high:
		h.high = false
		if now.Sub(h.raised) >= 60*time.Microsecond {
			h.pulses, h.since = 0, now.Add(3*h.Period) // settles for four periods
		}
	}
	return nil
}

func (h *HX711) rise(now time.Time) {
	if h.pulses == 0 {
		if !h.ready(now) {
			return
		}
		h.samples++
		v := h.counts
		if h.noise {
			v += int32(h.samples*7%5) - 2
		}
		h.shift = uint32(v) & 0xffffff
	}
	if h.pulses++; h.pulses == 25 {
		h.pulses, h.since = 0, now
	}
}

func (h *HX711) ready(now time.Time) bool { return now.Sub(h.since) >= h.Period }

// Value reads the data line: low when a sample is ready, then its bits.
func (h *HX711) Value() (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.broken != nil:
		return 0, h.broken
	case h.stuck > 0:
		return h.stuck - 1, nil
	case h.pulses > 0:
		return int(h.shift >> (24 - h.pulses) & 1), nil
	case h.ready(h.Now()):
		return 0, nil
	}
	return 1, nil
}

// NAU7802 is a Nuvoton NAU7802.
type NAU7802 struct {
	Now         func() time.Time
	Counts      int32
	BadCal      bool // its calibration does not succeed
	reg         [32]byte
	calibrated  time.Time
	taken       time.Time
	conversions int32
}

// Restart is what a dip of the supply does.
func (n *NAU7802) Restart() { n.reg = [32]byte{} }

// Tx reads and writes registers.
func (n *NAU7802) Tx(w, r []byte) error {
	if len(w) == 0 || len(w) > 2 || int(w[0])+len(r) > len(n.reg) {
		return errors.Join(ErrNoAck, errors.New("no such register"))
	}
	if len(w) == 2 {
		n.write(w[0], w[1])
		return nil
	}
	n.refresh()
	copy(r, n.reg[w[0]:])
	if w[0] == 0x12 {
		n.taken = n.Now()
	}
	return nil
}

func (n *NAU7802) write(reg, v byte) {
	switch {
	case reg == 0 && v&1 != 0:
		n.Restart()
	case reg == 2 && v&0x04 != 0:
		n.calibrated = n.Now().Add(344 * time.Millisecond)
	}
	n.reg[reg] = v
}

func (n *NAU7802) refresh() {
	now := n.Now()
	n.reg[0x1f] = 0x0f
	if n.reg[0]&0x02 != 0 {
		n.reg[0] |= 0x08
	}
	if n.reg[2]&0x04 != 0 && !now.Before(n.calibrated) {
		n.reg[2] &^= 0x04
		if n.BadCal {
			n.reg[2] |= 0x08
		}
	}
	n.reg[0] &^= 0x20
	if n.reg[0]&0x96 == 0x96 && now.Sub(n.taken) >= 12500*time.Microsecond {
		n.reg[0] |= 0x20
		n.conversions++
		v := n.Counts + n.conversions%3
		n.reg[0x12], n.reg[0x13], n.reg[0x14] = byte(v>>16), byte(v>>8), byte(v)
	}
}
