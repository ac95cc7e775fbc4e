// Package qr draws texts as QR codes, for screens and letters.
package qr

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quiet is the light border of four modules that ISO/IEC 18004 asks for.
const quiet = 4

// scale is how many pixels a module of PNG has.
const scale = 8

// PNG draws text, at most a few hundred characters, with error correction M: 15 % of the picture
// may be unreadable.
func PNG(text string) ([]byte, error) {
	c, err := code(text)
	if err != nil {
		return nil, err
	}
	c.Scale = scale
	return c.PNG(), nil
}

// SVG draws text as one path on a light ground. It holds nothing else: no script and no reference.
func SVG(text string) (string, error) {
	c, err := code(text)
	if err != nil {
		return "", err
	}
	side := c.Size + 2*quiet
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, side, side, side, side)
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			run := 0
			for x+run < c.Size && c.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String(), nil
}

func code(text string) (*qr.Code, error) {
	c, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, fmt.Errorf("draw a QR code of %d characters: %w", len(text), err)
	}
	return c, nil
}
