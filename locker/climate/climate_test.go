package climate

import (
	"testing"

	"pgregory.net/rapid"

	"lockerfleet/locker"
)

const minute = int64(60_000)

func band(t testing.TB, name string) Band {
	t.Helper()
	b, err := ParseBand(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBandsKnowTheirLimits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		band    string
		t       locker.MilliCelsius
		outside bool
	}{
		{"frozen", -18_000, false}, {"frozen", -17_999, true}, {"chilled", 5_000, false}, {"chilled", 5_001, true},
		{"chilled", -30_000, false}, {"chilled-uk", 8_000, false}, {"hot", 63_000, false}, {"hot", 62_999, true},
		{"hot-us", 57_000, false}, {"ambient", 4_999, true}, {"ambient", 25_001, true}, {"ambient", 20_000, false},
	}
	for _, tt := range tests {
		if got := band(t, tt.band).Outside(tt.t); got != tt.outside {
			t.Errorf("%s at %d: outside = %t, want %t", tt.band, tt.t, got, tt.outside)
		}
	}
	if _, err := ParseBand("lukewarm"); err == nil {
		t.Error("lukewarm is a band")
	}
	for _, c := range []locker.ClimateClass{locker.Frozen, locker.Chilled, locker.Hot, locker.Ambient} {
		if band(t, string(c)).Zero() {
			t.Errorf("class %s has no default band", c)
		}
	}
}

// spell is a time at one temperature.
type spell struct {
	minutes int64
	t       locker.MilliCelsius
	open    bool
	silent  bool
}

func live(b Band, spells ...spell) (w Watch, a Account, at int64) {
	at = 1
	w, a = Judge(b, w, a, Sample{At: at, Has: true, T: spells[0].t})
	for _, s := range spells {
		for range s.minutes * 6 {
			at += 10_000
			w, a = Judge(b, w, a, Sample{At: at, Has: !s.silent, T: s.t, Open: s.open})
		}
	}
	return w, a, at
}

func TestExcursionsAreAccounted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		band    string
		spells  []spell
		outside int64 // minutes, to 1
		open    int64
		excess  bool
		lost    bool
		unsafe  bool
	}{
		{"inside", "chilled", []spell{{600, 4000, false, false}}, 0, 0, false, false, false},
		{"a short peak", "chilled", []spell{{10, 4000, false, false}, {4, 9000, false, false}}, 4, 0, false, false, false},
		{"an excursion", "chilled", []spell{{10, 4000, false, false}, {6, 9000, false, false}}, 6, 0, true, false, false},
		{"over again", "chilled", []spell{{6, 9000, false, false}, {10, 4000, false, false}}, 6, 0, false, false, false},
		{"the open door is accounted apart", "chilled", []spell{{10, 4000, false, false}, {8, 12000, true, false}}, 0, 8, false, false, false},
		{"four hours in all make chilled goods unsafe", "chilled", []spell{{130, 9000, false, false}, {60, 4000, false, false}, {111, 9000, false, false}}, 241, 0, true, false, true},
		{"not yet", "chilled", []spell{{130, 9000, false, false}, {60, 4000, false, false}, {105, 9000, false, false}}, 235, 0, true, false, false},
		{"two hours make hot goods unsafe", "hot", []spell{{1, 65000, false, false}, {121, 50000, false, false}}, 121, 0, true, false, true},
		{"ambient goods never are", "ambient", []spell{{2000, 40000, false, false}}, 2000, 0, true, false, false},
		{"silence cannot be shown to be cold", "chilled", []spell{{1, 4000, false, false}, {242, 0, false, true}}, 242, 0, false, true, true},
		{"a number that is no temperature is silence", "chilled", []spell{{1, 4000, false, false}, {5, -127_000, false, false}}, 5, 0, false, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, a, _ := live(band(t, tt.band), tt.spells...)
			if d := a.OutsideMS/minute - tt.outside; d < -1 || d > 1 {
				t.Errorf("outside %d minutes, want %d", a.OutsideMS/minute, tt.outside)
			}
			if d := a.OpenMS/minute - tt.open; d < -1 || d > 1 {
				t.Errorf("outside with the door open %d minutes, want %d", a.OpenMS/minute, tt.open)
			}
			if w.Excess != tt.excess || w.Lost != tt.lost || a.Unsafe != tt.unsafe {
				t.Errorf("excursion %t, lost %t, unsafe %t; want %t, %t, %t", w.Excess, w.Lost, a.Unsafe, tt.excess, tt.lost, tt.unsafe)
			}
		})
	}
}

func TestTimeThatNobodyWatched(t *testing.T) {
	t.Parallel()
	b := band(t, "chilled")
	if a := After(b, Account{}, 5*60*minute, Sample{At: 1, Has: true, T: 4000}); a.OutsideMS != 0 {
		t.Errorf("cold after five hours without power: %+v; without power it only gets warmer", a)
	}
	if a := After(b, Account{}, 5*60*minute, Sample{At: 1, Has: true, T: 9000}); !a.Unsafe {
		t.Errorf("warm after five hours without power: %+v, want unsafe", a)
	}
	if a := After(b, Account{}, 5*60*minute, Sample{At: 1}); !a.Unsafe {
		t.Errorf("unknown after five hours without power: %+v, want unsafe", a)
	}
	if a := After(Band{}, Account{}, 5*60*minute, Sample{At: 1}); a != (Account{}) {
		t.Errorf("no band: %+v", a)
	}
}

func TestAUnitKeepsItsBand(t *testing.T) {
	t.Parallel()
	type look struct {
		s       int64 // seconds
		t       locker.MilliCelsius
		open    bool
		silent  bool
		battery bool
		want    Mode
	}
	tests := []struct {
		name, band string
		looks      []look
	}{
		{"rests after it was switched on at the mains", "chilled", []look{{0, 9000, false, false, false, Off}, {179, 9000, false, false, false, Off}, {180, 9000, false, false, false, Cool}}},
		{"hysteresis", "chilled", []look{{0, 4000, false, false, false, Off}, {300, 4400, false, false, false, Off}, {310, 4600, false, false, false, Cool}, {320, 3500, false, false, false, Cool}, {330, 2900, false, false, false, Off}, {400, 4900, false, false, false, Off}, {511, 4900, false, false, false, Cool}}},
		{"an open door stops it after half a minute", "chilled", []look{{0, 9000, false, false, false, Off}, {200, 9000, false, false, false, Cool}, {210, 9000, true, false, false, Cool}, {239, 9000, true, false, false, Cool}, {240, 9000, true, false, false, Off}, {250, 9000, false, false, false, Off}, {420, 9000, false, false, false, Cool}}},
		{"a silent sensor stops it", "hot", []look{{0, 50_000, false, false, false, Off}, {200, 50_000, false, false, false, Heat}, {210, 0, false, true, false, Off}}},
		{"a burnt sensor stops it", "hot", []look{{0, 50_000, false, false, false, Off}, {200, 50_000, false, false, false, Heat}, {210, -127_000, false, false, false, Off}}},
		{"the battery is for locks", "chilled", []look{{0, 9000, false, false, false, Off}, {200, 9000, false, false, false, Cool}, {210, 9000, false, false, true, Off}}},
		{"heats what must be hot", "hot", []look{{0, 70_000, false, false, false, Off}, {200, 63_400, false, false, false, Heat}, {210, 64_900, false, false, false, Heat}, {220, 65_100, false, false, false, Off}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var u Unit
			for i, l := range tt.looks {
				u = Control(band(t, tt.band), u, Sample{At: 1000 + l.s*1000, Has: !l.silent, T: l.t, Open: l.open}, l.battery)
				if u.Mode != l.want {
					t.Fatalf("look %d at %d s: %s, want %s", i+1, l.s, u.Mode, l.want)
				}
			}
		})
	}
}

// Whatever the sensors say, a unit rests between two runs, never goes from heating to cooling at
// once, and is off while the temperature is not known.
func TestAUnitIsNeverHurt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SampledFrom(Bands()).Draw(t, "band")
		var u Unit
		at, stopped := int64(1000), int64(1000)
		for range rapid.IntRange(1, 200).Draw(t, "looks") {
			at += rapid.Int64Range(1, 120_000).Draw(t, "ms")
			s := Sample{At: at, Has: rapid.IntRange(0, 9).Draw(t, "speaks") > 0, T: locker.MilliCelsius(rapid.IntRange(-70_000, 130_000).Draw(t, "t")), Open: rapid.Bool().Draw(t, "open")}
			was := u.Mode
			first := was == ""
			u = Control(b, u, s, rapid.IntRange(0, 9).Draw(t, "battery") == 0)
			if first {
				stopped = at
			}
			switch {
			case u.Mode != Off && !s.plausible():
				t.Fatalf("%s without a temperature", u.Mode)
			case u.Mode != was && u.Mode != Off && was != Off:
				t.Fatalf("from %s to %s at once", was, u.Mode)
			case u.Mode != was && u.Mode != Off && at-stopped < MinOffMS:
				t.Fatalf("runs again after %d ms", at-stopped)
			}
			if u.Mode == Off && was != Off && !first {
				stopped = at
			}
		}
	})
}

// Time outside is never forgotten and never more than the time that passed.
func TestAccountsOnlyGrow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SampledFrom(Bands()).Draw(t, "band")
		var w Watch
		var a Account
		at := int64(1)
		for range rapid.IntRange(1, 100).Draw(t, "samples") {
			passed := rapid.Int64Range(0, 30*minute).Draw(t, "ms")
			at += passed
			was := a
			w, a = Judge(b, w, a, Sample{At: at, Has: rapid.Bool().Draw(t, "speaks"), T: locker.MilliCelsius(rapid.IntRange(-30_000, 90_000).Draw(t, "t")), Open: rapid.Bool().Draw(t, "open")})
			grown := a.OutsideMS + a.OpenMS - was.OutsideMS - was.OpenMS
			if grown < 0 || grown > passed || was.Unsafe && !a.Unsafe {
				t.Fatalf("%+v after %+v in %d ms", a, was, passed)
			}
		}
	})
}
