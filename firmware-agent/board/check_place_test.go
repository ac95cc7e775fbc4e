package board

import (
	"strings"
	"testing"
	"time"
)

const wired = `
profile: 1
driver: lockbus
power: {banks: [{id: main, limit_ma: 3000}]}
defaults: {bank: main, bus: rs0, lock: {coil_ma: 2000}}
buses:
  - {id: rs0, type: serial, dev: /dev/serial/by-path/one, proto: kr16}
  - {id: rs1, type: serial, dev: /dev/serial/by-path/two, proto: modbus-flash}
  - {id: i2c1, type: i2c, dev: /dev/i2c-1}
expanders:
  - {id: x1, driver: mcp23017, bus: i2c1, addr: 0x20}
  - {id: x2, driver: pca9555, bus: i2c1, addr: 0x21}
compartments:
  - no: 1
    lock: {board: 0, channel: 1}
    door: {board: 0, channel: 1, closed_is: 1}
    presence: {board: 0, channel: 1, field: ir, active: 1}
  - no: 2
    lock: {driver: modbus, bus: rs1, board: 1, channel: 2}
    door: {driver: gpio, chip: soc, line: D2, closed_is: low}
  - no: 3
    lock: {driver: expander, chip: x1, offset: 7, active: high}
    door: {driver: expander, chip: x2, offset: 15, closed_is: low}
`

func TestPlacesOfEveryDriver(t *testing.T) {
	t.Parallel()
	p, err := ParseProfile([]byte(wired))
	if err != nil {
		t.Fatal(err)
	}
	one, two := &p.Compartments[0], &p.Compartments[1]
	if one.Lock.Driver != DriverLockbus || one.Lock.Bus != "rs0" || time.Duration(one.Lock.Pulse) != 500*time.Millisecond || one.Lock.MaxPulse != one.Lock.Pulse {
		t.Errorf("lock 1: %+v", one.Lock)
	}
	if time.Duration(two.Lock.Pulse) != 400*time.Millisecond || two.Door.Bus != "" {
		t.Errorf("compartment 2: %+v %+v", two.Lock, two.Door)
	}
	if b := p.Bus("rs0"); b.Baud != 19200 || b.Frame != "8N1" || b.RS485 != "auto" {
		t.Errorf("bus rs0: %+v", b)
	}
	if p.Expander("x2").Addr != 0x21 || p.Expander("x3") != nil || p.Bus("x") != nil {
		t.Error("expanders and buses are not found by their id")
	}
}

func TestFaultsOfPlacesAreNamed(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, old, new, want string }{
		{"channel 0", "lock: {board: 0, channel: 1}", "lock: {board: 0, channel: 0}", "channel 0: 1 to 16 are allowed, as printed on a kr16 board; 0 would mean every lock"},
		{"channel beyond the board", "lock: {board: 0, channel: 1}", "lock: {board: 0, channel: 17}", "channel 17: 1 to 16"},
		{"board that means all", "lock: {board: 0, channel: 1}", "lock: {board: 15, channel: 1}", "board 15: kr16 boards have addresses 0 to 14"},
		{"broadcast on Modbus", "bus: rs1, board: 1,", "bus: rs1, board: 0,", "board 0: modbus-flash boards have addresses 1 to 247"},
		{"same channel twice", "driver: modbus, bus: rs1, board: 1, channel: 2", "bus: rs0, board: 0, channel: 1", "bus rs0 board 0 channel 1 is used by compartment 1 lock"},
		{"same contact twice", "driver: gpio, chip: soc, line: D2, closed_is: low", "board: 0, channel: 1, closed_is: 1", "bus rs0 board 0 channel 1 is used by compartment 1 door"},
		{"no closed bit", "channel: 1, closed_is: 1", "channel: 1", `closed_is: "": say 1 or 0`},
		{"level for a bit", "channel: 1, closed_is: 1", "channel: 1, closed_is: high", "say 1 or 0"},
		{"bit for a level", "line: D2, closed_is: low", "line: D2, closed_is: 1", "say high or low"},
		{"active on a board that times", "lock: {board: 0, channel: 1}", "lock: {board: 0, channel: 1, active: high}", "active is not for driver lockbus"},
		{"pulse the board does not give", "lock: {board: 0, channel: 1}", "lock: {board: 0, channel: 1, pulse: 300ms}", "set board_pulse of bus rs0 (500ms now)"},
		{"pulse of a board beyond the cap", "proto: kr16", "proto: kr16, board_pulse: 2s", "board_pulse 2s"},
		{"pulse between tenths", "board: 1, channel: 2", "board: 1, channel: 2, pulse: 450ms", "whole tenths of a second"},
		{"line on a bus", "lock: {board: 0, channel: 1}", "lock: {board: 0, channel: 1, line: X}", "chip, line, offset and pull are not for driver lockbus"},
		{"channel on gpio", "line: D2, closed_is", "line: D2, channel: 3, closed_is", "not for driver gpio"},
		{"lockbus on a relay bus", "driver: modbus, bus: rs1", "bus: rs1", "its parts have driver modbus"},
		{"unknown proto", "proto: kr16", "proto: zhyx", `proto "zhyx": allowed are kr16, modbus, modbus-flash, wkly, xor5`},
		{"unknown bus", "defaults: {bank: main, bus: rs0", "defaults: {bank: main, bus: rs9", `no serial bus "rs9"`},
		{"unknown part driver", "driver: modbus, bus", "driver: magic, bus", `driver "magic": allowed are gpio, expander, lockbus, modbus`},
		{"speed", "proto: kr16", "proto: kr16, baud: 12345", "baud 12345"},
		{"direction", "proto: kr16", "proto: kr16, rs485: maybe", `rs485 "maybe"`},
		{"same line twice", "/dev/serial/by-path/two", "/dev/serial/by-path/one", "is bus rs0 already"},
		{"not a device", "/dev/serial/by-path/two", "/etc/passwd", "a path under /dev"},
		{"field of another family", "proto: kr16", "proto: wkly", "field ir: wkly boards report none"},
		{"unknown field", "field: ir", "field: eye", `field "eye"`},
		{"unknown expander", "chip: x2", "chip: x9", `chip "x9": there is no expander`},
		{"pin beyond the chip", "offset: 15, closed_is", "offset: 16, closed_is", "0 to 15 must be given"},
		{"pull the chip cannot", "offset: 15, closed_is", "offset: 15, pull: up, closed_is", "a pca9555 cannot"},
		{"bit 7 of an MCP23017 as input", "chip: x2, offset: 15", "chip: x1, offset: 15", "bit 7 of an MCP23017"},
		{"same address twice", "addr: 0x21", "addr: 0x20", "address i2c1 0x20 is used by expander x1"},
		{"address of no expander", "addr: 0x21", "addr: 0x30", "address 0x30: 0x20 to 0x27"},
		{"expander on a serial bus", "driver: pca9555, bus: i2c1", "driver: pca9555, bus: rs0", `no i2c bus "rs0"`},
		{"unknown expander chip", "driver: pca9555", "driver: pcf8574", "allowed are mcp23017 and pca9555"},
		{"same pin twice", "chip: x2, offset: 15", "chip: x1, offset: 7", "x1 offset 7 is used by compartment 3 lock"},
		{"coil beyond its power bank", "coil_ma: 2000", "coil_ma: 4000", "takes 4000 mA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(wired, tt.old, tt.new, 1)
			if text == wired {
				t.Fatalf("%q is not in the profile", tt.old)
			}
			if _, err := ParseProfile([]byte(text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a sentence with %q", err, tt.want)
			}
		})
	}
}

func TestWarningsOfPlaces(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("/dev/serial/by-path/one", "/dev/ttyUSB0", "modbus-flash", "modbus").Replace(wired)
	p, err := ParseProfile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(p.Warnings(), "\n")
	for _, want := range []string{"use its name under /dev/serial/by-path", "stays on when the wires break"} {
		if !strings.Contains(all, want) {
			t.Errorf("warnings %q, want %q in them", all, want)
		}
	}
}
