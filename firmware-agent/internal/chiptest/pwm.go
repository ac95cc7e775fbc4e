package chiptest

import "encoding/binary"

// PCA9685 is an NXP PCA9685. Make one with NewPCA9685.
type PCA9685 struct{ reg [256]byte }

// NewPCA9685 returns a chip that has just been given power: asleep, all channels off.
func NewPCA9685() *PCA9685 {
	p := new(PCA9685)
	p.Restart()
	return p
}

// Restart is what a dip of the supply does.
func (p *PCA9685) Restart() {
	p.reg = [256]byte{0x00: 0x11, 0x01: 0x04, 0xfe: 0x1e}
	for n := range 16 {
		p.reg[0x06+4*n+3] = 0x10
	}
}

// Tx reads and writes registers. Without auto-increment only the first byte of several counts.
func (p *PCA9685) Tx(w, r []byte) error {
	if len(w) == 0 {
		return ErrNoAck
	}
	at := w[0]
	for _, v := range w[1:] {
		p.write(at, v)
		at = p.next(at)
	}
	for i := range r {
		r[i] = p.reg[at]
		at = p.next(at)
	}
	return nil
}

func (p *PCA9685) next(at byte) byte {
	if p.reg[0]&0x20 != 0 {
		return at + 1
	}
	return at
}

func (p *PCA9685) write(at, v byte) {
	switch {
	case at == 0xfe && p.reg[0]&0x10 == 0:
		return // only while asleep
	case at == 0xfd:
		for n := range 16 {
			p.reg[0x06+4*n+3] = v
		}
	}
	p.reg[at] = v
}

// Percent is the duty of channel n as its machine feels it: nothing while the chip sleeps.
func (p *PCA9685) Percent(n int) int {
	c := p.reg[0x06+4*n : 0x0a+4*n]
	switch {
	case p.reg[0]&0x10 != 0 || c[3]&0x10 != 0:
		return 0
	case c[1]&0x10 != 0:
		return 100
	}
	on, off := int(binary.LittleEndian.Uint16(c)), int(binary.LittleEndian.Uint16(c[2:]))
	return ((off-on)*100 + 2048) / 4096
}
