package chiptest

import (
	"encoding/binary"
	"time"
)

// SHT is a Sensirion SHT3x or SHT4x. Its readings have no noise unless Noise is set.
type SHT struct {
	Command []byte        // what starts a measurement
	Settle  time.Duration // how long one takes
	Now     func() time.Time
	MilliC  int
	Noise   bool // the last bit moves
	Corrupt bool // the checksum is wrong

	began time.Time
	n     int
}

// Tx starts and reads measurements.
func (s *SHT) Tx(w, r []byte) error {
	if len(w) > 0 {
		if string(w) != string(s.Command) {
			return ErrNoAck
		}
		s.began = s.Now()
		return nil
	}
	if s.began.IsZero() || s.Now().Sub(s.began) < s.Settle || len(r) != 6 {
		return ErrNoAck // not finished
	}
	s.began = time.Time{}
	raw := uint16(int64(s.MilliC+45_000) * 65_535 / 175_000)
	if s.n++; s.Noise {
		raw += uint16(s.n % 2)
	}
	binary.BigEndian.PutUint16(r, raw)
	binary.BigEndian.PutUint16(r[3:], 0x8000)
	r[2], r[5] = CRC8(r[:2]), CRC8(r[3:5])
	if s.Corrupt {
		r[2] ^= 0x10
	}
	return nil
}

// CRC8 is the checksum of Sensirion and Aosong chips.
func CRC8(b []byte) byte {
	crc := byte(0xff)
	for _, x := range b {
		for bit := 7; bit >= 0; bit-- {
			high := crc>>7 ^ x>>bit&1
			if crc <<= 1; high == 1 {
				crc ^= 0x31
			}
		}
	}
	return crc
}

// AHT20 is an Aosong AHT20.
type AHT20 struct {
	Now          func() time.Time
	MilliC       int
	Uncalibrated bool

	began time.Time
	n     uint32
}

// Tx starts and reads measurements.
func (a *AHT20) Tx(w, r []byte) error {
	switch {
	case len(w) == 3 && w[0] == 0xac && w[1] == 0x33 && w[2] == 0:
		a.began = a.Now()
		return nil
	case len(w) == 3 && w[0] == 0xbe && w[1] == 0x08 && w[2] == 0:
		a.Uncalibrated = false
		return nil
	case len(w) != 0 || len(r) != 7:
		return ErrNoAck
	}
	a.n++
	raw := uint32(int64(a.MilliC+50_000)*(1<<20)/200_000) + a.n%2
	copy(r, []byte{0x18, 0x80, 0, byte(raw >> 16 & 0x0f), byte(raw >> 8), byte(raw)})
	if a.Uncalibrated {
		r[0] &^= 0x08
	}
	if a.Now().Sub(a.began) < 80*time.Millisecond {
		r[0] |= 0x80
	}
	r[6] = CRC8(r[:6])
	return nil
}

// DS18B20 is a chip on a 1-wire bus. A measurement shows the value 85 degrees until Convert has
// run its time.
type DS18B20 struct {
	ROM    [8]byte
	MilliC int

	scratch [9]byte
	began   time.Time
}

// DS2482 is a 1-wire bridge with chips.
type DS2482 struct {
	Now     func() time.Time
	Chips   []*DS18B20
	Shorted bool

	configured bool
	pointer    byte
	data       byte
	present    bool
	written    []byte // since the reset of the wire
	read       int
}

// Tx takes the bridge's commands.
func (d *DS2482) Tx(w, r []byte) error {
	if len(w) > 0 {
		if err := d.command(w); err != nil {
			return err
		}
	}
	for i := range r {
		r[i] = d.register()
	}
	return nil
}

func (d *DS2482) register() byte {
	switch d.pointer {
	case 0xe1:
		return d.data
	case 0xc3:
		return 0x01
	}
	var s byte
	if d.present {
		s |= 0x02
	}
	if d.Shorted {
		s |= 0x04
	}
	return s
}

func (d *DS2482) command(w []byte) error {
	d.pointer = 0xf0
	switch {
	case w[0] == 0xf0 && len(w) == 1:
		d.configured = false
	case w[0] == 0xe1 && len(w) == 2:
		d.pointer = w[1]
	case w[0] == 0xd2 && len(w) == 2 && w[1]>>4 == ^w[1]&0x0f:
		d.configured, d.pointer = true, 0xc3
	case !d.configured:
		return ErrNoAck
	case w[0] == 0xb4 && len(w) == 1:
		d.present, d.written, d.read = len(d.Chips) > 0 && !d.Shorted, nil, 0
	case w[0] == 0xa5 && len(w) == 2:
		d.written = append(d.written, w[1])
		d.convert()
	case w[0] == 0x96 && len(w) == 1:
		d.data = d.next()
	default:
		return ErrNoAck
	}
	return nil
}

// addressed is the chip whose number was sent after 0x55.
func (d *DS2482) addressed(command byte) *DS18B20 {
	if len(d.written) != 10 || d.written[0] != 0x55 || d.written[9] != command {
		return nil
	}
	for _, c := range d.Chips {
		if string(c.ROM[:]) == string(d.written[1:9]) {
			return c
		}
	}
	return nil
}

func (d *DS2482) convert() {
	if c := d.addressed(0x44); c != nil {
		c.began = d.Now()
	}
}

func (d *DS2482) next() byte {
	c := d.addressed(0xbe)
	if c == nil {
		return 0xff // nobody pulls the wire down
	}
	if d.read == 0 {
		raw := uint16(85 * 16)
		if !c.began.IsZero() && d.Now().Sub(c.began) >= 750*time.Millisecond {
			raw = uint16(int16(c.MilliC * 16 / 1000))
		}
		c.scratch = [9]byte{byte(raw), byte(raw >> 8), 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10}
		c.scratch[8] = CRCMaxim(c.scratch[:8])
	}
	if d.read >= len(c.scratch) {
		return 0xff
	}
	d.read++
	return c.scratch[d.read-1]
}

// CRCMaxim is the checksum of 1-wire.
func CRCMaxim(b []byte) byte {
	var crc byte
	for _, x := range b {
		for bit := range 8 {
			low := crc&1 ^ x>>bit&1
			if crc >>= 1; low == 1 {
				crc ^= 0x8c
			}
		}
	}
	return crc
}
