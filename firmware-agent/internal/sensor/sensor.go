// Package sensor reads what air and weight a compartment has: thermometers on I2C (SHT3x, SHT4x,
// AHT20, DS18B20 behind a DS2482 bridge) and on the kernel's 1-wire bus, load cells on an HX711
// or an NAU7802.
//
// A chip is measured in steps on the goroutine of its bus, so nobody waits for a conversion, and
// its readings pass a Filter. What is handed out is the newest believed value; when that is too
// old, or the chip says things that cannot be, the answer is an error and never a guess.
package sensor

import (
	"fmt"
	"sync"
	"time"

	"lockerfleet/locker"
)

// samplePeriod is how often air is measured. A retryPeriod after a failure the chip is asked again.
const (
	samplePeriod = 10 * time.Second
	retryPeriod  = 2 * time.Second
)

// airFresh is how old a temperature may be: it spans three bad readings.
const airFresh = 60 * time.Second

// airRate and airSlack bound how fast air in a box can change, in thousandths of a degree: an
// open door of a freezer on a hot day does less.
const (
	airRate  = 2_000
	airSlack = 2_000
)

// airRepeat is how many equal readings mean that a chip with noise in its last bits is stuck:
// five minutes.
const airRepeat = 30

// Reading is one measurement of a chip.
type Reading struct {
	Raw  int64 // the bits as the chip sent them; equal ones may mean that it is stuck
	Temp locker.MilliCelsius
}

// Chip is a thermometer that is measured in two parts, so that the bus is free in between.
type Chip interface {
	// Begin starts a measurement and returns after what time Collect may be called.
	Begin() (time.Duration, error)
	// Collect fetches the measurement that Begin started.
	Collect() (Reading, error)
	// Bounds are what the chip can deliver.
	Bounds() Bounds
}

// Thermometer keeps the newest believed reading of a chip. Its Step runs on the goroutine that
// owns the bus; Temperature may be called by anybody.
type Thermometer struct {
	name    string
	chip    Chip
	now     func() time.Time
	begun   bool
	mu      sync.Mutex
	readout *Filter
}

// NewThermometer returns a thermometer that has measured nothing. name is what its errors call
// it, now the clock.
func NewThermometer(name string, chip Chip, now func() time.Time) *Thermometer {
	return &Thermometer{name: name, chip: chip, now: now, readout: NewFilter(chip.Bounds())}
}

// Temperature is the newest believed reading.
func (t *Thermometer) Temperature() (locker.MilliCelsius, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, err := t.readout.Value(t.now())
	if err != nil {
		return 0, fmt.Errorf("thermometer %s: %w", t.name, err)
	}
	return locker.MilliCelsius(v), nil
}

// Step begins or collects a measurement.
func (t *Thermometer) Step(now time.Time) time.Duration {
	if !t.begun {
		wait, err := t.chip.Begin()
		if err != nil {
			return t.fail(err)
		}
		t.begun = true
		return wait
	}
	t.begun = false
	r, err := t.chip.Collect()
	if err != nil {
		return t.fail(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readout.Take(r.Raw, int64(r.Temp), now) != nil {
		return retryPeriod
	}
	return samplePeriod
}

func (t *Thermometer) fail(err error) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readout.Fail(err)
	return retryPeriod
}

// Probe measures once and waits for it: it is how a board finds out at its start whether the chip
// is there.
func (t *Thermometer) Probe() error {
	for range 2 {
		wait := t.Step(t.now())
		if !t.begun {
			break
		}
		<-time.After(wait)
	}
	_, err := t.Temperature()
	return err
}

// air are the bounds of an air thermometer that measures from least to most degrees.
func air(least, most int64, repeat int) Bounds {
	return Bounds{Least: least * 1000, Most: most * 1000, Rate: airRate, Slack: airSlack, Repeat: repeat, Fresh: airFresh}
}

// crc8 is the checksum of Sensirion and Aosong: polynomial 0x31, most significant bit first,
// start 0xff.
func crc8(b []byte) byte {
	crc := byte(0xff)
	for _, x := range b {
		crc ^= x
		for range 8 {
			if crc&0x80 != 0 {
				crc = crc<<1 ^ 0x31
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
