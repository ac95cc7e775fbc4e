//go:build linux

package lockbustest

import "time"

// forever is when a relay goes off that nobody switches off.
const forever = 24 * time.Hour

// kr16: 02, board and lock, command, 03, sum.
func kr16(bank *Bank, b []byte) (int, []byte) {
	if b[0] != 0x02 || !at(b, 3, 0x03) {
		return 1, nil
	}
	if len(b) < 5 {
		return 0, nil
	}
	if b[0]+b[1]+b[2]+b[3] != b[4] {
		return 1, nil
	}
	u := bank.board(b[1] >> 4)
	switch {
	case u == nil:
	case b[2] == 0x31:
		bank.fire(u, b[1]>>4, int(b[1]&0x0F)+1, bank.options.Pulse) // says nothing
	case b[2] == 0x33:
		for c := range Channels {
			bank.fire(u, b[1]>>4, c+1, bank.options.Pulse)
		}
	case b[2] == 0x30:
		shut, full := bits(u.open, true), bits(u.full, false)
		a := []byte{0x02, b[1] & 0xF0, 0x35, byte(shut), byte(shut >> 8), byte(full), byte(full >> 8), 0x03}
		var s byte
		for _, v := range a {
			s += v
		}
		return 5, append(a, s)
	}
	return 5, nil
}

// wkly: W K L Y, length, board, command, data, xor.
func wkly(bank *Bank, b []byte) (int, []byte) {
	if b[0] != 'W' || !at(b, 1, 'K') || !at(b, 2, 'L') || !at(b, 3, 'Y') {
		return 1, nil
	}
	if len(b) < 5 {
		return 0, nil
	}
	n := int(b[4])
	if n < 8 || n > 40 {
		return 1, nil
	}
	if len(b) < n {
		return 0, nil
	}
	var x byte
	for _, v := range b[:n] {
		x ^= v
	}
	if x != 0 {
		return 1, nil
	}
	return n, wklyAnswer(bank, b[:n])
}

func wklyAnswer(bank *Bank, q []byte) []byte {
	u := bank.board(q[5])
	if u == nil {
		return nil
	}
	var data []byte
	switch {
	case q[6] == 0x82 && len(q) == 9 && q[7] >= 1 && q[7] <= Channels:
		bank.fire(u, q[5], int(q[7]), bank.options.Pulse)
		if u.silent {
			return nil
		}
		data = []byte{0, q[7], 0}
	case q[6] == 0x82:
		data = []byte{0xFF, 0, 0}
	case q[6] == 0x86:
		for c := range Channels {
			bank.fire(u, q[5], c+1, bank.options.Pulse)
		}
		data = []byte{0}
	case q[6] == 0x84:
		data = []byte{0, Channels}
		for c := range Channels {
			state := byte(1)
			if u.open[c+1] {
				state = 0
			}
			data = append(data, state)
		}
	default:
		return nil
	}
	a := append([]byte{'W', 'K', 'L', 'Y', byte(8 + len(data)), q[5], q[6]}, data...)
	var x byte
	for _, v := range a {
		x ^= v
	}
	return append(a, x)
}

// xor5: head, board, lock, function, xor. Lock 0 in an unlock opens everything.
func xor5(bank *Bank, b []byte) (int, []byte) {
	if b[0] != 0x8A && b[0] != 0x80 {
		return 1, nil
	}
	if len(b) < 5 {
		return 0, nil
	}
	if b[0]^b[1]^b[2]^b[3] != b[4] {
		return 1, nil
	}
	u := bank.board(b[1])
	switch {
	case u == nil:
	case b[0] == 0x8A && b[3] == 0x11 && b[2] == 0:
		for c := range Channels {
			bank.fire(u, b[1], c+1, bank.options.Pulse)
		}
	case b[0] == 0x8A && b[3] == 0x11 && b[2] <= Channels:
		bank.fire(u, b[1], int(b[2]), bank.options.Pulse)
		return 5, []byte{0x8A, b[1], b[2], 0x11, 0x8A ^ b[1] ^ b[2] ^ 0x11}
	case b[0] == 0x80 && b[3] == 0x33 && b[2] == 0:
		shut := bits(u.open, true)
		a := []byte{0x80, b[1], byte(shut >> 16), byte(shut >> 8), byte(shut), 0x33}
		var x byte
		for _, v := range a {
			x ^= v
		}
		return 5, append(a, x)
	}
	return 5, nil
}

// modbus: relays 0 to 15, and as many contacts, closed is 1. Coil 0x0200 + n flashes for the
// value in tenths of a second.
func modbus(bank *Bank, b []byte) (int, []byte) {
	if len(b) < 2 {
		return 0, nil
	}
	n := 8
	switch b[1] {
	case 0x01, 0x02, 0x05:
	case 0x0F:
		if len(b) < 7 {
			return 0, nil
		}
		n = 9 + int(b[6])
	default:
		return 1, nil
	}
	if len(b) < n {
		return 0, nil
	}
	if sum := check(b[:n-2]); byte(sum) != b[n-2] || byte(sum>>8) != b[n-1] {
		return 1, nil
	}
	u := bank.board(b[0])
	if u == nil {
		return n, nil
	}
	a := modbusAnswer(bank, u, b[:n])
	sum := check(a)
	return n, append(a, byte(sum), byte(sum>>8))
}

func modbusAnswer(bank *Bank, u *unit, q []byte) []byte {
	first, value := int(q[2])<<8|int(q[3]), int(q[4])<<8|int(q[5])
	switch {
	case q[1] == 0x02 && first == 0 && value <= Channels:
		return packed(q, value, bits(u.open, true))
	case q[1] == 0x01 && first == 0 && value <= Channels:
		var on [Channels + 1]bool
		for c := range on {
			on[c] = time.Now().Before(u.until[c])
		}
		return packed(q, value, bits(on, false))
	case q[1] == 0x05 && first < Channels && value == 0xFF00:
		bank.fire(u, q[0], first+1, forever)
		return append([]byte(nil), q[:6]...)
	case q[1] == 0x05 && first < Channels && value == 0:
		u.until[first+1] = time.Time{}
		return append([]byte(nil), q[:6]...)
	case q[1] == 0x05 && first >= 0x200 && first < 0x200+Channels:
		bank.fire(u, q[0], first-0x200+1, time.Duration(value)*100*time.Millisecond)
		return append([]byte(nil), q[:6]...)
	case q[1] == 0x0F && first == 0 && value <= Channels:
		for c := range value {
			if q[7+c/8]>>(c%8)&1 == 1 {
				bank.fire(u, q[0], c+1, forever)
			} else {
				u.until[c+1] = time.Time{}
			}
		}
		return append([]byte(nil), q[:6]...)
	}
	return []byte{q[0], q[1] | 0x80, 2}
}

func packed(q []byte, count int, v uint32) []byte {
	v &= 1<<count - 1
	a := []byte{q[0], q[1], byte((count + 7) / 8)}
	for i := range (count + 7) / 8 {
		a = append(a, byte(v>>(8*i)))
	}
	return a
}

// check is the checksum of Modbus RTU, computed from its table-less definition.
func check(b []byte) uint16 {
	var crc uint16 = 0xFFFF
	for _, v := range b {
		crc ^= uint16(v)
		for range 8 {
			carry := crc & 1
			crc >>= 1
			if carry == 1 {
				crc ^= 0xA001
			}
		}
	}
	return crc
}
