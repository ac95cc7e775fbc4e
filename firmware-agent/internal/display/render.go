package display

import (
	"fmt"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/internal/qr"
)

// Picture is a page of pixels, off or on.
type Picture struct {
	Width, Height int
	bits          []bool
}

// NewPicture returns a page with all pixels off.
func NewPicture(width, height int) *Picture {
	return &Picture{width, height, make([]bool, width*height)}
}

// At tells whether a pixel is on. Outside the page all are off.
func (p *Picture) At(x, y int) bool {
	return x >= 0 && x < p.Width && y >= 0 && y < p.Height && p.bits[y*p.Width+x]
}

// fill sets a rectangle. What lies outside the page is cut off.
func (p *Picture) fill(x, y, w, h int, on bool) {
	for j := max(y, 0); j < min(y+h, p.Height); j++ {
		for i := max(x, 0); i < min(x+w, p.Width); i++ {
			p.bits[j*p.Width+i] = on
		}
	}
}

// text draws an ASCII text with pixels of the given size.
func (p *Picture) text(x, y, size int, s string) {
	for i := range len(s) {
		for col, bits := range glyph(s[i]) {
			for row := range glyphHeight {
				if bits>>row&1 == 1 {
					p.fill(x+(i*advance+col)*size, y+row*size, size, size, true)
				}
			}
		}
	}
}

// quiet is the empty border of a QR code in modules. The standard asks for four; scanners of
// phones read codes with two, and small displays need the room.
const quiet = 2

// code draws the QR code of content into the square at x and y, as large as fits, dark where the
// page is off when light is true. It reports whether a module has at least two pixels: smaller
// ones are not read.
func (p *Picture) code(x, y, side int, content string, light bool) (bool, error) {
	code, err := qr.Encode(content, qr.Low)
	if err != nil {
		return false, fmt.Errorf("display: %w", err)
	}
	modules := code.Size()
	size := side / (modules + 2*quiet)
	if size < 2 {
		return false, nil
	}
	border := (side - modules*size) / 2
	if light {
		p.fill(x, y, side, side, true)
	}
	for j := range modules {
		for i := range modules {
			if code.Dark(i, j) {
				p.fill(x+border+i*size, y+border+j*size, size, size, !light)
			}
		}
	}
	return true, nil
}

// Render draws a screen on a page: the QR code on the right when there is one and it can be read,
// the code large, and as much of the lines as fits. light says that a pixel that is on is bright,
// as on an OLED; on paper it is dark.
func Render(s board.Screen, width, height int, light bool) (*Picture, error) {
	p := NewPicture(width, height)
	room := width
	if s.QR != "" {
		side := min(height, width)
		drawn, err := p.code(width-side, 0, side, s.QR, light)
		if err != nil {
			return nil, err
		}
		if drawn {
			room = width - side - 2
		}
	}
	y := p.large(room, Fold(s.Code))
	size := 1
	if height >= 100 {
		size = 2
	}
	if room/(advance*size) < 12 {
		size = 1
	}
	for _, line := range s.Lines {
		most := (height - y + size) / (leading * size)
		for _, l := range Wrap(Fold(line), (room+size)/(advance*size), most) {
			p.text(0, y, size, l)
			y += leading * size
		}
		y += size * 2
	}
	return p, nil
}

// maxLarge is the largest size of a code's pixels.
const maxLarge = 5

// large draws a code as large as fits into the width and half the page, and returns where the
// lines begin.
func (p *Picture) large(room int, code string) int {
	if code == "" {
		return 0
	}
	size := min((room+1)/(advance*len(code)), p.Height/2/glyphHeight, maxLarge)
	if size < 1 {
		return 0
	}
	p.text(max(0, (room-len(code)*advance*size)/2), 0, size, code)
	return leading*size + size
}
