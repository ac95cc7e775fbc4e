package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"
)

// stopWithin is how long Run waits for the connections to end.
const stopWithin = 2500 * time.Millisecond

// Options of a broker. Authority is required.
type Options struct {
	// Listeners are the ways in. None is fine: the bus works without.
	Listeners []Listener
	// Authority decides who a client is.
	Authority Authority
	// Limits bound the clients; the zero value is a safe set.
	Limits Limits
	// Logger; nil discards.
	Logger *slog.Logger
	// Metrics, when set, is where the broker registers its metrics.
	Metrics prometheus.Registerer
	// Now is the clock for rates and expiry; nil means time.Now. Deadlines of
	// connections always follow the standard clock.
	Now func() time.Time
}

// Broker is the embedded MQTT broker. It is safe for concurrent use.
type Broker struct {
	authority Authority
	limits    Limits
	log       *slog.Logger
	metrics   *metrics
	now       func() time.Time

	server    *mqtt.Server
	listeners []*listener
	registry  *registry
	doors     *doors
	retained  *shelf
	index     index
	bus       bus
	hands     hands

	places  chan struct{} // one for each connection that is not authenticated
	running sync.WaitGroup
	life    context.Context // ends when the broker stops; bounds questions to the authority
	end     context.CancelFunc
	stopped atomic.Bool
}

// New opens the listeners. Connections are served once Run is called; the bus
// works at once. Run must be called to close what New opened.
func New(o Options) (*Broker, error) {
	if o.Authority == nil {
		return nil, errors.New("new broker: no authority")
	}
	b := &Broker{authority: o.Authority, limits: o.Limits.withDefaults(), log: o.Logger, now: o.Now}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.now == nil {
		b.now = time.Now
	}
	var err error
	if b.metrics, err = newMetrics(o.Metrics); err != nil {
		return nil, fmt.Errorf("new broker: register metrics: %w", err)
	}
	b.life, b.end = context.WithCancel(context.Background())
	b.registry, b.doors = newRegistry(), newDoors(b.limits)
	b.hands.idle = make(chan *hand, idleHands)
	b.retained = newShelf(b.limits.Retained, b.now)
	b.places = make(chan struct{}, b.limits.Pending)
	b.server = b.newServer()
	if err := b.openListeners(o.Listeners); err != nil {
		b.end()
		return nil, fmt.Errorf("new broker: %w", err)
	}
	return b, nil
}

// newServer sets the library up. This broker uses its packets, what it keeps of
// a client, and its answers to CONNECT. It has no hooks and Serve is never
// called: that loop copies all clients and all retained messages every second
// and stops the world to read memory statistics.
func (b *Broker) newServer() *mqtt.Server {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumMessageExpiryInterval = 0
	c.MaximumSessionExpiryInterval = 0 // told to MQTT 5 clients that ask for more
	c.MaximumClientWritesPending = 1   // its queue is not used
	c.MaximumPacketSize = uint32(b.limits.packet())
	c.ReceiveMaximum = uint16(min(b.limits.Inflight, 1<<16-1))
	c.MaximumInflight = c.ReceiveMaximum
	c.TopicAliasMaximum = 0
	c.SharedSubAvailable = 0
	c.MinimumProtocolVersion = 4
	c.MaximumQos = 1
	c.Compatibilities.NoInheritedPropertiesOnAck = true
	return mqtt.New(&mqtt.Options{
		Capabilities:            c,
		ClientNetReadBufferSize: 16, // nor is its read buffer
		Logger:                  slog.New(discreet{b.log.Handler()}),
	})
}

func (b *Broker) openListeners(all []Listener) error {
	for _, l := range all {
		open, err := openListener(b.life, l)
		if err != nil {
			b.closeListeners()
			return err
		}
		b.listeners = append(b.listeners, open)
	}
	return nil
}

func (b *Broker) closeListeners() {
	for _, l := range b.listeners {
		_ = l.net.Close()
	}
}

// Addrs are the addresses of the listeners, in the order of Options.
func (b *Broker) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(b.listeners))
	for i, l := range b.listeners {
		addrs[i] = l.net.Addr()
	}
	return addrs
}

// Run serves until ctx ends, then stops within three seconds: it closes the
// listeners, tells MQTT 5 clients that it is going down, closes all
// connections and waits for them. Last wills are not published then. Run may
// be called once.
func (b *Broker) Run(ctx context.Context) error {
	var accepting sync.WaitGroup
	for _, l := range b.listeners {
		b.log.Info("listening", "listener", l.Name, "address", l.net.Addr().String(),
			slog.Bool("tls", l.TLS != nil), slog.Bool("websocket", l.WebSocket))
		accepting.Go(func() { b.accept(l) })
	}
	<-ctx.Done()
	b.stop()
	accepting.Wait()
	defer b.hands.close()
	return b.wait()
}

func (b *Broker) stop() {
	b.stopped.Store(true)
	b.closeListeners()
	pending, clients := b.registry.stop()
	b.end()
	for _, c := range pending {
		_ = c.out.Close()
	}
	for _, c := range clients {
		c.willDropped.Store(true)
		b.hangup(c, causeStopping, packets.ErrServerShuttingDown)
	}
}

// wait waits for the connections to end.
func (b *Broker) wait() error {
	done := make(chan struct{})
	go func() {
		b.running.Wait()
		close(done)
	}()
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("broker stopped with %d connections still ending", b.registry.len())
	}
}
