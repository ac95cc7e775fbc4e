package process

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bank is a board with a real firmware agent, and hands in front of it. Its doors and goods
// outlive the agent.
type bank struct {
	t      testing.TB
	id     string
	dir    string
	doors  int
	broker string // where the agent connects to instead of the address of its claim; empty: that
	*program
}

// claimBank makes a bank and lets the agent claim it; begin starts the agent. Doors of a springy
// bank swing open with the coil, the others want to be pulled.
func claimBank(s *server, id string, doors int, springy bool) *bank {
	s.t.Helper()
	b := claim(s, id, doors)
	b.describe(fmt.Sprintf("profile: 1\ndriver: sim\nsim:\n  compartments: %d\n  control: %q\n  coils: %q\n  world: %q\n  springs: %v\n",
		doors, b.control(), b.coils(), filepath.Join(b.dir, "world"), springy))
	return b
}

// claim makes a bank and lets the agent claim it; its board is not described yet.
func claim(s *server, id string, doors int) *bank {
	s.t.Helper()
	b := &bank{t: s.t, id: id, dir: folder(s.t), doors: doors}
	var made struct {
		ClaimCode string `json:"claim_code"`
	}
	s.must(http.MethodPost, "/banks", map[string]any{"id": id, "site": site, "name": id, "layout": fmt.Sprintf("M:%d", doors)}, &made)
	out, code := run(s.t, programs.agent, "claim", "--server", s.ready.HTTP, "--code", made.ClaimCode, "--state", b.dir)
	if code != 0 {
		s.t.Fatalf("firmware-agent claim exits %d: %s", code, out)
	}
	return b
}

// describe writes the board's profile.
func (b *bank) describe(profile string) {
	b.t.Helper()
	if err := os.WriteFile(b.profile(), []byte(profile), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bank) control() string { return filepath.Join(b.dir, "control") }
func (b *bank) coils() string   { return filepath.Join(b.dir, "coils") }
func (b *bank) profile() string { return filepath.Join(b.dir, "board.yaml") }

// begin starts the agent and waits until its doors answer to hands.
func (b *bank) begin() *bank {
	b.t.Helper()
	b.run()
	await(b.t, 15*time.Second, "the agent of "+b.id+" steers its board", func() bool {
		_, err := b.order("stat")
		return err == nil
	})
	return b
}

// run starts the agent.
func (b *bank) run() {
	b.t.Helper()
	args := []string{"run", "--state", b.dir, "--profile", b.profile(), "--log-level", "debug"}
	if b.broker != "" {
		args = append(args, "--broker", b.broker)
	}
	b.program = start(b.t, "agent of "+b.id, programs.agent, args...)
}

// order moves something at the board.
func (b *bank) order(format string, args ...any) (string, error) {
	conn, err := net.Dial("unix", b.control())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(conn, format+"\n", args...); err != nil {
		return "", err
	}
	answer, err := bufio.NewReaderSize(conn, 64<<10).ReadString('\n')
	if err != nil {
		return "", err
	}
	if answer = strings.TrimSpace(answer); strings.HasPrefix(answer, "error") {
		return "", errors.New(answer)
	}
	return answer, nil
}

// door is one door of the simulated world.
type door struct {
	No     int  `json:"no"`
	Open   bool `json:"open"`
	Grams  int  `json:"g"`
	Pulses int  `json:"pulses"`
}

// world is what a person in front of the bank sees.
func (b *bank) world() ([]door, [2]string, error) {
	var w struct {
		Doors []door    `json:"doors"`
		Panel [2]string `json:"panel"`
	}
	text, err := b.order("stat")
	if err == nil {
		err = json.Unmarshal([]byte(text), &w)
	}
	return w.Doors, w.Panel, err
}

// look is one door of it, closed and empty while nobody can tell.
func (b *bank) look(no int) door {
	doors, _, err := b.world()
	if err != nil || no < 1 || no > len(doors) {
		return door{No: no}
	}
	return doors[no-1]
}

// pulse is one line of the coil's own record.
type pulse struct {
	door, no int
	at       int64 // unix ms
	up       int64 // ms on the clock that the agent's events carry, in all its lives
}

// pulses is every pulse that any coil of the bank was ever given.
func (b *bank) pulses() []pulse {
	b.t.Helper()
	text, err := os.ReadFile(b.coils())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	var all []pulse
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if line == "" {
			continue
		}
		var p pulse
		if _, err := fmt.Sscanf(line, "door %d pulse %d at %d up %d", &p.door, &p.no, &p.at, &p.up); err != nil {
			b.t.Fatalf("coil file: %q: %v", line, err)
		}
		all = append(all, p)
	}
	return all
}

// online waits until the control center has heard the bank and offers its doors.
func (b *bank) online(s *server) *bank {
	b.t.Helper()
	await(b.t, 40*time.Second, "bank "+b.id+" is online with doors to offer", func() bool {
		var found struct {
			Candidates []json.RawMessage `json:"candidates"`
		}
		return s.ask(http.MethodGet, "/search?size=m&bank="+b.id, nil, &found) == nil && len(found.Candidates) > 0
	})
	return b
}
