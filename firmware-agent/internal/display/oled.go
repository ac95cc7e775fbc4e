package display

import (
	"fmt"

	"periph.io/x/conn/v3/i2c"

	"lockerfleet/firmware-agent/board"
)

// OLED is a display of 128 pixels by 32 or 64 with an SSD1306.
type OLED struct {
	dev    i2c.Dev
	height int
}

const (
	oledWidth   = 128
	oledCommand = 0x00
	oledPixels  = 0x40
	// oledChunk is how many pixels' bytes go into one transaction: adapters have small buffers.
	oledChunk = 32
)

// NewOLED returns the display at addr (0x3c or 0x3d).
func NewOLED(bus i2c.Bus, addr uint16, height int) (*OLED, error) {
	if height != 32 && height != 64 {
		return nil, fmt.Errorf("ssd1306 %#x: height %d: 32 or 64 are allowed", addr, height)
	}
	return &OLED{i2c.Dev{Bus: bus, Addr: addr}, height}, nil
}

// Draw sets the display up and writes all pixels, about 30 ms at 400 kHz. A display that has
// restarted is dark until then.
func (o *OLED) Draw(s board.Screen) error {
	p, err := Render(s, oledWidth, o.height, true)
	if err != nil {
		return err
	}
	if err := o.dev.Tx(append([]byte{oledCommand}, o.setup()...), nil); err != nil {
		return fmt.Errorf("ssd1306 %#x: set up: %w", o.dev.Addr, err)
	}
	pixels := o.pages(p)
	for len(pixels) > 0 {
		n := min(oledChunk, len(pixels))
		if err := o.dev.Tx(append([]byte{oledPixels}, pixels[:n]...), nil); err != nil {
			return fmt.Errorf("ssd1306 %#x: write pixels: %w", o.dev.Addr, err)
		}
		pixels = pixels[n:]
	}
	return nil
}

// setup is the sequence of the datasheet, section 3 of its application note, with horizontal
// addressing from the first pixel.
func (o *OLED) setup() []byte {
	com := byte(0x12)
	if o.height == 32 {
		com = 0x02
	}
	return []byte{
		0xd5, 0x80, // clock
		0xa8, byte(o.height - 1), // rows
		0xd3, 0x00, // offset
		0x40,       // first row
		0x8d, 0x14, // charge pump
		0x20, 0x00, // horizontal addressing
		0xa1, 0xc8, // turned so that the connector is on top
		0xda, com, // wiring of the rows
		0x81, 0xcf, // contrast
		0xd9, 0xf1, 0xdb, 0x40,
		0xa4, 0xa6, // show the memory, not inverted
		0x21, 0, oledWidth - 1, 0x22, 0, byte(o.height/8 - 1), // the whole page
		0xaf, // on
	}
}

// pages are the pixels as the chip wants them: bytes of eight rows, the lowest bit on top.
func (o *OLED) pages(p *Picture) []byte {
	out := make([]byte, oledWidth*o.height/8)
	for y := range p.Height {
		for x := range p.Width {
			if p.At(x, y) {
				out[y/8*oledWidth+x] |= 1 << (y % 8)
			}
		}
	}
	return out
}
