package agent

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/wire"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts replays testdata/*.txt. A line that starts with a letter is an order to the
// world or a message to the agent; the indented lines under it are the effects it had. Run with
// -update to rewrite them; the difference is then the review.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(want))
			if *update {
				if err := os.WriteFile(f, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("transcript changed (-want +got):\n%s", d)
			}
		})
	}
}

type script struct {
	b   *bench
	out bytes.Buffer
}

func replay(t *testing.T, text string) []byte {
	t.Helper()
	s := &script{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, " ") {
			continue
		}
		s.out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s.order(t, strings.Fields(line))
	}
	return s.out.Bytes()
}

func (s *script) order(t *testing.T, f []string) {
	t.Helper()
	if f[0] == "bank" {
		s.bank(t, f[1:])
		return
	}
	b := s.b
	switch f[0] {
	case "boot":
		b.boot(len(f) > 1 && f[1] == "damaged")
	case "wait":
		b.until(b.up + num(t, f[1]))
	case "connect":
		b.connect()
	case "lost":
		b.step(Disconnected{})
	case "hello":
		b.hello(b.disk.Acked)
	case "hello-acked":
		b.hello(uint64(num(t, f[1])))
	case "ack":
		b.ack(b.disk.Head)
	case "ping":
		b.send(wire.DownTopic(b.cfg.Bank, 0, wire.DownPing), &wire.Ping{Envelope: b.envelope()}, false, false)
	case "rebirth":
		b.send(wire.DownTopic(b.cfg.Bank, 0, wire.DownRebirth), &wire.Rebirth{Envelope: b.envelope()}, false, false)
	case "door":
		b.door(int(num(t, f[1])), locker.DoorState(f[2]))
	case "bolt":
		b.world[num(t, f[1])-1].Bolt = Bolt(f[2])
		b.sense(int(num(t, f[1])))
	case "content":
		b.content(int(num(t, f[1])), locker.Grams(num(t, f[2])))
	case "silent": // the content sensor says nothing
		b.world[num(t, f[1])-1].Content = locker.ContentUnknown
		b.sense(int(num(t, f[1])))
	case "hands": // while the door is open: no sensor tells
		w := &b.world[num(t, f[1])-1]
		w.Content, w.Grams = locker.Content(f[2]), locker.Grams(num(t, f[3]))
	case "around": // what the inputs of the cabinet say: battery, low, tampered
		in := Surroundings{}
		for _, w := range f[1:] {
			in.Battery, in.Low, in.Tampered = in.Battery || w == "battery", in.Low || w == "low", in.Tampered || w == "tampered"
		}
		b.step(in)
	case "overdue": // the second guard of a coil
		b.step(Overdue{C: int(num(t, f[1])), Shot: b.coils[int(num(t, f[1]))].shot})
	case "unlock", "lock", "hold", "release":
		s.command(t, f)
	case "grant":
		b.push(int(num(t, f[1])), uint64(num(t, f[2])), locker.GrantID(f[3]), grant.Purpose(f[4]), f[5], f[5] == "end")
	case "code":
		b.step(PanelCode{C: int(num(t, f[1])), Code: f[2]})
	case "deaf":
		b.deaf = !b.deaf
	case "disk-takes":
		b.slow = num(t, f[1])
	case "crash": // before the n-th effect from now
		b.crash = int(num(t, f[1]))
	case "power-cut":
		b.alive = false
	case "stop":
		b.step(Stopping{})
	default:
		t.Fatalf("unknown order %q", f)
	}
}

// bank makes a bench of n doors; "bolts" fits bolt feedback, "lamps" lamps and a siren, "group"
// lets only one door be open, "fuse=N" sets the fuse.
func (s *script) bank(t *testing.T, f []string) {
	t.Helper()
	cfg := Config{Compartments: compartments(int(num(t, f[0])))}
	for _, o := range f[1:] {
		if o == "bolts" {
			for i := range cfg.Compartments {
				cfg.Compartments[i].Bolt = true
			}
		}
		if o == "lamps" {
			cfg.Lamp, cfg.Buzzer = true, true
			for i := range cfg.Compartments {
				cfg.Compartments[i].Lamp = true
			}
		}
		if o == "group" {
			for i := range cfg.Compartments {
				cfg.Compartments[i].Group, cfg.Compartments[i].Power = 1, i
			}
		}
		if o == "sensors" {
			for i := range cfg.Compartments {
				cfg.Compartments[i].Presence = true
			}
		}
		if n, ok := strings.CutPrefix(o, "fuse="); ok {
			cfg.Limits.FuseCount = int(num(t, n))
		}
	}
	s.b = newBench(t, cfg)
	s.b.log = func(e Effect) { fmt.Fprintf(&s.out, "  %6d %s\n", s.b.up, describe(e)) }
}

// command sends unlock or lock C ID with options ttl=, boot=, ep=, grant=, purpose=, door=,
// retained, unsigned.
func (s *script) command(t *testing.T, f []string) {
	t.Helper()
	b, c := s.b, int(num(t, f[1]))
	cmd := b.command(c, f[2], 10_000)
	sign, retained := true, false
	for _, o := range f[3:] {
		k, v, _ := strings.Cut(o, "=")
		switch k {
		case "ttl":
			cmd.DL = b.up + num(t, v)
		case "boot":
			cmd.Boot = v
		case "ep":
			cmd.Ep = uint32(num(t, v))
		case "grant":
			cmd.Grant = locker.GrantID(v)
		case "purpose":
			cmd.Purpose = grant.Purpose(v)
		case "door":
			cmd.Pre = &wire.Preconditions{Door: locker.DoorState(v)}
		case "retained":
			retained = true
		case "unsigned":
			sign = false
		default:
			t.Fatalf("unknown option %q", o)
		}
	}
	b.send(wire.DownTopic(b.cfg.Bank, c, wire.Down(f[0])), cmd, sign, retained)
}

func num(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func describe(e Effect) string {
	switch e := e.(type) {
	case Persist:
		return "persist " + describeRecords(e)
	case Publish:
		return "publish " + describePublish(e)
	case Dial:
		return "dial, will: " + describePublish(e.Will)
	case Hangup:
		return "hang up"
	case Actuate:
		return fmt.Sprintf("COIL %d on for %d ms", e.C, e.PulseMS)
	case CoilOff:
		return fmt.Sprintf("coil off %d", e.C)
	case Sense:
		return fmt.Sprintf("sense %d", e.C)
	case Lamp:
		return fmt.Sprintf("lamp %d %s", e.C, e.Light)
	case Siren:
		return fmt.Sprintf("siren on=%t", e.On)
	case Show:
		return fmt.Sprintf("panel %s: %s / %s", e.Reason, e.Lines[0], e.Lines[1])
	}
	return fmt.Sprintf("%T", e)
}

func describeRecords(p Persist) string {
	var parts []string
	for _, r := range p.Records {
		if r.Event != nil {
			parts = append(parts, describeEvent(*r.Event))
		}
		for _, x := range []struct {
			set  bool
			text string
		}{
			{r.Event == nil && r.Grant != nil, "grant"}, {r.Event == nil && r.Throttle != nil, "throttle"},
			{r.Pulse > 0, "pulse"}, {r.Base != nil, "base"}, {r.Clear > 0, "clear"}, {r.Fuse != nil, "fuse"},
			{r.Acked > 0, fmt.Sprintf("acked %d", r.Acked)}, {r.Floor > 0, "floor"}, {r.Rebase > 0, fmt.Sprintf("rebase %d", r.Rebase)},
		} {
			if x.set {
				parts = append(parts, x.text)
			}
		}
	}
	s := strings.Join(parts, "; ")
	if !p.Sync {
		s += " (unsynced)"
	}
	return s
}

func describeEvent(e wire.Event) string {
	s := fmt.Sprintf("#%d %s", e.Seq, e.Type)
	for _, f := range []struct{ k, v string }{
		{"c", zero(e.C)}, {"", string(e.Cmd)}, {"", string(e.Stage)}, {"", string(e.Code)}, {"", string(e.Alarm)},
		{"grant", string(e.Grant)}, {"", string(e.Purpose)}, {"", string(e.Reason)}, {"rev", zero(int(e.Rev))},
		{"door", string(e.Door)}, {"lock", string(e.Lock)}, {"before", reading(e.Before)}, {"after", reading(e.After)},
		{"open_ms", zero(int(e.OpenMS))}, {"charged", strings.Trim(fmt.Sprint(e.Charged), "[]")},
	} {
		if f.v == "" {
			continue
		}
		if s += " "; f.k != "" {
			s += f.k + "="
		}
		s += f.v
	}
	return s
}

func zero(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func reading(r *wire.Reading) string {
	if r == nil {
		return ""
	}
	s := string(r.Content)
	if r.Grams != nil {
		s += fmt.Sprintf("/%dg", *r.Grams)
	}
	return s
}

func describePublish(p Publish) string {
	name := p.Topic[strings.LastIndex(p.Topic, "/")+1:]
	switch wire.Up(name) {
	case wire.UpLive:
		var l wire.Live
		return name + " " + tell(p, &l, func() string {
			return fmt.Sprintf("%s ep=%d head=%d acked=%d gr=%d", l.Status, l.Ep, l.Head, l.Acked, l.GrantRev)
		})
	case wire.UpState:
		var s wire.Snapshot
		return name + " " + tell(p, &s, func() string {
			text := fmt.Sprintf("rev=%d head=%d", s.Rev, s.Head)
			for _, c := range s.Compartments {
				text += fmt.Sprintf(" %d:%s/%s/%s/%s", c.C, c.Lock, c.Door, c.Content, c.Service)
			}
			return text
		})
	case wire.UpHeartbeat:
		var h wire.Heartbeat
		return name + " " + tell(p, &h, func() string { return fmt.Sprintf("head=%d gr=%d", h.Head, h.GrantRev) })
	case wire.UpEvents:
		var b wire.EventBatch
		return name + " " + tell(p, &b, func() string { return fmt.Sprintf("#%d to #%d", b.Events[0].Seq, b.Events[len(b.Events)-1].Seq) })
	case wire.UpTelemetry:
		var m wire.Telemetry
		return name + " " + tell(p, &m, func() string { return fmt.Sprintf("%d rows", len(m.Rows)) })
	}
	return name
}

func tell(p Publish, m wire.Payload, say func() string) string {
	if err := wire.Decode(p.Payload, wire.MaxPayload, m); err != nil {
		return "BROKEN: " + err.Error()
	}
	return say()
}
