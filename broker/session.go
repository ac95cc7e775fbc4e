package broker

import (
	"bytes"
	"errors"
	"log/slog"
	"runtime"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Why an authenticated connection ended: labels of the metric
// connections_closed_total.
const (
	causeClient    = "client"     // it disconnected, fell silent or its link broke
	causeTakenOver = "taken_over" // a newer connection has its id
	causeRevoked   = "revoked"    // Disconnect was called
	causeStopping  = "stopping"   // the broker went down
	causeDenied    = "denied"     // a refused QoS 1 publish of an MQTT 3.1.1 client
	causeProtocol  = "protocol"   // a packet no client may send here
	causeSlow      = "slow"       // it did not read or acknowledge
	causePanic     = "panic"      // the library panicked over what it sent
)

// errStopping is the answer of a broker that is going down.
var errStopping = errors.New("broker is stopping")

// errBye ends the conversation with a client that said goodbye.
var errBye = errors.New("client disconnected")

// converse runs the protocol on a connection until it ends. Its own frame, and
// those of what waits for the next packet, are small on purpose, and everything
// else is done by a hand: a goroutine keeps the largest stack it ever needed
// until the collector has passed several times, and the library's loop needs
// 16 KiB for each idle client.
func (c *conn) converse() error {
	act := (*conn).greet
	for {
		p, err := c.next()
		if err != nil {
			return err
		}
		if err := c.work(act, p); err != nil {
			return err
		}
		act = (*conn).handle
		// A client that sends faster than it is served never waits here, and would keep its
		// processor for ten milliseconds at a time: with hundreds of them everybody else in this
		// process would wait for seconds.
		runtime.Gosched()
	}
}

// greet answers CONNECT. The library's client lives no longer than this.
func (c *conn) greet(p packet) error {
	c.asked = true
	cl := c.b.server.NewClient(c, c.listener.Name, "", false)
	pk, err := c.decode(p)
	if err != nil {
		return err
	}
	cl.ParseConnect(c.listener.Name, pk)
	c.version = cl.Properties.ProtocolVersion
	if code := validConnect(cl, pk); code != packets.CodeSuccess {
		return errors.Join(code, c.b.server.SendConnack(cl, code, false, nil))
	}
	if why, err := c.b.connect(c, cl, pk); why != "" {
		c.b.refuse(c, cl, why, err)
		return errors.Join(packets.ErrNotAuthorized, err)
	}
	return c.b.server.SendConnack(cl, packets.CodeSuccess, false, nil)
}

// validConnect checks what MQTT says of a CONNECT packet.
func validConnect(cl *mqtt.Client, pk packets.Packet) packets.Code {
	code := pk.ConnectValidate()
	switch {
	case code != packets.CodeSuccess:
		return code
	case pk.ProtocolVersion < 4:
		return packets.ErrUnsupportedProtocolVersion
	case pk.Connect.WillQos > 1:
		return packets.ErrQosNotSupported
	}
	return packets.CodeSuccess
}

// handle acts on one packet.
func (c *conn) handle(p packet) error {
	if p.header.Type == packets.Pingreq {
		_, err := c.Write([]byte{packets.Pingresp << 4, 0})
		return err
	}
	pk, err := c.decode(p)
	if err != nil {
		return c.violation(err)
	}
	switch p.header.Type {
	case packets.Publish:
		return c.publish(pk)
	case packets.Puback:
		c.acknowledge(pk.PacketID)
		return nil
	case packets.Subscribe:
		return c.subscribe(pk)
	case packets.Unsubscribe:
		return c.unsubscribe(pk)
	case packets.Disconnect:
		return c.disconnect(pk)
	}
	return c.violation(packets.ErrProtocolViolation)
}

// disconnect drops the last will, unless an MQTT 5 client asks for it.
func (c *conn) disconnect(pk packets.Packet) error {
	if pk.ReasonCode != packets.CodeDisconnectWillMessage.Code {
		c.willDropped.Store(true)
	}
	return errBye
}

// violation ends the connection over a packet that breaks the protocol or a
// limit. MQTT 5 clients are told the code.
func (c *conn) violation(err error) error {
	code := packets.ErrProtocolViolation
	errors.As(err, &code)
	c.b.hangup(c, causeProtocol, code)
	return err
}

// enter gives an authenticated connection its client id. The connection that
// had it is closed, and waited for: the library hands a session over while the
// old one still runs, so the old last will could be published after the new
// birth.
func (b *Broker) enter(c *conn) (Refusal, error) {
	old, ok := b.registry.claim(c)
	if !ok {
		return RefusedStopping, errStopping
	}
	if old != nil {
		b.hangup(old, causeTakenOver, packets.ErrSessionTakenOver)
		timer := time.NewTimer(takeoverWait)
		defer timer.Stop()
		select {
		case <-old.gone:
		case <-timer.C:
			b.registry.restore(c, old)
			return RefusedTakeover, errors.New("the old connection did not end")
		}
	}
	c.open = true
	c.admitted()
	b.doors.promote(c.address)
	b.metrics.connections.Inc()
	return "", nil
}

// admitted gives the place among the unauthenticated back, once.
func (c *conn) admitted() {
	c.once.Do(func() {
		c.b.metrics.pending.Dec()
		<-c.b.places
	})
}

// hangup ends a client's connection. MQTT 5 clients are told why. It does not
// wait for the connection to end.
func (b *Broker) hangup(c *conn, cause string, code packets.Code) {
	c.because(cause)
	if c.version == 5 {
		c.farewell(code)
	}
	c.stop()
}

// farewell tells an MQTT 5 client why its connection ends.
func (c *conn) farewell(code packets.Code) {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ProtocolVersion: 5, ReasonCode: code.Code}
	pk.Mods.MaxSize = uint32(c.largest)
	if code.Code >= packets.ErrUnspecifiedError.Code && !c.terse {
		pk.Properties.ReasonString = code.Reason
	}
	var buf bytes.Buffer
	if err := pk.DisconnectEncode(&buf); err == nil && (c.largest == 0 || buf.Len() <= c.largest) {
		_, _ = c.Write(buf.Bytes()) // it ends in any case
	}
}

// stop closes the transport, once.
func (c *conn) stop() {
	if c.ended.CompareAndSwap(false, true) {
		_ = c.Conn.Close()
	}
}

// bury removes a client that was let in: its subscriptions first, so that it
// does not hear its own last will.
func (c *conn) bury() {
	c.stop()
	c.b.index.drop(c)
	if c.will == nil || c.willDropped.Load() {
		return
	}
	c.b.metrics.publishedIn.Inc()
	w := c.will
	c.b.spread(message{
		topic: w.topic, payload: w.payload, qos: w.qos, retain: w.retain, client: c.id,
		properties: packets.Properties{User: w.user},
	})
}

// Clients is the number of authenticated clients connected now.
func (b *Broker) Clients() int { return b.registry.len() }

// Connected tells whether a client of this id is connected and authenticated.
func (b *Broker) Connected(clientID string) bool { return b.registry.get(clientID) != nil }

// Disconnect closes the connections of a principal at once, those of ids below
// its name included, and returns how many. Call it after the credential was
// revoked, so that nobody comes back; reason goes to the log.
func (b *Broker) Disconnect(clientID, reason string) int {
	found := b.registry.of(clientID)
	for _, c := range found {
		b.log.Info("client disconnected by order", slog.String("client_id", c.id), slog.String("reason", reason))
		b.hangup(c, causeRevoked, packets.ErrNotAuthorized)
	}
	return len(found)
}
