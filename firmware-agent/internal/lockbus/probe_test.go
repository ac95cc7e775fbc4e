//go:build linux

package lockbus_test

import (
	"testing"
	"time"

	"lockerfleet/firmware-agent/internal/lockbus"
	"lockerfleet/firmware-agent/internal/serial"
	"lockerfleet/firmware-agent/lockbustest"
)

func TestProbeFindsEveryFamilyAndMovesNothing(t *testing.T) {
	t.Parallel()
	for _, family := range []string{"kr16", "wkly", "xor5", "modbus"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			bank := lockbustest.Start(t, family, lockbustest.Options{}, 2, 3)
			found, err := lockbus.Probe(t.Context(), func(baud int) (lockbus.Port, error) {
				return serial.Open(bank.Path, serial.Config{Baud: baud})
			}, []int{19200}, 4, 60*time.Millisecond)
			if err != nil || len(found) != 2 || found[0].Family != family || found[0].Board != 2 || found[1].Board != 3 || found[0].Baud != 19200 {
				t.Errorf("found %+v, %v", found, err)
			}
			if got := bank.Unlocks(); len(got) > 0 {
				t.Errorf("the probe unlocked %v", got)
			}
		})
	}
}
