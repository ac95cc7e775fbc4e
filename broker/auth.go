package broker

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"lockerfleet/wire"
)

// Login is what a client shows at CONNECT. Nothing in it is checked yet.
// Password is only valid during the call.
type Login struct {
	ClientID, Username string
	Password           []byte
	Certificates       []*x509.Certificate // verified by TLS where the listener asks for them; leaf first
	Remote             string              // host and port of the other end
}

// Principal is who a credential belongs to and what it may do.
type Principal struct {
	// Name is the client id the credential may use.
	Name string
	// SharedID also allows client ids that start with Name and a slash, for
	// partners and operators with several tools. All of them have the same
	// permissions.
	SharedID    bool
	Permissions wire.Permissions
	Limits      ClientLimits
}

// Authority decides who a client is. It is asked once a connection, by many
// goroutines at once, and its context ends with the time a connection may
// live unauthenticated.
//
// An error that wraps ErrRefused means the credential is wrong, unknown or
// revoked. Any other error means the question could not be answered; the
// client is refused as well, and told that the server is unavailable.
type Authority interface {
	Authenticate(ctx context.Context, l Login) (Principal, error)
}

// ErrRefused is wrapped by an Authority's error for a credential that is not
// good.
var ErrRefused = errors.New("credential refused")

// Refusal is why a client was not let in: a label of the metric
// connections_refused_total.
type Refusal string

// The reasons for refusing a connection.
const (
	RefusedCredential  Refusal = "credential"  // wrong, unknown or revoked
	RefusedClientID    Refusal = "client_id"   // not the id of the credential
	RefusedWill        Refusal = "will"        // a last will it may not publish
	RefusedUnavailable Refusal = "unavailable" // the authority did not answer
	RefusedTakeover    Refusal = "takeover"    // the old connection of the same id did not end
	RefusedStopping    Refusal = "stopping"    // the broker is going down
	RefusedAddress     Refusal = "address"     // too many connections from one address
	RefusedFull        Refusal = "full"        // too many connections
	RefusedHandshake   Refusal = "handshake"   // TLS, WebSocket or CONNECT broken, missing or too slow
)

const (
	maxClientID  = wire.MaxTopic   // bytes of a client id
	takeoverWait = 2 * time.Second // for the old connection of a client id to end
)

// refusalCodes are the answers in CONNACK. The library translates some of the
// MQTT 5 codes for MQTT 3.1.1 clients; those it does not are given apart.
var refusalCodes = map[Refusal]struct{ v3, v5 packets.Code }{
	RefusedCredential:  {packets.ErrMalformedUsername, packets.ErrBadUsernameOrPassword},
	RefusedClientID:    {packets.ErrClientIdentifierNotValid, packets.ErrClientIdentifierNotValid},
	RefusedWill:        {packets.ErrBadUsernameOrPassword, packets.ErrNotAuthorized},
	RefusedUnavailable: {packets.ErrServerUnavailable, packets.ErrServerUnavailable},
	RefusedTakeover:    {packets.ErrServerUnavailable, packets.ErrServerBusy},
	RefusedStopping:    {packets.ErrServerUnavailable, packets.ErrServerShuttingDown},
}

// connect decides over a CONNECT. On success the client is registered and
// alone with its id.
func (b *Broker) connect(c *conn, cl *mqtt.Client, pk packets.Packet) (Refusal, error) {
	ctx, cancel := context.WithDeadline(b.life, c.deadline)
	defer cancel()
	c.round = b.registry.orders()
	principal, err := b.authority.Authenticate(ctx, c.login(cl, pk))
	switch {
	case errors.Is(err, ErrRefused):
		return RefusedCredential, err
	case err != nil:
		return RefusedUnavailable, err
	case !mayUse(principal, cl.ID):
		return RefusedClientID, fmt.Errorf("client id %.64q is not of %q", cl.ID, principal.Name)
	}
	if why := checkWill(cl.Properties.Will, principal.Permissions); why != "" {
		b.metrics.deniedWill.Inc()
		return RefusedWill, errors.New(why)
	}
	c.become(principal, cl)
	c.holdKeepalive(cl, pk.Connect.Keepalive)
	why, err := b.enter(c)
	if why == RefusedStopping && !b.stopped.Load() {
		return RefusedUnavailable, errors.New("a credential was revoked meanwhile")
	}
	return why, err
}

func (c *conn) login(cl *mqtt.Client, pk packets.Packet) Login {
	return Login{
		ClientID:     pk.Connect.ClientIdentifier,
		Username:     string(pk.Connect.Username),
		Password:     pk.Connect.Password,
		Certificates: c.certs,
		Remote:       cl.Net.Remote,
	}
}

// mayUse tells whether p may call itself id.
func mayUse(p Principal, id string) bool {
	if p.Name == "" || len(id) > maxClientID {
		return false
	}
	if id == p.Name {
		return true
	}
	tool, prefixed := strings.CutPrefix(id, p.Name+"/")
	return p.SharedID && prefixed && tool != "" && !strings.ContainsFunc(tool, notInTool)
}

func notInTool(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
}

// checkWill fences a last will like the publish it will become, and says what
// is wrong with it.
func checkWill(w mqtt.Will, p wire.Permissions) string {
	if w.Flag == 0 || p.MayPublish(w.TopicName, w.Retain, len(w.Payload)) {
		return ""
	}
	return fmt.Sprintf("last will to %.64q, retain %t, %d bytes", w.TopicName, w.Retain, len(w.Payload))
}

// become makes the connection that of p. Strings of the CONNECT packet are
// copied, so that the packet, with the password in it, does not stay in
// memory. Sessions end with the connection, and so does the delay of a will.
func (c *conn) become(p Principal, cl *mqtt.Client) {
	limits := c.b.limits
	cl.ID = strings.Clone(cl.ID)
	c.will = willOf(cl)
	p.Limits.Subscriptions = or(p.Limits.Subscriptions, limits.Subscriptions)
	c.id, c.principal, c.certs = cl.ID, p, nil
	c.bucket = newBucket(or(p.Limits.PacketRate, limits.PacketRate), or(p.Limits.PacketBurst, limits.PacketBurst), c.b.now())
	c.receives = limits.Inflight
	if most := int(cl.Properties.Props.ReceiveMaximum); most > 0 {
		c.receives = min(most, limits.Inflight)
	}
	c.largest = int(cl.Properties.Props.MaximumPacketSize)
	c.terse = cl.Properties.Props.RequestProblemInfoFlag && cl.Properties.Props.RequestProblemInfo == 0
}

// lastWill is what is kept of the last will of a client.
type lastWill struct {
	topic   string
	payload []byte
	user    []packets.UserProperty
	qos     byte
	retain  bool
}

// willOf is the last will of a client, nil for none.
func willOf(cl *mqtt.Client) *lastWill {
	w := cl.Properties.Will
	if w.Flag == 0 {
		return nil
	}
	return &lastWill{topic: strings.Clone(w.TopicName), payload: bytes.Clone(w.Payload), user: w.User, qos: w.Qos, retain: w.Retain}
}

// holdKeepalive caps the keepalive; a silent client is closed after one and a
// half of it.
func (c *conn) holdKeepalive(cl *mqtt.Client, asked uint16) {
	limit := uint16(min(c.b.limits.Keepalive/time.Second, 1<<16-1))
	if asked == 0 || asked > limit {
		cl.State.Keepalive = limit
		cl.State.ServerKeepalive = true
	}
	c.idle = time.Duration(cl.State.Keepalive) * time.Second * 3 / 2
}

// refuse answers a CONNECT with the code of why and logs it.
func (b *Broker) refuse(c *conn, cl *mqtt.Client, why Refusal, err error) {
	b.metrics.refused.WithLabelValues(string(why)).Inc()
	b.log.Info("client refused",
		slog.String("client_id", shorten(cl.ID)), slog.String("remote", cl.Net.Remote),
		slog.String("reason", string(why)), slog.Any("error", err))
	c.answered = true
	code := refusalCodes[why].v5
	if cl.Properties.ProtocolVersion < 5 {
		code = refusalCodes[why].v3
	}
	_ = b.server.SendConnack(cl, code, false, nil)
}

// shorten bounds what an unknown client makes us log.
func shorten(s string) string { return s[:min(len(s), 64)] }
