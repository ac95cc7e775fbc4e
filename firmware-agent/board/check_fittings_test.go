package board

import (
	"os"
	"strings"
	"testing"
	"time"
)

func full(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../configs/boards/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFaultsOfFittingsAreNamed(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, old, new, want string }{
		{"unknown thermometer", "driver: sht4x", "driver: dht22", "allowed are sht3x, sht4x, aht20, ds18b20, w1"},
		{"number of a thermometer", `rom: "7a00000131825228"`, `rom: "7a000001318252"`, "write its 16 hexadecimal digits"},
		{"number as a number", `rom: "28-01143ba557aa"`, `rom: 280114`, "put it in quotes"},
		{"number of the kernel", `rom: "28-01143ba557aa"`, `rom: "01143ba557aa"`, "as the kernel shows it"},
		{"bus of the kernel", "driver: w1,", "driver: w1, bus: i2c1,", "not for driver w1"},
		{"bridge beside another chip", "addr: 0x38", "addr: 0x18", "used by"},
		{"number of another chip", "addr: 0x44}", `addr: 0x44, rom: "7a00000131825228"}`, "rom is not for driver sht4x"},
		{"pwm too fast", "hertz: 1000", "hertz: 25000", "24 to 1526 are allowed"},
		{"pwm that is not there", "cool: {pwm: power, output: 2}", "cool: {pwm: pump, output: 2}", `no pwm "pump"`},
		{"pwm output twice", "cool: {pwm: power, output: 2}", "cool: {pwm: power, output: 3}", "pwm power output 3 is used by"},
		{"pwm output beyond the chip", "cool: {pwm: power, output: 2}", "cool: {pwm: power, output: 16}", "0 to 15 are allowed"},
		{"pwm and line", "cool: {pwm: power, output: 2}", "cool: {pwm: power, output: 2, active: high}", "either a line or a pwm"},
		{"compressor on a pwm", "cool: {driver: expander, chip: x1, offset: 4, active: high}", "cool: {pwm: power, output: 4}", "a compressor on a pwm burns"},
		{"compressor without rest", "min_off: 240s", "min_off: 60s", "3m0s to 1h0m0s are allowed"},
		{"rest of no compressor", "compressor: true\n", "compressor: false\n", "min_off is for compressors"},
		{"heater without air", "      air: {line: GPIO21, pull: up, active: low}\n", "", "a heater needs a fan, and air"},
		{"climate without machines", "      heat: {line: GPIO18, active: high}\n      fan: {pwm: power, output: 1}\n", "", "it names no machine"},
		{"display that is not there", "display: door1", "display: door9", `no display "door9"`},
		{"display of two doors", "display: door2", "display: door1", "display door1 is that of compartment 1 already"},
		{"size of an lcd", "columns: 20", "columns: 24", "16 or 20 and 2 or 4"},
		{"size of an oled", "height: 64", "height: 48", "32 or 64"},
		{"address of an oled", "addr: 0x3c", "addr: 0x3e", "0x3c to 0x3d"},
		{"path of paper", "/dev/spidev0.0", "spi0", "/dev/spidev0.0"},
		{"unknown display", "driver: paper", "driver: hdmi", "allowed are lcd, oled and paper"},
		{"paper on an expander", "busy: {line: GPIO24}", "busy: {driver: expander, chip: x1, offset: 14}", "must be a line of the machine"},
		{"keypad without a display", "  display: hall\n", "", "it needs a display of the bank"},
		{"keypad of no reader", "    driver: matrix\n", "    driver: usb\n", "allowed are matrix and reader"},
		{"legend too short", `["123", "456", "789", "*0#"]`, `["123", "456", "789"]`, "the legend has 3 rows"},
		{"legend with a gap", `["123", "456", "789", "*0#"]`, `["123", "456", "78", "*0#"]`, "must have the key 9 once"},
		{"scanner on a bus", "dev: /dev/serial/by-path/platform-xhci-usb-0:1.2:1.0-port0", "dev: /dev/i2c-1", "/dev/i2c-1 is bus i2c1 already"},
		{"speed of a scanner", "baud: 9600", "baud: 9601", "baud 9601"},
		{"reader on two chips", "d1: {line: GPIO23}", "d1: {chip: other, line: GPIO23}", "the order of bits"},
		{"line twice", "d1: {line: GPIO23}", "d1: {line: GPIO22}", "GPIO22 is used by front reader d0"},
		{"lamp without a level", "lamp: {driver: expander, chip: x1, offset: 0, active: high}", "lamp: {driver: expander, chip: x1, offset: 0}", "front lamp: active"},
		{"lamp on a lock's pin", "offset: 2, active: high", "offset: 6, active: high", "x1 offset 6 is used by compartment 3 lock"},
		{"battery without mains", "  mains: {driver: expander, chip: x1, offset: 8, active: high}\n", "", "it needs mains as well"},
		{"scale not calibrated", "counts_per_gram: 42.1, ", "", "weigh two known weights"},
		{"scale that carries a house", "capacity_g: 20000", "capacity_g: 2000000", "100 to 500000 are allowed"},
		{"unknown scale", "driver: nau7802", "driver: ads1232", "allowed are hx711 and nau7802"},
		{"unknown key", "fast: true", "quick: true", "quick"},
	}
	text := full(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bad := strings.Replace(text, tt.old, tt.new, 1)
			if bad == text {
				t.Fatalf("%q is not in the profile", tt.old)
			}
			if _, err := ParseProfile([]byte(bad)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a sentence with %q", err, tt.want)
			}
		})
	}
}

func TestDefaultsReachFittings(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("      min_off: 240s\n", "", ", hertz: 1000", "", ", baud: 9600", "").Replace(full(t))
	p, err := ParseProfile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := p.Compartments[0]
	if time.Duration(c.Climate.MinOff) != 180*time.Second || p.PWMs[0].Hertz != 1000 || p.Front.Scanner.Baud != 9600 {
		t.Errorf("rest %s, %d Hz, %d baud", time.Duration(c.Climate.MinOff), p.PWMs[0].Hertz, p.Front.Scanner.Baud)
	}
	if c.Scale.Clock.Chip != "pinctrl-rp1" || p.Front.Keypad.Columns[0].Pull != "up" || time.Duration(p.Compartments[1].Climate.Air.Debounce) != 30*time.Millisecond {
		t.Errorf("chip %q, pull %q, debounce %s", c.Scale.Clock.Chip, p.Front.Keypad.Columns[0].Pull, time.Duration(p.Compartments[1].Climate.Air.Debounce))
	}
}

func TestWarningsOfFittings(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(
		"/dev/serial/by-path/platform-xhci-usb-0:1.2:1.0-port0", "/dev/ttyACM0", "fast: true, ", "", "settle: 800ms, ", "",
		"heat: {line: GPIO18, active: high}", "heat: {pwm: power, output: 9}",
	).Replace(full(t))
	p, err := ParseProfile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(p.Warnings(), "\n")
	for _, want := range []string{"use its name under /dev/serial/by-path", "weighs ten times a second, so what it says 500ms after", "keeps heating when the agent dies"} {
		if !strings.Contains(all, want) {
			t.Errorf("warnings %q, want %q in them", all, want)
		}
	}
}

func TestASimulatedBoardHasNoFittings(t *testing.T) {
	t.Parallel()
	const sim = "profile: 1\ndriver: sim\nsim: {compartments: 2, control: /run/x}\n"
	if _, err := ParseProfile([]byte(sim)); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"front: {lamp: {chip: x, line: y, active: high}}", "front: {scanner: {dev: /dev/ttyS0}}", "pwms: [{id: a, bus: b, addr: 0x40}]"} {
		if _, err := ParseProfile([]byte(sim + more)); err == nil || !strings.Contains(err.Error(), "a simulated board has none") {
			t.Errorf("%s: %v", more, err)
		}
	}
}
