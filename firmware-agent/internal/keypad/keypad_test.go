package keypad

import (
	"errors"
	"math/bits"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/internal/poll"
)

// pad is a keypad of wires: pressed keys join their row and column, without diodes.
type pad struct {
	mu      sync.Mutex
	rows    [4]bool // pulled low
	pressed Contacts
	err     error
	values  int // lines read
}

type (
	padRow struct {
		p *pad
		n int
	}
	padColumn struct {
		p *pad
		n int
	}
)

func (r padRow) SetValue(v int) error {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	r.p.rows[r.n] = v == 1
	return r.p.err
}

// Value follows the current through every pressed key.
func (c padColumn) Value() (int, error) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.values++
	low := c.p.rows
	var columns [3]bool
	for range 4 {
		for r := range 4 {
			for k := range 3 {
				if c.p.pressed&contact(r, k) != 0 && (low[r] || columns[k]) {
					low[r], columns[k] = true, true
				}
			}
		}
	}
	if columns[c.n] {
		return 1, c.p.err
	}
	return 0, c.p.err
}

func (p *pad) press(keys string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pressed = 0
	for _, k := range keys {
		at := strings.IndexRune("123456789*0#", k)
		p.pressed |= contact(at/3, at%3)
	}
}

func (p *pad) break_(err error) { p.mu.Lock(); defer p.mu.Unlock(); p.err = err }

var legend = []string{"123", "456", "789", "*0#"}

func matrix(t *testing.T) (*Matrix, *pad) {
	t.Helper()
	p := &pad{}
	var rows []Row
	var columns []Column
	for i := range 4 {
		rows = append(rows, padRow{p, i})
	}
	for i := range 3 {
		columns = append(columns, padColumn{p, i})
	}
	m, err := NewMatrix(rows, columns, legend)
	if err != nil {
		t.Fatal(err)
	}
	loop := poll.Start(m.Step)
	t.Cleanup(func() { _ = loop.Close() })
	return m, p
}

func typed(m *Matrix) string {
	var got []rune
	for {
		select {
		case k := <-m.Keys():
			got = append(got, k)
		default:
			return string(got)
		}
	}
}

func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		press []string // what is held, 50 ms each
		want  string
	}{
		{name: "each key", press: []string{"1", "", "2", "", "3", "", "4", "", "5", "", "6", "", "7", "", "8", "", "9", "", "*", "", "0", "", "#"}, want: "123456789*0#"},
		{name: "held is once", press: []string{"5", "5", "5"}, want: "5"},
		{name: "twice", press: []string{"5", "", "5"}, want: "55"},
		{name: "rolled from one to the next", press: []string{"1", "12", "2"}, want: "12"},
		{name: "two at once are none", press: []string{"12", "", "3"}, want: "3"},
		{name: "a rectangle has a ghost", press: []string{"1", "12", "124", "12"}, want: "12"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, p := matrix(t)
				for _, keys := range tt.press {
					p.press(keys)
					time.Sleep(50 * time.Millisecond)
				}
				if got := typed(m); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestMatrixBouncesAndBreaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, p := matrix(t)
		time.Sleep(scanPeriod / 2) // each bounce is seen by one scan
		for range 5 {
			p.press("5")
			time.Sleep(scanPeriod)
			p.press("")
			time.Sleep(scanPeriod)
		}
		p.press("5")
		time.Sleep(50 * time.Millisecond)
		if got := typed(m); got != "5" {
			t.Errorf("a bouncing key says %q", got)
		}
		p.break_(errors.New("wire off"))
		time.Sleep(2 * time.Second)
		if m.Err() == nil {
			t.Error("broken lines are not told")
		}
		p.press("")
		p.break_(nil)
		time.Sleep(2 * time.Second)
		p.press("8")
		time.Sleep(50 * time.Millisecond)
		if got := typed(m); got != "8" || m.Err() != nil {
			t.Errorf("mended: %q, %v", got, m.Err())
		}
		p.press("")
		time.Sleep(50 * time.Millisecond)
		p.mu.Lock()
		p.values = 0
		p.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		p.mu.Lock()
		if p.values > 3*21 {
			t.Errorf("%d lines read in 100 ms without a key, want one look at each column a scan", p.values)
		}
		p.mu.Unlock()
		// Nobody takes keys: the newest are dropped.
		for range waitingKeys + 4 {
			p.press("1")
			time.Sleep(50 * time.Millisecond)
			p.press("")
			time.Sleep(50 * time.Millisecond)
		}
		if got := typed(m); len(got) != waitingKeys {
			t.Errorf("%d keys wait, want %d", len(got), waitingKeys)
		}
	})
}

func TestLegendsAreChecked(t *testing.T) {
	t.Parallel()
	for want, l := range map[string][]string{"rows": {"123"}, "names 2 keys": {"123", "45", "789", "*0#"}, "twice": {"123", "451", "789", "*0#"}} {
		if err := CheckLegend(l, 4, 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", l, err, want)
		}
	}
	if err := CheckLegend(nil, 9, 3); err == nil {
		t.Error("nine rows were taken")
	}
}

// Whatever the scans, a key is reported only when two in a row saw it, and never from a ghost.
func TestDebounceReportsWhatWasSeenTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var d Debounce
		var before Contacts
		for range rapid.IntRange(1, 50).Draw(t, "scans") {
			var scan Contacts
			for range rapid.IntRange(0, 4).Draw(t, "keys") {
				scan |= contact(rapid.IntRange(0, 2).Draw(t, "row"), rapid.IntRange(0, 2).Draw(t, "column"))
			}
			got := d.Take(scan)
			if got != 0 && (scan&got == 0 || before&got == 0 || scan.Ghosts() || bits.OnesCount64(uint64(got)) != 1) {
				t.Fatalf("scan %x after %x reported %x", scan, before, got)
			}
			if !scan.Ghosts() {
				before = scan
			}
		}
	})
}

func TestEntry(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		keys  string // a dot is twenty seconds of nothing
		want  board.Code
		lines [2]string
	}{
		{name: "door and code", keys: "12#123456#", want: board.Code{Compartment: 12, Text: "123456"}, lines: [2]string{"Number of your door, then #", ""}},
		{name: "nothing typed", keys: "##*#", lines: [2]string{"Number of your door, then #", ""}},
		{name: "door typed", keys: "12", lines: [2]string{"Number of your door, then #", "12"}},
		{name: "code hidden", keys: "12#987", lines: [2]string{"Code for door 12, then #", "***"}},
		{name: "no code", keys: "12##", lines: [2]string{"Code for door 12, then #", ""}},
		{name: "wrong door cleared", keys: "12*3#1#", want: board.Code{Compartment: 3, Text: "1"}, lines: [2]string{"Number of your door, then #", ""}},
		{name: "wrong code cleared", keys: "3#99*1#", want: board.Code{Compartment: 3, Text: "1"}, lines: [2]string{"Number of your door, then #", ""}},
		{name: "back to the door", keys: "3#9**", lines: [2]string{"Number of your door, then #", "3"}},
		{name: "longest", keys: "12345#1234567890123#", want: board.Code{Compartment: 1234, Text: "123456789012"}, lines: [2]string{"Number of your door, then #", ""}},
		{name: "forgotten", keys: "12#123.456#", lines: [2]string{"Code for door 456, then #", ""}},
		{name: "other keys", keys: "1A2#B9", lines: [2]string{"Code for door 12, then #", "*"}},
		{name: "leading zeros", keys: "007#1#", want: board.Code{Compartment: 7, Text: "1"}, lines: [2]string{"Number of your door, then #", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var e Entry
			var got board.Code
			now := time.Unix(0, 0)
			for _, k := range tt.keys {
				if now = now.Add(time.Second); k == '.' {
					now = now.Add(patience)
					continue
				}
				if c, ok := e.Key(k, now); ok {
					got = c
				}
			}
			if got != tt.want || e.Screen().Lines != tt.lines {
				t.Errorf("%s: got %+v and %q; want %+v and %q", tt.keys, got, e.Screen().Lines, tt.want, tt.lines)
			}
		})
	}
}

type screen struct {
	mu   sync.Mutex
	last board.Screen
	err  error
}

func (s *screen) Show(n board.Screen) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = n
	return s.err
}

func (s *screen) line(i int) string { s.mu.Lock(); defer s.mu.Unlock(); return s.last.Lines[i] }

type keys chan rune

func (k keys) Keys() <-chan rune { return k }

func TestPanel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, k := &screen{}, make(keys)
		p, err := NewPanel(k, d, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		const question = "Number of your door, then #"
		if d.line(0) != question {
			t.Errorf("it begins with %q", d.line(0))
		}
		for _, key := range "12#1234#" {
			k <- key
		}
		if got := <-p.Codes(); got != (board.Code{Compartment: 12, Text: "1234"}) {
			t.Errorf("got %+v", got)
		}
		answer := board.Screen{Lines: [2]string{"Door 12 opens now."}, For: 15 * time.Second}
		if err := p.Show(answer); err != nil {
			t.Error(err)
		}
		time.Sleep(14 * time.Second)
		if d.line(0) != answer.Lines[0] {
			t.Errorf("after 14 s: %q", d.line(0))
		}
		time.Sleep(2 * time.Second)
		if d.line(0) != question {
			t.Errorf("after 16 s: %q", d.line(0))
		}
		if err := p.Show(answer); err != nil {
			t.Error(err)
		}
		k <- '7'
		synctest.Wait()
		if d.line(1) != "7" {
			t.Errorf("the next person sees %q", d.line(1))
		}
		time.Sleep(patience + time.Second)
		if d.line(1) != "" {
			t.Errorf("the person after that sees %q", d.line(1))
		}
		d.mu.Lock()
		d.err = errors.New("display gone")
		d.mu.Unlock()
		for _, key := range "3#9#" {
			k <- key
		}
		if got := <-p.Codes(); got.Compartment != 3 {
			t.Errorf("with a dead display: %+v", got)
		}
		for range 2 {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := NewPanel(make(keys), &screen{err: errors.New("gone")}, time.Now); err == nil {
		t.Error("a panel without a display was made")
	}
}
