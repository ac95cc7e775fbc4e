package lockbus

import "time"

// kr16 are Kerong's CU16 and CU12 boards: STX, board and lock in one byte, command, ETX, sum of
// all. Status has one bit a lock, 1 when the hook is locked, and one for its infrared input.
// Address 0xF0 asks every board at once, so board 15 is not used.
type kr16 struct{}

const (
	krSTX, krETX           = 0x02, 0x03
	krAsk, krUnlock, krSay = 0x30, 0x31, 0x35
	krAnswer               = 9
)

func krFrame(board, lock, command byte) []byte {
	f := []byte{krSTX, board<<4 | lock, command, krETX, 0}
	f[4] = sum(f[:4])
	return f
}

func (kr16) status(board uint8, channels int) []exchange {
	return []exchange{{what: "status", frame: krFrame(board, 0, krAsk), read: func(b []byte, s *Status) error {
		if err := begins(b, krSTX, board<<4, krSay); err != nil {
			return err
		}
		if err := sized(b, krAnswer); err != nil {
			return err
		}
		if b[7] != krETX || sum(b[:8]) != b[8] {
			return errNoise
		}
		s.Locks = below(uint64(b[3])|uint64(b[4])<<8, channels)
		s.Presence = below(uint64(b[5])|uint64(b[6])<<8, channels)
		return nil
	}}}
}

// unlock is answered by some boards and not by others, each in its own way.
func (kr16) unlock(d Door, _ time.Duration) exchange {
	return exchange{what: "unlock", frame: krFrame(d.board, d.index, krUnlock)}
}

// wkly are boards whose frames begin with the letters WKLY: length of the whole frame, board,
// command, data, xor of all. A door is 0 open, 1 closed.
type wkly struct{}

const (
	wklyUnlock, wklyAsk = 0x82, 0x84
	wklyOpen, wklyShut  = 0x00, 0x01
	wklyOK              = 0x00
	wklyHead            = 7 // letters, length, board, command
)

func wklyFrame(board, command byte, data ...byte) []byte {
	f := append([]byte{'W', 'K', 'L', 'Y', byte(wklyHead + len(data) + 1), board, command}, data...)
	return append(f, xor(f))
}

// wklyBody checks a frame of n bytes and returns its data.
func wklyBody(b []byte, board, command byte, n int) ([]byte, error) {
	if err := begins(b, 'W', 'K', 'L', 'Y', byte(n), board, command); err != nil {
		return nil, err
	}
	if err := sized(b, n); err != nil {
		return nil, err
	}
	if xor(b[:n]) != 0 {
		return nil, errNoise
	}
	return b[wklyHead : n-1], nil
}

func (wkly) status(board uint8, channels int) []exchange {
	return []exchange{{what: "status", frame: wklyFrame(board, wklyAsk), read: func(b []byte, s *Status) error {
		// The board answers with as many doors as it has, which may be more than are wired.
		if err := begins(b, 'W', 'K', 'L', 'Y'); err != nil {
			return err
		}
		if err := sized(b, wklyHead+2); err != nil {
			return err
		}
		count := int(b[8])
		if count < channels || count > 64 {
			return errNoise
		}
		data, err := wklyBody(b, board, wklyAsk, wklyHead+2+count+1)
		if err != nil {
			return err
		}
		if data[0] != wklyOK {
			return ErrRefused
		}
		return doors(data[2:2+channels], s)
	}}}
}

// doors reads one byte a door.
func doors(data []byte, s *Status) error {
	s.Locks = 0
	for i, v := range data {
		switch v {
		case wklyShut:
			s.Locks |= 1 << i
		case wklyOpen:
		default:
			return errNoise
		}
	}
	return nil
}

func (wkly) unlock(d Door, _ time.Duration) exchange {
	channel := d.index + 1
	return exchange{what: "unlock", frame: wklyFrame(d.board, wklyUnlock, channel), read: func(b []byte, _ *Status) error {
		data, err := wklyBody(b, d.board, wklyUnlock, wklyHead+4)
		switch {
		case err != nil:
			return err
		case data[1] != channel:
			return errNoise
		case data[0] != wklyOK:
			return ErrRefused
		}
		return nil
	}}
}

// xor5 are boards of 24 channels with frames of five bytes: head, board, lock, function, xor of
// all. Lock 0 in an unlock opens every door; a Door's channel begins at 1 on the wire.
type xor5 struct{}

const (
	xorUnlock, xorUnlockFn = 0x8A, 0x11
	xorAsk, xorAskFn       = 0x80, 0x33
	xorAnswer              = 7
)

func xorFrame(b ...byte) []byte { return append(b, xor(b)) }

func (xor5) status(board uint8, channels int) []exchange {
	return []exchange{{what: "status", frame: xorFrame(xorAsk, board, 0, xorAskFn), read: func(b []byte, s *Status) error {
		if err := begins(b, xorAsk, board); err != nil {
			return err
		}
		if err := sized(b, xorAnswer); err != nil {
			return err
		}
		if b[5] != xorAskFn || xor(b[:xorAnswer]) != 0 {
			return errNoise
		}
		s.Locks = below(uint64(b[4])|uint64(b[3])<<8|uint64(b[2])<<16, channels)
		return nil
	}}}
}

func (xor5) unlock(d Door, _ time.Duration) exchange {
	channel := d.index + 1
	return exchange{what: "unlock", frame: xorFrame(xorUnlock, d.board, channel, xorUnlockFn), read: func(b []byte, _ *Status) error {
		if err := begins(b, xorUnlock, d.board, channel); err != nil {
			return err
		}
		if err := sized(b, 5); err != nil {
			return err
		}
		if xor(b[:5]) != 0 {
			return errNoise
		}
		return nil // what it says of the lock is older than the lock's movement
	}}
}
