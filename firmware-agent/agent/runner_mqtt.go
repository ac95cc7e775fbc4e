package agent

import (
	"context"
	"fmt"
	"time"

	"lockerfleet/internal/mqtt"
	"lockerfleet/wire"
)

// MQTT is the Transport of real agents: MQTT 3.1.1, a clean session each time, so that nothing
// a broker kept from before reaches a lock.
type MQTT struct {
	Address  string // mqtt, mqtts, ws or wss
	ClientID string
	Username string
	Password []byte
	// Secret is asked for the password of each connection; nil means Password.
	Secret    func() []byte
	KeepAlive time.Duration // 0 means 30 s
	// Dialer opens the connections; the zero value dials TCP and trusts the system's
	// authorities.
	Dialer mqtt.Dialer
}

// writeTimeout bounds one write: a stuck network must not hold the loop up, which also serves
// the doors.
const writeTimeout = 3 * time.Second

// Dial connects and subscribes. A refused subscription is an error.
func (t *MQTT) Dial(ctx context.Context, will wire.Message, filter string, in func(wire.Message)) (Session, error) {
	conn, err := t.Dialer.Dial(ctx, t.Address)
	if err != nil {
		return nil, err
	}
	password := t.Password
	if t.Secret != nil {
		password = t.Secret()
	}
	s, err := mqtt.Connect(ctx, conn, mqtt.Options{
		ClientID: t.ClientID, Username: t.Username, Password: password, KeepAlive: t.KeepAlive, Timeout: writeTimeout,
		Handshake: mqtt.DefaultTimeout, // a broker that takes a whole fleet back needs its time, and more each time one gives up
		Will:      &mqtt.Message{Topic: will.Topic, Payload: will.Payload, QoS: will.QoS, Retain: will.Retain},
		OnMessage: func(m mqtt.Message) {
			in(wire.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain})
		},
		MaxPayload: wire.MaxPayload, Inflight: mqttInflight,
	})
	if err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, mqtt.DefaultTimeout)
	defer cancel()
	if err := s.Subscribe(limit, filter); err != nil {
		s.Abort()
		<-s.Done()
		return nil, fmt.Errorf("the broker does not let us hear our commands: %w", err)
	}
	return mqttSession{s}, nil
}

// mqttInflight is how many messages may wait for their acknowledgement: a replay window of
// batches, births and snapshots fit in with room to spare.
const mqttInflight = 64

type mqttSession struct{ *mqtt.Session }

// Publish writes without waiting for the acknowledgement. A message that is lost with its
// session comes again: events from the outbox, the rest with the next birth.
func (s mqttSession) Publish(m wire.Message) error {
	failed := make(chan error, 1)
	s.PublishAsync(mqtt.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain}, func(err error) {
		if err != nil {
			select {
			case failed <- err:
			default:
			}
			s.Abort()
		}
	})
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
