// Package serial opens serial lines: lock boards on RS-485, scanners, readers, modems. It sets
// every property of the line itself, because a line keeps what the last program left.
//
// A line is 8 data bits without flow control. Speeds are the fixed ones every board has; a
// board that wants another one is not known.
package serial

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"
)

// Config is how a line is set.
type Config struct {
	// Baud is the speed: 1200, 2400, 4800, 9600, 19200, 38400, 57600 or 115200.
	Baud int
	// Frame is 8N1, 8N2, 8E1 or 8O1. Empty means 8N1.
	Frame string
	// RS485 lets the kernel switch the direction of the line, where the board's own UART drives
	// the transceiver. USB adapters do it themselves and refuse it.
	RS485 bool
}

// Check names what is wrong with a configuration.
func (c Config) Check() error {
	if _, known := speeds[c.Baud]; !known {
		return fmt.Errorf("baud %d: allowed are %v", c.Baud, Speeds())
	}
	if _, known := frames[c.Frame]; !known {
		return fmt.Errorf("frame %q: allowed are 8N1, 8N2, 8E1 and 8O1", c.Frame)
	}
	return nil
}

// Speeds lists the known speeds, slowest first.
func Speeds() []int { return slices.Sorted(maps.Keys(speeds)) }

// Port is an open line. Reads and writes may run at the same time, each from one goroutine;
// Close may come from anywhere and ends them.
type Port struct {
	file *os.File
	name string
}

// Read waits up to the read deadline for at least one byte.
func (p *Port) Read(b []byte) (int, error) {
	n, err := p.file.Read(b)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: the line was hung up: %w", p.name, io.ErrUnexpectedEOF)
	}
	return n, err
}

// writeTimeout bounds a write that a stuck driver would hold for ever.
const writeTimeout = 2 * time.Second

// Write sends all of b or answers an error within two seconds; how much of b was sent then is
// unknown.
func (p *Port) Write(b []byte) (int, error) {
	if err := p.file.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return p.file.Write(b)
}

// SetReadDeadline ends reads that wait at t with an error that is os.ErrDeadlineExceeded.
func (p *Port) SetReadDeadline(t time.Time) error { return p.file.SetReadDeadline(t) }

// Close gives the line back.
func (p *Port) Close() error { return p.file.Close() }
