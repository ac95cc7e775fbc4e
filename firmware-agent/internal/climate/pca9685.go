package climate

import (
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"
)

// PWM is an NXP PCA9685: 16 channels of pulse-width modulation. Its outputs keep their duty when
// the agent dies, so heaters on it need a cut-out in hardware, as all do. It is safe for
// concurrent use.
type PWM struct {
	mu       sync.Mutex
	dev      i2c.Dev
	prescale byte
}

// Channels of a PWM.
const Channels = 16

// Registers and bits of the datasheet, revision 4.
const (
	pwmMode1    = 0x00
	pwmMode2    = 0x01
	pwmChannel0 = 0x06
	pwmAllOff   = 0xfd
	pwmPrescale = 0xfe

	pwmSleep     = 0x10
	pwmIncrement = 0x20
	pwmTotem     = 0x04
	pwmFull      = 0x10 // in the upper byte of a channel's on or off time
	pwmSteps     = 4096
)

// Frequencies of a PWM in hertz.
const (
	MinFrequency = 24
	MaxFrequency = 1526
)

// pwmStart is what its oscillator takes to start.
const pwmStart = 500 * time.Microsecond

// NewPWM sets the chip at addr up with all channels off.
func NewPWM(bus i2c.Bus, addr uint16, hertz int) (*PWM, error) {
	if hertz < MinFrequency || hertz > MaxFrequency {
		return nil, fmt.Errorf("pca9685 %#x: %d Hz: %d to %d are allowed", addr, hertz, MinFrequency, MaxFrequency)
	}
	p := &PWM{dev: i2c.Dev{Bus: bus, Addr: addr}, prescale: byte((25_000_000+pwmSteps*hertz/2)/(pwmSteps*hertz) - 1)}
	if err := p.begin(); err != nil {
		return nil, fmt.Errorf("pca9685 %#x: set up: %w", addr, err)
	}
	return p, nil
}

// begin puts the chip to sleep, switches all channels off, and wakes it.
func (p *PWM) begin() error {
	for _, r := range [][]byte{
		{pwmMode1, pwmSleep | pwmIncrement}, {pwmAllOff, pwmFull}, {pwmPrescale, p.prescale}, {pwmMode2, pwmTotem}, {pwmMode1, pwmIncrement},
	} {
		if err := p.dev.Tx(r, nil); err != nil {
			return err
		}
	}
	<-time.After(pwmStart)
	return nil
}

// Channel is the machine on channel n, 0 to Channels-1.
func (p *PWM) Channel(n int) (Power, error) {
	if n < 0 || n >= Channels {
		return nil, fmt.Errorf("pca9685 %#x: channel %d: 0 to %d are allowed", p.dev.Addr, n, Channels-1)
	}
	return &channel{p, n}, nil
}

// channel is one Power of a PWM.
type channel struct {
	chip *PWM
	n    int
}

// Set writes the duty and reads it back. A chip that has restarted, and so has all channels off,
// is set up first; the others are given their duty again when they are next set.
func (c *channel) Set(percent int) error {
	c.chip.mu.Lock()
	defer c.chip.mu.Unlock()
	if err := c.chip.set(c.n, percent); err != nil {
		return fmt.Errorf("pca9685 %#x channel %d: %w", c.chip.dev.Addr, c.n, err)
	}
	return nil
}

func (p *PWM) set(n, percent int) error {
	var mode, prescale [1]byte
	if err := p.dev.Tx([]byte{pwmMode1}, mode[:]); err != nil {
		return err
	}
	if err := p.dev.Tx([]byte{pwmPrescale}, prescale[:]); err != nil {
		return err
	}
	if mode[0] != pwmIncrement || prescale[0] != p.prescale {
		if err := p.begin(); err != nil {
			return err
		}
	}
	reg, want := byte(pwmChannel0+4*n), duty(percent)
	if err := p.dev.Tx(append([]byte{reg}, want[:]...), nil); err != nil {
		return err
	}
	var got [4]byte
	if err := p.dev.Tx([]byte{reg}, got[:]); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("wrote % x, it holds % x", want, got)
	}
	return nil
}

// duty is the on and the off time of a percentage.
func duty(percent int) [4]byte {
	switch {
	case percent <= 0:
		return [4]byte{3: pwmFull}
	case percent >= 100:
		return [4]byte{1: pwmFull}
	}
	off := pwmSteps * percent / 100
	return [4]byte{2: byte(off), 3: byte(off >> 8)}
}
