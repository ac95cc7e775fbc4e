package gpio

import (
	"fmt"
	"io"
	"time"

	"github.com/warthog618/go-gpiocdev"

	"lockerfleet/firmware-agent/board"
)

// edgeBuffer is how many edges the kernel keeps for a pair of lines while we are busy: a card of
// 34 bits comes faster than a loaded machine looks.
const edgeBuffer = 256

// OpenDrain requests an output that pulls its line low when it is 1 and lets go of it when it is
// 0, which it is from the first moment.
func (c Chips) OpenDrain(l *board.Line) (Output, error) {
	return c.request(l, append(wiring(l, true), gpiocdev.AsOpenDrain, gpiocdev.AsOutput(0))...)
}

// Level requests an input that is only looked at: its edges wake nobody.
func (c Chips) Level(l *board.Line, activeLow bool) (Input, error) {
	return c.request(l, append(wiring(l, activeLow), gpiocdev.AsInput)...)
}

// Edges requests two inputs of one chip, pulled up, and calls edge for each falling edge of
// either, in their order. second tells which; at is the kernel's monotonic time; seq counts the
// edges of both, so that a gap shows that some were lost.
func (c Chips) Edges(d0, d1 *board.Line, edge func(second bool, at time.Duration, seq uint32)) (io.Closer, error) {
	chip, first, err := find(d0)
	if err != nil {
		return nil, err
	}
	other, second, err := find(d1)
	if err != nil {
		return nil, err
	}
	if chip != other {
		return nil, fmt.Errorf("lines %s and %s are on two chips: their order would not be known", d0, d1)
	}
	lines, err := gpiocdev.RequestLines(chip, []int{first, second},
		gpiocdev.WithConsumer(consumer), gpiocdev.AsInput, gpiocdev.WithPullUp, gpiocdev.WithFallingEdge, gpiocdev.WithEventBufferSize(edgeBuffer),
		gpiocdev.WithEventHandler(func(e gpiocdev.LineEvent) { edge(e.Offset == second, e.Timestamp, e.Seqno) }))
	if err != nil {
		return nil, fmt.Errorf("lines %s and %s cannot be taken, perhaps another program has one: %w", d0, d1, err)
	}
	return lines, nil
}
