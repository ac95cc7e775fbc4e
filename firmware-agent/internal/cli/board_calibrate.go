package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/sensor"
	"lockerfleet/locker"
)

// Readings of one weight.
const (
	calibrateReadings = 15
	calibrateEvery    = 200 * time.Millisecond
	calibrateWithin   = 30 * time.Second
)

// counter is a scale that tells the raw counts of its converter.
type counter interface {
	Counts() (median, spread int32, err error)
}

// calibration is one two-weight calibration.
type calibration struct {
	no       int
	grams    locker.Grams
	capacity locker.Grams
	scale    counter
	every    time.Duration
	in       *bufio.Scanner
	out      io.Writer
}

func calibrateCommand() *cobra.Command {
	var no int
	var grams int32
	var write bool
	c := &cobra.Command{
		Use:   "calibrate FILE",
		Short: "Calibrate a scale with nothing and with a known weight",
		Long: "Reads the scale of one compartment empty and with a weight you know, best about half of what it carries,\n" +
			"and prints zero and counts_per_gram for its profile. With --write they are put into the profile, whose\n" +
			"comments stay.",
		Example: "  firmware-agent board calibrate board.yaml --compartment 3 --grams 2000 --write",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cal := &calibration{no: no, grams: locker.Grams(grams), every: calibrateEvery, in: bufio.NewScanner(cmd.InOrStdin()), out: cmd.OutOrStdout()}
			var got sensor.Calibration
			err := withBoard(cmd, args[0], func(_ *board.Profile, b *board.Board) (err error) {
				if err := cal.choose(b); err != nil {
					return err
				}
				got, err = cal.measure(cmd.Context())
				return err
			})
			if err != nil || !write {
				return err
			}
			return keep(args[0], no, got)
		},
	}
	c.Flags().IntVar(&no, "compartment", 0, "number of the compartment (required)")
	c.Flags().Int32Var(&grams, "grams", 0, "the known weight in grams (required)")
	c.Flags().BoolVar(&write, "write", false, "put the result into the profile")
	_ = c.MarkFlagRequired("compartment") // fails only for a flag that does not exist
	_ = c.MarkFlagRequired("grams")       // the same
	return c
}

// choose finds the scale.
func (c *calibration) choose(b *board.Board) error {
	if c.grams < 1 || c.grams > sensor.MaxCapacity {
		return fmt.Errorf("--grams %d: 1 to %d are allowed", c.grams, sensor.MaxCapacity)
	}
	cell := b.Find(c.no)
	if cell == nil {
		return fmt.Errorf("the profile has no compartment %d", c.no)
	}
	scale, ok := cell.Scale.(counter)
	if !ok {
		return fmt.Errorf("compartment %d has no scale that can be calibrated", c.no)
	}
	c.scale, c.capacity = scale, sensor.MaxCapacity
	if s, ok := cell.Scale.(board.Steadiness); ok {
		if _, capacity := s.Steadiness(); capacity > 0 {
			c.capacity = capacity
		}
	}
	return nil
}

// measure asks for both weights.
func (c *calibration) measure(ctx context.Context) (sensor.Calibration, error) {
	empty, err := c.read(ctx, fmt.Sprintf("Empty compartment %d, let go of it and press Enter.", c.no))
	if err != nil {
		return sensor.Calibration{}, err
	}
	loaded, err := c.read(ctx, fmt.Sprintf("Put exactly %d g into the middle and press Enter.", c.grams))
	if err != nil {
		return sensor.Calibration{}, err
	}
	got, err := sensor.Calibrate(empty, loaded, 0, c.grams, c.capacity)
	if err != nil {
		return got, fmt.Errorf("compartment %d: %w", c.no, err)
	}
	fmt.Fprintf(c.out, "compartment %d: scale: {zero: %d, counts_per_gram: %.4f}\n", c.no, got.Zero, got.PerGram)
	return got, nil
}

// read waits for the person and then for enough readings, and returns the one in the middle.
func (c *calibration) read(ctx context.Context, ask string) (int32, error) {
	fmt.Fprintln(c.out, ask)
	if !c.in.Scan() {
		return 0, errors.New("the calibration was ended")
	}
	end := time.After(calibrateWithin)
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	var all []int32
	var last error
	for len(all) < calibrateReadings {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-end:
			return 0, fmt.Errorf("the scale of compartment %d gives too few readings: %w", c.no, last)
		case <-tick.C:
		}
		counts, _, err := c.scale.Counts()
		if err != nil {
			last = err
			continue
		}
		all = append(all, counts)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// keep replaces the profile in one step, once the new text was read as a valid profile.
func keep(path string, no int, c sensor.Calibration) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err = board.SetCalibration(text, no, c.Zero, c.PerGram)
	if err == nil {
		_, err = board.ParseProfile(text)
	}
	if err != nil {
		return fmt.Errorf("calibration of %s: %w", path, err)
	}
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if err := os.WriteFile(path+".new", text, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
