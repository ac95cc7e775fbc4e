package cabinet

import (
	"fmt"
	"sync"
	"time"

	"lockerfleet/firmware-agent/board"
)

const (
	// beat is how often signals are looked after. The parts of a pattern are multiples of it.
	beat = 50 * time.Millisecond
	// remind is how often a line is told again what it was told, because the chip that drives it
	// may have restarted.
	remind = 5 * time.Second
)

// pattern is how long a signal is on, off, on and so on.
type pattern struct {
	parts  []time.Duration
	repeat bool // from the beginning; otherwise it ends off
}

// The patterns. An empty one is off.
var (
	lights = map[board.Light]pattern{
		board.LightOff:    {},
		board.LightOn:     {[]time.Duration{time.Hour}, true},
		board.LightBlink:  {[]time.Duration{500 * time.Millisecond, 500 * time.Millisecond}, true},
		board.LightLocate: {[]time.Duration{100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 700 * time.Millisecond}, true},
	}
	tones = map[board.Tone]pattern{
		board.ToneOff:   {},
		board.ToneOK:    {[]time.Duration{100 * time.Millisecond}, false},
		board.ToneNo:    {[]time.Duration{150 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond}, false},
		board.ToneAlarm: {[]time.Duration{500 * time.Millisecond, 500 * time.Millisecond}, true},
	}
)

// on tells whether the pattern is on at a time after its beginning.
func (p pattern) on(after time.Duration) bool {
	var whole time.Duration
	for _, d := range p.parts {
		whole += d
	}
	if whole == 0 || !p.repeat && after >= whole {
		return false
	}
	after %= whole
	for i, d := range p.parts {
		if after < d {
			return i%2 == 0
		}
		after -= d
	}
	return false
}

// signal plays patterns on a line.
type signal struct {
	line Output
	now  func() time.Time

	mu    sync.Mutex
	plays pattern
	since time.Time
	level int
	told  time.Time // when the line was told level; zero after a failure
}

// play begins a pattern at once.
func (s *signal) play(p pattern) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.plays, s.since = p, now
	return s.drive(now)
}

// drive is called with mu held.
func (s *signal) drive(now time.Time) error {
	level := 0
	if s.plays.on(now.Sub(s.since)) {
		level = 1
	}
	if level == s.level && !s.told.IsZero() && now.Sub(s.told) < remind {
		return nil
	}
	if err := s.line.SetValue(level); err != nil {
		s.told = time.Time{}
		return err
	}
	s.level, s.told = level, now
	return nil
}

// Signal is a Lamp or a Buzzer.
type Signal interface{ step(now time.Time) }

// Beat is a step of a loop that makes several signals play.
func Beat(signals ...Signal) func(time.Time) time.Duration {
	return func(now time.Time) time.Duration {
		for _, s := range signals {
			s.step(now)
		}
		return beat
	}
}

func (s *signal) step(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.drive(now) // tried again at the next beat
}

// Lamp is a board.Indicator on a line. It blinks while it is part of a Beat.
type Lamp struct{ signal }

// NewLamp returns a lamp that is off.
func NewLamp(line Output, now func() time.Time) *Lamp {
	return &Lamp{signal{line: line, now: now}}
}

// Light replaces the pattern.
func (l *Lamp) Light(p board.Light) error {
	pattern, known := lights[p]
	if !known {
		return fmt.Errorf("lamp: there is no light %q", p)
	}
	if err := l.play(pattern); err != nil {
		return fmt.Errorf("lamp: %w", err)
	}
	return nil
}

// Buzzer is a board.Buzzer on a line, for a buzzer with its own oscillator. It sounds while it is
// part of a Beat.
type Buzzer struct{ signal }

// NewBuzzer returns a buzzer that is silent.
func NewBuzzer(line Output, now func() time.Time) *Buzzer {
	return &Buzzer{signal{line: line, now: now}}
}

// Sound replaces the tone.
func (b *Buzzer) Sound(t board.Tone) error {
	pattern, known := tones[t]
	if !known {
		return fmt.Errorf("buzzer: there is no tone %q", t)
	}
	if err := b.play(pattern); err != nil {
		return fmt.Errorf("buzzer: %w", err)
	}
	return nil
}
