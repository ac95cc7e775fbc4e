package chiptest

// Expander is a PCA9555 or MCP23017 with what is wired to its pins.
type Expander struct {
	mcp       bool
	latch     uint16
	direction uint16 // 1 is input
	polarity  uint16
	pull      uint16
	outside   uint16 // levels that the world gives to inputs
	held      uint16 // pins shorted to the level in outside
	rises     [16]int
	falls     [16]int
	shown     uint16 // levels of all pins as seen last
	other     map[byte]byte
}

// NewExpander returns a chip as it is at power on, its inputs high.
func NewExpander(driver string) *Expander {
	e := &Expander{mcp: driver == "mcp23017", outside: 0xFFFF}
	e.PowerOn()
	return e
}

// PowerOn resets the registers, as the datasheets say: all pins are inputs, and the latch of a
// PCA9555 is high, that of an MCP23017 low.
func (e *Expander) PowerOn() {
	e.latch, e.direction, e.polarity, e.pull, e.other = 0xFFFF, 0xFFFF, 0, 0, map[byte]byte{}
	if e.mcp {
		e.latch = 0
	}
	e.shown = e.pins()
}

// Wire sets the level that the world gives to a pin.
func (e *Expander) Wire(pin int, high bool) {
	e.outside &^= 1 << pin
	if high {
		e.outside |= 1 << pin
	}
	e.shown = e.pins()
}

// Hold shorts a pin to the level the world gives it.
func (e *Expander) Hold(pin int) { e.held |= 1 << pin }

// Level is what a pin shows.
func (e *Expander) Level(pin int) bool { return e.pins()>>pin&1 == 1 }

// Driven reports whether a pin is an output.
func (e *Expander) Driven(pin int) bool { return e.direction>>pin&1 == 0 }

// Edges counts how often the chip itself moved a pin up and down.
func (e *Expander) Edges(pin int) (rises, falls int) { return e.rises[pin], e.falls[pin] }

func (e *Expander) pins() uint16 {
	inputs := e.direction | e.held
	return e.latch&^inputs | e.outside&inputs
}

// Tx reads or writes registers beginning at the first byte. A pair wraps around on a PCA9555.
func (e *Expander) Tx(w, r []byte) error {
	if len(w) == 0 {
		return ErrNoAck
	}
	at := w[0]
	for i, v := range w[1:] {
		if err := e.write(e.next(at, i), v); err != nil {
			return err
		}
		e.moved()
	}
	for i := range r {
		v, err := e.read(e.next(at, i))
		if err != nil {
			return err
		}
		r[i] = v
	}
	return nil
}

func (e *Expander) next(at byte, i int) byte {
	if e.mcp {
		return at + byte(i)
	}
	return at&^1 | (at+byte(i))&1
}

// moved counts the edges since the last look.
func (e *Expander) moved() {
	now := e.pins()
	for pin := range 16 {
		switch was, is := e.shown>>pin&1, now>>pin&1; {
		case was < is:
			e.rises[pin]++
		case was > is:
			e.falls[pin]++
		}
	}
	e.shown = now
}

// bank returns the pair of registers that holds a value; nil when the register is another one.
func (e *Expander) bank(reg byte) *uint16 {
	if !e.mcp {
		return map[byte]*uint16{2: &e.latch, 4: &e.polarity, 6: &e.direction}[reg&^1]
	}
	return map[byte]*uint16{0x00: &e.direction, 0x02: &e.polarity, 0x0C: &e.pull, 0x14: &e.latch}[reg&^1]
}

func (e *Expander) write(reg, v byte) error {
	if p := e.bank(reg); p != nil {
		shift := 8 * (reg & 1)
		*p = *p&^(0xFF<<shift) | uint16(v)<<shift
		return nil
	}
	if !e.mcp && reg > 7 || reg > 0x15 {
		return ErrNoAck
	}
	e.other[reg] = v
	return nil
}

func (e *Expander) read(reg byte) (byte, error) {
	if p := e.bank(reg); p != nil {
		return byte(*p >> (8 * (reg & 1))), nil
	}
	input := byte(0)
	if e.mcp {
		input = 0x12
	}
	switch {
	case reg&^1 == input:
		return byte((e.pins() ^ e.polarity) >> (8 * (reg & 1))), nil
	case !e.mcp && reg > 7 || reg > 0x15:
		return 0, ErrNoAck
	}
	return e.other[reg], nil
}
