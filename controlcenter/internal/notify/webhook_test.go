package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/notify"
	"lockerfleet/controlcenter/internal/store/storetest"
	"lockerfleet/locker"
)

func doubtful(p locker.ParcelID, partner locker.PartnerID) event.Fact {
	return event.ParcelDoubtful{About: about(p, partner), Reason: "scale and eye disagree"}
}

func (w *world) postIDs() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := []string{}
	for _, p := range w.posts {
		ids = append(ids, p.Headers["webhook-id"])
	}
	return ids
}

func TestWebhook(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		r.hear(t, "evt_1", doubtful("p1", "shop"))
		r.postErr["https://shop.example/hook"] = errors.New("connection refused")
		r.sweep(t)
		r.postErr = nil
		r.pass(5 * time.Second)
		r.sweep(t)
		if len(r.posts) != 2 {
			t.Fatalf("%d posts, want 2", len(r.posts))
		}
		for i, p := range r.posts {
			if !verify([]byte("secret of shop"), func(name string) string { return p.Headers[name] }, p.Body) {
				t.Errorf("post %d is not signed: %v", i, p.Headers)
			}
			if p.Headers["webhook-id"] != "evt_1" {
				t.Errorf("post %d has id %s, want that of the fact", i, p.Headers["webhook-id"])
			}
		}
		if r.posts[0].Headers["webhook-timestamp"] == r.posts[1].Headers["webhook-timestamp"] {
			t.Error("the second try carries the time of the first")
		}
		var got, want any
		if err := json.Unmarshal(r.posts[1].Body, &got); err != nil {
			t.Fatal(err)
		}
		_ = json.Unmarshal([]byte(`{"type":"parcel.doubtful","timestamp":"2026-11-22T12:00:00Z","data":{"id":"evt_1","seq":7,
			"ref":"ref-p1","parcel":"p1","site":"s1","bank":"b1","compartment":7,"reason":"scale and eye disagree"}}`), &want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
		told, err := storetest.Facts(t.Context(), r.db)
		if err != nil || len(told) != 1 || told[0].Event.Partner != "" {
			t.Errorf("told %+v, %v, want one fact that is not in the partner's own log", told, err)
		}
	})
}

func TestWebhooksOfAPartnerKeepTheirOrder(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		r.postErr["https://shop.example/hook"] = errors.New("connection refused")
		for i := range 3 {
			r.hear(t, fmt.Sprintf("s%d", i), doubtful("p1", "shop"))
			r.hear(t, fmt.Sprintf("c%d", i), doubtful("p2", "carrier"))
		}
		for range 3 {
			r.sweep(t)
		}
		if diff := cmp.Diff([]string{"s0", "c0", "c1", "c2"}, r.postIDs()); diff != "" {
			t.Fatalf("while the shop is away (-want +got):\n%s", diff)
		}
		r.postErr, r.posts = nil, nil
		r.pass(5 * time.Second)
		for range 3 {
			r.sweep(t)
		}
		if diff := cmp.Diff([]string{"s0", "s1", "s2"}, r.postIDs()); diff != "" {
			t.Errorf("when it is back (-want +got):\n%s", diff)
		}
	})
}

func TestReceiverThatIsGone(t *testing.T) {
	onOne(t, func(t *testing.T, r room) {
		r.postErr["https://shop.example/hook"] = &notify.Failure{Permanent: true, Err: errors.New("410 Gone")}
		r.hear(t, "e1", doubtful("p1", "shop"))
		r.sweep(t)
		r.hear(t, "e2", doubtful("p1", "shop"))
		r.noHook = true
		r.sweep(t)
		want := map[string]notify.State{"e1 partner_event": notify.GivenUp, "e2 partner_event": notify.GivenUp}
		if diff := cmp.Diff(want, r.states(t)); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

// afterDeath lets a process die after it has sent notice e1 and before it noted so, and answers the
// one that follows it.
func afterDeath(t *testing.T, r room) room {
	t.Helper()
	ctx, die := context.WithCancel(t.Context())
	r.hear(t, "e1", doubtful("p1", "shop"))
	r.postErr["https://shop.example/hook"] = errors.New("cut in the middle of the answer")
	r.came = make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = r.Sweep(ctx) // it dies: what it answers is nobody's
	}()
	waitFor(t, func() bool { return len(r.postIDs()) == 1 })
	die()
	<-r.came
	<-ended
	r.came, r.postErr = nil, nil
	return newRoom(r.db, r.world)
}

// A process that dies after sending and before noting it: the next one sends again, under the
// same id, and only after the lease.
func TestDeathBetweenSendingAndNoting(t *testing.T) {
	onOne(t, func(t *testing.T, r room) {
		next := afterDeath(t, r)
		r.pass(notify.FirstDelay) // a try that was cut off by the stop is not one that failed
		next.sweep(t)
		if got := r.postIDs(); len(got) != 1 {
			t.Fatalf("posted %v before the lease had ended", got)
		}
		r.pass(notify.Lease)
		next.sweep(t)
		if diff := cmp.Diff([]string{"e1", "e1"}, r.postIDs()); diff != "" {
			t.Errorf("posts (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"notice.sent e1"}, r.told(t)); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
	})
}

func TestWhatADeadProcessHadClaimedIsSentWhenTheNextOneStarts(t *testing.T) {
	onOne(t, func(t *testing.T, r room) {
		next := afterDeath(t, r)
		if err := next.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		next.sweep(t)
		if diff := cmp.Diff([]string{"e1", "e1"}, r.postIDs()); diff != "" {
			t.Errorf("posts (-want +got):\n%s", diff)
		}
	})
}

// A try that outlived its lease has no say in what became of the notice since.
func TestLateTry(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		r.hear(t, "e1", doubtful("p1", "shop"))
		r.postErr["https://shop.example/hook"] = errors.New("connection refused")
		came := make(chan struct{})
		r.came = came
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = r.Sweep(t.Context())
		}()
		waitFor(t, func() bool { return len(r.postIDs()) == 1 })
		r.pass(notify.Lease)
		r.mu.Lock()
		r.came = nil
		r.mu.Unlock()
		next := newRoom(r.db, r.world)
		if at := next.sweep(t); at.Sub(r.Now()) != 10*time.Second {
			t.Fatalf("the second try leads to another in %v, want 10 s", at.Sub(r.Now()))
		}
		<-came
		<-ended
		if at := next.sweep(t); at.Sub(r.Now()) != 10*time.Second {
			t.Errorf("after the late try has ended: next in %v, want 10 s", at.Sub(r.Now()))
		}
	})
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatal("waited for 20 s")
		}
	}
}

func TestRun(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		ctx, stop := context.WithCancel(t.Context())
		r.came = make(chan struct{}, 100)
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		for i := range 20 {
			r.hear(t, fmt.Sprintf("a%02d", i), doubtful("p1", "shop"))
			r.hear(t, fmt.Sprintf("b%02d", i), doubtful("p2", "carrier"))
		}
		for range 40 {
			select {
			case <-r.came:
			case <-time.After(20 * time.Second):
				t.Fatalf("only %v came", r.postIDs())
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		last := map[byte]string{}
		for _, id := range r.postIDs() {
			if id <= last[id[0]] {
				t.Errorf("%s came after %s", id, last[id[0]])
			}
			last[id[0]] = id
		}
		for id, state := range r.states(t) {
			if state != notify.Sent {
				t.Errorf("%s is %s after Run has ended", id, state)
			}
		}
	})
}

// A notice sent anew by hand waits for its lane, and what was waiting in the lane goes on when
// its first is taken back.
func TestLaneGoesOn(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		r.hear(t, "e1", reserved("p1"))
		r.hear(t, "e2", event.ParcelReserved{About: about("p1", ""), Courier: event.Person{Email: "carl@example.org"}, Grant: "g2", Expires: noon.Add(time.Hour)})
		r.hear(t, "e3", doubtful("p1", "shop"))
		r.sweep(t)
		if len(r.letters) != 1 || r.letters[0].To != "carl@example.org" {
			t.Fatalf("letters %+v, want one, for the second door", r.letters)
		}
		r.postErr["https://shop.example/hook"] = errors.New("connection refused")
		r.hear(t, "e4", doubtful("p1", "shop"))
		r.hear(t, "e5", doubtful("p1", "shop"))
		r.sweep(t)
		sent, _, err := r.Notices(t.Context(), notify.Filter{Channel: notify.Webhook, State: notify.Sent}, "", 0)
		if err != nil || len(sent) != 1 {
			t.Fatalf("sent %+v, %v", sent, err)
		}
		if _, err := r.Resend(t.Context(), sent[0].ID); err != nil {
			t.Fatal(err)
		}
		r.sweep(t)
		if diff := cmp.Diff([]string{"e3", "e4"}, r.postIDs()); diff != "" {
			t.Errorf("while the lane is busy (-want +got):\n%s", diff)
		}
		r.postErr = nil
		r.pass(5 * time.Second)
		for range 4 {
			r.sweep(t)
		}
		if diff := cmp.Diff([]string{"e3", "e4", "e4", "e3", "e5"}, r.postIDs()); diff != "" {
			t.Errorf("at the end (-want +got):\n%s", diff)
		}
	})
}
