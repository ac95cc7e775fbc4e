package climate

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/board/boardtest"
	"lockerfleet/firmware-agent/internal/chiptest"
	"lockerfleet/firmware-agent/internal/poll"
)

var errWire = errors.New("wire off")

// machine is a Power that remembers.
type machine struct {
	mu      sync.Mutex
	percent int
	starts  int
	err     error
}

func (m *machine) Set(percent int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if m.percent == 0 && percent > 0 {
		m.starts++
	}
	m.percent = percent
	return nil
}

func (m *machine) break_(err error) { m.mu.Lock(); defer m.mu.Unlock(); m.err = err }
func (m *machine) at() int          { m.mu.Lock(); defer m.mu.Unlock(); return m.percent }

// airflow blows while the fan turns, unless it is blocked.
type airflow struct {
	fan     *machine
	mu      sync.Mutex
	blocked bool
	err     error
}

func (a *airflow) set(blocked bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blocked, a.err = blocked, err
}

func (a *airflow) Value() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil || a.blocked || a.fan.at() == 0 {
		return 0, a.err
	}
	return 1, nil
}

type rig struct {
	cool, heat, fan *machine
	air             *airflow
	unit            *Unit
}

func start(t *testing.T, compressor bool) *rig {
	t.Helper()
	r := &rig{cool: &machine{}, heat: &machine{}, fan: &machine{}}
	r.air = &airflow{fan: r.fan}
	u, err := NewUnit("1", Parts{Cool: r.cool, Heat: r.heat, Fan: r.fan, Compressor: compressor, Air: r.air}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	loop := poll.Start(u.Step)
	t.Cleanup(func() { _ = loop.Close() })
	r.unit = u
	return r
}

func (r *rig) drive(t *testing.T, s board.Stage) {
	t.Helper()
	if err := r.unit.Drive(s); err != nil {
		t.Errorf("drive %+v: %v", s, err)
	}
}

func (r *rig) does(t *testing.T, cool, heat, fan int) {
	t.Helper()
	if r.cool.at() != cool || r.heat.at() != heat || r.fan.at() != fan {
		t.Errorf("machines at %d cool, %d heat, %d fan; want %d, %d, %d", r.cool.at(), r.heat.at(), r.fan.at(), cool, heat, fan)
	}
}

func TestACompressorRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, true)
		cool, off := board.Stage{Mode: board.ClimateCool, Percent: 40}, board.Stage{Mode: board.ClimateOff}
		r.drive(t, cool)
		time.Sleep(179 * time.Second)
		r.does(t, 0, 0, 100) // nobody knows when it ran before the agent started
		if s, err := r.unit.Actual(); s.Mode != board.ClimateOff || err != nil {
			t.Errorf("a resting compressor says %+v, %v", s, err)
		}
		time.Sleep(2 * time.Second)
		r.does(t, 100, 0, 100) // never a part of its power
		r.drive(t, off)
		r.does(t, 0, 0, 0)
		r.drive(t, cool)
		time.Sleep(179 * time.Second)
		r.does(t, 0, 0, 100)
		time.Sleep(2 * time.Second)
		r.does(t, 100, 0, 100)
		if err := r.unit.Safe(); err != nil {
			t.Error(err)
		}
		r.does(t, 0, 0, 0)
		time.Sleep(time.Hour)
		r.does(t, 0, 0, 0)
		if r.cool.starts != 2 {
			t.Errorf("%d starts, want 2", r.cool.starts)
		}
	})
}

func TestNothingHeatsWithoutAir(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, false)
		heat := board.Stage{Mode: board.ClimateHeat, Percent: 60}
		time.Sleep(turn)
		r.drive(t, heat)
		time.Sleep(time.Second)
		r.does(t, 0, 60, 100)
		r.air.set(true, nil)
		time.Sleep(2 * stepPeriod)
		r.does(t, 0, 0, 100)
		time.Sleep(airWithin)
		if _, err := r.unit.Actual(); !errors.Is(err, errNoAir) {
			t.Errorf("a blocked fan: %v", err)
		}
		r.air.set(false, nil)
		time.Sleep(2 * stepPeriod)
		r.does(t, 0, 60, 100)
		r.air.set(false, errWire)
		time.Sleep(2 * stepPeriod)
		r.does(t, 0, 0, 100)
		if _, err := r.unit.Actual(); !errors.Is(err, errWire) {
			t.Errorf("an airflow sensor that cannot be read: %v", err)
		}
		r.air.set(false, nil)
		time.Sleep(2 * stepPeriod)
		r.drive(t, board.Stage{Mode: board.ClimateOff})
		r.does(t, 0, 0, 100) // the heater is still hot
		time.Sleep(overrun + time.Second)
		r.does(t, 0, 0, 0)
	})
}

func TestCoolingAndHeatingTurnWithAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, false)
		r.drive(t, board.Stage{Mode: board.ClimateCool, Percent: 30})
		time.Sleep(turn + stepPeriod)
		r.does(t, 30, 0, 100)
		r.drive(t, board.Stage{Mode: board.ClimateHeat})
		r.does(t, 0, 0, 100)
		time.Sleep(turn - time.Second)
		r.does(t, 0, 0, 100)
		time.Sleep(2 * time.Second)
		r.does(t, 0, 100, 100)
		r.drive(t, board.Stage{Mode: board.ClimateCool})
		time.Sleep(turn - time.Second)
		r.does(t, 0, 0, 100)
		time.Sleep(2 * time.Second)
		r.does(t, 100, 0, 100)
		r.drive(t, board.Stage{Mode: board.ClimateOff, Fan: true, Percent: 20})
		time.Sleep(overrun)
		r.does(t, 0, 0, 20)
	})
}

func TestAMachineThatDoesNotObeyStopsTheOthersAndIsToldAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, false)
		r.drive(t, board.Stage{Mode: board.ClimateCool})
		time.Sleep(turn + stepPeriod)
		r.fan.break_(errWire)
		time.Sleep(refreshEvery + time.Second)
		if _, err := r.unit.Actual(); !errors.Is(err, errWire) || r.cool.at() != 0 {
			t.Errorf("a dead fan: cooling at %d, %v", r.cool.at(), err)
		}
		r.fan.break_(nil)
		time.Sleep(time.Second)
		r.does(t, 100, 0, 100)
		r.cool.break_(errWire)
		if err := r.unit.Safe(); !errors.Is(err, errWire) {
			t.Errorf("safe: %v", err)
		}
		r.cool.break_(nil)
		time.Sleep(time.Second)
		r.does(t, 0, 0, 0)
	})
}

func TestUnitsThatMayNotBe(t *testing.T) {
	t.Parallel()
	m := &machine{}
	for want, parts := range map[string]Parts{"no machine": {}, "a heater needs": {Heat: m, Fan: m}, "proves": {Heat: m, Air: &airflow{fan: m}}} {
		if _, err := NewUnit("1", parts, time.Now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	u, err := NewUnit("1", Parts{Fan: m}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []board.Stage{{Mode: board.ClimateCool}, {Mode: board.ClimateHeat}, {Percent: 101}, {Percent: -1}} {
		if err := u.Drive(s); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
}

// Whatever is asked for in whatever order: a compressor rests, nothing heats without air, and
// cold and heat are never on together.
func TestMachinesAreProtected(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		compressor := rapid.Bool().Draw(t, "compressor")
		parts := &Parts{Cool: &machine{}, Heat: &machine{}, Fan: &machine{}, Compressor: compressor, MinOff: MinRest}
		now := time.Unix(0, 0)
		s := state{coolOff: now, heatOff: now}
		was, stopped := powers{}, now
		for range 80 {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "s")) * time.Second)
			s.want = board.Stage{
				Mode:    rapid.SampledFrom([]board.ClimateMode{"", board.ClimateOff, board.ClimateCool, board.ClimateHeat}).Draw(t, "mode"),
				Percent: rapid.IntRange(0, 100).Draw(t, "percent"), Fan: rapid.Bool().Draw(t, "fan"),
			}
			air := rapid.Bool().Draw(t, "air")
			p, _ := s.plan(parts, air, now)
			switch {
			case p.cool > 0 && p.heat > 0:
				t.Fatal("cold and heat together")
			case p.heat > 0 && (!air || was.fan == 0 || p.fan == 0):
				t.Fatal("heat without air")
			case compressor && p.cool != 0 && p.cool != 100:
				t.Fatalf("a compressor at %d percent", p.cool)
			case compressor && was.cool == 0 && p.cool > 0 && now.Sub(stopped) < MinRest:
				t.Fatalf("a compressor started after %s", now.Sub(stopped))
			}
			if was.cool > 0 && p.cool == 0 {
				stopped = now
			}
			s.note(was, p, now)
			was = p
		}
	})
}

func TestPWM(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus, chip := chiptest.NewBus(), chiptest.NewPCA9685()
		if _, err := NewPWM(bus, 0x40, 1000); err == nil {
			t.Error("a chip that is not there was set up")
		}
		bus.Put(0x40, chip)
		pwm, err := NewPWM(bus, 0x40, 1000)
		if err != nil {
			t.Fatal(err)
		}
		fan, err := pwm.Channel(15)
		if err != nil {
			t.Fatal(err)
		}
		for _, percent := range []int{0, 1, 50, 99, 100, 0} {
			if err := fan.Set(percent); err != nil {
				t.Error(err)
			}
			if got := chip.Percent(15); got != percent {
				t.Errorf("duty %d, want %d", got, percent)
			}
		}
		_ = fan.Set(70)
		bus.Do(chip.Restart)
		if got := chip.Percent(15); got != 0 {
			t.Fatalf("a restarted chip gives %d percent", got)
		}
		if err := fan.Set(70); err != nil || chip.Percent(15) != 70 {
			t.Errorf("after a restart: %d percent, %v", chip.Percent(15), err)
		}
		bus.Dead(true)
		if err := fan.Set(10); !errors.Is(err, chiptest.ErrDead) {
			t.Errorf("dead bus: %v", err)
		}
		bus.Dead(false)
		if _, err := pwm.Channel(16); err == nil {
			t.Error("channel 16 was taken")
		}
		for _, hz := range []int{23, 1527} {
			if _, err := NewPWM(bus, 0x40, hz); err == nil {
				t.Errorf("%d Hz were taken", hz)
			}
		}
		if _, err := NewPWM(bus, 0x40, 24); err != nil {
			t.Error(err)
		}
	})
}

func TestRelay(t *testing.T) {
	t.Parallel()
	l := &line{}
	for percent, want := range map[int]int{0: 0, 1: 1, 100: 1} {
		if err := (Relay{l}).Set(percent); err != nil || l.v != want {
			t.Errorf("%d percent: level %d, %v", percent, l.v, err)
		}
	}
}

type line struct{ v int }

func (l *line) SetValue(v int) error { l.v = v; return nil }

func TestUnitsPassTheSuite(t *testing.T) {
	t.Parallel()
	for _, compressor := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			cool, heat, fan := &machine{}, &machine{}, &machine{}
			u, err := NewUnit("1", Parts{Cool: cool, Heat: heat, Fan: fan, Compressor: compressor, Air: &airflow{fan: fan}}, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			loop := poll.Start(u.Step)
			time.Sleep(10 * time.Minute)
			boardtest.RunClimate(t, boardtest.ClimateRig{
				Climate: u, Modes: []board.ClimateMode{board.ClimateCool, board.ClimateHeat},
				Power: func() (int, int) { return cool.at(), heat.at() }, Close: loop.Close,
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		cool := &machine{}
		u, err := NewUnit("1", Parts{Cool: cool}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		loop := poll.Start(u.Step)
		time.Sleep(10 * time.Minute)
		boardtest.RunClimate(t, boardtest.ClimateRig{
			Climate: u, Modes: []board.ClimateMode{board.ClimateCool},
			Power: func() (int, int) { return cool.at(), 0 }, Close: loop.Close,
		})
	})
}
