package agent

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockerfleet/firmware-agent/board/boardtest"
	"lockerfleet/locker"
	"lockerfleet/wire"
)

// letterbox is a channel that refuses its first letters.
type letterbox struct {
	mu     sync.Mutex
	refuse int
	took   []Mail
}

func (l *letterbox) Send(_ context.Context, m Mail) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse > 0 {
		l.refuse--
		return "", errors.New("no carrier")
	}
	l.took = append(l.took, m)
	return "sms", nil
}

func TestRunnerKeepsGoodsWithoutAControlCenter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, d, post := newHub(), boardtest.NewDouble(2), &letterbox{refuse: 1}
		h.refuse = true
		o := options(h, d, memoryJournal(t), "000000000000000a")
		o.Post, o.Memory = post, new(Memory)
		o.Memory.Apply(Record{Own: &OwnRecord{Desired: &wire.Desired{Rev: 1, Own: []wire.OwnDoors{{Size: locker.SizeS, C: []int{1, 2}}}}}})
		r, err := NewRunner(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		d.Spring(1)
		d.Spring(2)
		time.Sleep(time.Minute)
		a, err := r.Ask(t.Context(), Ask{What: wire.AskDeposit, Size: locker.SizeS, Contact: wire.Contact{Phone: "+49300000"}})
		if err != nil || a.Reason != wire.AskOK {
			t.Fatalf("deposit: %+v, %v", a, err)
		}
		time.Sleep(2 * time.Second)
		d.Put(a.C, 800)
		d.SetDoor(a.C, locker.DoorClosed)
		time.Sleep(2 * time.Minute)
		post.mu.Lock()
		if len(post.took) != 1 || post.took[0].Number == "" || post.took[0].C != a.C {
			t.Errorf("letters %+v", post.took)
		}
		post.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := r.Ask(t.Context(), Ask{What: wire.AskJoin}); err == nil {
			t.Error("a bank that stopped answers")
		}
	})
}

func TestClip(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"short": 5, strings.Repeat("a", 300): 117, strings.Repeat("ü", 100): 118} {
		if got := clip(in, 120); len(got) != want || !strings.HasPrefix(in, got) {
			t.Errorf("%d bytes of %.6q: got %d, want %d", len(in), in, len(got), want)
		}
	}
}
