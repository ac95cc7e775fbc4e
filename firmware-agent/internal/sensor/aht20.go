package sensor

import (
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"lockerfleet/locker"
)

// aht20 is an Aosong AHT20 or AHT21.
type aht20 struct{ dev i2c.Dev }

// AHT20Addr is the only address of the chip.
const AHT20Addr = 0x38

const (
	aht20Settle = 85 * time.Millisecond // datasheet version 1.0, 5.4: 80 ms
	aht20Busy   = 0x80
	aht20Ready  = 0x08 // calibrated
)

var (
	errBusy         = errors.New("still measuring after its time")
	errUncalibrated = errors.New("it has lost its calibration")
)

// NewAHT20 returns an AHT20 at AHT20Addr.
func NewAHT20(bus i2c.Bus) Chip { return &aht20{i2c.Dev{Bus: bus, Addr: AHT20Addr}} }

// Bounds are the measuring range.
func (a *aht20) Bounds() Bounds { return air(-40, 85, airRepeat) }

// Begin starts a measurement.
func (a *aht20) Begin() (time.Duration, error) {
	if err := a.dev.Tx([]byte{0xac, 0x33, 0x00}, nil); err != nil {
		return 0, fmt.Errorf("aht20: start measurement: %w", err)
	}
	return aht20Settle, nil
}

// Collect reads the measurement. A chip that has lost its calibration, as after a dip of its
// supply, is initialised for the next one.
func (a *aht20) Collect() (Reading, error) {
	var b [7]byte
	if err := a.dev.Tx(nil, b[:]); err != nil {
		return Reading{}, fmt.Errorf("aht20: read measurement: %w", err)
	}
	r, err := decodeAHT20(b)
	if errors.Is(err, errUncalibrated) {
		err = errors.Join(err, a.dev.Tx([]byte{0xbe, 0x08, 0x00}, nil))
	}
	if err != nil {
		return Reading{}, fmt.Errorf("aht20: %w", err)
	}
	return r, nil
}

// decodeAHT20 checks and converts: T = -50 + 200 * raw / 2^20 degrees.
func decodeAHT20(b [7]byte) (Reading, error) {
	switch {
	case crc8(b[:6]) != b[6]:
		return Reading{}, errChecksum
	case b[0]&aht20Busy != 0:
		return Reading{}, errBusy
	case b[0]&aht20Ready == 0:
		return Reading{}, errUncalibrated
	}
	raw := int64(b[3]&0x0f)<<16 | int64(b[4])<<8 | int64(b[5])
	return Reading{
		Raw:  int64(b[1])<<32 | int64(b[2])<<24 | int64(b[3])<<16 | int64(b[4])<<8 | int64(b[5]),
		Temp: locker.MilliCelsius(-50_000 + 200_000*raw/(1<<20)),
	}, nil
}
