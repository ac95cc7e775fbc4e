package chiptest

import (
	"strings"
	"sync"
	"time"
)

// LCD is an HD44780 with an expander before it, as backpacks have it. It begins in eight-bit
// mode, as after power-up.
type LCD struct {
	Cols, Rows int

	memory  [0x80]byte
	at      byte
	four    bool // four-bit mode
	upper   byte // the first half of a byte, when half is set
	half    bool
	on      bool
	enabled bool
	last    byte
}

// Disturb makes the display take the next half of a byte for the second one, as after a disturbed
// transfer.
func (l *LCD) Disturb() { l.half = true }

// Tx takes the expander's outputs one after the other; the display acts when enable falls.
func (l *LCD) Tx(w, _ []byte) error {
	for _, v := range w {
		if l.enabled && v&0x04 == 0 {
			l.strobe(l.last)
		}
		l.enabled, l.last = v&0x04 != 0, v
	}
	return nil
}

func (l *LCD) strobe(v byte) {
	if !l.four {
		l.command(v & 0xf0)
		return
	}
	if l.half = !l.half; l.half {
		l.upper = v & 0xf0
		return
	}
	b := l.upper | v>>4
	if v&1 == 0 {
		l.command(b)
		return
	}
	l.memory[l.at&0x7f] = b
	l.at++
}

func (l *LCD) command(b byte) {
	switch {
	case b&0x80 != 0:
		l.at = b & 0x7f
	case b&0xe0 == 0x20:
		l.four, l.half = b&0x10 == 0, false
	case b&0xf8 == 0x08:
		l.on = b&0x04 != 0
	case b == 0x01:
		l.memory, l.at = [0x80]byte{}, 0
	}
}

// Text is what a person reads, the rows parted by newlines; nothing while the display is off.
func (l *LCD) Text() string {
	if !l.on {
		return ""
	}
	var rows []string
	for r := range l.Rows {
		at := r%2*0x40 + r/2*l.Cols
		rows = append(rows, strings.TrimRight(string(l.memory[at:at+l.Cols]), " "))
	}
	return strings.Join(rows, "\n")
}

// SSD1306 is an OLED controller with its memory.
type SSD1306 struct {
	memory     [8][128]byte
	page, col  int
	pages      [2]int
	cols       [2]int
	on, pump   bool
	horizontal bool
	multiplex  byte
}

// arguments is how many bytes follow a command.
var arguments = map[byte]int{
	0xd5: 1, 0xa8: 1, 0xd3: 1, 0x8d: 1, 0x20: 1, 0xda: 1, 0x81: 1, 0xd9: 1, 0xdb: 1, 0x21: 2, 0x22: 2,
}

// Tx takes commands or pixels.
func (s *SSD1306) Tx(w, _ []byte) error {
	if len(w) == 0 {
		return ErrNoAck
	}
	switch body := w[1:]; w[0] {
	case 0x00:
		return s.commands(body)
	case 0x40:
		for _, b := range body {
			s.pixel(b)
		}
		return nil
	}
	return ErrNoAck
}

func (s *SSD1306) commands(body []byte) error {
	for len(body) > 0 {
		c, n := body[0], arguments[body[0]]
		if len(body) < 1+n {
			return ErrNoAck
		}
		args := body[1 : 1+n]
		switch c {
		case 0xae, 0xaf:
			s.on = c == 0xaf
		case 0x8d:
			s.pump = args[0] == 0x14
		case 0x20:
			s.horizontal = args[0] == 0
		case 0xa8:
			s.multiplex = args[0]
		case 0x21:
			s.cols = [2]int{int(args[0]), int(args[1])}
			s.col = s.cols[0]
		case 0x22:
			s.pages = [2]int{int(args[0]), int(args[1])}
			s.page = s.pages[0]
		}
		body = body[1+n:]
	}
	return nil
}

func (s *SSD1306) pixel(b byte) {
	s.memory[s.page&7][s.col&127] = b
	if !s.horizontal {
		s.col++
		return
	}
	if s.col++; s.col > s.cols[1] {
		s.col = s.cols[0]
		if s.page++; s.page > s.pages[1] {
			s.page = s.pages[0]
		}
	}
}

// Lit tells whether a person sees a pixel.
func (s *SSD1306) Lit(x, y int) bool {
	return s.on && s.pump && y <= int(s.multiplex) && s.memory[y/8][x]>>(y%8)&1 == 1
}

// SSD1680 is a controller of electronic paper with 250 rows of 122 pixels, behind SPI. Tx is its
// SPI; Command, Reset and Busy are its lines.
type SSD1680 struct {
	Now func() time.Time
	// Refresh is how long the paper takes; Hang makes it never finish.
	Refresh time.Duration
	Hang    bool

	mu       sync.Mutex
	data     bool // D/C is high
	code     byte
	args     []byte
	ram      [2][250][16]byte
	paper    [250][16]byte
	busyTill time.Time
	asleep   bool
	drawn    int
}

// Tx takes a command or its data.
func (s *SSD1680) Tx(w, _ []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asleep || s.Now().Before(s.busyTill) {
		return nil // it hears nothing
	}
	for _, b := range w {
		if s.data {
			s.argument(b)
			continue
		}
		s.code, s.args = b, nil
		if b == 0x20 {
			s.paper, s.busyTill = s.ram[0], s.Now().Add(s.Refresh)
			s.drawn++
		}
	}
	return nil
}

func (s *SSD1680) argument(b byte) {
	n := len(s.args)
	s.args = append(s.args, b)
	if s.code == 0x10 {
		s.asleep = true
	}
	if bank := (int(s.code) - 0x24) / 2; (s.code == 0x24 || s.code == 0x26) && n < 250*16 {
		s.ram[bank][n/16][n%16] = b
	}
}

// Pixel tells whether a pixel of the lying paper is black.
func (s *SSD1680) Pixel(x, y int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := 121 - y
	return s.drawn > 0 && s.paper[x][r/8]&(0x80>>(r%8)) == 0
}

// Drawn counts refreshes.
func (s *SSD1680) Drawn() int { s.mu.Lock(); defer s.mu.Unlock(); return s.drawn }

// PaperLine is a line of an SSD1680.
type PaperLine struct {
	chip *SSD1680
	kind byte
}

// Command is D/C: low for commands.
func (s *SSD1680) Command() PaperLine { return PaperLine{s, 'c'} }

// Reset is low active.
func (s *SSD1680) Reset() PaperLine { return PaperLine{s, 'r'} }

// Busy is high while the chip works.
func (s *SSD1680) Busy() PaperLine { return PaperLine{s, 'b'} }

// SetValue drives D/C or RST.
func (l PaperLine) SetValue(v int) error {
	l.chip.mu.Lock()
	defer l.chip.mu.Unlock()
	switch {
	case l.kind == 'c':
		l.chip.data = v == 1
	case v == 0:
		l.chip.asleep = false
	}
	return nil
}

// Value reads BUSY.
func (l PaperLine) Value() (int, error) {
	l.chip.mu.Lock()
	defer l.chip.mu.Unlock()
	if l.chip.Hang || l.chip.Now().Before(l.chip.busyTill) {
		return 1, nil
	}
	return 0, nil
}
