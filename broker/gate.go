package broker

import (
	"bufio"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Why a packet is not even decoded.
var (
	errEarly    = errors.New("packet before authentication")
	errTooLarge = errors.New("packet too large")
)

// readBuffer is the size of the read buffer of a connection in bytes. It is
// there all the time; longer packets are read into a buffer of their own.
const readBuffer = 128

// conn is one connection and what the broker knows of its client.
type conn struct {
	net.Conn // the transport: outbound, with TLS and WebSocket above it where configured

	b        *Broker
	out      *outbound
	listener *listener
	address  string // remote host
	deadline time.Time
	certs    []*x509.Certificate // only until authenticated

	// Of the goroutine that reads, and of the hand that works for it.
	in       *bufio.Reader
	bucket   bucket
	replay   []promise // retained messages still to be sent
	counted  bool      // among the connections of its address
	asked    bool      // CONNECT was read
	answered bool      // refused with a CONNACK and counted as such

	// Set while connecting, before another goroutine sees the client.
	open        bool // authenticated, and alone with its id
	id          string
	principal   Principal
	round       uint64 // of the registry, before the credential was checked
	version     byte
	idle        time.Duration // silence after which it is closed
	receives    int           // unacknowledged messages it takes
	largest     int           // bytes of the largest packet it takes; 0 is any
	terse       bool          // it wants no reasons in words
	will        *lastWill     // nil when it has none
	willDropped atomic.Bool
	ended       atomic.Bool // the transport is closed, or about to be

	subscriptions []*subscription // guarded by the index; changed by the goroutine that reads
	unacked       unacked
	gone          chan struct{} // closed when the connection is over, its will sent
	cause         atomic.Pointer[string]
	once          sync.Once
}

// packet is one MQTT packet as it came, not decoded. The body belongs to it.
type packet struct {
	header packets.FixedHeader
	body   []byte
}

// next waits for a packet and reads it. Nothing is reserved for a body before
// its length is judged. It ends after idle silence, or with the time a
// connection may live unauthenticated.
func (c *conn) next() (packet, error) {
	if err := c.pace(); err != nil {
		return packet{}, err
	}
	until := c.deadline
	if c.open {
		until = time.Now().Add(c.idle)
	}
	if err := c.Conn.SetReadDeadline(until); err != nil {
		return packet{}, err
	}
	first, err := c.in.ReadByte()
	if err != nil {
		return packet{}, err
	}
	return c.rest(first)
}

// rest reads a packet after its first byte.
func (c *conn) rest(first byte) (packet, error) {
	var p packet
	if err := p.header.Decode(first); err != nil {
		return p, err
	}
	length, size, err := c.length()
	if err != nil {
		return p, err
	}
	p.header.Remaining = length
	if err := c.judge(p.header); err != nil {
		return p, err
	}
	p.body = make([]byte, length)
	if _, err := io.ReadFull(c.in, p.body); err != nil {
		return p, err
	}
	c.b.metrics.bytesIn.Add(float64(1 + size + length))
	return p, nil
}

// length reads the remaining length of a header: at most four bytes. The
// library's own function reads for as long as the sender likes.
func (c *conn) length() (n, size int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		b, err := c.in.ReadByte()
		if err != nil {
			return 0, 0, err
		}
		size++
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n, size, nil
		}
	}
	return 0, 0, packets.ErrMalformedVariableByteInteger
}

// judge refuses a packet by its kind and length. Until the client is
// authenticated exactly one CONNECT gets through.
func (c *conn) judge(h packets.FixedHeader) error {
	limit := c.b.limits.Handshake
	if c.open {
		limit = c.b.limits.packet()
	} else if h.Type != packets.Connect || c.asked {
		return errEarly
	}
	if h.Remaining > limit {
		return errTooLarge
	}
	return nil
}

// pace holds a client to its packet rate by reading no faster.
func (c *conn) pace() error {
	if !c.open {
		return nil
	}
	for {
		wait := c.bucket.debt(c.b.now())
		if wait <= 0 {
			c.bucket.take()
			return nil
		}
		if c.ended.Load() {
			return net.ErrClosed
		}
		c.b.metrics.throttled.Inc()
		time.Sleep(min(wait, time.Second))
	}
}

// decode reads the body of a packet that a client may send. The library panics
// over some; that ends the connection in finish.
func (c *conn) decode(p packet) (packets.Packet, error) {
	pk := packets.Packet{FixedHeader: p.header, ProtocolVersion: c.version}
	switch p.header.Type {
	case packets.Connect:
		return pk, pk.ConnectDecode(p.body)
	case packets.Publish:
		return pk, pk.PublishDecode(p.body)
	case packets.Puback:
		return pk, pk.PubackDecode(p.body)
	case packets.Subscribe:
		return pk, pk.SubscribeDecode(p.body)
	case packets.Unsubscribe:
		return pk, pk.UnsubscribeDecode(p.body)
	case packets.Disconnect:
		return pk, pk.DisconnectDecode(p.body)
	}
	return pk, packets.ErrProtocolViolation
}

// Write hands p to the transport without waiting. The library says DISCONNECT
// to MQTT 3.1.1 clients too, which know no such packet from a broker.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0]>>4 == packets.Disconnect && c.version < 5 {
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	c.b.metrics.bytesOut.Add(float64(n))
	if errors.Is(err, errSlow) {
		c.because(causeSlow)
	}
	return n, err
}

// because notes why the connection ends. The first reason stands.
func (c *conn) because(reason string) { c.cause.CompareAndSwap(nil, &reason) }

// reason is why the connection ended: a value of the metric's label.
func (c *conn) reason() string {
	if r := c.cause.Load(); r != nil {
		return *r
	}
	return causeClient
}

// bucket is a token bucket that may go into debt; the debt is a time to wait.
type bucket struct {
	rate, burst float64
	tokens      float64
	at          time.Time
}

func newBucket(rate, burst int, now time.Time) bucket {
	return bucket{rate: float64(rate), burst: float64(burst), tokens: float64(burst), at: now}
}

func (t *bucket) take() { t.tokens-- }

// debt is how long to wait until the bucket is not in debt.
func (t *bucket) debt(now time.Time) time.Duration {
	if past := now.Sub(t.at); past > 0 {
		t.tokens = min(t.burst, t.tokens+past.Seconds()*t.rate)
	}
	t.at = now
	if t.tokens >= 0 {
		return 0
	}
	return max(time.Duration(-t.tokens/t.rate*float64(time.Second)), time.Microsecond)
}
