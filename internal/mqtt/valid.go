package mqtt

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// maxWill is what MQTT 3.1.1 can express as length of a will payload.
const maxWill = 1<<16 - 1

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w %s", ErrInvalid, fmt.Sprintf(format, args...))
}

func (o Options) validate() error {
	switch {
	case o.ClientID == "":
		return invalid("client id: empty")
	case len(o.ClientID) > MaxIdentity, len(o.Username) > MaxIdentity, len(o.Password) > MaxIdentity:
		return invalid("credentials: longer than %d bytes", MaxIdentity)
	case !cleanText(o.ClientID), !cleanText(o.Username):
		return invalid("credentials: not clean UTF-8")
	case o.Username == "" && len(o.Password) > 0:
		return invalid("credentials: password without user name")
	case o.KeepAlive < time.Second || o.KeepAlive > 65535*time.Second:
		return invalid("keep alive: %s is not within 1 s and 65535 s", o.KeepAlive)
	case o.Timeout < 0:
		return invalid("timeout: %s is negative", o.Timeout)
	case o.Handshake < 0:
		return invalid("handshake: %s is negative", o.Handshake)
	case o.MaxPayload < 0 || o.MaxPayload > MaxPayloadLimit:
		return invalid("payload bound: %d is not within 0 and %d", o.MaxPayload, MaxPayloadLimit)
	case o.Inflight < 0 || o.Inflight > MaxInflight:
		return invalid("inflight bound: %d is not within 0 and %d", o.Inflight, MaxInflight)
	}
	return o.validateWill()
}

func (o Options) validateWill() error {
	if o.Will == nil {
		return nil
	}
	if err := validMessage(*o.Will, min(o.MaxPayload, maxWill)); err != nil {
		return fmt.Errorf("will: %w", err)
	}
	return nil
}

func validMessage(m Message, maxPayload int) error {
	if err := validTopic(m.Topic); err != nil {
		return err
	}
	if m.QoS > 1 {
		return invalid("quality of service: %d is neither 0 nor 1", m.QoS)
	}
	if len(m.Payload) > maxPayload {
		return invalid("payload: %d bytes on %q, at most %d", len(m.Payload), m.Topic, maxPayload)
	}
	return nil
}

// validTopic checks a topic that messages carry, so without wildcards.
func validTopic(topic string) error {
	if err := validName(topic); err != nil {
		return err
	}
	if strings.ContainsAny(topic, "+#") {
		return invalid("topic: wildcard in %q", topic)
	}
	return nil
}

// validFilter checks a subscription: wildcards only as whole levels, # last.
func validFilter(filter string) error {
	if err := validName(filter); err != nil {
		return err
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if len(level) > 1 && strings.ContainsAny(level, "+#") {
			return invalid("filter: wildcard inside a level of %q", filter)
		}
		if level == "#" && i != len(levels)-1 {
			return invalid("filter: # before the end of %q", filter)
		}
	}
	return nil
}

func validName(name string) error {
	switch {
	case name == "":
		return invalid("topic: empty")
	case len(name) > MaxTopic:
		return invalid("topic: %d bytes, at most %d", len(name), MaxTopic)
	case !cleanText(name):
		return invalid("topic: %q is not clean UTF-8", name)
	}
	return nil
}

// cleanText says whether MQTT allows s as a string.
func cleanText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
