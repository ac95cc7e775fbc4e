package broker

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"
)

// Listener is one way in. TLS and WebSocket may be combined.
type Listener struct {
	// Name appears in logs; the address if empty.
	Name string
	// Address to listen on, as host:port. Ignored when Net is given.
	Address string
	// Net is a listener made elsewhere: in memory, or by the service manager.
	// The broker closes it.
	Net net.Listener
	// TLS, when set, is required of every client.
	TLS *tls.Config
	// WebSocket expects MQTT inside WebSocket frames.
	WebSocket bool
	// Origins are the web origins, besides the listener's own host, whose
	// pages may connect to a WebSocket listener.
	Origins []string
}

// listener is an open Listener.
type listener struct {
	Listener
	net net.Listener
}

func openListener(ctx context.Context, l Listener) (*listener, error) {
	open := &listener{Listener: l, net: l.Net}
	if open.net == nil {
		var err error
		if open.net, err = new(net.ListenConfig).Listen(ctx, "tcp", l.Address); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", l.Address, err)
		}
	}
	open.Name = or(l.Name, open.net.Addr().String())
	return open, nil
}

// accept takes connections until the listener is closed. It stops taking them
// while too many are not authenticated.
func (b *Broker) accept(l *listener) {
	for {
		b.places <- struct{}{}
		raw, err := l.net.Accept()
		if err != nil {
			<-b.places
			if b.stopped.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			b.log.Error("accept failed", "listener", l.Name, slog.Any("error", err))
			time.Sleep(100 * time.Millisecond) // out of file descriptors, most likely
			continue
		}
		b.metrics.accepted.Inc()
		b.metrics.pending.Inc()
		b.running.Add(1)
		go b.serve(l, raw)
	}
}

// serve runs a connection to its end. Whatever the library does with what the
// client sends, a panic of it ends here.
func (b *Broker) serve(l *listener, raw net.Conn) {
	c := b.newConn(l, raw)
	defer c.finish()
	if err := c.work((*conn).begin, packet{}); err != nil {
		c.note(err)
		return
	}
	c.note(c.converse())
}

func (b *Broker) newConn(l *listener, raw net.Conn) *conn {
	c := &conn{
		b: b, listener: l, address: host(raw.RemoteAddr()),
		out:      newOutbound(raw, b.limits.QueuedBytes, b.limits.Stalled),
		deadline: time.Now().Add(b.limits.Unauthenticated),
		gone:     make(chan struct{}),
	}
	c.Conn = c.out
	return c
}

// begin takes a connection up to where MQTT starts.
func (c *conn) begin(packet) error {
	if why := c.b.doors.enter(c.address); why != "" {
		c.b.metrics.refused.WithLabelValues(string(why)).Inc()
		return fmt.Errorf("refused: %s", why)
	}
	c.counted = true
	if !c.b.registry.begin(c) {
		return errStopping
	}
	_ = c.out.SetReadDeadline(c.deadline)
	if err := c.handshake(); err != nil {
		return err
	}
	c.in = bufio.NewReaderSize(c.Conn, readBuffer)
	return nil
}

//go:noinline
func (c *conn) note(err error) {
	c.b.log.Debug("connection ended", slog.String("client_id", c.id),
		slog.String("remote", c.out.RemoteAddr().String()), slog.Any("error", err))
}

// handshake puts TLS and WebSocket on top of the connection.
func (c *conn) handshake() error {
	if c.listener.TLS != nil {
		ctx, cancel := context.WithDeadline(c.b.life, c.deadline)
		defer cancel()
		secure := tls.Server(c.Conn, c.listener.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		c.certs = secure.ConnectionState().PeerCertificates
		c.Conn = secure
	}
	if c.listener.WebSocket {
		ws, err := c.upgrade()
		if err != nil {
			return fmt.Errorf("websocket: %w", err)
		}
		c.Conn = ws
	}
	return nil
}

// finish ends a connection: recovers, cleans up, counts and lets the next
// connection of the same client id begin.
func (c *conn) finish() {
	c.survive(recover())
	if c.open {
		c.guard(c.bury)
	}
	_ = c.out.Close()
	c.b.registry.end(c)
	c.count()
	c.admitted()
	close(c.gone)
	c.b.running.Done()
}

// guard runs f and survives its panic.
func (c *conn) guard(f func()) {
	defer func() { c.survive(recover()) }()
	f()
}

// survive notes a panic that was recovered; nil is none.
func (c *conn) survive(failure any) {
	if failure == nil {
		return
	}
	c.because(causePanic)
	c.b.metrics.panics.Inc()
	c.b.log.Error("connection panicked", slog.String("client_id", c.id),
		slog.String("remote", c.out.RemoteAddr().String()),
		slog.Any("panic", failure), slog.String("stack", string(debug.Stack())))
}

// count takes the connection out of the figures.
func (c *conn) count() {
	if !c.counted {
		return
	}
	c.b.doors.leave(c.address, c.open)
	switch {
	case c.open:
		c.b.metrics.connections.Dec()
		c.b.metrics.closed.WithLabelValues(c.reason()).Inc()
	case !c.answered:
		c.b.metrics.refused.WithLabelValues(string(RefusedHandshake)).Inc()
	}
}

// host is the remote address without its port.
func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

// doors counts connections per address.
type doors struct {
	limits Limits
	mu     sync.Mutex
	total  int
	from   map[string]*tally
}

type tally struct{ pending, all int }

func newDoors(l Limits) *doors { return &doors{limits: l, from: map[string]*tally{}} }

// enter counts a new connection, or says why it may not be.
func (d *doors) enter(address string) Refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.from[address]
	if t == nil {
		t = &tally{}
	}
	switch {
	case d.total >= d.limits.Connections:
		return RefusedFull
	case (t.all >= d.limits.PerAddress || t.pending >= d.limits.PendingPerAddress) && !d.exempt(address):
		return RefusedAddress
	}
	d.from[address] = t
	d.total++
	t.all++
	t.pending++
	return ""
}

// promote counts a connection as authenticated.
func (d *doors) promote(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.from[address].pending--
}

func (d *doors) leave(address string, promoted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.from[address]
	d.total--
	t.all--
	if !promoted {
		t.pending--
	}
	if t.all == 0 {
		delete(d.from, address)
	}
}

func (d *doors) exempt(address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	for _, p := range d.limits.Exempt {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}
