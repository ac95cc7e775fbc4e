package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/locker"
)

// Times of proving a door.
const (
	proveOpenWithin  = 5 * time.Second
	proveCloseWithin = 2 * time.Minute
	proveLook        = 20 * time.Millisecond
	provePulse       = 400 * time.Millisecond
)

func proveCommand() *cobra.Command {
	var doors []int
	c := &cobra.Command{
		Use:   "test FILE",
		Short: "Fire every lock with you in front of it and prove that exactly its door opens",
		Long: "Walks through the doors. Each is fired only after you typed its number, because somebody must stand\n" +
			"there: s skips a door, q ends the test. After each shot exactly the door that was fired must open, within\n" +
			"the time of the profile, and close again. When another door opens the test ends at once: the wires or the\n" +
			"profile are wrong. Exits 0 only when every door was proven.",
		Example: "  firmware-agent board test board.yaml\n  firmware-agent board test board.yaml --doors 3,4",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withBoard(cmd, args[0], func(p *board.Profile, b *board.Board) error {
				pr := &prover{p: p, b: b, in: bufio.NewScanner(cmd.InOrStdin()), out: cmd.OutOrStdout()}
				return pr.walk(cmd.Context(), doors)
			})
		},
	}
	c.Flags().IntSliceVar(&doors, "doors", nil, "only these doors, by number")
	return c
}

// prover walks from door to door with a person.
type prover struct {
	p       *board.Profile
	b       *board.Board
	in      *bufio.Scanner
	out     io.Writer
	results []proof
}

// proof is how one door did.
type proof struct {
	no      int
	verdict string // ok, or what is wrong
	opened  time.Duration
}

const proven = "ok"

var (
	errWrongDoor = errors.New("another door opened: check the wires and the profile before anything else is fired")
	errQuit      = errors.New("the test was ended before every door was proven")
)

func (pr *prover) walk(ctx context.Context, only []int) error {
	if len(only) == 0 {
		for _, c := range pr.b.Compartments {
			only = append(only, c.No)
		}
	}
	var end error
	for _, no := range only {
		if end = pr.visit(ctx, no); end != nil {
			break
		}
	}
	if err := pr.report(); err != nil {
		return err
	}
	bad := 0
	for _, r := range pr.results {
		if r.verdict != proven {
			bad++
		}
	}
	switch {
	case end != nil:
		return end
	case bad > 0:
		return fmt.Errorf("%d of %d doors are not proven", bad, len(only))
	}
	return nil
}

// visit proves one door. An error ends the walk.
func (pr *prover) visit(ctx context.Context, no int) error {
	c := pr.b.Find(no)
	if c == nil {
		return fmt.Errorf("the profile has no compartment %d", no)
	}
	if s, err := c.Door.Door(); s != locker.DoorClosed {
		pr.note(no, fmt.Sprintf("not fired: its door is %s", s), 0)
		fmt.Fprintf(pr.out, "Door %d is %s (%v). Close it and test it again.\n", no, s, err)
		return nil
	}
	fmt.Fprintf(pr.out, "Stand in front of door %d and type its number to fire it (s skips, q ends): ", no)
	switch said, ok := pr.hear(); {
	case !ok || said == "q":
		pr.note(no, "not fired", 0)
		return errQuit
	case said != strconv.Itoa(no):
		pr.note(no, "skipped", 0)
		return nil
	}
	return pr.shoot(ctx, c)
}

func (pr *prover) hear() (string, bool) {
	if !pr.in.Scan() {
		return "", false
	}
	return strings.TrimSpace(pr.in.Text()), true
}

// shoot fires once and watches all doors.
func (pr *prover) shoot(ctx context.Context, c *board.Compartment) error {
	pulse, within := pr.times(c.No)
	before := pr.doors()
	began := time.Now()
	fired := make(chan error, 1)
	go func() { fired <- c.Lock.Fire(ctx, pulse) }()
	opened, wrong := pr.await(ctx, c, before, within)
	latency := opened.Sub(began)
	err := <-fired
	switch {
	case len(wrong) > 0:
		pr.note(c.No, fmt.Sprintf("wrong: door %s opened", strings.Join(wrong, ", ")), 0)
		return errors.Join(errWrongDoor, pr.b.Safe())
	case opened.IsZero():
		pr.note(c.No, join("its door did not open", err), 0)
		fmt.Fprintf(pr.out, "Door %d did not open within %s.\n", c.No, within)
		return ctx.Err()
	case err != nil:
		pr.note(c.No, join("opened, but", err), latency)
		return ctx.Err()
	}
	fmt.Fprintf(pr.out, "Door %d opened after %d ms. Close it.\n", c.No, latency.Milliseconds())
	if !until(ctx, proveCloseWithin, func() bool { s, _ := c.Door.Door(); return s == locker.DoorClosed }) {
		pr.note(c.No, "opened, but was not closed again", latency)
		return ctx.Err()
	}
	pr.note(c.No, proven, latency)
	return nil
}

func join(what string, err error) string {
	if err == nil {
		return what
	}
	return what + ": " + strings.ReplaceAll(err.Error(), "\n", "; ")
}

// times are the pulse of a door and how long it may take to open, as the profile says.
func (pr *prover) times(no int) (pulse, within time.Duration) {
	for i := range pr.p.Compartments {
		c := &pr.p.Compartments[i]
		if c.No == no {
			pulse, within = time.Duration(c.Lock.Pulse), time.Duration(c.Door.OpenWithin)
		}
	}
	if pulse == 0 {
		pulse = provePulse
	}
	if within == 0 {
		within = proveOpenWithin
	}
	return pulse, within
}

// doors reads every door.
func (pr *prover) doors() map[int]locker.DoorState {
	all := map[int]locker.DoorState{}
	for _, c := range pr.b.Compartments {
		s, _ := c.Door.Door() // unknown is a state to compare
		all[c.No] = s
	}
	return all
}

// await waits for the door to open and a little longer for others that should not. opened is zero
// when it did not.
func (pr *prover) await(ctx context.Context, c *board.Compartment, before map[int]locker.DoorState, within time.Duration) (opened time.Time, wrong []string) {
	look := func() bool {
		wrong = nil
		for no, s := range pr.doors() {
			switch {
			case no == c.No:
				if s == locker.DoorOpen && opened.IsZero() {
					opened = time.Now()
				}
			case s == locker.DoorOpen && before[no] != locker.DoorOpen:
				wrong = append(wrong, strconv.Itoa(no))
			}
		}
		return !opened.IsZero() || len(wrong) > 0
	}
	if until(ctx, within, look) && len(wrong) == 0 {
		until(ctx, 10*proveLook, func() bool { look(); return len(wrong) > 0 })
	}
	return opened, wrong
}

// until polls a condition until it holds, the time is over or ctx ends.
func until(ctx context.Context, within time.Duration, holds func() bool) bool {
	end := time.NewTimer(within)
	defer end.Stop()
	tick := time.NewTicker(proveLook)
	defer tick.Stop()
	for {
		if holds() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-end.C:
			return holds()
		case <-tick.C:
		}
	}
}

func (pr *prover) note(no int, verdict string, opened time.Duration) {
	pr.results = append(pr.results, proof{no, verdict, opened})
}

func (pr *prover) report() error {
	w := tabwriter.NewWriter(pr.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "door\topened after\tresult")
	for _, r := range pr.results {
		after := "-"
		if r.opened > 0 {
			after = fmt.Sprintf("%d ms", r.opened.Milliseconds())
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", r.no, after, r.verdict)
	}
	return w.Flush()
}
