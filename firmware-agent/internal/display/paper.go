package display

import (
	"errors"
	"fmt"
	"time"

	"lockerfleet/firmware-agent/board"
)

// Wire sends bytes to a chip.
type Wire interface {
	Tx(w, r []byte) error
}

// Output is an output line. 1 is high.
type Output interface{ SetValue(int) error }

// Input is an input line. 1 is high.
type Input interface{ Value() (int, error) }

// Paper is electronic paper of 250 by 122 pixels with an SSD1680, such as the 2.13 inch modules
// of Waveshare, version 3 and 4. A drawing takes about 2 s and the picture stays without power.
type Paper struct {
	spi     Wire
	command Output // low for commands, high for data (D/C)
	reset   Output // low resets
	busy    Input  // high while the chip works
	chunk   int
	last    *Picture
}

// Size of the paper as people see it; the chip's rows are its columns.
const (
	paperWidth  = 250
	paperHeight = 122
	paperStride = 16 // bytes of a row of the chip
)

const (
	paperPoll = 10 * time.Millisecond
	// paperPatience is how long a drawing may take: 2 s in a room, more in the cold.
	paperPatience = 20 * time.Second
)

var errPaperBusy = errors.New("it does not finish: check its busy line")

// NewPaper returns the paper on an SPI connection of mode 0 and three lines. chunk is the longest
// transfer the connection can make.
func NewPaper(spi Wire, command, reset Output, busy Input, chunk int) (*Paper, error) {
	if chunk < 1 {
		return nil, fmt.Errorf("ssd1680: transfers of %d bytes: at least 1 is needed", chunk)
	}
	return &Paper{spi: spi, command: command, reset: reset, busy: busy, chunk: chunk}, nil
}

// Draw shows a screen, unless the paper shows the same picture already.
func (p *Paper) Draw(s board.Screen) error {
	pic, err := Render(s, paperWidth, paperHeight, false)
	if err != nil {
		return err
	}
	if p.last != nil && string(rows(p.last)) == string(rows(pic)) {
		return nil
	}
	p.last = nil
	if err := p.draw(rows(pic)); err != nil {
		return fmt.Errorf("ssd1680: %w", err)
	}
	p.last = pic
	return nil
}

// draw wakes the chip, writes both of its memories so that nothing of the old picture is left,
// refreshes the paper and sends the chip to sleep.
func (p *Paper) draw(ram []byte) error {
	if err := p.wake(); err != nil {
		return err
	}
	for _, c := range []struct {
		code byte
		data []byte
	}{
		{0x12, nil}, // software reset
		{0x01, []byte{0xf9, 0x00, 0x00}},
		{0x11, []byte{0x03}}, // rows and bytes rise
		{0x44, []byte{0x00, paperStride - 1}},
		{0x45, []byte{0x00, 0x00, 0xf9, 0x00}},
		{0x3c, []byte{0x05}}, // border
		{0x21, []byte{0x00, 0x80}},
		{0x18, []byte{0x80}}, // its own thermometer
		{0x4e, []byte{0x00}},
		{0x4f, []byte{0x00, 0x00}},
		{0x24, ram},
		{0x4e, []byte{0x00}},
		{0x4f, []byte{0x00, 0x00}},
		{0x26, ram},
		{0x22, []byte{0xf7}},
		{0x20, nil}, // refresh
	} {
		if err := p.send(c.code, c.data); err != nil {
			return fmt.Errorf("command %#02x: %w", c.code, err)
		}
		if err := p.idle(); err != nil {
			return fmt.Errorf("after command %#02x: %w", c.code, err)
		}
	}
	return p.send(0x10, []byte{0x01}) // deep sleep, which only a reset ends
}

func (p *Paper) wake() error {
	for _, v := range []int{1, 0, 1} {
		if err := p.reset.SetValue(v); err != nil {
			return fmt.Errorf("drive reset: %w", err)
		}
		<-time.After(paperPoll)
	}
	return p.idle()
}

func (p *Paper) send(code byte, data []byte) error {
	if err := p.command.SetValue(0); err != nil {
		return err
	}
	if err := p.spi.Tx([]byte{code}, nil); err != nil {
		return err
	}
	if len(data) == 0 {
		return nil
	}
	if err := p.command.SetValue(1); err != nil {
		return err
	}
	for len(data) > 0 {
		n := min(p.chunk, len(data))
		if err := p.spi.Tx(data[:n], nil); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// idle waits for the chip.
func (p *Paper) idle() error {
	for range int(paperPatience / paperPoll) {
		switch v, err := p.busy.Value(); {
		case err != nil:
			return fmt.Errorf("read busy: %w", err)
		case v == 0:
			return nil
		}
		<-time.After(paperPoll)
	}
	return errPaperBusy
}

// rows are the pixels as the chip wants them, turned by a quarter: its rows are our columns from
// the left, its first bit our lowest pixel. A bit is white.
func rows(p *Picture) []byte {
	out := make([]byte, paperWidth*paperStride)
	for x := range paperWidth {
		for y := range paperStride * 8 {
			if !p.At(x, paperHeight-1-y) {
				out[x*paperStride+y/8] |= 0x80 >> (y % 8)
			}
		}
	}
	return out
}
