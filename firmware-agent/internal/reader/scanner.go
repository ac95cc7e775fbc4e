package reader

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"lockerfleet/firmware-agent/board"
)

// Lines cuts what a scanner sends into codes. It is pure; the zero value is ready. A code ends
// with CR, LF or both. Dropped are codes longer than board.MaxScan, and those with control
// characters or broken UTF-8, which a disturbed line makes. Zero bytes count for nothing: they
// answer the one that wakes the module.
type Lines struct {
	code []byte
	bad  bool
}

// Take takes the next bytes and returns the codes that ended in them.
func (l *Lines) Take(in []byte) (codes []string) {
	for _, b := range in {
		switch {
		case b == '\r' || b == '\n':
			if len(l.code) > 0 && !l.bad && utf8.Valid(l.code) {
				codes = append(codes, string(l.code))
			}
			l.Drop()
		case b == 0:
		case b < ' ' || b == 0x7f || len(l.code) >= board.MaxScan:
			l.bad = true
		default:
			l.code = append(l.code, b)
		}
	}
	return codes
}

// Pending tells whether part of a code is waiting for its end.
func (l *Lines) Pending() bool { return len(l.code) > 0 || l.bad }

// Drop forgets the part of a code that has come.
func (l *Lines) Drop() { l.code, l.bad = l.code[:0], false }

// Port is an open serial line.
type Port interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

const (
	waitingScans = 4
	// lineSilence is how long the rest of a code may take; a longer pause means that its end was
	// lost.
	lineSilence = 300 * time.Millisecond
	// reopenAfter is how long after a failure the line is opened again.
	reopenAfter = 2 * time.Second
)

// Scanner is a board.Scanner of the GM65, GM861 or GM72 class on a serial line: set to send a CR
// after each code, in continuous or induction mode. Its goroutine ends with Close.
type Scanner struct {
	open  func() (Port, error)
	scans chan string
	stop  chan struct{}
	done  sync.WaitGroup

	mu     sync.Mutex
	port   Port
	closed bool
	err    error
}

// NewScanner opens the line with open and listens to it. When the line fails later, it is opened
// again.
func NewScanner(open func() (Port, error)) (*Scanner, error) {
	s := &Scanner{open: open, scans: make(chan string, waitingScans), stop: make(chan struct{})}
	if err := s.connect(); err != nil {
		return nil, err
	}
	s.done.Go(s.run)
	return s, nil
}

// Scans delivers codes.
func (s *Scanner) Scans() <-chan string { return s.scans }

// Err is why the line cannot be read now; nil while it can.
func (s *Scanner) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close gives the line back and ends the goroutine. Later calls do nothing.
func (s *Scanner) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	var err error
	if s.port != nil {
		err = s.port.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
	return err
}

var errClosed = errors.New("the scanner is closed")

// connect opens the line and wakes the module with a zero byte.
func (s *Scanner) connect() error {
	p, err := s.open()
	if err == nil {
		if _, err = p.Write([]byte{0}); err != nil {
			err = errors.Join(err, p.Close())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.port, s.err = nil, fmt.Errorf("scanner: %w", err)
		return s.err
	}
	if s.closed {
		return errors.Join(errClosed, p.Close())
	}
	s.port, s.err = p, nil
	return nil
}

// run reads until Close.
func (s *Scanner) run() {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		if s.port != nil {
			s.listen(s.port)
		}
		again.Reset(reopenAfter)
		select {
		case <-s.stop:
			return
		case <-again.C:
		}
		_ = s.connect() // Err tells
	}
}

// listen reads p until it fails.
func (s *Scanner) listen(p Port) {
	var lines Lines
	buf := make([]byte, board.MaxScan)
	for {
		var deadline time.Time
		if lines.Pending() {
			deadline = time.Now().Add(lineSilence)
		}
		err := p.SetReadDeadline(deadline)
		n := 0
		if err == nil {
			n, err = p.Read(buf)
		}
		for _, code := range lines.Take(buf[:n]) {
			select {
			case s.scans <- code:
			default:
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			lines.Drop()
		case err != nil:
			s.lose(p, err)
			return
		}
	}
}

// lose gives a failed line back, unless Close has.
func (s *Scanner) lose(p Port, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = fmt.Errorf("scanner: read: %w", err)
	if !s.closed {
		_ = p.Close() // it failed already
		s.port = nil
	}
}
