package hardware

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/board/boardtest"
	"lockerfleet/firmware-agent/internal/chiptest"
	"lockerfleet/firmware-agent/internal/serial"
	"lockerfleet/firmware-agent/lockbustest"
	"lockerfleet/locker"
)

// expanders puts the chips of the shipped profile on the bench's bus, with every door closed and
// the pull-downs of the gates in place.
func (m *bench) expanders() {
	locks, doors := chiptest.NewExpander("pca9555"), chiptest.NewExpander("mcp23017")
	for pin := range 16 {
		locks.Wire(pin, false)
		doors.Wire(pin, false)
	}
	m.chips[0x20], m.chips[0x21] = locks, doors
	m.bus.Put(0x20, locks)
	m.bus.Put(0x21, doors)
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-end:
			t.Fatalf("still not: %s", what)
		}
	}
}

func seen(t *testing.T, b *board.Board, no int, want locker.DoorState) {
	t.Helper()
	await(t, "door is "+string(want), func() bool { s, _ := b.Find(no).Door.Door(); return s == want })
}

func TestExpanderBoardPassesTheBoardSuite(t *testing.T) {
	t.Parallel()
	boardtest.Run(t, func(t *testing.T) boardtest.Rig {
		p, m := load(t, "expander.yaml"), newBench()
		m.expanders()
		b := m.open(t, p)
		locks, doors := m.chips[0x20], m.chips[0x21]
		return boardtest.Rig{
			Board:  b,
			Coil:   func(no int) (on bool) { m.bus.Do(func() { on = locks.Level(no - 1) }); return on },
			Pulses: func(no int) (n int) { m.bus.Do(func() { n, _ = locks.Edges(no - 1) }); return n },
			SetDoor: func(no int, s locker.DoorState) {
				m.bus.Dead(s == locker.DoorUnknown)
				m.bus.Do(func() { doors.Wire(*p.Compartments[no-1].Door.Offset, s == locker.DoorOpen) })
				seen(t, b, no, s)
			},
			Elapse: func(d time.Duration) { <-time.After(d) },
		}
	})
}

// A bank of lock boards as it ships, with its relay board replaced by doors on GPIO lines and an
// expander: three drivers make one board.
func TestABoardOfSeveralDrivers(t *testing.T) {
	t.Parallel()
	p, err := board.ParseProfile([]byte(`
profile: 1
driver: lockbus
power: {banks: [{id: main}]}
defaults: {bank: main, bus: rs0}
buses:
  - {id: rs0, type: serial, dev: /dev/ttyS9, proto: kr16, board_pulse: 100ms}
  - {id: i2c1, type: i2c, dev: /dev/i2c-1}
expanders:
  - {id: locks, driver: pca9555, bus: i2c1, addr: 0x20}
  - {id: doors, driver: mcp23017, bus: i2c1, addr: 0x21}
compartments:
  - no: 1
    lock: {board: 0, channel: 1}
    door: {board: 0, channel: 1, closed_is: 1}
    presence: {board: 0, channel: 1, field: ir, active: 1}
  - no: 2
    lock: {driver: gpio, chip: soc, line: L2, active: high, pulse: 100ms}
    door: {driver: expander, chip: doors, offset: 3, closed_is: low}
  - no: 3
    lock: {driver: expander, chip: locks, offset: 5, active: low, pulse: 100ms}
    door: {driver: gpio, chip: soc, line: D3, closed_is: low}
    bolt: {board: 0, channel: 3, active: 1}
`))
	if err != nil {
		t.Fatal(err)
	}
	m := newBench()
	m.expanders()
	m.rs485 = lockbustest.Start(t, "kr16", lockbustest.Options{Pulse: 100 * time.Millisecond, Springs: true}, 0)
	b := m.open(t, p)
	if err := b.Safe(); err != nil {
		t.Fatal(err)
	}
	for no := 1; no <= 3; no++ {
		if err := b.Find(no).Lock.Fire(t.Context(), 100*time.Millisecond); err != nil {
			t.Errorf("fire %d: %v", no, err)
		}
	}
	seen(t, b, 1, locker.DoorOpen)
	seen(t, b, 2, locker.DoorClosed)
	var falls int
	m.bus.Do(func() { _, falls = m.chips[0x20].Edges(5) })
	if got := m.rs485.Unlocks(); len(got) != 1 || got[0] != (lockbustest.Key{Board: 0, Channel: 1}) || falls != 1 || m.pins["soc L2"].rises != 1 {
		t.Errorf("lock board %v, expander %d, line %d: want one shot each", got, falls, m.pins["soc L2"].rises)
	}
	m.rs485.Put(lockbustest.Key{Board: 0, Channel: 1}, true)
	await(t, "the parcel is seen", func() bool { s, _ := b.Find(1).Presence.Content(); return s == locker.Present })
	if s, err := b.Find(3).Bolt.Bolt(); s != locker.Locked || err != nil {
		t.Errorf("bolt 3 is %s, %v", s, err)
	}
}

func TestOpenNamesMissingChipsAndLines(t *testing.T) {
	t.Parallel()
	m := newBench()
	_, err := m.machine().open(load(t, "expander.yaml"), nil)
	for _, want := range []string{"bus i2c1: expander locks: write register 0x02 of 0x20", "expander doors"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	_, err = m.machine().open(load(t, "rs485.yaml"), nil)
	for _, want := range []string{"bus rs0: no such line", "bus rs1: no such line"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	gone := m.machine()
	gone.i2c = func(string) (i2c.BusCloser, error) { return nil, errors.New("no such device") }
	if _, err := gone.open(load(t, "expander.yaml"), nil); err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), "bus i2c1: no such device") {
		t.Errorf("a missing bus: %v, want it alone", err)
	}
}

// The speeds a profile may name are those a line can have.
func TestSpeedsOfProfilesAreThoseOfLines(t *testing.T) {
	t.Parallel()
	for _, baud := range append(serial.Speeds(), 14400) {
		text := strings.Replace(`
profile: 1
driver: lockbus
power: {banks: [{id: main}]}
buses: [{id: rs0, type: serial, dev: /dev/ttyS9, proto: kr16, baud: BAUD}]
compartments: [{no: 1, bank: main, lock: {bus: rs0, channel: 1}, door: {bus: rs0, channel: 1, closed_is: 1}}]
`, "BAUD", strconv.Itoa(baud), 1)
		_, err := board.ParseProfile([]byte(text))
		if wrong := (serial.Config{Baud: baud}).Check(); (err == nil) != (wrong == nil) {
			t.Errorf("%d baud: the profile says %v, the line %v", baud, err, wrong)
		}
	}
}
