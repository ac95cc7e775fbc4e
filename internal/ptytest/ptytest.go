//go:build linux

// Package ptytest gives tests a serial line without hardware: a pseudo terminal whose one end a
// program opens by path as if it were /dev/ttyUSB0, and whose other end the test holds.
package ptytest

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Line is one pseudo terminal. Its methods are those of the device at the far end of a cable.
type Line struct {
	*os.File
	// Path is what the program under test opens.
	Path string
	hold *os.File
}

// Open makes a line that is closed when the test ends. What is read from it is what the program
// wrote, and the other way round; nothing is echoed or translated.
func Open(t testing.TB) *Line {
	t.Helper()
	l, err := open()
	if err != nil {
		t.Fatalf("pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func open() (*Line, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	l := &Line{File: os.NewFile(uintptr(fd), "/dev/ptmx")}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock: %w", err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("number: %w", err)
	}
	l.Path = fmt.Sprintf("/dev/pts/%d", n)
	// The line stays up while the program under test closes and opens it again: with nobody at
	// the near end, reading from the far end is an error.
	l.hold, err = os.OpenFile(l.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return l, raw(int(l.hold.Fd()))
}

func raw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// Close hangs up: the program under test reads an error or the end of the line.
func (l *Line) Close() error {
	_ = l.hold.Close() // only held
	return l.File.Close()
}

// Baud is the speed the program under test has set, as the kernel's constant such as
// unix.B19200; 0 when it cannot be told.
func (l *Line) Baud() uint32 {
	t, err := unix.IoctlGetTermios(int(l.hold.Fd()), unix.TCGETS)
	if err != nil {
		return 0
	}
	return t.Cflag & unix.CBAUD
}
