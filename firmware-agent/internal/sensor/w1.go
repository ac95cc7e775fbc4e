package sensor

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// W1Devices is where the kernel shows 1-wire chips.
const W1Devices = "/sys/bus/w1/devices"

// maxW1 bounds the text of one measurement; the kernel writes about 75 bytes.
const maxW1 = 512

var (
	w1ID      = regexp.MustCompile(`^28-[0-9a-f]{12}$`)
	w1Reading = regexp.MustCompile(`^((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (YES|NO)\n(?:[0-9a-f]{2} ){9}t=(-?[0-9]{1,6})\n?$`)
)

// w1 is a DS18B20 that the kernel's w1_therm reads.
type w1 struct{ path string }

// NewW1 returns the DS18B20 that the kernel shows under dir as id, such as 28-01143ba557aa. The
// kernel measures while its file is read, which takes 0.75 s: it needs a goroutine of its own.
func NewW1(dir, id string) (Chip, error) {
	if !w1ID.MatchString(id) {
		return nil, fmt.Errorf("1-wire id %q: write it as the kernel shows it in %s, such as 28-01143ba557aa", id, W1Devices)
	}
	return &w1{filepath.Join(dir, id, "w1_slave")}, nil
}

// Bounds are the measuring range.
func (w *w1) Bounds() Bounds { return air(-55, 125, ds18b20Repeat) }

// Begin has nothing to do: reading measures.
func (w *w1) Begin() (time.Duration, error) { return 0, nil }

// Collect measures.
func (w *w1) Collect() (Reading, error) {
	f, err := os.Open(w.path)
	if err != nil {
		return Reading{}, fmt.Errorf("1-wire: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	text, err := io.ReadAll(io.LimitReader(f, maxW1))
	if err != nil {
		return Reading{}, fmt.Errorf("1-wire: %w", err)
	}
	r, err := parseW1(text)
	if err != nil {
		return Reading{}, fmt.Errorf("1-wire %s: %w", w.path, err)
	}
	return r, nil
}

// parseW1 reads the two lines of the kernel. It checks the checksum itself too: the kernel prints
// a temperature for bytes that are all zero.
func parseW1(text []byte) (Reading, error) {
	m := w1Reading.FindSubmatch(text)
	if m == nil {
		return Reading{}, fmt.Errorf("%q is not a measurement", text)
	}
	var b [9]byte
	for i, digits := range bytes.Fields(m[1]) {
		v, err := strconv.ParseUint(string(digits), 16, 8)
		if err != nil {
			return Reading{}, fmt.Errorf("%q is not a measurement", text)
		}
		b[i] = byte(v)
	}
	if string(m[2]) != "YES" {
		return Reading{}, errChecksum
	}
	r, err := decodeDS18B20(b)
	if err != nil {
		return Reading{}, err
	}
	told, err := strconv.ParseInt(string(m[3]), 10, 32)
	if err != nil {
		return Reading{}, fmt.Errorf("%q is not a measurement", text)
	}
	return judgeDS18B20(r.Raw, told)
}
