package sensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"lockerfleet/locker"
)

// Wire is a 1-wire bus. Tx resets it, sends w and reads r.
type Wire interface {
	Tx(w, r []byte) error
}

const (
	ds18b20Family = 0x28
	ds18b20Settle = 760 * time.Millisecond // datasheet: 750 ms at 12 bits
	ds18b20Repeat = 0                      // its steps of 1/16 degree stay equal in a good fridge
)

var (
	errPowerOn = errors.New("85 degrees is what the chip says before it has measured: its supply dips or the measurement did not start")
	errAbsent  = errors.New("-127 degrees is what is read when nothing answers")
	errNobody  = errors.New("nothing answers")
)

// ds18b20 is a Maxim DS18B20 with its own supply.
type ds18b20 struct {
	wire Wire
	rom  [8]byte
}

// NewDS18B20 returns the DS18B20 with the 64 bits of rom, whose lowest byte is the family 0x28
// and whose highest is a checksum. The chip must have its own supply: no strong pull-up is given.
func NewDS18B20(wire Wire, rom uint64) (Chip, error) {
	d := &ds18b20{wire: wire}
	binary.LittleEndian.PutUint64(d.rom[:], rom)
	if d.rom[0] != ds18b20Family {
		return nil, fmt.Errorf("rom %016x is of family %02x: a DS18B20 has 28 in its last two digits", rom, d.rom[0])
	}
	if crcMaxim(d.rom[:7]) != d.rom[7] {
		return nil, fmt.Errorf("rom %016x has a wrong checksum %02x in its first two digits, want %02x: compare it digit by digit", rom, d.rom[7], crcMaxim(d.rom[:7]))
	}
	return d, nil
}

// Bounds are the measuring range.
func (d *ds18b20) Bounds() Bounds { return air(-55, 125, ds18b20Repeat) }

// Begin starts a measurement.
func (d *ds18b20) Begin() (time.Duration, error) {
	if err := d.wire.Tx(d.to(0x44), nil); err != nil {
		return 0, fmt.Errorf("ds18b20 %x: start measurement: %w", d.rom, err)
	}
	return ds18b20Settle, nil
}

// Collect reads the scratchpad.
func (d *ds18b20) Collect() (Reading, error) {
	var b [9]byte
	if err := d.wire.Tx(d.to(0xbe), b[:]); err != nil {
		return Reading{}, fmt.Errorf("ds18b20 %x: read measurement: %w", d.rom, err)
	}
	r, err := decodeDS18B20(b)
	if err != nil {
		return Reading{}, fmt.Errorf("ds18b20 %x: %w", d.rom, err)
	}
	return r, nil
}

// to addresses a command.
func (d *ds18b20) to(command byte) []byte {
	return append(append([]byte{0x55}, d.rom[:]...), command)
}

// decodeDS18B20 checks and converts the scratchpad. A bus without an answer reads as ones, a
// shorted one as zeros, for which the checksum is right.
func decodeDS18B20(b [9]byte) (Reading, error) {
	switch {
	case b == [9]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, b == [9]byte{}:
		return Reading{}, errNobody
	case crcMaxim(b[:8]) != b[8]:
		return Reading{}, errChecksum
	}
	raw := int16(binary.LittleEndian.Uint16(b[:2]))
	return judgeDS18B20(int64(raw), int64(raw)*1000/16)
}

// judgeDS18B20 refuses the two values that mean something else than a temperature.
func judgeDS18B20(raw, milli int64) (Reading, error) {
	switch milli {
	case 85_000:
		return Reading{}, errPowerOn
	case -127_000:
		return Reading{}, errAbsent
	}
	return Reading{Raw: raw, Temp: locker.MilliCelsius(milli)}, nil
}

// crcMaxim is the checksum of 1-wire: polynomial 0x31, least significant bit first, start 0.
func crcMaxim(b []byte) byte {
	var crc byte
	for _, x := range b {
		crc ^= x
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x8c
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}
