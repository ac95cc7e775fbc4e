package sensor

import (
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"
)

// NAU7802Addr is the only address of the chip.
const NAU7802Addr = 0x2a

// Registers and bits of the Nuvoton datasheet, revision 1.7.
const (
	nauPower    = 0x00
	nauControl1 = 0x01
	nauControl2 = 0x02
	nauResult   = 0x12
	nauADC      = 0x15
	nauPGA      = 0x1c
	nauRevision = 0x1f

	nauReset   = 0x01
	nauDigital = 0x02
	nauAnalog  = 0x04
	nauUp      = 0x08 // the chip has power
	nauRun     = 0x10
	nauReady   = 0x20
	nauLDO     = 0x80
	nauOn      = nauDigital | nauAnalog | nauRun | nauLDO

	nauGain    = 0x27 // LDO 3.3 V, gain 128
	nauRate    = 0x30 // 80 conversions a second
	nauBegin   = 0x04 // calibrate
	nauBadCal  = 0x08
	nauChopOff = 0x30
	nauFilter  = 0x80 // capacitor at the amplifier
)

// nauCalibrates bounds how often a running calibration is asked for: four times in a conversion's
// period for a second and a quarter. It takes 344 ms.
const nauCalibrates = 400

var (
	errRestarted  = errors.New("the chip has restarted and is being set up")
	errCalibrate  = errors.New("its own calibration did not succeed: check the wires of the load cell")
	errNotNAU7802 = errors.New("it is not an NAU7802")
)

// nau7802 is a Nuvoton NAU7802.
type nau7802 struct {
	dev   i2c.Dev
	phase func() error // what the next Convert does to set the chip up; nil when it is
	asked int
}

// NewNAU7802 returns an NAU7802 with a load cell on its first channel, measured 80 times a second
// with gain 128. Its first conversions set the chip up, and so does every one after the chip has
// restarted, because a coil has pulled its supply down for instance.
func NewNAU7802(bus i2c.Bus) Converter {
	n := &nau7802{dev: i2c.Dev{Bus: bus, Addr: NAU7802Addr}}
	n.phase = n.reset
	return n
}

// Period is an eightieth of a second.
func (n *nau7802) Period() time.Duration { return 12500 * time.Microsecond }

// Convert returns the newest conversion, or sets the chip up further.
func (n *nau7802) Convert() (int32, error) {
	if n.phase != nil {
		if err := n.phase(); err != nil {
			n.phase = n.reset
			return 0, fmt.Errorf("nau7802: set up: %w", err)
		}
		return 0, ErrNotReady
	}
	v, err := n.read()
	if errors.Is(err, ErrNotReady) || err == nil {
		return v, err
	}
	return 0, fmt.Errorf("nau7802: %w", err)
}

func (n *nau7802) read() (int32, error) {
	p, err := n.get(nauPower)
	switch {
	case err != nil:
		return 0, err
	case p&nauOn != nauOn:
		n.phase = n.reset
		return 0, errRestarted
	case p&nauReady == 0:
		return 0, ErrNotReady
	}
	var b [3]byte
	if err := n.dev.Tx([]byte{nauResult}, b[:]); err != nil {
		return 0, fmt.Errorf("read conversion: %w", err)
	}
	return signed24(uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]))
}

func (n *nau7802) reset() error {
	if err := n.set(nauPower, nauReset); err != nil {
		return err
	}
	n.phase = n.wake
	return n.set(nauPower, nauDigital)
}

// wake runs at least 200 us after reset.
func (n *nau7802) wake() error {
	p, err := n.get(nauPower)
	if err != nil {
		return err
	}
	rev, err := n.get(nauRevision)
	if err != nil {
		return err
	}
	if p&nauUp == 0 || rev&0x0f != 0x0f {
		return errNotNAU7802
	}
	for _, r := range [][2]byte{
		{nauPower, nauOn}, {nauControl1, nauGain}, {nauADC, nauChopOff}, {nauPGA, nauFilter}, {nauControl2, nauRate | nauBegin},
	} {
		if err := n.set(r[0], r[1]); err != nil {
			return err
		}
	}
	n.asked, n.phase = 0, n.calibrate
	return nil
}

func (n *nau7802) calibrate() error {
	c, err := n.get(nauControl2)
	switch n.asked++; {
	case err != nil:
		return err
	case c&nauBegin != 0 && n.asked < nauCalibrates:
		return nil
	case c&(nauBadCal|nauBegin) != 0:
		return errCalibrate
	}
	n.phase = nil
	return nil
}

func (n *nau7802) get(reg byte) (byte, error) {
	var b [1]byte
	if err := n.dev.Tx([]byte{reg}, b[:]); err != nil {
		return 0, fmt.Errorf("read register %#02x: %w", reg, err)
	}
	return b[0], nil
}

func (n *nau7802) set(reg, v byte) error {
	if err := n.dev.Tx([]byte{reg, v}, nil); err != nil {
		return fmt.Errorf("write register %#02x: %w", reg, err)
	}
	return nil
}
