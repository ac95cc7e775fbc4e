// Package gpio requests lines of the Linux GPIO character device. It is the only importer of
// go-gpiocdev.
//
// Lines come from go-gpiocdev and not from periph, because periph drives a new output low
// before it takes the wanted level, turns an output that is read into an input, and answers a
// failing line with "low". Here an output is requested with its inactive level, outputs are
// never read, and a line that cannot be read is unknown.
//
// The kernel gives lines back when the process dies, except on Raspberry Pi OS without
// dtparam=strict_gpiod; a hardware one-shot on the coil driver is recommended everywhere.
package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/warthog618/go-gpiocdev"

	"lockerfleet/firmware-agent/board"
)

// consumer is the name other programs see on our lines.
const consumer = "lockerfleet"

// Output is one requested output line. 1 is active, whatever the wiring.
type Output interface {
	SetValue(value int) error
	Close() error
}

// Input is one requested input line. 1 is active. An error means that the level is unknown.
type Input interface {
	Value() (int, error)
	Close() error
}

// Chips requests lines from the kernel.
type Chips struct{}

// Output requests an output with the inactive level in the request itself: the pin never shows
// another one.
func (c Chips) Output(l *board.Line, activeLow bool) (Output, error) {
	return c.request(l, append(wiring(l, activeLow), gpiocdev.AsOutput(0))...)
}

// Input requests an input whose edges call changed, from a goroutine of the line. The level is
// read afterwards: an edge is a hint and may be late.
func (c Chips) Input(l *board.Line, activeLow bool, debounce time.Duration, changed func()) (Input, error) {
	opts := append(wiring(l, activeLow), gpiocdev.AsInput, gpiocdev.WithBothEdges,
		gpiocdev.WithEventHandler(func(gpiocdev.LineEvent) { changed() }))
	if debounce > 0 {
		opts = append(opts, gpiocdev.WithDebounce(debounce))
	}
	return c.request(l, opts...)
}

func wiring(l *board.Line, activeLow bool) []gpiocdev.LineReqOption {
	opts := []gpiocdev.LineReqOption{gpiocdev.WithConsumer(consumer)}
	if activeLow {
		opts = append(opts, gpiocdev.AsActiveLow)
	}
	switch l.Pull {
	case "up":
		opts = append(opts, gpiocdev.WithPullUp)
	case "down":
		opts = append(opts, gpiocdev.WithPullDown)
	case "none":
		opts = append(opts, gpiocdev.WithBiasDisabled)
	}
	return opts
}

// request finds the chip by its label, because device numbers change between starts.
func (c Chips) request(l *board.Line, opts ...gpiocdev.LineReqOption) (*gpiocdev.Line, error) {
	name, offset, err := find(l)
	if err != nil {
		return nil, err
	}
	line, err := gpiocdev.RequestLine(name, offset, opts...)
	if err != nil {
		return nil, fmt.Errorf("line %s (%s offset %d) cannot be taken, perhaps another program has it: %w", l, name, offset, err)
	}
	return line, nil
}

// find walks all chips. A chip that may not be opened is named in the error, because that is
// the usual reason on a new machine.
func find(l *board.Line) (chip string, offset int, err error) {
	var labels, denied []string
	for _, name := range gpiocdev.Chips() {
		c, err := gpiocdev.NewChip(name)
		if errors.Is(err, fs.ErrPermission) {
			denied = append(denied, name)
		}
		if err != nil {
			continue
		}
		label := c.Label
		at, found := -1, false
		if label == l.Chip {
			at, found = lookup(c, l)
		}
		_ = c.Close() // only looked at
		if found {
			return name, at, nil
		}
		labels = append(labels, label)
	}
	switch {
	case len(denied) > 0:
		return "", 0, fmt.Errorf("line %s not found, and %s may not be opened: run the agent in the group that owns it", l, strings.Join(denied, ", "))
	case len(labels) == 0:
		return "", 0, fmt.Errorf("line %s not found: this machine has no GPIO chip", l)
	}
	return "", 0, fmt.Errorf("line %s not found on this machine, whose chips are %s", l, strings.Join(labels, ", "))
}

// Chip is one GPIO chip of this machine.
type Chip struct {
	Name  string // gpiochipN
	Label string // what profiles call it
	Lines int
	// Named lists the lines that have a name, by offset; a used one ends in the name of its user.
	Named []string
	// Err says why the chip could not be looked at.
	Err error
}

// List looks at every GPIO chip of this machine without touching a line.
func List() []Chip {
	var all []Chip
	for _, name := range gpiocdev.Chips() {
		c, err := gpiocdev.NewChip(name)
		if err != nil {
			all = append(all, Chip{Name: name, Err: err})
			continue
		}
		found := Chip{Name: name, Label: c.Label, Lines: c.Lines()}
		for o := range c.Lines() {
			if info, err := c.LineInfo(o); err == nil && info.Name != "" {
				found.Named = append(found.Named, used(info))
			}
		}
		_ = c.Close() // only looked at
		all = append(all, found)
	}
	return all
}

func used(info gpiocdev.LineInfo) string {
	if !info.Used {
		return info.Name
	}
	return info.Name + " (" + info.Consumer + ")"
}

func lookup(c *gpiocdev.Chip, l *board.Line) (int, bool) {
	if l.Offset != nil {
		return *l.Offset, *l.Offset < c.Lines()
	}
	for o := range c.Lines() {
		if info, err := c.LineInfo(o); err == nil && info.Name == l.Line {
			return o, true
		}
	}
	return 0, false
}
