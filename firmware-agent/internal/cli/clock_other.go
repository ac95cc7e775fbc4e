//go:build !linux

package cli

import (
	"time"

	"lockerfleet/firmware-agent/agent"
	"lockerfleet/firmware-agent/internal/uptime"
	"lockerfleet/wire"
)

// machineClock reads the monotonic clock and takes the wall clock for right. It serves trying the
// agent out on a developer's machine; boards run Linux.
func machineClock() func() agent.Now {
	up := uptime.Clock()
	return func() agent.Now {
		return agent.Now{Up: up(), Wall: time.Now().UnixMilli(), Quality: wire.TimeNTP}
	}
}
