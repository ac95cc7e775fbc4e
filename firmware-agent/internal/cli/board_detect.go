package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockerfleet/firmware-agent/internal/gpio"
	"lockerfleet/firmware-agent/internal/hardware"
	"lockerfleet/firmware-agent/internal/lockbus"
	"lockerfleet/firmware-agent/internal/serial"
)

// probeTimeout is for one answer of a board: the longest answer takes 40 ms at 9600 baud.
const probeTimeout = 80 * time.Millisecond

// detector says what the machine has, in the words of a profile.
type detector struct {
	out    io.Writer
	bauds  []int
	boards int
}

func detectCommand() *cobra.Command {
	d := detector{}
	var lines []string
	c := &cobra.Command{
		Use:   "detect",
		Short: "List GPIO chips, I2C chips and serial lines, and find lock boards on a line",
		Long: "Lists what this machine has, in the words a profile uses: GPIO chips with their labels and named lines,\n" +
			"addresses that answer on every I2C bus, serial lines. A serial line is only asked when it is named with\n" +
			"--serial: then every known family of lock boards is asked for its state at every speed. No question moves\n" +
			"a lock, but a line may have something else on it.",
		Example: "  firmware-agent board detect\n  firmware-agent board detect --serial /dev/ttyUSB0",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.out = cmd.OutOrStdout()
			for _, b := range d.bauds {
				if err := (serial.Config{Baud: b}).Check(); err != nil {
					return fmt.Errorf("--baud: %w", err)
				}
			}
			if d.boards < 0 || d.boards > 247 {
				return fmt.Errorf("--boards %d: 0 to 247 are allowed", d.boards)
			}
			if len(lines) == 0 {
				d.gpio()
				d.i2c("/dev/i2c-*")
				d.serial()
			}
			return d.lockBoards(cmd.Context(), lines)
		},
	}
	c.Flags().StringSliceVar(&lines, "serial", nil, "ask for lock boards on these serial lines")
	c.Flags().IntSliceVar(&d.bauds, "baud", []int{9600, 19200, 115200}, "speeds to try")
	c.Flags().IntVar(&d.boards, "boards", 4, "highest board address to ask")
	return c
}

func (d *detector) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *detector) gpio() {
	chips := gpio.List()
	if len(chips) == 0 {
		d.say("gpio: this machine has no GPIO chip")
	}
	for _, c := range chips {
		if c.Err != nil {
			d.say("gpio: %s cannot be looked at: %v", c.Name, c.Err)
			continue
		}
		d.say("gpio: chip %q (%s now), %d lines: %s", c.Label, c.Name, c.Lines, strings.Join(c.Named, ", "))
	}
}

// i2c asks every address for a byte, as i2cdetect -r does.
func (d *detector) i2c(pattern string) {
	devs, _ := filepath.Glob(pattern) // the pattern is well formed
	if len(devs) == 0 {
		d.say("i2c: this machine has no I2C bus")
	}
	for _, dev := range devs {
		bus, err := hardware.OpenI2C(dev)
		if err != nil {
			d.say("i2c: %v", err)
			continue
		}
		var found []string
		for addr := uint16(0x08); addr <= 0x77; addr++ {
			if bus.Tx(addr, nil, make([]byte, 1)) == nil {
				found = append(found, fmt.Sprintf("%#x", addr))
			}
		}
		if err := bus.Close(); err != nil {
			d.say("i2c: %s: %v", dev, err)
		}
		d.say("i2c: %s answers at: %s", dev, strings.Join(found, " "))
	}
}

func (d *detector) serial() {
	var devs []string
	for _, pattern := range []string{"/dev/serial/by-path/*", "/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyAMA*"} {
		found, _ := filepath.Glob(pattern) // the pattern is well formed
		devs = append(devs, found...)
	}
	if len(devs) == 0 {
		d.say("serial: this machine has no serial line for boards")
	}
	for _, dev := range devs {
		to, err := filepath.EvalSymlinks(dev)
		if err != nil || to == dev {
			d.say("serial: %s", dev)
			continue
		}
		d.say("serial: %s is %s now", dev, to)
	}
}

// lockBoards asks for boards on the named lines.
func (d *detector) lockBoards(ctx context.Context, lines []string) error {
	var errs []error
	for _, dev := range lines {
		found, err := lockbus.Probe(ctx, func(baud int) (lockbus.Port, error) {
			return serial.Open(dev, serial.Config{Baud: baud})
		}, d.bauds, d.boards, probeTimeout)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if len(found) == 0 {
			errs = append(errs, fmt.Errorf("no lock board answers on %s at %v baud, addresses up to %d: check power, the two wires (swap A and B), and the address switches", dev, d.bauds, d.boards))
		}
		slices.SortFunc(found, func(a, b lockbus.Found) int { return a.Board - b.Board })
		for _, f := range found {
			d.say("lock board: dev %s, proto %s, baud %d, board %d, contacts now %b", dev, f.Family, f.Baud, f.Board, f.Status.Locks)
		}
	}
	return errors.Join(errs...)
}
