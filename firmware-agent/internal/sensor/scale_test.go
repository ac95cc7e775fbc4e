package sensor

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"lockerfleet/firmware-agent/internal/chiptest"
	"lockerfleet/firmware-agent/internal/poll"
	"lockerfleet/locker"
)

var cell = Calibration{Zero: 8351, PerGram: 42.1, Capacity: 20_000}

// weighing is a scale on an HX711 with hands on the chip.
func weighing(t *testing.T) (*Scale, *chiptest.HX711) {
	t.Helper()
	chip := chiptest.NewHX711(time.Now, 100*time.Millisecond)
	s, err := NewScale("1", NewHX711(chip.Clock(), chip, false, time.Now), cell, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	loop := poll.Start(s.Step)
	t.Cleanup(func() { _ = loop.Close() })
	return s, chip
}

func counts(grams int) int32 { return int32(8351 + 42.1*float64(grams)) }

func weighs(t *testing.T, s *Scale, want locker.Grams) {
	t.Helper()
	if got, err := s.Weigh(); err != nil || got < want-1 || got > want+1 {
		t.Errorf("got %d g, %v; want %d", got, err, want)
	}
}

func refuses(t *testing.T, s *Scale, want string) {
	t.Helper()
	if got, err := s.Weigh(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %d g, %v; want an error with %q", got, err, want)
	}
}

func TestHX711Weighs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, chip := weighing(t)
		refuses(t, s, "not enough")
		chip.Load(counts(0), true)
		time.Sleep(time.Second)
		weighs(t, s, 0)
		chip.Load(counts(1200), true)
		time.Sleep(time.Second)
		weighs(t, s, 1200)
		if spread, capacity := s.Steadiness(); spread != 1 || capacity != 20_000 {
			t.Errorf("steadiness %d of %d, want 1 of 20000", spread, capacity)
		}
		chip.Load(counts(-300), true)
		time.Sleep(time.Second)
		weighs(t, s, -300)
		chip.Load(counts(-500), true)
		time.Sleep(time.Second)
		refuses(t, s, "-2 %")
		chip.Load(counts(25_000), true)
		time.Sleep(time.Second)
		refuses(t, s, "capacity")
		for _, end := range []int32{0x7fffff, -0x800000} {
			chip.Load(end, false)
			time.Sleep(time.Second)
			refuses(t, s, "overloaded or a wire is loose")
		}
		chip.Load(-1, false)
		time.Sleep(time.Second)
		refuses(t, s, "all bits are ones")
		chip.Load(counts(10), false)
		time.Sleep(time.Second)
		weighs(t, s, 10)
		time.Sleep(10 * time.Second)
		refuses(t, s, "stuck")
	})
}

// Changing weight is a spread, so that what stands above can wait for it to end.
func TestAMovingWeightIsSeenInItsSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, chip := weighing(t)
		chip.Load(counts(100), true)
		time.Sleep(time.Second)
		chip.Load(counts(2100), true)
		time.Sleep(250 * time.Millisecond)
		if spread, _ := s.Steadiness(); spread < 1900 || spread > 2100 {
			t.Errorf("spread %d g while 2000 g are put in", spread)
		}
		time.Sleep(time.Second)
		if spread, _ := s.Steadiness(); spread > 2 {
			t.Errorf("spread %d g afterwards", spread)
		}
	})
}

func TestHX711WithBrokenWires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, chip := weighing(t)
		chip.Load(counts(500), true)
		time.Sleep(time.Second)
		for name, tt := range map[string]struct {
			break_ func()
			want   string
		}{
			"data low":   {func() { chip.Stick(0) }, "data line does not rise"},
			"data high":  {func() { chip.Stick(1) }, "not enough fresh"},
			"lines gone": {func() { chip.Break(errWire) }, "wire off"},
		} {
			tt.break_()
			time.Sleep(time.Second)
			if got, err := s.Weigh(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %d g, %v; want %q", name, got, err, tt.want)
			}
			chip.Stick(-1)
			chip.Break(nil)
			time.Sleep(time.Second)
			weighs(t, s, 500)
		}
	})
}

// slowClock is a clock line whose high phases take as long as told, as on a busy machine.
type slowClock struct {
	chiptest.HX711Clock
	high []time.Duration
	n    int
}

func (c *slowClock) SetValue(v int) error {
	if v == 0 {
		if c.n < len(c.high) {
			time.Sleep(c.high[c.n])
		}
		c.n++
	}
	return c.HX711Clock.SetValue(v)
}

func TestHX711SampleIsDroppedWhenTheClockWasHighTooLong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		high time.Duration
		want error
	}{
		{"in time", 40 * time.Microsecond, nil},
		{"suspicious", 55 * time.Microsecond, errPreempted},
		{"the chip has restarted", 5 * time.Millisecond, errPreempted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				chip := chiptest.NewHX711(time.Now, 100*time.Millisecond)
				chip.Load(123_456, false)
				clock := &slowClock{HX711Clock: chip.Clock(), high: []time.Duration{0, 0, 0, 0, 0, tt.high}}
				h := NewHX711(clock, chip, false, time.Now)
				time.Sleep(time.Second)
				got, err := h.Convert()
				if !errors.Is(err, tt.want) || err == nil && got != 123_456 {
					t.Errorf("got %d, %v; want %v", got, err, tt.want)
				}
				// The next sample is whole.
				time.Sleep(time.Second)
				if got, err := h.Convert(); err != nil || got != 123_456 {
					t.Errorf("next: got %d, %v; want 123456", got, err)
				}
			})
		})
	}
}

// Whatever phases are late, no value comes out that the chip did not measure.
func TestHX711NeverInventsAWeight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.Int32Range(-0x7fffff, 0x7ffffe).Filter(func(v int32) bool { return v != -1 }).Draw(rt, "counts")
		high := rapid.SliceOfN(rapid.SampledFrom([]time.Duration{0, 0, 0, 0, 0, 0, 0, 45 * time.Microsecond, 70 * time.Microsecond}), 200, 200).Draw(rt, "high")
		var bad int32
		synctest.Test(t, func(*testing.T) {
			chip := chiptest.NewHX711(time.Now, 100*time.Millisecond)
			chip.Load(want, false)
			h := NewHX711(&slowClock{HX711Clock: chip.Clock(), high: high}, chip, false, time.Now)
			for range 12 {
				time.Sleep(150 * time.Millisecond)
				if got, err := h.Convert(); err == nil && got != want {
					bad = got
				}
			}
		})
		if bad != 0 {
			rt.Fatalf("got %d, want %d or an error", bad, want)
		}
	})
}

func TestNAU7802WeighsAndSetsItselfUpAgainAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus, chip := chiptest.NewBus(), &chiptest.NAU7802{Now: time.Now, Counts: counts(700)}
		bus.Put(NAU7802Addr, chip)
		s, err := NewScale("1", NewNAU7802(bus), cell, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		loop := poll.Start(s.Step)
		defer func() { _ = loop.Close() }()
		time.Sleep(time.Second)
		weighs(t, s, 700)
		bus.Do(chip.Restart)
		time.Sleep(300 * time.Millisecond)
		refuses(t, s, "restarted")
		time.Sleep(time.Second)
		weighs(t, s, 700)
		bus.Dead(true)
		time.Sleep(300 * time.Millisecond)
		refuses(t, s, "bus hangs")
		bus.Dead(false)
		time.Sleep(300 * time.Millisecond)
		weighs(t, s, 700)
		bus.Do(func() { chip.Restart(); chip.BadCal = true })
		time.Sleep(2 * time.Second)
		refuses(t, s, "calibration did not succeed")
	})
}

func TestCalibrate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		c1, c2 int32
		g1, g2 locker.Grams
		err    string
	}{
		{name: "empty and a kilogram", c1: 8351, c2: 50_451, g1: 0, g2: 1000},
		{name: "upside down", c1: 8351, c2: -33_749, g1: 0, g2: 1000},
		{name: "two weights", c1: 29_401, c2: 92_551, g1: 500, g2: 2000},
		{name: "one weight", c1: 1, c2: 2, g1: 500, g2: 500, err: "two that differ"},
		{name: "no cell", c1: 77, c2: 77, g1: 0, g2: 500, err: "wires"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Calibrate(tt.c1, tt.c2, tt.g1, tt.g2, 20_000)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("got %v, want %q", err, tt.err)
			}
			if err == nil && (c.Grams(tt.c1) != tt.g1 || c.Grams(tt.c2) != tt.g2) {
				t.Errorf("%+v weighs %d and %d, want %d and %d", c, c.Grams(tt.c1), c.Grams(tt.c2), tt.g1, tt.g2)
			}
		})
	}
	for _, c := range []Calibration{{}, {PerGram: 1}, {PerGram: 1, Capacity: MaxCapacity + 1}, {PerGram: 1e9, Capacity: 1000}} {
		if _, err := NewScale("1", nil, c, time.Now); err == nil {
			t.Errorf("calibration %+v was taken", c)
		}
	}
}
