package sensor

import (
	"errors"
	"fmt"
	"sync"

	"periph.io/x/conn/v3/i2c"
)

// DS2482 is a Maxim DS2482-100 or DS2484: a 1-wire bus behind I2C. Unlike drivers that give up
// after the first failure it begins every transaction by making sure that the chip is configured,
// so a chip that has restarted serves again. It is safe for concurrent use.
type DS2482 struct {
	mu  sync.Mutex
	dev i2c.Dev
}

// Commands, registers and status bits of the datasheet.
const (
	dsReset       = 0xf0
	dsSetPointer  = 0xe1
	dsWriteConfig = 0xd2
	dsWireReset   = 0xb4
	dsWireWrite   = 0xa5
	dsWireRead    = 0x96
	dsDataReg     = 0xe1
	dsConfig      = 0xe1 // active pull-up, with the complement in the upper half
	dsConfigRead  = 0x01

	dsBusy     = 0x01
	dsPresence = 0x02
	dsShort    = 0x04
)

// dsPolls bounds the wait for one operation on the wire, each poll being an I2C transaction of
// about 0.2 ms at 100 kHz; the slowest operation takes 1.2 ms.
const dsPolls = 50

var (
	errShort = errors.New("the 1-wire bus is shorted")
	errStuck = errors.New("the bridge does not finish")
)

// NewDS2482 returns the bridge at addr (0x18 to 0x1b).
func NewDS2482(bus i2c.Bus, addr uint16) *DS2482 {
	return &DS2482{dev: i2c.Dev{Bus: bus, Addr: addr}}
}

// Tx resets the wire, sends w and reads r. It takes about 1 ms a byte.
func (d *DS2482) Tx(w, r []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.tx(w, r); err != nil {
		return fmt.Errorf("ds2482 %#x: %w", d.dev.Addr, err)
	}
	return nil
}

func (d *DS2482) tx(w, r []byte) error {
	if err := d.begin(); err != nil {
		return err
	}
	for _, b := range w {
		if err := d.dev.Tx([]byte{dsWireWrite, b}, nil); err != nil {
			return err
		}
		if _, err := d.idle(); err != nil {
			return err
		}
	}
	for i := range r {
		if err := d.dev.Tx([]byte{dsWireRead}, nil); err != nil {
			return err
		}
		if _, err := d.idle(); err != nil {
			return err
		}
		if err := d.dev.Tx([]byte{dsSetPointer, dsDataReg}, r[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// begin configures the bridge and resets the wire.
func (d *DS2482) begin() error {
	if err := d.dev.Tx([]byte{dsReset}, nil); err != nil {
		return err
	}
	var back [1]byte
	if err := d.dev.Tx([]byte{dsWriteConfig, dsConfig}, back[:]); err != nil {
		return err
	}
	if back[0] != dsConfigRead {
		return fmt.Errorf("it answers %#02x to its configuration, want %#02x: is it a DS2482?", back[0], dsConfigRead)
	}
	if err := d.dev.Tx([]byte{dsWireReset}, nil); err != nil {
		return err
	}
	status, err := d.idle()
	switch {
	case err != nil:
		return err
	case status&dsShort != 0:
		return errShort
	case status&dsPresence == 0:
		return errNobody
	}
	return nil
}

// idle waits for the operation on the wire; every command leaves the read pointer at the status.
func (d *DS2482) idle() (byte, error) {
	for range dsPolls {
		var s [1]byte
		if err := d.dev.Tx(nil, s[:]); err != nil {
			return 0, err
		}
		if s[0]&dsBusy == 0 {
			return s[0], nil
		}
	}
	return 0, errStuck
}
