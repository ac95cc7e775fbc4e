package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockerfleet/locker"
	"lockerfleet/locker/custody"
	"lockerfleet/locker/grant"
	"lockerfleet/wire"
)

// TestScaleTraces replays traces of scales as they are: noisy, drifting, swinging, leaned on. A line
// is a time in ms and what the sensors say then (door, object, grams, spread), or "open" for the
// command. The head says what has to come out of it. No trace raises an alarm.
func TestScaleTraces(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scales/*.txt")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d traces: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			replayScale(t, string(text))
		})
	}
}

func replayScale(t *testing.T, text string) {
	var purpose grant.Purpose
	var want custody.Outcome
	var b *bench
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# want "); ok {
			if _, err := fmt.Sscan(rest, &purpose, &want); err != nil {
				t.Fatal(err)
			}
		}
		var at, grams, spread int64
		var door, object string
		if n, _ := fmt.Sscan(line, &at, &door, &object, &grams, &spread); n < 2 {
			continue
		}
		r := Reading{C: 1, Door: locker.DoorState(door), Content: locker.Content(object), HasGrams: true, Grams: locker.Grams(grams), Spread: locker.Grams(spread)}
		switch {
		case b == nil:
			b = newBench(t, Config{Compartments: []Compartment{{No: 1, Presence: true, Scale: true, Capacity: 10_000}}})
			b.world[0] = r
			b.boot(false)
			b.connect()
			b.hello(0)
			continue
		case door == "open" && object == "":
			b.until(1000 + at)
			cmd := b.command(1, "cmd-1", 10_000)
			cmd.Purpose = purpose
			b.unlock(1, cmd)
			continue
		}
		b.until(1000 + at)
		b.world[0] = r
		b.sense(1)
	}
	b.until(b.up + 10_000)
	closings := slices.DeleteFunc(slices.Clone(b.story), func(e wire.Event) bool { return e.Type != wire.EvClosing })
	if len(closings) != 1 {
		t.Fatalf("%d closings, want one", len(closings))
	}
	e := closings[0]
	if got := custody.Decide(purpose, sensed(*e.Before), sensed(*e.After), e.LeastG); got != want {
		t.Errorf("from %s to %s, least %d: %s, want %s", reading(e.Before), reading(e.After), e.LeastG, got, want)
	}
	for _, e := range b.story {
		if e.Type == wire.EvAlarm {
			t.Errorf("alarm %s", e.Alarm)
		}
	}
}

// The zero of an empty scale and the weight of goods at rest follow a slow drift; a quick change is
// told.
func TestASlowDriftIsNoTheft(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{Compartments: []Compartment{{No: 1, Scale: true}}})
	b.world[0].Content, b.world[0].Grams = locker.Present, 1500
	b.boot(false)
	for range 60 {
		b.world[0].Grams -= 15
		b.sense(1)
		b.until(b.up + creepMS)
		b.sense(1)
	}
	if e := contents(b.story); len(e) != 0 {
		t.Errorf("a drift of 15 g in ten minutes is told as %+v", e)
	}
	b.world[0].Grams -= 60
	b.sense(1)
	b.until(b.up + contentMS)
	b.sense(1)
	if e := contents(b.story); len(e) != 1 {
		t.Errorf("60 g taken at once: %d events, want 1", len(e))
	}
}

func TestTheEmptyScaleIsZeroedAndStaysSoAfterARestart(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{Compartments: []Compartment{{No: 1, Scale: true, Presence: true}}})
	b.world[0].Grams = 340 // never tared
	b.boot(false)
	b.until(b.up + creepMS)
	b.sense(1)
	look := func() locker.Grams { return *b.state.m.doors[0].reading().Grams }
	if got := look(); got != 0 {
		t.Errorf("empty for ten minutes the scale says %d g", got)
	}
	b.boot(false)
	b.sense(1)
	if got := look(); got != 0 {
		t.Errorf("after a restart it says %d g", got)
	}
	b.until(b.up + 10_000)
	if e := contents(b.story); len(e) != 0 {
		t.Errorf("the new zero is told as a change: %+v", e)
	}
}

// Rule 14: what no sensor says that is well counts as silence, and silence that lasts is told.
func TestImplausibleValuesAreSilence(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		readings []Reading
		grams    bool
		milliC   bool
	}{
		{"well", []Reading{{Grams: 500, HasGrams: true, MilliC: 4000, HasMilliC: true}}, true, true},
		{"a load cell that hangs loose", []Reading{{Grams: -101, HasGrams: true}}, false, false},
		{"a little below zero", []Reading{{Grams: -99, HasGrams: true}}, true, false},
		{"more than it carries", []Reading{{Grams: 5501, HasGrams: true}}, false, false},
		{"a broken cable", []Reading{{MilliC: -127_000, HasMilliC: true}}, false, false},
		{"a leap", []Reading{{MilliC: 4000, HasMilliC: true}, {MilliC: 85_000, HasMilliC: true}}, false, false},
		{"a leap that stays", []Reading{{MilliC: 4000, HasMilliC: true}, {MilliC: 30_000, HasMilliC: true}, {MilliC: 30_000, HasMilliC: true}, {MilliC: 30_000, HasMilliC: true}}, false, true},
		{"a noisy scale that stands still", append([]Reading{{Grams: 70, Spread: 4, HasGrams: true}}, slices.Repeat([]Reading{{Grams: 71, HasGrams: true}}, stuckReadings+1)...), false, false},
		{"a scale that tells no noise", slices.Repeat([]Reading{{Grams: 71, HasGrams: true}}, stuckReadings+5), true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Config{Compartments: []Compartment{{No: 1, Capacity: 5000}}})
			b.world[0].HasGrams = false
			b.boot(false)
			for _, r := range tt.readings {
				r.C, r.Door, r.Content = 1, locker.DoorClosed, locker.Empty
				b.step(Sensed{Readings: []Reading{r}})
			}
			if d := b.state.m.doors[0]; d.r.HasGrams != tt.grams || d.r.HasMilliC != tt.milliC {
				t.Errorf("weight %t, temperature %t; want %t, %t", d.r.HasGrams, d.r.HasMilliC, tt.grams, tt.milliC)
			}
		})
	}
}
