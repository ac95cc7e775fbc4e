package sensor

import (
	"errors"
	"fmt"
	"time"
)

// Output is an output line. 1 is high.
type Output interface{ SetValue(int) error }

// Input is an input line. 1 is high.
type Input interface{ Value() (int, error) }

// Converter turns the force on a load cell into counts.
type Converter interface {
	// Convert returns the newest conversion. ErrNotReady says that there is none yet; any other
	// error that a conversion was lost.
	Convert() (int32, error)
	// Period is about how long a conversion takes.
	Period() time.Duration
}

// ErrNotReady says that the next conversion is not finished.
var ErrNotReady = errors.New("no conversion is ready")

var (
	errSaturated = errors.New("the converter is at its end: the load cell is overloaded or a wire is loose")
	errTornAway  = errors.New("all bits are ones: the converter does not answer")
	errNoFrame   = errors.New("the data line does not rise after the last bit: it is shorted or another chip")
	errPreempted = errors.New("the clock was high for too long, which restarts the chip: sample dropped")
)

// hx711High is how long the clock may be high. At 60 us the chip switches itself off and starts
// again (Avia datasheet), and then its bits belong to no sample.
const hx711High = 50 * time.Microsecond

// hx711Pulses are 24 bits and one pulse that chooses channel A with gain 128.
const hx711Pulses = 25

// hx711 is an Avia HX711 on two lines.
type hx711 struct {
	clock Output
	data  Input
	now   func() time.Time
	fast  bool
}

// NewHX711 returns an HX711 whose PD_SCK is clock and whose DOUT is data, both active high. fast
// says that its RATE pin is high: 80 conversions a second instead of 10. now must have the
// resolution of microseconds.
func NewHX711(clock Output, data Input, fast bool, now func() time.Time) Converter {
	return &hx711{clock, data, now, fast}
}

// Period is a tenth or an eightieth of a second.
func (h *hx711) Period() time.Duration {
	if h.fast {
		return 12500 * time.Microsecond
	}
	return 100 * time.Millisecond
}

// Convert clocks the bits out, which takes 25 pulses of some microseconds.
func (h *hx711) Convert() (int32, error) {
	switch v, err := h.data.Value(); {
	case err != nil:
		return 0, fmt.Errorf("hx711: read ready: %w", err)
	case v != 0:
		return 0, ErrNotReady
	}
	bits, err := h.shift()
	if err != nil {
		return 0, fmt.Errorf("hx711: %w", err)
	}
	v, err := signed24(bits)
	if err != nil {
		return 0, fmt.Errorf("hx711: %w", err)
	}
	return v, nil
}

// shift clocks all pulses even when one was late, so that the chip is not left in the middle of
// a sample.
func (h *hx711) shift() (uint32, error) {
	var bits uint32
	var late bool
	for i := range hx711Pulses {
		high, err := h.pulse()
		if err != nil {
			return 0, err
		}
		late = late || high > hx711High
		v, err := h.data.Value()
		if err != nil {
			return 0, fmt.Errorf("read data: %w", err)
		}
		switch {
		case i < hx711Pulses-1:
			bits = bits<<1 | uint32(v&1)
		case late:
			return 0, errPreempted
		case v != 1:
			return 0, errNoFrame
		}
	}
	return bits, nil
}

// pulse raises and lowers the clock. The data bit stays after the falling edge until the next
// rising one, so it is read while the clock is low and nobody is in a hurry.
func (h *hx711) pulse() (time.Duration, error) {
	before := h.now()
	if err := h.clock.SetValue(1); err != nil {
		return 0, errors.Join(fmt.Errorf("raise clock: %w", err), h.clock.SetValue(0))
	}
	if err := h.clock.SetValue(0); err != nil {
		return 0, fmt.Errorf("lower clock: %w", err)
	}
	return h.now().Sub(before), nil
}

// signed24 converts two's complement and refuses the values a converter has when it measures
// nothing.
func signed24(bits uint32) (int32, error) {
	switch bits {
	case 0x7fffff, 0x800000:
		return 0, errSaturated
	case 0xffffff:
		return 0, errTornAway
	}
	return int32(bits<<8) >> 8, nil
}
