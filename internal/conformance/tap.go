package conformance

import (
	"encoding/binary"
	"net"
	"sync"

	"lockerfleet/wire"
)

// Connection is what a device said of itself when it connected.
type Connection struct {
	Protocol  string
	Level     byte // 4 is MQTT 3.1.1
	Clean     bool
	KeepAlive uint16 // seconds
	ClientID  string
	Will      *wire.Message // nil: none
	Filters   []Filter
	Goodbye   bool // it ended by DISCONNECT
}

// Filter is one subscription.
type Filter struct {
	Text string
	QoS  byte
}

// Bounds of what the tap keeps.
const (
	maxConnections = 64      // the newest are kept
	maxTapped      = 8 << 10 // bytes of a packet that is looked at; longer ones are skipped
	maxFilters     = 64
)

// tap is a listener that looks at what devices say and changes nothing.
type tap struct {
	net.Listener

	mu  sync.Mutex
	all []*Connection
}

// Accept waits for a device.
func (t *tap) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tapped{Conn: c, tap: t}, nil
}

func (t *tap) seen() []Connection {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Connection, 0, len(t.all))
	for _, c := range t.all {
		copied := *c
		copied.Filters = append([]Filter(nil), c.Filters...)
		all = append(all, copied)
	}
	return all
}

// tapped is one connection. Reads come from one goroutine.
type tapped struct {
	net.Conn
	tap  *tap
	seen *Connection // nil before CONNECT
	buf  []byte      // of a packet that is not whole
	skip int         // bytes of a long packet that are still to come
}

// Read passes on what was read.
func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.look(p[:n])
	return n, err
}

// NetConn is the connection below, for whoever sets its options.
func (t *tapped) NetConn() net.Conn { return t.Conn }

func (t *tapped) look(b []byte) {
	if skipped := min(t.skip, len(b)); skipped > 0 {
		t.skip -= skipped
		b = b[skipped:]
	}
	t.buf = append(t.buf, b...)
	for {
		kind, body, rest, size := packet(t.buf)
		switch {
		case size == 0:
			return
		case size > maxTapped:
			t.skip = max(size-len(t.buf), 0)
			t.buf = append(t.buf[:0], t.buf[min(size, len(t.buf)):]...)
			if t.skip > 0 {
				return
			}
			continue
		case body == nil:
			return
		}
		t.packet(kind, body)
		t.buf = append(t.buf[:0], rest...)
	}
}

// packet takes the first packet off b: its size is 0 while the header is not whole, and its body
// nil while it is not.
func packet(b []byte) (kind byte, body, rest []byte, size int) {
	length, shift := 0, 0
	for i := 1; i < len(b) && i <= 4; i++ {
		length |= int(b[i]&0x7f) << shift
		shift += 7
		if b[i] < 0x80 {
			size = 1 + i + length
			if len(b) < size {
				return b[0], nil, nil, size
			}
			return b[0], b[1+i : size : size], b[size:], size
		}
	}
	if len(b) > 4 { // no packet begins so: nothing more is looked at
		return 0, nil, nil, maxTapped + 1
	}
	return 0, nil, nil, 0
}

func (t *tapped) packet(kind byte, body []byte) {
	t.tap.mu.Lock()
	defer t.tap.mu.Unlock()
	switch kind >> 4 {
	case 1:
		if c, ok := connect(body); ok && t.seen == nil {
			t.seen = &c
			t.tap.all = append(t.tap.all, t.seen)
			if len(t.tap.all) > maxConnections {
				t.tap.all = t.tap.all[1:]
			}
		}
	case 8:
		if t.seen != nil {
			t.seen.Filters = append(t.seen.Filters, filters(body)...)
			t.seen.Filters = t.seen.Filters[:min(len(t.seen.Filters), maxFilters)]
		}
	case 14:
		if t.seen != nil {
			t.seen.Goodbye = true
		}
	}
}

// fields reads the parts of a packet; ok turns false at the first that is not there.
type fields struct {
	b  []byte
	ok bool
}

func (f *fields) take(n int) []byte {
	if !f.ok || len(f.b) < n {
		f.ok = false
		return make([]byte, min(n, 2))
	}
	part := f.b[:n]
	f.b = f.b[n:]
	return part
}

func (f *fields) text() []byte {
	n := int(binary.BigEndian.Uint16(f.take(2)))
	if !f.ok {
		return nil
	}
	return f.take(n)
}

func connect(body []byte) (Connection, bool) {
	f := fields{b: body, ok: true}
	c := Connection{Protocol: string(f.text())}
	head := f.take(2)
	c.Level = head[0]
	flags := head[1]
	c.Clean = flags&2 != 0
	c.KeepAlive = binary.BigEndian.Uint16(f.take(2))
	c.ClientID = string(f.text())
	if flags&4 != 0 {
		will := wire.Message{Topic: string(f.text())}
		will.Payload = append([]byte(nil), f.text()...)
		will.QoS, will.Retain = flags>>3&3, flags&32 != 0
		c.Will = &will
	}
	return c, f.ok
}

func filters(body []byte) []Filter {
	f := fields{b: body, ok: true}
	f.take(2) // packet id
	var all []Filter
	for f.ok && len(f.b) > 0 && len(all) < maxFilters {
		text := string(f.text())
		qos := f.take(1)[0]
		if f.ok {
			all = append(all, Filter{Text: text, QoS: qos})
		}
	}
	return all
}
