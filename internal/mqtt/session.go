package mqtt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Session is one accepted MQTT connection. Its methods are safe for concurrent
// use. The zero value is not usable; Connect makes one.
type Session struct {
	conn   net.Conn
	reader *bufio.Reader
	opts   Options

	// token is held while writing. A channel and not a mutex, so that waiting
	// for it ends with a context and counts as waiting inside a synctest bubble.
	token chan struct{}
	// slots holds one element per unacknowledged packet.
	slots chan struct{}
	// dead closes when the session ends, done when its reader has returned.
	dead, done chan struct{}
	closing    atomic.Bool

	start               time.Time
	lastRead, lastWrite atomic.Int64

	mu      sync.Mutex // never held across a wait
	err     error
	idle    *time.Timer
	nextID  uint16
	pending []waiter
}

// Connect performs the MQTT handshake on conn and starts the session. ctx and
// Options.Handshake bound the handshake only; the session itself ends by Close,
// Abort or an error. Connect owns conn: it is closed when Connect fails.
// A refusal by the broker is a *RefusedError.
func Connect(ctx context.Context, conn net.Conn, opts Options) (*Session, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		cut(conn)
		return nil, fmt.Errorf("connect: %w", err)
	}
	s := newSession(conn, opts)
	stop := context.AfterFunc(ctx, func() { cut(conn) })
	err := s.handshake()
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		cut(conn)
		return nil, fmt.Errorf("connect: %w", err)
	}
	s.run()
	return s, nil
}

func newSession(conn net.Conn, opts Options) *Session {
	return &Session{
		conn:   conn,
		reader: bufio.NewReaderSize(conn, readBuffer),
		opts:   opts,
		token:  make(chan struct{}, 1),
		slots:  make(chan struct{}, opts.Inflight),
		dead:   make(chan struct{}),
		done:   make(chan struct{}),
		start:  time.Now(),
	}
}

func (s *Session) handshake() error {
	if err := s.conn.SetDeadline(time.Now().Add(s.opts.Handshake)); err != nil {
		return err
	}
	if err := connectPacket(s.opts).Write(s.conn); err != nil {
		return err
	}
	h, err := readHeader(s.reader)
	if err != nil {
		return fmt.Errorf("wait for the broker's answer: %w", err)
	}
	p, err := readBody(s.reader, h, s.opts.MaxPayload)
	if err != nil {
		return err
	}
	ack, ok := p.(*packets.ConnackPacket)
	switch {
	case !ok:
		return violation("%s before CONNACK", packets.PacketNames[h.MessageType])
	case ack.ReturnCode != packets.Accepted:
		return &RefusedError{Code: ack.ReturnCode}
	case ack.SessionPresent:
		// A kept session may hold commands of yesterday.
		return violation("broker resumed a session although a clean one was asked for")
	}
	return s.conn.SetDeadline(time.Time{})
}

func connectPacket(o Options) *packets.ConnectPacket {
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion = "MQTT", 4
	p.CleanSession = true
	p.Keepalive = uint16((o.KeepAlive + time.Second - 1) / time.Second)
	p.ClientIdentifier = o.ClientID
	p.UsernameFlag, p.Username = o.Username != "", o.Username
	p.PasswordFlag, p.Password = len(o.Password) > 0, o.Password
	if o.Will != nil {
		p.WillFlag, p.WillQos, p.WillRetain = true, o.Will.QoS, o.Will.Retain
		p.WillTopic, p.WillMessage = o.Will.Topic, o.Will.Payload
	}
	return p
}

// run starts the reader and the idle timer.
func (s *Session) run() {
	// The will and the secret are the broker's now.
	s.opts.Will, s.opts.Password = nil, nil
	s.touch(&s.lastRead)
	s.touch(&s.lastWrite)
	s.mu.Lock()
	s.idle = time.AfterFunc(s.pingAfter(), s.tick)
	s.mu.Unlock()
	go s.read()
}

// Done is closed when the session has ended, OnMessage has returned for the
// last time and every callback was called.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session ended: ErrClosed, ErrAborted or the failure that
// ended it. It is nil while the session lives.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the session in good order: the broker drops the will. It returns
// when DISCONNECT is written; Done follows when the broker has hung up, a few
// seconds later at most. Unacknowledged messages fail with ErrClosed.
func (s *Session) Close() error {
	_, err := s.write(context.Background(), packets.NewControlPacket(packets.Disconnect), s.finish)
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrAborted) {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// finish marks the session closed and leaves the connection to the reader, who
// drains it: closing a socket with unread bytes would reset the connection and
// could destroy the DISCONNECT on its way.
func (s *Session) finish() {
	s.closing.Store(true)
	s.end(ErrClosed)
	if err := s.conn.SetReadDeadline(time.Now().Add(drainTime)); err != nil {
		cut(s.conn)
	}
}

// Abort cuts the connection without DISCONNECT: the broker publishes the will.
// Bytes still in the kernel's send buffer are discarded where it allows that.
func (s *Session) Abort() { s.fail(ErrAborted) }

// fail ends the session for err and cuts the connection.
func (s *Session) fail(err error) {
	s.end(err)
	cut(s.conn)
}

// end records the first reason and wakes every waiting call.
func (s *Session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	if s.idle != nil {
		s.idle.Stop()
	}
	close(s.dead)
}

// touch stamps a moment of traffic.
func (s *Session) touch(at *atomic.Int64) { at.Store(int64(time.Since(s.start))) }

// cut closes conn at once: no TLS farewell that could wait for a stuck peer,
// and no bytes left behind for the kernel to deliver later.
func cut(conn net.Conn) {
	for {
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // best effort: the connection may be closed already
	}
	_ = conn.Close() // nothing left to tell anybody
}
