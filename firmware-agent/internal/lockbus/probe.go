package lockbus

import (
	"context"
	"time"
)

// Found is a board that answered a probe.
type Found struct {
	Family string
	Baud   int
	Board  int
	Status Status
}

// Probe asks on a line, at each of the speeds and in the frames of each family, every address up
// to most for its state. Nothing it sends moves a lock. It ends early with ctx; what was found
// until then is returned. Open opens the line at a speed; timeout is for one answer.
func Probe(ctx context.Context, open func(baud int) (Port, error), bauds []int, most int, timeout time.Duration) ([]Found, error) {
	var found []Found
	for _, baud := range bauds {
		port, err := open(baud)
		if err != nil {
			return found, err
		}
		b := &Bus{conf: Config{Timeout: timeout, Open: func() (Port, error) { return open(baud) }}, port: port}
		for _, name := range Names() {
			if name == "modbus-flash" {
				continue // it answers as modbus does
			}
			f, _ := Find(name) // it is in the list
			found = append(found, b.probe(ctx, f, baud, most)...)
		}
		if err := b.closePort(); err != nil {
			return found, err
		}
	}
	return found, ctx.Err()
}

// probe asks the addresses of one family.
func (b *Bus) probe(ctx context.Context, f *Family, baud, most int) (found []Found) {
	for address := f.FirstBoard; address <= min(f.LastBoard, most) && ctx.Err() == nil; address++ {
		var s Status
		b.failed = 0 // silence is what most addresses answer
		e := f.codec.status(uint8(address), probed(f))[0]
		if _, err := b.ask(e, 1, b.conf.Timeout, &s); err == nil {
			found = append(found, Found{Family: f.Name, Baud: baud, Board: address, Status: s})
		}
	}
	return found
}

// probed is how many channels every board of a family has at least.
func probed(f *Family) int {
	if f.Relays {
		return 1
	}
	return min(f.Channels, 8)
}
