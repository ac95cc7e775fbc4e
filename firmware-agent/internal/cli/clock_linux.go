package cli

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/firmware-agent/internal/uptime"
	"lockerfleet/wire"
)

// machineClock reads the monotonic clock, the wall clock and how good that one is.
func machineClock() func() agent.Now {
	_, err := os.Stat("/dev/rtc0")
	rtc, up := err == nil, uptime.Clock()
	return func() agent.Now {
		return agent.Now{Up: up(), Wall: time.Now().UnixMilli(), Quality: quality(rtc)}
	}
}

// timeError is what adjtimex returns while no network source disciplines the clock.
const timeError = 5

func quality(rtc bool) wire.TimeQuality {
	var t unix.Timex
	switch state, err := unix.Adjtimex(&t); {
	case err == nil && state != timeError && t.Status&unix.STA_UNSYNC == 0:
		return wire.TimeNTP
	case rtc:
		return wire.TimeRTC
	}
	return wire.TimeNone
}
