// Package conformance plays the control center against one device and says which duties of the
// device contract (docs/wire.md) hold.
//
// It meets the device as the real control center does: over MQTT, with signed commands, and with
// nothing else. [Listen] opens a broker of its own that the device is pointed to; that shows also
// what the device says when it connects, and lets the kit cut the connection. [Dial] uses any
// broker that stands, with a control center's credential; what cannot be seen or done there is
// told as not applicable, with the reason.
//
// Whatever can be shown without moving a door is shown without: most rows refuse. A row that opens
// a door needs somebody to close it again ([Hands]).
//
// It is internal because the module is not published under an address of its own: device makers
// run the command `lockerfleet conformance`.
package conformance

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"

	"lockerfleet/locker"
)

// Bounds of a run.
const (
	// DefaultTotal is how long a whole run may take.
	DefaultTotal = 15 * time.Minute
	// DefaultConnect is how long the device may take to be there at first.
	DefaultConnect = 2 * time.Minute
	// DefaultDoor is how long the hands at a door may take.
	DefaultDoor = 60 * time.Second

	// answerWithin is how long a device may take for an answer that only has to be computed and
	// written down.
	answerWithin = 5 * time.Second
	// quiet is how long the kit listens for an answer that must not come.
	quiet = 1500 * time.Millisecond
	// resendWithin is when events that are not acknowledged must have come again: after 10 s by
	// the contract, and some.
	resendWithin = 20 * time.Second
	// reconnectWithin is when a device must have come back: the first waits of the contract.
	reconnectWithin = 60 * time.Second
	// rebirthWithin is when an unanswered birth must have come again: a heartbeat, and some.
	rebirthWithin = 65 * time.Second
)

// State is how a row ended.
type State string

// The states of a row.
const (
	Pass    State = "pass"
	Fail    State = "fail"
	Skip    State = "n/a"     // it does not apply, or cannot be seen or done here
	Blocked State = "blocked" // it could not be tried: the device did not come to rest before it
)

// Row is one duty and what became of it.
type Row struct {
	ID      string `json:"id"`
	Section int    `json:"section"` // of docs/wire.md
	Expect  string `json:"expect"`
	Seen    string `json:"seen"`
	State   State  `json:"state"`
}

// Report is the outcome of a run.
type Report struct {
	Bank     locker.BankID `json:"bank"`
	Firmware string        `json:"firmware"`
	Rows     []Row         `json:"rows"`
	Passed   int           `json:"passed"`
	Failed   int           `json:"failed"`
	Skipped  int           `json:"not_applicable"`
	Blocked  int           `json:"blocked"`
}

func (r *Report) add(row Row) {
	r.Rows = append(r.Rows, row)
	switch row.State {
	case Pass:
		r.Passed++
	case Fail:
		r.Failed++
	case Skip:
		r.Skipped++
	case Blocked:
		r.Blocked++
	}
}

// Holds reports whether every duty that applies was tried and holds.
func (r *Report) Holds() bool { return r.Failed == 0 && r.Blocked == 0 && r.Passed > 0 }

// Options make a run. Bank, Key and Line are needed.
type Options struct {
	Bank locker.BankID
	// Key signs what the kit says; the device must hold its public half.
	Key ed25519.PrivateKey
	// CodeKey is the one under which the device compares codes; nil leaves the rows about codes out.
	CodeKey []byte
	Line    Line
	Hands   Hands
	// Door is the compartment that is opened; 0 means the first one of the snapshot.
	Door int
	// Only, when set, are prefixes of the ids of the rows that are wanted.
	Only []string
	// Connect, Total and DoorWait bound the wait for the device, the whole run and the hands; 0
	// means DefaultConnect, DefaultTotal and DefaultDoor.
	Connect, Total, DoorWait time.Duration
	// Progress, when set, hears every row when it ends, on the goroutine of Run.
	Progress func(Row)
	// Now is the clock; nil means time.Now. It must run at the speed of the standard timers.
	Now func() time.Time
}

func (o *Options) fill() error {
	switch {
	case !locker.ValidID(string(o.Bank)):
		return fmt.Errorf("bank %q is not an identifier: 2 to 48 of a-z, 0-9 and -", o.Bank)
	case len(o.Key) != ed25519.PrivateKeySize:
		return fmt.Errorf("the signing key has %d bytes: an Ed25519 private key has %d", len(o.Key), ed25519.PrivateKeySize)
	case o.Line == nil:
		return errors.New("no line to a broker")
	case o.Door < 0 || o.Door > locker.MaxCompartments:
		return fmt.Errorf("door %d: 1 to %d are allowed", o.Door, locker.MaxCompartments)
	}
	for _, p := range o.Only {
		if !known(p) {
			return fmt.Errorf("no duty begins with %q; the ids are %s", p, strings.Join(IDs(), ", "))
		}
	}
	orElse(&o.Connect, DefaultConnect)
	orElse(&o.Total, DefaultTotal)
	orElse(&o.DoorWait, DefaultDoor)
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

func orElse(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

// ErrNotRun is wrapped by the error of a run that could not be made.
var ErrNotRun = errors.New("the duties could not be tried")

// Run tries the duties in order. The error wraps ErrNotRun when the device never came or ctx
// ended; the report then holds what was seen until there. It does not close the line.
func Run(ctx context.Context, o Options) (Report, error) {
	report := Report{Bank: o.Bank}
	if err := o.fill(); err != nil {
		return report, fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Total, fmt.Errorf("the run took longer than %s", o.Total))
	defer cancel()
	b := newBench(o)
	defer b.stop()
	if err := o.Line.Start(b.take); err != nil {
		return report, fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	if err := b.meet(ctx); err != nil {
		return report, fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	report.Firmware = b.born().Firmware
	for _, d := range duties() {
		if !d.wanted(o.Only) {
			continue
		}
		row := b.try(ctx, d)
		if err := context.Cause(ctx); err != nil {
			return report, fmt.Errorf("%w: at %s: %w", ErrNotRun, d.id, err)
		}
		report.add(row)
		if o.Progress != nil {
			o.Progress(row)
		}
	}
	return report, nil
}
