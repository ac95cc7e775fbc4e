package lockbus

import (
	"encoding/binary"
	"fmt"
	"time"
)

// modbus are relay boards with inputs, spoken to in Modbus RTU: coils are relays counted from
// 0, discrete inputs are the contacts wired beside them. With flash the board times the pulse
// itself: it takes function 05 to coil 0x0200 + n with the pulse in tenths of a second, as
// Waveshare's boards do, and closes the relay even when the wires break meanwhile.
type modbus struct{ flash bool }

const (
	fnCoils, fnInputs   = 0x01, 0x02
	fnWrite, fnWriteAll = 0x05, 0x0F
	fnFailed            = 0x80 // added to the function of a refused question
	flashBase           = 0x02
	flashUnit           = 100 * time.Millisecond
	coilOn, coilOff     = 0xFF00, 0x0000
)

// crc16 is the checksum of Modbus RTU, sent low byte first.
func crc16(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, x := range b {
		crc ^= uint16(x)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

func modbusFrame(b ...byte) []byte { return binary.LittleEndian.AppendUint16(b, crc16(b)) }

// intact checks the checksum of the first n bytes.
func intact(b []byte, n int) error {
	if err := sized(b, n); err != nil {
		return err
	}
	if crc16(b[:n-2]) != binary.LittleEndian.Uint16(b[n-2:]) {
		return errNoise
	}
	return nil
}

// refused reads the answer by which a board says that it will not.
func refused(b []byte, board, fn byte) error {
	if err := begins(b, board, fn|fnFailed); err != nil {
		return err
	}
	if err := intact(b, 5); err != nil {
		return err
	}
	return fmt.Errorf("%w: Modbus exception %d", ErrRefused, b[2])
}

// answered reads either a frame of n bytes that begins so, or a refusal.
func answered(b []byte, n int, begin ...byte) error {
	err := begins(b, begin...)
	if err == nil {
		err = intact(b, n)
	}
	if err == nil {
		return nil
	}
	if no := refused(b, begin[0], begin[1]); no != errNoise { //nolint:errorlint // a sentinel of this package, compared as it was returned
		return no
	}
	return err
}

func (modbus) bits(what string, board, fn byte, channels int, into func(*Status, uint64)) exchange {
	count := (channels + 7) / 8
	return exchange{what: what, frame: modbusFrame(board, fn, 0, 0, 0, byte(channels)), read: func(b []byte, s *Status) error {
		if err := answered(b, 3+count+2, board, fn, byte(count)); err != nil {
			return err
		}
		var bits uint64
		for i, v := range b[3 : 3+count] {
			bits |= uint64(v) << (8 * i)
		}
		into(s, below(bits, channels))
		return nil
	}}
}

func (m modbus) status(board uint8, channels int) []exchange {
	return []exchange{
		m.bits("inputs", board, fnInputs, channels, func(s *Status, bits uint64) { s.Locks = bits }),
		m.bits("coils", board, fnCoils, channels, func(s *Status, bits uint64) { s.Coils = bits }),
	}
}

// write sets one coil; the board echoes the frame.
func (modbus) write(what string, board, high, low byte, value uint16) exchange {
	f := modbusFrame(board, fnWrite, high, low, byte(value>>8), byte(value))
	return exchange{what: what, frame: f, read: func(b []byte, _ *Status) error { return answered(b, len(f), f[:6]...) }}
}

func (m modbus) unlock(d Door, pulse time.Duration) exchange {
	if !m.flash {
		return m.write("coil on", d.board, 0, d.index, coilOn)
	}
	units := min(max(pulse/flashUnit, 1), 10) // a second at most, whatever is asked for
	return m.write("flash", d.board, flashBase, d.index, uint16(units))
}

func (m modbus) off(d Door) exchange { return m.write("coil off", d.board, 0, d.index, coilOff) }

// clear writes zeros to all coils. There is no function that writes ones to several.
func (modbus) clear(board uint8, channels int) exchange {
	count := (channels + 7) / 8
	head := []byte{board, fnWriteAll, 0, 0, 0, byte(channels)}
	f := append(append([]byte(nil), head...), byte(count))
	f = modbusFrame(append(f, make([]byte, count)...)...)
	return exchange{what: "all coils off", frame: f, read: func(b []byte, _ *Status) error { return answered(b, 8, head...) }}
}
