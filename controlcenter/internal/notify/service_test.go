package notify_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/notify"
	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
	"lockerfleet/internal/fault"
	"lockerfleet/internal/ident"
	"lockerfleet/locker"
)

// world is everything around the room: a clock, a mail server, a receiver of webhooks.
type world struct {
	mu       sync.Mutex
	now      time.Time
	letters  []notify.Letter
	posts    []notify.Post
	mailErr  error
	postErr  map[string]error // by address
	noHook   bool
	deadCode bool
	asked    int           // times a code was made
	came     chan struct{} // a message arrived; may be nil
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) Send(_ context.Context, l notify.Letter) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.letters = append(w.letters, l)
	return w.mailErr
}

func (w *world) Post(_ context.Context, p notify.Post) error {
	w.mu.Lock()
	err := w.postErr[p.URL]
	w.posts = append(w.posts, p)
	came := w.came
	w.mu.Unlock()
	if came != nil {
		came <- struct{}{}
	}
	return err
}

func (w *world) Code(_ context.Context, g locker.GrantID) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked++; w.deadCode {
		return "", fault.Conflictf("grant_ended", "The grant %q has ended.", g)
	}
	return "481516", nil
}

func (w *world) TicketPNG(context.Context, locker.GrantID) ([]byte, error) { return []byte("png"), nil }

func (w *world) Place(_ context.Context, b locker.BankID) (notify.Place, error) {
	return notify.Place{Bank: "Bank " + string(b), Site: "Central\r\nStation", Address: "1 Main Street"}, nil
}

func (w *world) Webhook(_ context.Context, p locker.PartnerID) (string, []byte, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "https://" + string(p) + ".example/hook", []byte("secret of " + p), !w.noHook, nil
}

type room struct {
	*notify.Service
	*world
	db *store.DB
}

func onEach(t *testing.T, test func(t *testing.T, r room)) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB, ...storetest.Option) *store.DB{"sqlite": storetest.New, "postgresql": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			w := &world{now: noon, postErr: map[string]error{}}
			test(t, newRoom(open(t, storetest.Clock(w.Now)), w))
		})
	}
}

// onOne runs a test whose subject is no SQL on SQLite alone.
func onOne(t *testing.T, test func(t *testing.T, r room)) {
	t.Parallel()
	w := &world{now: noon, postErr: map[string]error{}}
	test(t, newRoom(storetest.New(t, storetest.Clock(w.Now)), w))
}

func newRoom(db *store.DB, w *world) room {
	s := notify.New(db.Notify(), notify.Deps{Mailer: w, Poster: w, Codes: w, Places: w, Webhooks: w}, notify.Options{
		Now: w.Now, IDs: ident.New(w.Now, rand.Reader), Jitter: func() float64 { return 0 },
	})
	return room{s, w, db}
}

func (r room) hear(t *testing.T, id string, f event.Fact) {
	t.Helper()
	if err := r.OnFact(t.Context(), event.Record{ID: id, PartnerSeq: 7, Fact: f}); err != nil {
		t.Fatalf("OnFact %s: %v", id, err)
	}
}

func (r room) sweep(t *testing.T) time.Time {
	t.Helper()
	next, err := r.Sweep(t.Context())
	if err != nil {
		t.Fatalf("Sweep: %v", err)
	}
	return next
}

func (r room) states(t *testing.T) map[string]notify.State {
	t.Helper()
	all, _, err := r.Notices(t.Context(), notify.Filter{}, "", 200)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]notify.State{}
	for _, n := range all {
		states[n.Cause+" "+string(n.Template)] = n.State()
	}
	return states
}

// told lists the facts the room has emitted since the last call.
func (r room) told(t *testing.T) []string {
	t.Helper()
	all, err := storetest.Facts(t.Context(), r.db)
	if err != nil {
		t.Fatal(err)
	}
	facts := []string{}
	for _, d := range all {
		f, err := event.Decode(event.Kind(d.Event.Type), d.Event.Data)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%s %s", f.Kind(), f.What().Cause)
		if up, ok := f.(event.NoticeGivenUp); ok {
			text += ": " + up.Reason
		}
		facts = append(facts, text)
	}
	return facts
}

func about(parcel locker.ParcelID, partner locker.PartnerID) event.About {
	return event.About{Site: "s1", Bank: "b1", No: 7, Parcel: parcel, Partner: partner, Ref: "ref-" + string(parcel), At: noon}
}

func reserved(p locker.ParcelID) event.Fact {
	return event.ParcelReserved{About: about(p, ""), Courier: event.Person{Name: "Carl Courier", Email: "carl@example.org"}, Grant: "g-dep", Expires: noon.Add(2 * time.Hour)}
}

func stored(p locker.ParcelID) event.Fact {
	return event.ParcelStored{About: about(p, ""), Recipient: event.Person{Name: "Anna Maria Müller", Email: "anna@example.org"}, Grant: "g-col", Keep: noon.Add(72 * time.Hour)}
}

func collected(p locker.ParcelID) event.Fact {
	return event.ParcelCollected{About: about(p, ""), Recipient: event.Person{Name: "Anna Maria Müller", Email: "anna@example.org"}}
}

func TestLettersOfAParcel(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		for _, f := range []event.Fact{reserved("p1"), stored("p1"), event.ParcelOverdue{About: about("p1", "")}, collected("p1")} {
			r.hear(t, "e-"+string(f.Kind()), f)
			r.sweep(t)
			r.pass(time.Minute)
		}
		if len(r.letters) != 4 {
			t.Fatalf("%d letters, want 4", len(r.letters))
		}
		wants := []struct {
			to, subject string
			has         []string
			code        bool
		}{
			{"carl@example.org", "Compartment 7 is reserved at Central Station, Bank b1", []string{"Hello Carl C.,", "1 Main Street", "Compartment:  7", "Sun 22 Nov 2026 14:00 UTC", "ref-p1"}, true},
			{"anna@example.org", "Your parcel is ready at Central Station, Bank b1", []string{"Hello Anna M.,", "Compartment:  7", "Wed 25 Nov 2026 12:00 UTC"}, true},
			{"anna@example.org", "Your parcel is still waiting at Central Station, Bank b1", []string{"Hello Anna M.,", "Wed 25 Nov 2026 12:00 UTC"}, true},
			{"anna@example.org", "Your parcel was collected at Central Station, Bank b1", []string{"Hello Anna M.,", "Sun 22 Nov 2026 12:00 UTC"}, false},
		}
		for i, want := range wants {
			l := r.letters[i]
			if l.To != want.to || l.Subject != want.subject || l.Parcel != "p1" {
				t.Errorf("letter %d to %s: %q, want to %s: %q", i, l.To, l.Subject, want.to, want.subject)
			}
			for _, part := range want.has {
				if !strings.Contains(l.Text, part) {
					t.Errorf("letter %d lacks %q:\n%s", i, part, l.Text)
				}
			}
			if strings.Contains(l.Text, "481516") != want.code || strings.Contains(l.Subject, "481516") {
				t.Errorf("letter %d: the code stands at the wrong place:\n%s\n%s", i, l.Subject, l.Text)
			}
			if strings.Contains(l.Text, "Müller") || strings.Contains(l.Text, "http") || strings.Contains(l.Text, "<no value>") {
				t.Errorf("letter %d holds a full name, a link or a gap:\n%s", i, l.Text)
			}
		}
		want := []string{"notice.sent e-parcel.reserved", "notice.sent e-parcel.stored", "notice.sent e-parcel.overdue", "notice.sent e-parcel.collected"}
		var told []string
		for range want {
			told = append(told, r.told(t)...) // one of a bank at a time
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
	})
}

func TestCodesAreNotStored(t *testing.T) {
	onOne(t, func(t *testing.T, r room) {
		r.hear(t, "e1", stored("p1"))
		if r.asked != 0 {
			t.Error("the code was made when the notice was queued")
		}
		r.mailErr = errors.New("554 no: 481516 is in your letter, I repeat it")
		for range 2 {
			r.sweep(t)
			all, _, err := r.Notices(t.Context(), notify.Filter{}, "", 0)
			if err != nil || len(all) != 1 {
				t.Fatal(len(all), err)
			}
			if row, _ := json.Marshal(all[0]); strings.Contains(string(row), "481516") || !strings.Contains(string(row), "554 no") {
				t.Errorf("the row holds the code, or not what the server said: %s", row)
			}
			r.pass(time.Minute)
		}
		if r.asked != 2 {
			t.Errorf("the code was made %d times, want at each try", r.asked)
		}
	})
}

func TestSameFactTwice(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		f := event.ParcelStored{About: about("p1", "shop"), Recipient: event.Person{Email: "anna@example.org"}, Grant: "g", Keep: noon.Add(time.Hour)}
		for range 3 {
			r.hear(t, "e1", f)
		}
		r.sweep(t)
		r.hear(t, "e1", f)
		r.sweep(t)
		if len(r.letters) != 1 || len(r.posts) != 1 {
			t.Errorf("%d letters and %d webhooks, want one each", len(r.letters), len(r.posts))
		}
	})
}

func TestNobodyToTell(t *testing.T) {
	onOne(t, func(t *testing.T, r room) {
		r.noHook = true
		r.hear(t, "e1", event.ParcelStored{About: about("p1", "shop"), Grant: "g"})
		r.hear(t, "e2", event.ParcelOverdue{About: about("p1", "shop")})
		r.hear(t, "e3", event.BankOnline{About: event.About{Bank: "b1"}})
		r.sweep(t)
		if states := r.states(t); len(states) != 0 {
			t.Errorf("queued %v, want nothing", states)
		}
	})
}

func TestRetryUntilTaken(t *testing.T) {
	onOne(t, func(t *testing.T, r room) {
		r.hear(t, "e1", stored("p1"))
		r.mailErr = errors.New("connection refused")
		for _, wait := range []time.Duration{5, 10, 20, 40} {
			next := r.sweep(t)
			if got := next.Sub(r.Now()); got != wait*time.Second {
				t.Fatalf("next try in %v, want %v", got, wait*time.Second)
			}
			r.pass(wait*time.Second - time.Millisecond)
			before := len(r.letters)
			r.sweep(t)
			if len(r.letters) != before {
				t.Fatal("tried too early")
			}
			r.pass(time.Millisecond)
		}
		r.mailErr = nil
		r.sweep(t)
		if len(r.letters) != 5 {
			t.Fatalf("%d tries, want 5", len(r.letters))
		}
		for _, l := range r.letters {
			if l.ID != r.letters[0].ID || l.ID == "" {
				t.Errorf("Message-ID %q, then %q, want the same", r.letters[0].ID, l.ID)
			}
		}
		if diff := cmp.Diff([]string{"notice.sent e1"}, r.told(t)); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
	})
}

func TestGiveUp(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		r.hear(t, "e1", stored("p1"))
		r.mailErr = errors.New("connection refused")
		for range 600 { // 50 hours
			r.sweep(t)
			r.pass(5 * time.Minute)
		}
		if len(r.letters) != notify.MaxAttempts {
			t.Errorf("%d tries, want %d", len(r.letters), notify.MaxAttempts)
		}
		if diff := cmp.Diff([]string{"notice.given_up e1: connection refused"}, r.told(t)); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}

		all, _, err := r.Notices(t.Context(), notify.Filter{State: notify.GivenUp, Parcel: "p1"}, "", 0)
		if err != nil || len(all) != 1 {
			t.Fatalf("given up: %d, %v", len(all), err)
		}
		r.mailErr = nil
		if _, err := r.Resend(t.Context(), all[0].ID); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Resend(t.Context(), all[0].ID); fault.CodeOf(err) != "notice_waiting" {
			t.Errorf("resent twice: %v", err)
		}
		r.sweep(t)
		last := r.letters[len(r.letters)-1]
		if last.ID == r.letters[0].ID {
			t.Error("a letter sent anew on purpose has the Message-ID of the old one, and would be dropped")
		}
		if diff := cmp.Diff([]string{"notice.sent e1"}, r.told(t)); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
		if _, err := r.Resend(t.Context(), "ntc-nothing"); !errors.Is(err, fault.NotFound) {
			t.Errorf("resend of nothing: %v", err)
		}
	})
}

func TestWhatIsNoLongerTrueIsNotSent(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		r.mailErr = errors.New("connection refused")
		r.hear(t, "e1", reserved("p1"))
		r.hear(t, "e2", reserved("p2"))
		r.sweep(t)
		r.hear(t, "e3", stored("p1"))
		r.sweep(t)
		r.hear(t, "e4", collected("p1"))
		r.hear(t, "e5", event.ParcelCancelled{About: about("p2", "")})
		r.mailErr, r.letters = nil, nil
		r.pass(time.Minute)
		r.sweep(t)
		if len(r.letters) != 1 || !strings.Contains(r.letters[0].Subject, "was collected") {
			t.Errorf("letters %+v, want only that of the collection", r.letters)
		}
		want := map[string]notify.State{
			"e1 courier_reserved": notify.GivenUp, "e2 courier_reserved": notify.GivenUp,
			"e3 parcel_stored": notify.GivenUp, "e4 parcel_collected": notify.Sent,
		}
		if diff := cmp.Diff(want, r.states(t)); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

func TestDeadCodes(t *testing.T) {
	onOne(t, func(t *testing.T, r room) {
		r.deadCode = true
		r.hear(t, "e1", stored("p1"))
		r.sweep(t)
		r.deadCode = false
		r.hear(t, "e2", reserved("p2"))
		r.pass(2 * time.Hour)
		r.sweep(t)
		if len(r.letters) != 0 {
			t.Errorf("sent %d letters with codes that open nothing", len(r.letters))
		}
		want := map[string]notify.State{"e1 parcel_stored": notify.GivenUp, "e2 courier_reserved": notify.GivenUp}
		if diff := cmp.Diff(want, r.states(t)); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

func TestPruneForgetsAddresses(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		r.hear(t, "e1", stored("p1"))
		r.sweep(t)
		r.pass(notify.Keep)
		r.sweep(t)
		if len(r.states(t)) != 1 {
			t.Error("forgotten too early")
		}
		r.pass(time.Minute)
		r.sweep(t)
		if states := r.states(t); len(states) != 0 {
			t.Errorf("kept %v", states)
		}
	})
}

func TestPagesOfNotices(t *testing.T) {
	onEach(t, func(t *testing.T, r room) {
		for i := range 7 {
			r.hear(t, fmt.Sprintf("e%d", i), stored(locker.ParcelID(fmt.Sprintf("p%d", i))))
		}
		var got []string
		for cursor := ""; ; {
			page, next, err := r.Notices(t.Context(), notify.Filter{Channel: notify.Mail, State: notify.Waiting}, cursor, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range page {
				got = append(got, n.Cause)
			}
			if cursor = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff([]string{"e6", "e5", "e4", "e3", "e2", "e1", "e0"}, got); diff != "" {
			t.Errorf("notices (-want +got):\n%s", diff)
		}
	})
}
