package display

import (
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"lockerfleet/firmware-agent/board"
)

// Bits of the PCF8574 as the usual backpacks wire them: RS, RW, enable, light and the upper half
// of the data bus.
const (
	lcdData   = 0x01
	lcdEnable = 0x04
	lcdLight  = 0x08
)

// Commands of the HD44780 datasheet.
const (
	lcdEntry   = 0x06 // the cursor moves right
	lcdOn      = 0x0c // no cursor
	lcdTwoRows = 0x28 // 4 bits, two rows, 5 by 8 dots
	lcdAddress = 0x80
)

// Times of the datasheet, with a margin for slow clones.
const (
	lcdPowerUp = 50 * time.Millisecond
	lcdWake    = 5 * time.Millisecond
)

// LCD is a text display with an HD44780 behind a PCF8574.
type LCD struct {
	dev        i2c.Dev
	cols, rows int
	ready      bool
}

// NewLCD returns the display at addr (0x20 to 0x27 and 0x38 to 0x3f) with 16 or 20 columns and 2
// or 4 rows.
func NewLCD(bus i2c.Bus, addr uint16, cols, rows int) (*LCD, error) {
	if cols != 16 && cols != 20 || rows != 2 && rows != 4 {
		return nil, fmt.Errorf("lcd %#x: %d columns and %d rows: 16 or 20 and 2 or 4 are allowed", addr, cols, rows)
	}
	return &LCD{dev: i2c.Dev{Bus: bus, Addr: addr}, cols: cols, rows: rows}, nil
}

// Draw writes all rows. It sets the display up each time, which nobody sees: in four-bit mode a
// single disturbed transfer shifts everything after it, and nothing tells.
func (l *LCD) Draw(s board.Screen) error {
	if err := l.begin(); err != nil {
		return fmt.Errorf("lcd %#x: set up: %w", l.dev.Addr, err)
	}
	for r, text := range l.Text(s) {
		// Rows 2 and 3 continue 0 and 1.
		at := byte(r%2*0x40 + r/2*l.cols)
		if err := l.command(lcdAddress | at); err != nil {
			return fmt.Errorf("lcd %#x: %w", l.dev.Addr, err)
		}
		for i := range len(text) {
			if err := l.send(text[i], lcdData); err != nil {
				return fmt.Errorf("lcd %#x: %w", l.dev.Addr, err)
			}
		}
	}
	return nil
}

// Text is what a screen looks like on this display: rows filled with spaces. A code has the first
// row.
func (l *LCD) Text(s board.Screen) []string {
	var rows []string
	if s.Code != "" {
		rows = append(rows, Wrap(Fold(s.Code), l.cols, 1)...)
	}
	for i, line := range s.Lines {
		// Every line gets a row before the first one gets two.
		most := l.rows - len(rows)
		if i == 0 && s.Lines[1] != "" {
			most = max(most-1, min(most, 1))
		}
		rows = append(rows, Wrap(Fold(line), l.cols, most)...)
	}
	for len(rows) < l.rows {
		rows = append(rows, "")
	}
	for i, r := range rows {
		rows[i] = fmt.Sprintf("%-*s", l.cols, r)
	}
	return rows
}

// begin is the initialisation by instruction of the datasheet, figure 24: it works from whatever
// state the display is in.
func (l *LCD) begin() error {
	if !l.ready {
		<-time.After(lcdPowerUp)
	}
	l.ready = false
	for range 3 {
		if err := l.nibble(0x30, 0); err != nil {
			return err
		}
		<-time.After(lcdWake)
	}
	if err := l.nibble(0x20, 0); err != nil {
		return err
	}
	for _, c := range []byte{lcdTwoRows, lcdOn, lcdEntry} {
		if err := l.command(c); err != nil {
			return err
		}
	}
	l.ready = true
	return nil
}

func (l *LCD) command(c byte) error { return l.send(c, 0) }

func (l *LCD) send(b, mode byte) error {
	if err := l.nibble(b&0xf0, mode); err != nil {
		return err
	}
	return l.nibble(b<<4, mode)
}

// nibble strobes the upper half of b. One byte on the bus takes longer than the display's 37 us.
func (l *LCD) nibble(b, mode byte) error {
	v := b&0xf0 | mode | lcdLight
	return l.dev.Tx([]byte{v, v | lcdEnable, v}, nil)
}
