package hardware

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/host/v3/sysfs"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/locker"
)

const (
	samplePeriod = 10 * time.Second
	staleAfter   = 60 * time.Second // a reading older than this is unknown
)

// openBus opens a bus of the kernel by its path. It does not start periph's host drivers, some
// of which map the memory of the processor.
func openBus(dev string) (i2c.BusCloser, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(dev, "/dev/i2c-"))
	if err != nil {
		return nil, fmt.Errorf("bus %s: its name is not /dev/i2c-N", dev)
	}
	b, err := sysfs.NewI2C(n)
	if err != nil {
		return nil, fmt.Errorf("bus %s cannot be opened: %w", dev, err)
	}
	return b, nil
}

// thermometer hands out the newest sample its bus owner took.
type thermometer struct {
	chip sht3x
	mu   sync.Mutex
	at   time.Time
	temp locker.MilliCelsius
	err  error
}

// Temperature is the newest reading, unknown when it failed or is old.
func (t *thermometer) Temperature() (locker.MilliCelsius, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil:
		return 0, t.err
	case t.at.IsZero() || time.Since(t.at) > staleAfter:
		return 0, errors.New("thermometer: no fresh reading")
	}
	return t.temp, nil
}

func (t *thermometer) sample(ctx context.Context) {
	temp, err := t.chip.measure(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
	if err == nil {
		t.temp, t.at = temp, time.Now()
	}
}

// thermometers opens the buses and gives each an owner. A sensor that does not answer at the
// start is missing.
func (o *opening) thermometers(p *board.Profile, b *board.Board, open buses) {
	found := map[board.Name]*thermometer{}
	for _, bus := range p.Buses {
		handle, err := open(bus.Dev)
		if err != nil {
			o.missing("%w", err)
			continue
		}
		var owned []*thermometer
		for _, s := range p.Thermometers {
			if s.Bus != bus.ID {
				continue
			}
			t := &thermometer{chip: sht3x{i2c.Dev{Bus: handle, Addr: uint16(s.Addr)}}}
			if t.sample(context.Background()); t.err != nil {
				o.missing("thermometer %s on %s: %w", s.ID, bus.Dev, t.err)
			}
			owned, found[s.ID] = append(owned, t), t
		}
		o.own(handle, owned)
	}
	for i, c := range p.Compartments {
		if t := found[c.Thermometer]; t != nil {
			b.Compartments[i].Thermometer = t
		}
	}
}

// own starts the one goroutine that talks on a bus.
func (o *opening) own(bus i2c.BusCloser, owned []*thermometer) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(samplePeriod)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for _, t := range owned {
				t.sample(ctx)
			}
		}
	}()
	o.closers = append(o.closers, func() error {
		cancel()
		<-done
		return bus.Close()
	})
}

// sht3x is a Sensirion SHT30, SHT31 or SHT35.
type sht3x struct{ dev i2c.Dev }

const (
	sht3xSettle = 20 * time.Millisecond // a measurement of high repeatability takes 15 ms at most
	sht3xLeast  = locker.MilliCelsius(-40_000)
	sht3xMost   = locker.MilliCelsius(125_000)
)

// measure starts one measurement without clock stretching and reads it.
func (s sht3x) measure(ctx context.Context) (locker.MilliCelsius, error) {
	if err := s.dev.Tx([]byte{0x24, 0x00}, nil); err != nil {
		return 0, fmt.Errorf("sht3x %#x: start measurement: %w", s.dev.Addr, err)
	}
	select {
	case <-time.After(sht3xSettle):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	var b [6]byte
	if err := s.dev.Tx(nil, b[:]); err != nil {
		return 0, fmt.Errorf("sht3x %#x: read measurement: %w", s.dev.Addr, err)
	}
	return decodeSHT3x(b)
}

// decodeSHT3x checks and converts: T = -45 + 175 * raw / 65535 degrees.
func decodeSHT3x(b [6]byte) (locker.MilliCelsius, error) {
	if crc8(b[:2]) != b[2] || crc8(b[3:5]) != b[5] {
		return 0, errors.New("sht3x: checksum of the measurement is wrong")
	}
	raw := int64(b[0])<<8 | int64(b[1])
	t := locker.MilliCelsius(-45_000 + 175_000*raw/65_535)
	if t < sht3xLeast || t > sht3xMost {
		return 0, fmt.Errorf("sht3x: %d thousandths of a degree is outside what it can measure", t)
	}
	return t, nil
}

// crc8 is the checksum of the chip's data sheet: polynomial 0x31, start 0xff.
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
