//go:build !linux

package uptime

import "time"

// Clock returns a function that counts on from the unix time in ms at this call by the process's
// running time. It serves trying the agent out on a developer's machine; boards run Linux. The
// function is safe for concurrent use.
func Clock() func() int64 {
	start := time.Now()
	return func() int64 { return start.Add(time.Since(start)).UnixMilli() }
}
