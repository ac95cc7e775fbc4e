package uptime

import "testing"

func TestTwoReadersShareOneClockThatNeverGoesBack(t *testing.T) {
	t.Parallel()
	one, other := Clock(), Clock()
	last := one()
	if last <= 0 {
		t.Fatalf("the clock shows %d ms", last)
	}
	for range 1000 {
		for _, read := range []func() int64{other, one} {
			now := read()
			if now < last {
				t.Fatalf("%d ms comes after %d ms", now, last)
			}
			last = now
		}
	}
}
