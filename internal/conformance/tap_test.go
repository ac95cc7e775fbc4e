package conformance

import (
	"bytes"
	"net"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/wire"
)

// hello is a CONNECT with a will and a SUBSCRIBE, as a device sends them.
func hello() []byte {
	text := func(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }
	body := slices.Concat(text("MQTT"), []byte{4, 2 | 4 | 1<<3 | 32, 0, 30}, text("bench-1"), text("up/live"), text(`{"v":0}`))
	sub := slices.Concat([]byte{0, 1}, text("dn/#"), []byte{1})
	return slices.Concat([]byte{1 << 4, byte(len(body))}, body, []byte{8<<4 | 2, byte(len(sub))}, sub, []byte{14 << 4, 0})
}

func tapOn(pieces ...[]byte) []Connection {
	t := &tap{}
	c := &tapped{tap: t}
	for _, p := range pieces {
		c.look(p)
	}
	return t.seen()
}

func TestTapReadsWhatADeviceSays(t *testing.T) {
	t.Parallel()
	want := []Connection{{
		Protocol: "MQTT", Level: 4, Clean: true, KeepAlive: 30, ClientID: "bench-1",
		Will:    &wire.Message{Topic: "up/live", Payload: []byte(`{"v":0}`), QoS: 1, Retain: true},
		Filters: []Filter{{Text: "dn/#", QoS: 1}}, Goodbye: true,
	}}
	b := hello()
	if diff := cmp.Diff(want, tapOn(b)); diff != "" {
		t.Errorf("in one piece: -want +got\n%s", diff)
	}
	var bytewise [][]byte
	for i := range b {
		bytewise = append(bytewise, b[i:i+1])
	}
	if diff := cmp.Diff(want, tapOn(bytewise...)); diff != "" {
		t.Errorf("byte by byte: -want +got\n%s", diff)
	}
	// A publish too long to be looked at stands in between: it is skipped, in pieces or not.
	cut := bytes.IndexByte(b, 8<<4|2)
	long := append([]byte{3 << 4, 0xa0, 0x9c, 1}, make([]byte, 20_000)...)
	whole := slices.Concat(b[:cut], long, b[cut:])
	for _, at := range []int{cut + 2, cut + 4, cut + 9_000, cut + 20_004} {
		if diff := cmp.Diff(want, tapOn(whole[:at], whole[at:])); diff != "" {
			t.Errorf("with a long packet, cut at %d: -want +got\n%s", at, diff)
		}
	}
}

// Whatever comes, the tap neither falls nor keeps more than one packet that it looks at.
func FuzzTap(f *testing.F) {
	f.Add(hello(), 3)
	f.Add([]byte{0x10, 0xff, 0xff, 0xff, 0xff, 0xff}, 1)
	f.Add([]byte{0x82, 0x03, 0, 1, 9}, 2)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		c := &tapped{Conn: near, tap: &tap{}}
		at = min(max(at, 0), len(b))
		c.look(b[:at])
		c.look(b[at:])
		if len(c.buf) > maxTapped+5 {
			t.Errorf("%d bytes are kept", len(c.buf))
		}
	})
}
