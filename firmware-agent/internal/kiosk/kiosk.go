// Package kiosk is the panel of a bank that has a screen: a page for a browser on the same machine.
// It is served on loopback alone, needs nothing from elsewhere and works with the uplink cut. What
// is typed goes the way of a keypad's codes; what the bank says to people is heard by the page as it
// happens. Codes, addresses and what a scanner read are never logged or kept.
package kiosk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/firmware-agent/board"
	"lockerfleet/locker"
)

// Bounds of the panel.
const (
	answerWithin = time.Second // a person is never left longer without an answer
	maxBody      = 2048        // bytes of a request
	maxStreams   = 4           // pages that listen
	waiting      = 16          // happenings kept for a page that is slow; with more it is cut and comes again
	maxConns     = 32          // open at the same time
)

// Asker answers requests of people. An *agent.Runner is one.
type Asker interface {
	Ask(ctx context.Context, in agent.Ask) (agent.Answer, error)
}

// Options are what a kiosk tells people and what stands beside it.
type Options struct {
	Listen  string // loopback HOST:PORT
	Bank    locker.BankID
	Phone   string        // whom people call; empty shows none
	Doors   []int         // numbers on the doors
	Beside  board.Panel   // keypad and display that go on working; nil is none
	Scanner board.Scanner // nil is none
	Now     func() time.Time
	Log     *slog.Logger // nil discards
}

// Kiosk is a board.Panel, and a board.Scanner when there is one beside it. It is safe for
// concurrent use. Close ends it.
type Kiosk struct {
	opts     Options
	log      *slog.Logger
	listener net.Listener
	codes    chan board.Code // without room: a code that waits would open a door late
	scans    chan string     // without room too: the scanner keeps some itself
	stop     chan struct{}
	work     sync.WaitGroup
	once     sync.Once
	tries    bucket
	asks     bucket

	mu      sync.Mutex
	streams map[chan event]bool
	waiters map[*waiter]bool
}

// waiter waits for what the bank says about one door.
type waiter struct {
	door int
	got  chan board.Screen // holds one
}

// Open listens on the address, which must be of loopback, and begins to pass on what Beside and
// Scanner say.
func Open(o Options) (*Kiosk, error) {
	if err := CheckListen(o.Listen); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("panel: %w", err)
	}
	k := &Kiosk{
		opts: o, log: o.Log, listener: l, codes: make(chan board.Code), scans: make(chan string), stop: make(chan struct{}),
		streams: map[chan event]bool{}, waiters: map[*waiter]bool{},
		tries: bucket{size: 8, each: 2 * time.Second, now: o.Now}, asks: bucket{size: 5, each: 10 * time.Second, now: o.Now},
	}
	if o.Beside != nil {
		k.work.Go(k.passCodes)
	}
	if o.Scanner != nil {
		k.work.Go(k.passScans)
	}
	return k, nil
}

// CheckListen refuses addresses that are not loopback: everybody on a network could type codes.
func CheckListen(address string) error {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("panel address %q: allowed are 127.0.0.1:PORT and [::1]:PORT, because the page is for the screen of this machine alone", address)
}

// Addr is where the page is.
func (k *Kiosk) Addr() net.Addr { return k.listener.Addr() }

// Codes delivers what was typed on the page and at the keypad beside it. It is never closed.
func (k *Kiosk) Codes() <-chan board.Code { return k.codes }

// Scans delivers what the scanner reads, after the page was told that there was something. It is
// never closed.
func (k *Kiosk) Scans() <-chan string { return k.scans }

// Show tells every page and the display beside it.
func (k *Kiosk) Show(s board.Screen) error {
	k.tell(event{kind: "screen", data: screenOf(s)})
	k.mu.Lock()
	for w := range k.waiters {
		if w.door == s.Compartment {
			select {
			case w.got <- s:
			default: // the first one answers
			}
		}
	}
	k.mu.Unlock()
	if k.opts.Beside == nil {
		return nil
	}
	return k.opts.Beside.Show(s)
}

// Serve answers pages until ctx ends. It is called once.
func (k *Kiosk) Serve(ctx context.Context, bank Asker) error {
	s := &http.Server{
		Handler: k.handler(bank), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(k.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	err := s.Serve(&limited{Listener: k.listener, free: make(chan struct{}, maxConns)})
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("panel: %w", err)
}

// Close gives the address back and ends what Open began. Later calls do nothing.
func (k *Kiosk) Close() (err error) {
	k.once.Do(func() {
		close(k.stop)
		err = k.listener.Close()
		if errors.Is(err, net.ErrClosed) {
			err = nil
		}
	})
	k.work.Wait()
	return err
}

func (k *Kiosk) passCodes() {
	for {
		select {
		case c := <-k.opts.Beside.Codes():
			select {
			case k.codes <- c:
			case <-k.stop:
				return
			}
		case <-k.stop:
			return
		}
	}
}

func (k *Kiosk) passScans() {
	for {
		select {
		case text := <-k.opts.Scanner.Scans():
			k.tell(event{kind: "scan", data: scanned{Ticket: isTicket(text), Length: len([]rune(text))}})
			select {
			case k.scans <- text:
			case <-k.stop:
				return
			}
		case <-k.stop:
			return
		}
	}
}

// limited bounds the connections of a listener: more wait in the kernel.
type limited struct {
	net.Listener
	free chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &place{Conn: c, leave: sync.OnceFunc(func() { <-l.free })}, nil
}

type place struct {
	net.Conn
	leave func()
}

func (p *place) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
