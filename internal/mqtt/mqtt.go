// Package mqtt is a thin MQTT 3.1.1 client: one session over one connection,
// QoS 0 and 1, always a clean session.
//
// It does on purpose less than a client library. It never reconnects, keeps no
// queue and retransmits nothing, because a message that leaves later than its
// sender believes can open a door for nobody. When a session ends every waiting
// call returns an error, and what was not on the wire by then never will be.
// Whoever wants a new connection dials one and starts a new session.
//
// An idle session costs one goroutine, one timer and about 5 KiB with its stack,
// so that thousands of simulated banks fit into one process.
package mqtt

import (
	"errors"
	"fmt"
	"time"
)

// Bounds that hold for every session, both ways.
const (
	// MaxTopic is the longest topic or filter in bytes.
	MaxTopic = 1024
	// MaxFilters is the largest number of filters in one Subscribe.
	MaxFilters = 32
	// MaxIdentity is the longest client id, user name or password in bytes.
	MaxIdentity = 4096
	// MaxInflight is the largest value of Options.Inflight.
	MaxInflight = 4096
	// MaxPayloadLimit is the largest value of Options.MaxPayload in bytes.
	MaxPayloadLimit = 16 << 20
)

// Defaults of Options.
const (
	DefaultKeepAlive  = 30 * time.Second
	DefaultTimeout    = 10 * time.Second
	DefaultMaxPayload = 64 << 10
	DefaultInflight   = 64
)

// Message is one application message, inbound, outbound or as last will.
type Message struct {
	Topic   string
	Payload []byte
	// QoS is 0 or 1.
	QoS byte
	// Retain asks the broker to keep the message; on an inbound message it says
	// that the message was kept from before this subscription.
	Retain bool
	// Dup is set on an inbound message that the broker sends again. It is
	// ignored on outbound messages: a session sends nothing twice.
	Dup bool
}

// Options describe one session. Only ClientID is required.
type Options struct {
	ClientID string
	// Username is sent when it is not empty; Password only together with it.
	Username string
	Password []byte
	// KeepAlive is the longest silence promised to the broker, 1 s to 65535 s;
	// zero means DefaultKeepAlive. A peer silent for one and a half times as
	// long is given up.
	KeepAlive time.Duration
	// Timeout bounds every single write; zero means DefaultTimeout.
	Timeout time.Duration
	// Handshake bounds the time from CONNECT to its answer; zero means Timeout.
	Handshake time.Duration
	// Will is published by the broker when the session ends without Close.
	Will *Message
	// OnMessage receives every inbound message in order on the reading
	// goroutine. It must not block and must not wait for this session. A QoS 1
	// message is acknowledged when it returns. The payload is its to keep.
	// Nil drops inbound messages.
	OnMessage func(Message)
	// MaxPayload bounds payloads both ways in bytes; zero means
	// DefaultMaxPayload. A larger inbound message ends the session before
	// anything is allocated for it.
	MaxPayload int
	// Inflight bounds unacknowledged QoS 1 messages; zero means
	// DefaultInflight.
	Inflight int
}

// Errors callers tell apart.
var (
	// ErrClosed is the end of a session by Close.
	ErrClosed = errors.New("mqtt session closed")
	// ErrAborted is the end of a session by Abort.
	ErrAborted = errors.New("mqtt session aborted")
	// ErrNotSent marks a message of which no byte was written, and none will
	// be. An error without this mark leaves open whether the message arrived.
	ErrNotSent = errors.New("not sent")
	// ErrBusy says that Options.Inflight messages wait for acknowledgement.
	ErrBusy = errors.New("too many unacknowledged messages")
	// ErrProtocol marks a session ended because the peer broke MQTT 3.1.1 or
	// exceeded a bound.
	ErrProtocol = errors.New("mqtt protocol violation")
	// ErrInvalid marks a message, filter or option refused before any write.
	ErrInvalid = errors.New("invalid")
)

// RefusedError is a broker's answer to CONNECT other than "accepted".
type RefusedError struct {
	// Code is the CONNACK return code.
	Code byte
}

// Error says in words what the broker answered.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("broker refused the connection: %s (code %d)", e.reason(), e.Code)
}

func (e *RefusedError) reason() string {
	switch e.Code {
	case 1:
		return "it does not speak MQTT 3.1.1"
	case 2:
		return "it does not allow this client id"
	case 3:
		return "the service is unavailable"
	case 4:
		return "user name or password is malformed or wrong"
	case 5:
		return "this client is not authorised"
	default:
		return "unknown reason"
	}
}

// SubscribeError names the filters a broker refused.
type SubscribeError struct {
	Filters []string
}

// Error lists the refused filters.
func (e *SubscribeError) Error() string {
	return fmt.Sprintf("broker refused to subscribe %q", e.Filters)
}

func (o Options) withDefaults() Options {
	if o.KeepAlive == 0 {
		o.KeepAlive = DefaultKeepAlive
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Handshake == 0 {
		o.Handshake = o.Timeout
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = DefaultMaxPayload
	}
	if o.Inflight == 0 {
		o.Inflight = DefaultInflight
	}
	if o.OnMessage == nil {
		o.OnMessage = func(Message) {}
	}
	return o
}
