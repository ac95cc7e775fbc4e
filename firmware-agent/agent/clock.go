package agent

import "lockerfleet/wire"

const (
	// floorEveryMS is how often the time floor goes to disk.
	floorEveryMS = 600_000
	// freshMS is how old an answer to a birth may be to take time back.
	freshMS = 60_000
)

// clock is the best unix time in milliseconds and its quality. A board without a battery-backed
// clock counts on from the floor on disk by its own running time, so that turning the power off
// never makes a code live longer.
func (m *mind) clock() (int64, wire.TimeQuality) {
	if m.center.wall > 0 {
		return m.center.wall + m.now.Up - m.center.up, wire.TimeNTP
	}
	if q := m.now.Quality; q == wire.TimeNTP || q == wire.TimeRTC {
		return max(m.now.Wall, m.mem.Floor), q
	}
	if m.mem.Floor > 0 {
		return m.mem.Floor + m.now.Up - m.floorAt, wire.TimeFloor
	}
	return max(m.now.Wall, 0), wire.TimeNone
}

// hearTime takes the control center's clock. Forward it always goes. Back it goes only on the word
// of a signed hello, because a clock that once was ahead would refuse every code until the world
// has caught up; and then so that no code lives longer by it:
//
//   - not below the newest time that a signed hello ever told,
//   - and by what has passed since the birth that this hello at the earliest answers, so that one
//     that was held up on its way does not make the bank believe that it is earlier than it is.
//     A clock that is within what has passed cannot be told wrong by this hello, and stays.
//
// One that took longer than freshMS corrects nothing; the next connection does.
func (m *mind) hearTime(h *wire.Hello, signed bool) {
	wall, waited := h.Now, m.now.Up-m.link.greeted
	known, q := m.clock()
	if q == wire.TimeNone {
		known = 0
	}
	back := wall < known
	if wall <= 0 || back && !(signed && h.TQ == wire.TimeNTP && wall >= m.mem.Told && waited <= freshMS) {
		return
	}
	var r Record
	if signed && wall > m.mem.Told {
		r.Told = wall
	}
	if back {
		wall = min(wall+waited, known)
	}
	m.center, m.floorAt = reference{wall: wall, up: m.now.Up}, m.now.Up
	if wall != m.mem.Floor {
		r.Floor, r.Back = wall, wall < m.mem.Floor
	}
	if r != (Record{}) {
		m.record(r, false)
	}
}

func (m *mind) keepFloor() {
	if m.now.Up >= m.floorAt+floorEveryMS {
		m.writeFloor()
	}
}

// writeFloor notes the time that has certainly passed. Losing it costs nothing but time.
func (m *mind) writeFloor() {
	ms, q := m.clock()
	m.floorAt = m.now.Up
	if q != wire.TimeNone && ms > m.mem.Floor {
		m.record(Record{Floor: ms}, false)
	}
}
