package serial

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Tables of the termios settings.
var (
	speeds = map[int]uint32{
		1200: unix.B1200, 2400: unix.B2400, 4800: unix.B4800, 9600: unix.B9600,
		19200: unix.B19200, 38400: unix.B38400, 57600: unix.B57600, 115200: unix.B115200,
	}
	frames = map[string]uint32{
		"": 0, "8N1": 0, "8N2": unix.CSTOPB, "8E1": unix.PARENB, "8O1": unix.PARENB | unix.PARODD,
	}
)

// Open opens the line at dev, such as /dev/serial/by-path/..., takes it for itself and sets it.
func Open(dev string, c Config) (*Port, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("serial line %s: %w", dev, err)
	}
	// Without O_NONBLOCK, opening waits for a carrier that three wires do not have.
	fd, err := unix.Open(dev, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("serial line %s cannot be opened: %w", dev, err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = unix.Close(fd) // nothing was sent
		return nil, fmt.Errorf("serial line %s is in use, perhaps by an agent that runs: %w", dev, err)
	}
	if err := set(fd, c); err != nil {
		_ = unix.Close(fd) // nothing was sent
		return nil, fmt.Errorf("serial line %s: %w", dev, err)
	}
	return &Port{file: os.NewFile(uintptr(fd), dev), name: dev}, nil
}

func set(fd int, c Config) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("it is no serial line: %w", err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	speed := speeds[c.Baud]
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | frames[c.Frame] | speed
	t.Ispeed, t.Ospeed = speed, speed
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return fmt.Errorf("set %d baud %s: %w", c.Baud, c.Frame, err)
	}
	if c.RS485 {
		return setRS485(fd)
	}
	return nil
}

// rs485 is struct serial_rs485 of linux/serial.h.
type rs485 struct {
	flags               uint32
	beforeSend, aftSend uint32 // milliseconds
	_                   [5]uint32
}

const (
	rs485Enabled   = 1 << 0
	rs485RTSOnSend = 1 << 1
)

func setRS485(fd int) error {
	want := rs485{flags: rs485Enabled | rs485RTSOnSend}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSRS485, uintptr(unsafe.Pointer(&want)))
	if errno != 0 {
		return fmt.Errorf("its driver cannot switch the direction of RS-485 (rs485: kernel); use rs485: auto with an adapter that does it itself: %w", errno)
	}
	return nil
}

// Flush throws away what came in and was not read.
func (p *Port) Flush() error {
	c, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Control(func(fd uintptr) { failed = unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCIFLUSH) })
	if err == nil {
		err = failed
	}
	return err
}
