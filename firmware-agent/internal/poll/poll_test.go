package poll

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestStepsRunWhenTheyAskedTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fast, slow int
		l := Start(
			func(time.Time) time.Duration { fast++; return 10 * time.Millisecond },
			func(time.Time) time.Duration { slow++; return time.Second },
		)
		time.Sleep(time.Second + 5*time.Millisecond)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if fast != 101 || slow != 2 {
			t.Errorf("in a second: %d and %d steps, want 101 and 2", fast, slow)
		}
		time.Sleep(time.Minute)
		if fast != 101 {
			t.Error("a step ran after close")
		}
		if err := l.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
	})
}

func TestAGreedyStepLeavesTimeToTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var greedy, other int
		l := Start(
			func(time.Time) time.Duration { greedy++; return -time.Hour },
			func(time.Time) time.Duration { other++; return 5 * time.Millisecond },
		)
		time.Sleep(100*time.Millisecond + time.Microsecond)
		_ = l.Close()
		if greedy > 102 || other < 20 {
			t.Errorf("in 100 ms: %d greedy steps and %d others, want at most 102 and at least 20", greedy, other)
		}
	})
}

func TestALoopWithoutStepsCloses(t *testing.T) {
	t.Parallel()
	if err := Start().Close(); err != nil {
		t.Error(err)
	}
}
