package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockerfleet/controlcenter/internal/store"
	"lockerfleet/controlcenter/internal/store/storetest"
)

func TestOpenRefusesANewerSchema(t *testing.T) {
	t.Parallel()
	urls := map[string]func(t *testing.T) string{
		"sqlite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "a b?%41#.db") },
		"postgresql": func(t *testing.T) string { return storetest.PostgresURL(t) },
	}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			opts := store.Options{URL: url(t)}
			for range 2 { // the second time there is nothing to migrate
				db, err := store.Open(t.Context(), opts)
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			db, err := store.Open(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.SchemaVersion(t.Context(), 99_999), db.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(t.Context(), opts); !errors.Is(err, store.ErrNewerSchema) {
				t.Errorf("Open = %v, want %v", err, store.ErrNewerSchema)
			}
		})
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                `begins with ""`,
		"mysql://x":                       `begins with "mysql"`,
		"sqlite:":                         "names no file",
		"sqlite:/dev/null/x/y":            "not a directory",
		"postgres://127.0.0.1:1/x?port=y": "parse",
	} {
		_, err := store.Open(t.Context(), store.Options{URL: url})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q) = %v, want %q in it", url, err, want)
		}
	}
}

// A single-threaded caller with a fixed clock and counted ids gets the same
// rows every time.
func TestInlineIsDeterministic(t *testing.T) {
	t.Parallel()
	run := func() []store.Event {
		ids, now := 0, time.Unix(1_900_000_000, 0)
		db := storetest.Memory(t, storetest.Clock(func() time.Time { now = now.Add(time.Millisecond); return now }),
			func(o *store.Options) { o.NewID = func() string { ids++; return fmt.Sprint("evt_", ids) } })
		for i := range 50 {
			emit(t, db, store.Event{Bank: fmt.Sprint("b", i%3)}, store.Event{Partner: fmt.Sprint("p", i%2)})
			if i%4 == 0 {
				term := begin(t, db, fmt.Sprint("term", i))
				for _, d := range term.read() {
					term.settle(store.Settlement{Failed: []store.Failure{{ID: d.ID, Attempt: d.Attempt, Until: now, Cause: "again"}}})
				}
			}
		}
		return follow(t, db, 100)
	}
	if diff := cmp.Diff(run(), run()); diff != "" {
		t.Errorf("two runs differ (-first +second):\n%s", diff)
	}
}

// A named database in memory outlives the DB that wrote it while another one is open.
func TestNamedMemoryIsShared(t *testing.T) {
	t.Parallel()
	url := "sqlite::memory:" + t.Name()
	open := func() *store.DB {
		db, err := store.Open(t.Context(), store.Options{URL: url, Inline: true})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	first, second := open(), open()
	write := func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO leases (name, owner, until_ms) VALUES ('a', 'b', 1)`)
		return err
	}
	if err := errors.Join(first.Update(t.Context(), write), first.Close()); err != nil {
		t.Fatal(err)
	}
	count := func(db *store.DB) (n int64) {
		err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			n, _, err = store.One(tx, store.Value[int64], `SELECT COUNT(*) FROM leases`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := count(second); got != 1 {
		t.Errorf("the second DB sees %d rows, want 1", got)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	last := open()
	defer last.Close()
	if got := count(last); got != 0 {
		t.Errorf("a DB opened after the last was closed sees %d rows, want 0", got)
	}
}
