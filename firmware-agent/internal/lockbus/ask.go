package lockbus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ask carries out one exchange, and again when it failed and another try is allowed. It returns
// when the last frame went out; the zero time means that none did.
func (b *Bus) ask(e exchange, attempts int, listen time.Duration, s *Status) (time.Time, error) {
	if listen == 0 {
		listen = b.conf.Timeout
	}
	var at time.Time
	var err error
	for range attempts {
		at, err = b.exchange(e, listen, s)
		if err == nil || errors.Is(err, ErrRefused) {
			b.failed = 0
			return at, err
		}
		b.broken()
	}
	return at, fmt.Errorf("bus %s: %s: %w", b.conf.Name, e.what, err)
}

// broken counts failures and closes a port that may have hung itself up; the next exchange
// opens it again.
func (b *Bus) broken() {
	if b.failed++; b.failed%reopenAfter == 0 && b.port != nil {
		_ = b.closePort() // it is of no use already
	}
}

// exchange sends one frame and reads its answer.
func (b *Bus) exchange(e exchange, listen time.Duration, s *Status) (time.Time, error) {
	if err := b.whole(); err != nil {
		return time.Time{}, err
	}
	if err := b.port.Flush(); err != nil {
		return time.Time{}, b.lost(err)
	}
	at := time.Now()
	if _, err := b.port.Write(e.frame); err != nil {
		return at, b.lost(err)
	}
	end := time.Now().Add(listen)
	if err := b.port.SetReadDeadline(end); err != nil {
		return at, b.lost(err)
	}
	got := make([]byte, 0, maxAnswer)
	for {
		n, err := b.port.Read(got[len(got):cap(got)])
		got = got[:len(got)+n]
		if e.read != nil {
			if found := e.find(got, s); !errors.Is(found, errShort) {
				return at, found
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return at, err
		case err != nil:
			return at, b.lost(err)
		case len(got) == cap(got):
			return at, errNoise
		}
	}
}

// lost closes a port that answers with errors of its own.
func (b *Bus) lost(err error) error {
	_ = b.closePort() // it failed already
	return err
}

// whole opens the port again when it is closed.
func (b *Bus) whole() error {
	if b.port != nil {
		return nil
	}
	if time.Now().Before(b.reopen) {
		return errors.New("the serial line is closed after errors and opened again in a moment")
	}
	b.reopen = time.Now().Add(reopenPause)
	port, err := b.conf.Open()
	if err != nil {
		return err
	}
	b.port = port
	return nil
}

// errNotSent says that a frame did not go out and will not.
var errNotSent = errors.New("the bus is busy: nothing was sent")

// send hands an exchange to the owner and waits for its end. When ctx ends or the owner is busy
// for longer than sendWithin, nothing was sent and nothing will be.
func (b *Bus) send(ctx context.Context, j job) (time.Time, error) {
	if ctx.Err() != nil {
		return time.Time{}, ctx.Err()
	}
	done := make(chan sent, 1)
	j.done = done
	late := time.NewTimer(sendWithin)
	defer late.Stop()
	select {
	case b.jobs <- j:
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case <-late.C:
		return time.Time{}, errNotSent
	}
	end := <-done // the owner answers within its own bounds
	return end.at, end.err
}
