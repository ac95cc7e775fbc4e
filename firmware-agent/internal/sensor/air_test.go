package sensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"lockerfleet/firmware-agent/board/boardtest"
	"lockerfleet/firmware-agent/internal/chiptest"
	"lockerfleet/firmware-agent/internal/poll"
)

// rom is the number of a real chip, with its checksum.
const rom = 0x7a00000131825228

func romBytes() (b [8]byte) {
	binary.LittleEndian.PutUint64(b[:], rom)
	return b
}

// kinds are all chips on I2C with hands on each.
func kinds() []struct {
	name  string
	chip  func(i2c.Bus) (uint16, chiptest.Chip, Chip, *int)
	exact int
} {
	return []struct {
		name  string
		chip  func(i2c.Bus) (uint16, chiptest.Chip, Chip, *int)
		exact int
	}{
		{"sht3x", func(b i2c.Bus) (uint16, chiptest.Chip, Chip, *int) {
			f := &chiptest.SHT{Command: []byte{0x24, 0}, Settle: 16 * time.Millisecond, Now: time.Now, Noise: true}
			return 0x44, f, NewSHT3x(b, 0x44), &f.MilliC
		}, 10},
		{"sht4x", func(b i2c.Bus) (uint16, chiptest.Chip, Chip, *int) {
			f := &chiptest.SHT{Command: []byte{0xfd}, Settle: 9 * time.Millisecond, Now: time.Now, Noise: true}
			return 0x44, f, NewSHT4x(b, 0x44), &f.MilliC
		}, 10},
		{"aht20", func(b i2c.Bus) (uint16, chiptest.Chip, Chip, *int) {
			f := &chiptest.AHT20{Now: time.Now}
			return AHT20Addr, f, NewAHT20(b), &f.MilliC
		}, 1},
		{"ds18b20", func(b i2c.Bus) (uint16, chiptest.Chip, Chip, *int) {
			f := &chiptest.DS18B20{ROM: romBytes()}
			c, err := NewDS18B20(NewDS2482(b, 0x18), rom)
			if err != nil {
				panic(err)
			}
			return 0x18, &chiptest.DS2482{Now: time.Now, Chips: []*chiptest.DS18B20{f}}, c, &f.MilliC
		}, 63},
	}
}

func TestThermometersFollowTheAirAndAreUnknownWhenTheirBusIsGone(t *testing.T) {
	t.Parallel()
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bus := chiptest.NewBus()
				addr, fake, chip, milli := k.chip(bus)
				th := NewThermometer("upper", chip, time.Now)
				if err := th.Probe(); err == nil {
					t.Fatal("a chip that is not there was found")
				}
				bus.Put(addr, fake)
				bus.Do(func() { *milli = 4500 })
				loop := poll.Start(th.Step)
				defer func() { _ = loop.Close() }()
				time.Sleep(2 * time.Second)
				near(t, th, 4500, k.exact)
				bus.Do(func() { *milli = -18_250 })
				time.Sleep(samplePeriod + time.Second)
				near(t, th, -18_250, k.exact)

				bus.Fail(2)
				time.Sleep(samplePeriod)
				near(t, th, -18_250, k.exact)
				bus.Dead(true)
				time.Sleep(samplePeriod + 3*retryPeriod)
				if got, err := th.Temperature(); !errors.Is(err, chiptest.ErrDead) {
					t.Errorf("a dead bus reads %d, %v", got, err)
				}
				bus.Dead(false)
				time.Sleep(samplePeriod)
				near(t, th, -18_250, k.exact)

				// A damaged answer counts as none, as long as it lasts.
				bus.Flip(1 << 30)
				time.Sleep(2*samplePeriod + time.Second)
				if got, err := th.Temperature(); err == nil {
					t.Errorf("damaged answers read %d", got)
				}
			})
		})
	}
}

func near(t *testing.T, th *Thermometer, want, within int) {
	t.Helper()
	got, err := th.Temperature()
	if err != nil || int(got) < want-within || int(got) > want+within {
		t.Errorf("got %d, %v; want %d within %d", got, err, want, within)
	}
}

func TestAStuckThermometerIsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := chiptest.NewBus()
		bus.Put(0x45, &chiptest.SHT{Command: []byte{0x24, 0}, Now: time.Now, MilliC: 4000})
		th := NewThermometer("upper", NewSHT3x(bus, 0x45), time.Now)
		loop := poll.Start(th.Step)
		defer func() { _ = loop.Close() }()
		time.Sleep(2 * time.Minute)
		near(t, th, 4000, 10)
		time.Sleep(5 * time.Minute)
		if got, err := th.Temperature(); err == nil || !strings.Contains(err.Error(), "stuck") {
			t.Errorf("got %d, %v; want stuck", got, err)
		}
	})
}

func TestAHT20IsInitialisedAgainAfterADipOfItsSupply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus, fake := chiptest.NewBus(), &chiptest.AHT20{Now: time.Now, MilliC: 20_000, Uncalibrated: true}
		bus.Put(AHT20Addr, fake)
		th := NewThermometer("upper", NewAHT20(bus), time.Now)
		loop := poll.Start(th.Step)
		defer func() { _ = loop.Close() }()
		time.Sleep(time.Second)
		if got, err := th.Temperature(); !errors.Is(err, errUncalibrated) {
			t.Errorf("an uncalibrated chip reads %d, %v", got, err)
		}
		time.Sleep(3 * time.Second)
		near(t, th, 20_000, 1)
	})
}

func TestDS18B20RefusesWhatIsNoMeasurement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus, fake := chiptest.NewBus(), &chiptest.DS18B20{ROM: romBytes()}
		bridge := &chiptest.DS2482{Now: time.Now, Chips: []*chiptest.DS18B20{fake}}
		bus.Put(0x18, bridge)
		chip, err := NewDS18B20(NewDS2482(bus, 0x18), rom)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chip.Collect(); !errors.Is(err, errPowerOn) {
			t.Errorf("collect without measuring: %v, want the power-on value refused", err)
		}
		bus.Do(func() { fake.ROM[3]++ })
		if _, err := chip.Collect(); !errors.Is(err, errNobody) {
			t.Errorf("another chip on the wire: %v", err)
		}
		bus.Do(func() { bridge.Shorted = true })
		if _, err := chip.Begin(); !errors.Is(err, errShort) {
			t.Errorf("shorted wire: %v", err)
		}
		bus.Do(func() { bridge.Shorted, bridge.Chips = false, nil })
		if _, err := chip.Begin(); !errors.Is(err, errNobody) {
			t.Errorf("empty wire: %v", err)
		}
	})
}

func TestDS18B20NumbersAreChecked(t *testing.T) {
	t.Parallel()
	for rom, want := range map[uint64]string{0x7a00000131825210: "family", 0x7a00000131825328: "checksum"} {
		if _, err := NewDS18B20(nil, rom); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%016x: %v, want %q", rom, err, want)
		}
	}
}

func TestKernelOneWire(t *testing.T) {
	t.Parallel()
	line := func(b [9]byte) string { return strings.Trim(fmt.Sprintf("% x", b), " ") + " " }
	scratch := func(raw int16) (b [9]byte) {
		b = [9]byte{byte(raw), byte(raw >> 8), 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10}
		b[8] = chiptest.CRCMaxim(b[:8])
		return b
	}
	text := func(b [9]byte, yes, told string) string {
		return fmt.Sprintf("%s: crc=%02x %s\n%st=%s\n", line(b), b[8], yes, line(b), told)
	}
	bad := scratch(70)
	bad[0]++
	for _, tt := range []struct {
		name, text string
		want       int
		err        string
	}{
		{name: "warm", text: text(scratch(4*16+8), "YES", "4500"), want: 4500},
		{name: "cold", text: text(scratch(-18*16), "YES", "-18000"), want: -18_000},
		{name: "checksum seen by the kernel", text: text(scratch(70), "NO", "4375"), err: "checksum"},
		{name: "checksum not seen by the kernel", text: text(bad, "YES", "4437"), err: "checksum"},
		{name: "power-on value", text: text(scratch(85*16), "YES", "85000"), err: "85 degrees"},
		{name: "absent", text: text(scratch(70), "YES", "-127000"), err: "-127"},
		{name: "all zero", text: text([9]byte{}, "YES", "0"), err: "nothing answers"},
		{name: "empty", text: "", err: "not a measurement"},
		{name: "another file", text: "28-01143ba557aa\n", err: "not a measurement"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, id := t.TempDir(), "28-01143ba557aa"
			if err := os.MkdirAll(filepath.Join(dir, id), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, id, "w1_slave"), []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			chip, err := NewW1(dir, id)
			if err != nil {
				t.Fatal(err)
			}
			r, err := chip.Collect()
			if int(r.Temp) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: got %d, %v; want %d, %q", tt.text, r.Temp, err, tt.want, tt.err)
			}
		})
	}
	if _, err := NewW1("/sys", "../../etc/passwd"); err == nil {
		t.Error("a path was taken for an id")
	}
}

// FuzzAir feeds the decoders of outside bytes: what is believed is within the range of the chip.
func FuzzAir(f *testing.F) {
	f.Add([]byte{0x66, 0x66, 0x93, 0x80, 0x00, 0xa2, 0, 0, 0})
	f.Add([]byte{0x1c, 0x80, 0, 0x05, 0, 0, 0, 0, 0})
	f.Add([]byte{0x50, 0x05, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10, 0x1c})
	f.Add([]byte("72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var a [6]byte
		var b [7]byte
		var c [9]byte
		copy(a[:], in)
		copy(b[:], in)
		copy(c[:], in)
		for name, decode := range map[string]func() (Reading, error){
			"sht":     func() (Reading, error) { return decodeSHT(a) },
			"aht20":   func() (Reading, error) { return decodeAHT20(b) },
			"ds18b20": func() (Reading, error) { return decodeDS18B20(c) },
			"w1":      func() (Reading, error) { return parseW1(in) },
		} {
			r, err := decode()
			if err == nil && (r.Temp == 85_000 && (name == "ds18b20" || name == "w1") || r.Temp < -3_000_000 || r.Temp > 3_000_000) {
				t.Errorf("%s: %x gave %d", name, in, r.Temp)
			}
		}
	})
}

func TestSensorsPassTheSuite(t *testing.T) {
	t.Parallel()
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bus := chiptest.NewBus()
				addr, fake, chip, milli := k.chip(bus)
				*milli = 4000
				bus.Put(addr, fake)
				th := NewThermometer("upper", chip, time.Now)
				loop := poll.Start(th.Step)
				defer func() { _ = loop.Close() }()
				time.Sleep(time.Second)
				boardtest.RunSensor(t, func() error { _, err := th.Temperature(); return err }, bus.Dead)
			})
		})
	}
	t.Run("nau7802", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			bus := chiptest.NewBus()
			bus.Put(NAU7802Addr, &chiptest.NAU7802{Now: time.Now, Counts: counts(700)})
			s, err := NewScale("1", NewNAU7802(bus), cell, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			loop := poll.Start(s.Step)
			defer func() { _ = loop.Close() }()
			time.Sleep(time.Second)
			boardtest.RunSensor(t, func() error { _, err := s.Weigh(); return err }, bus.Dead)
		})
	})
	t.Run("hx711", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s, chip := weighing(t)
			chip.Load(counts(700), true)
			time.Sleep(time.Second)
			boardtest.RunSensor(t, func() error { _, err := s.Weigh(); return err }, func(broken bool) {
				if broken {
					chip.Break(errWire)
					return
				}
				chip.Break(nil)
			})
		})
	})
}
