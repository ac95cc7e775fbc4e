//go:build linux

package serial

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockerfleet/internal/ptytest"
)

func open(t *testing.T, dev string, c Config) *Port {
	t.Helper()
	p, err := Open(dev, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestEveryByteGoesThroughUnchangedBothWays(t *testing.T) {
	t.Parallel()
	line := ptytest.Open(t)
	p := open(t, line.Path, Config{Baud: 19200})
	if got := line.Baud(); got != unix.B19200 {
		t.Errorf("speed %#x, want %#x", got, unix.B19200)
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, way := range map[string]struct {
		from io.Writer
		to   io.Reader
	}{"out": {p, line}, "in": {line, p}} {
		if _, err := way.from.Write(all); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(all))
		if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, all) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

func TestAReadEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	p := open(t, ptytest.Open(t).Path, Config{Baud: 9600})
	if err := p.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(make([]byte, 4)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want a deadline", n, err)
	}
}

func TestFlushThrowsAwayWhatCameIn(t *testing.T) {
	t.Parallel()
	line := ptytest.Open(t)
	p := open(t, line.Path, Config{Baud: 9600})
	for _, text := range []string{"old", "new"} {
		if _, err := line.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if text == "old" {
			one := make([]byte, 1) // the rest has arrived with the first byte
			if _, err := p.Read(one); err != nil {
				t.Fatal(err)
			}
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := make([]byte, 8)
	if n, err := p.Read(got); err != nil || string(got[:n]) != "new" {
		t.Errorf("read %q, %v; want new", got[:n], err)
	}
}

func TestALineThatIsHungUpIsAnError(t *testing.T) {
	t.Parallel()
	line := ptytest.Open(t)
	p := open(t, line.Path, Config{Baud: 9600})
	if err := line.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from a line that is gone", n)
	}
}

func TestALineHasOneOwner(t *testing.T) {
	t.Parallel()
	line := ptytest.Open(t)
	p := open(t, line.Path, Config{Baud: 9600})
	if _, err := Open(line.Path, Config{Baud: 9600}); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("second owner: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, line.Path, Config{Baud: 9600})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	line, plain := ptytest.Open(t), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, dev string
		conf      Config
		want      string
	}{
		{"speed", line.Path, Config{Baud: 12345}, "allowed are [1200 2400 4800 9600 19200 38400 57600 115200]"},
		{"frame", line.Path, Config{Baud: 9600, Frame: "7E1"}, "allowed are 8N1"},
		{"no such line", "/dev/no-such-line", Config{Baud: 9600}, "cannot be opened: no such file"},
		{"no line at all", plain, Config{Baud: 9600}, "it is no serial line"},
		{"no direction", line.Path, Config{Baud: 9600, RS485: true}, "use rs485: auto"},
	} {
		if _, err := Open(tt.dev, tt.conf); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q in it", tt.name, err, tt.want)
		}
	}
}
