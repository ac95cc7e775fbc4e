package sensor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errWire = errors.New("wire off")

func TestFilter(t *testing.T) {
	t.Parallel()
	bounds := Bounds{Least: -40_000, Most: 125_000, Rate: 500, Slack: 2000, Repeat: 4, Fresh: time.Minute}
	const fail = 1 << 40 // a reading that could not be made
	tests := []struct {
		name  string
		reads []int64 // 10 s apart
		after time.Duration
		want  int64
		err   string
	}{
		{name: "nothing yet", err: "no reading"},
		{name: "the newest", reads: []int64{4000, 4100}, want: 4100},
		{name: "one failure is forgiven", reads: []int64{4000, fail}, want: 4000},
		{name: "two failures are forgiven", reads: []int64{4000, fail, fail}, want: 4000},
		{name: "three are not", reads: []int64{4000, fail, fail, fail}, err: "wire off"},
		{name: "a good one mends", reads: []int64{4000, fail, fail, fail, 4010}, want: 4010},
		{name: "failures from the start", reads: []int64{fail}, err: "wire off"},
		{name: "what cannot be is not believed", reads: []int64{4000, 130_000}, want: 4000},
		{name: "nor when it is the first", reads: []int64{-60_000}, err: "outside"},
		{name: "nor for ever", reads: []int64{4000, 130_000, 130_001, 130_002}, err: "outside"},
		{name: "a jump is not believed", reads: []int64{4000, 60_000}, want: 4000},
		{name: "a jump and back", reads: []int64{4000, 60_000, 4010}, want: 4010},
		{name: "a jump that stays is the world", reads: []int64{4000, 60_000, 60_010, 60_020}, want: 60_020},
		{name: "jumps that disagree are noise", reads: []int64{4000, 60_000, -39_000, 60_000}, err: "faster than can be"},
		{name: "as fast as can be is believed", reads: []int64{4000, 11_000}, want: 11_000},
		{name: "stuck", reads: []int64{4000, 4000, 4000, 4000}, err: "stuck"},
		{name: "not stuck yet", reads: []int64{4000, 4000, 4000}, want: 4000},
		{name: "moving again", reads: []int64{4000, 4000, 4000, 4000, 4001}, want: 4001},
		{name: "old", reads: []int64{4000}, after: 2 * time.Minute, err: "2m0s old"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, now := NewFilter(bounds), time.Unix(1000, 0)
			for _, v := range tt.reads {
				if now = now.Add(10 * time.Second); v == fail {
					f.Fail(errWire)
				} else {
					_ = f.Take(v, v, now)
				}
			}
			got, err := f.Value(now.Add(tt.after))
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("after %d: got %d, %v; want %d, %q", tt.reads, got, err, tt.want, tt.err)
			}
		})
	}
}

// Whatever is fed, a value that is handed out was measured within its time and can be.
func TestFilterHandsOutOnlyWhatWasMeasured(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := Bounds{Least: -10, Most: 100, Rate: rapid.Int64Range(0, 5).Draw(t, "rate"), Slack: 2, Repeat: 5, Fresh: 30 * time.Second}
		f, now := NewFilter(b), time.Unix(0, 0)
		taken := map[int64]time.Time{}
		for range rapid.IntRange(1, 60).Draw(t, "readings") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "wait")) * time.Second)
			v := rapid.Int64Range(-30, 120).Draw(t, "v")
			if rapid.IntRange(0, 5).Draw(t, "fails") == 0 {
				f.Fail(errWire)
			} else {
				_ = f.Take(v, v, now)
				taken[v] = now
			}
			got, err := f.Value(now)
			at, seen := taken[got]
			if err == nil && (got < b.Least || got > b.Most || !seen || now.Sub(at) > b.Fresh) {
				t.Fatalf("%d was handed out: measured %v at %s, now %s", got, seen, at, now)
			}
		}
	})
}
