package uptime

import "golang.org/x/sys/unix"

// Clock returns a function that reads CLOCK_BOOTTIME, the time since the machine started in ms. It
// counts sleep too: a command does not stay young while the board sleeps. The function is safe for
// concurrent use.
func Clock() func() int64 {
	return func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
			panic("CLOCK_BOOTTIME cannot be read: " + err.Error()) // every kernel since 2.6.39 has it
		}
		return ts.Nano() / 1e6
	}
}
