package display

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/google/go-cmp/cmp"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/board/boardtest"
	"lockerfleet/firmware-agent/internal/chiptest"
)

var update = flag.Bool("update", false, "write the pictures anew")

// ticket is a QR text of a usual length.
const ticket = "https://locker.example/b/hall-a/3?c=4711"

// screens are what people see in a day.
var screens = map[string]board.Screen{
	"empty":  {},
	"answer": {Lines: [2]string{"Door 3 opens now.", "Pull it if it does not swing open."}},
	"code":   {Code: "481 207", Lines: [2]string{"Type this code at door 12.", "Good for 15 minutes."}},
	"qr":     {Code: "481207", QR: ticket, Lines: [2]string{"Scan to open.", "Door 3"}},
	"long":   {Lines: [2]string{"Door 17 is stuck. Your goods stay locked in.", "The operator is told. Please call the number on this bank."}},
}

func draw(p *Picture) string {
	var b strings.Builder
	for y := 0; y < p.Height; y += 2 {
		for x := range p.Width {
			switch up, down := p.At(x, y), p.At(x, y+1); {
			case up && down:
				b.WriteString("█")
			case up:
				b.WriteString("▀")
			case down:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestPictures(t *testing.T) {
	t.Parallel()
	for name, s := range screens {
		for size, at := range map[string]struct {
			w, h  int
			light bool
		}{"oled32": {128, 32, true}, "oled64": {128, 64, true}, "paper": {250, 122, false}} {
			t.Run(name+" "+size, func(t *testing.T) {
				t.Parallel()
				p, err := Render(s, at.w, at.h, at.light)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join("testdata", name+"-"+size+".txt")
				got := draw(p)
				if *update {
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s: got\n%swant\n%s", path, got, want)
				}
			})
		}
	}
}

// The modules of the code are read back from the page and compared with the code, and what
// surrounds them is bright.
func TestQRCodesAreWhole(t *testing.T) {
	t.Parallel()
	code, err := qr.Encode(ticket, qr.L, qr.Auto)
	if err != nil {
		t.Fatal(err)
	}
	n := code.Bounds().Dx()
	for _, light := range []bool{true, false} {
		p, err := Render(board.Screen{QR: ticket}, paperWidth, paperHeight, light)
		if err != nil {
			t.Fatal(err)
		}
		size := paperHeight / (n + 2*quiet)
		left := paperWidth - paperHeight + (paperHeight-n*size)/2
		top := (paperHeight - n*size) / 2
		for y := -quiet * size; y < (n+quiet)*size; y++ {
			for x := -quiet * size; x < (n+quiet)*size; x++ {
				dark := false
				if x >= 0 && y >= 0 && x < n*size && y < n*size {
					r, _, _, _ := code.At(x/size, y/size).RGBA()
					dark = r == 0
				}
				if p.At(left+x, top+y) != (dark != light) {
					t.Fatalf("light %v: pixel %d,%d of the code is wrong", light, x, y)
				}
			}
		}
	}
	if _, err := Render(board.Screen{QR: strings.Repeat("x", 8000)}, 128, 64, true); err == nil {
		t.Error("a text that fits no code was drawn")
	}
	// A code that cannot be read is left out, and the text has the room.
	p, err := Render(board.Screen{QR: strings.Repeat("x", 500), Lines: [2]string{"Hello"}}, 128, 64, true)
	if err != nil || p.At(127, 0) {
		t.Errorf("a code of one pixel a module was drawn: %v", err)
	}
}

func TestFoldAndWrap(t *testing.T) {
	t.Parallel()
	if got, want := Fold("Tür 3 öffnet – ¡qué! Łódź 日"), "Tuer 3 oeffnet - ?que! Lodz ?"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, tt := range []struct {
		in    string
		width int
		most  int
		want  []string
	}{
		{"Door 3 opens now.", 16, 2, []string{"Door 3 opens", "now."}},
		{"Door 3 opens now.", 16, 1, []string{"Door 3 opens."}},
		{"Donaudampfschiff", 5, 9, []string{"Donau", "dampf", "schif", "f"}},
		{"", 5, 9, nil},
		{"a b", 0, 9, nil},
		{"exactly", 7, 1, []string{"exactly"}},
	} {
		if diff := cmp.Diff(tt.want, Wrap(tt.in, tt.width, tt.most)); diff != "" {
			t.Errorf("%q in %d by %d: %s", tt.in, tt.width, tt.most, diff)
		}
	}
}

func TestLCD(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus, chip := chiptest.NewBus(), &chiptest.LCD{Cols: 16, Rows: 2}
		bus.Put(0x27, chip)
		l, err := NewLCD(bus, 0x27, 16, 2)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"empty": "\n", "answer": "Door 3 opens.\nPull it if it.", "code": "481 207\nType this code.", "qr": "481207\nScan to open.",
		} {
			if err := l.Draw(screens[name]); err != nil {
				t.Error(err)
			}
			if got := chip.Text(); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		bus.Do(chip.Disturb)
		bus.Fail(1)
		if err := l.Draw(screens["answer"]); err == nil {
			t.Error("a failed transfer is not told")
		}
		if err := l.Draw(screens["answer"]); err != nil || chip.Text() != "Door 3 opens.\nPull it if it." {
			t.Errorf("after a disturbance: %q, %v", chip.Text(), err)
		}
	})
	big := chiptest.LCD{Cols: 20, Rows: 4}
	bus := chiptest.NewBus()
	bus.Put(0x3f, &big)
	l, err := NewLCD(bus, 0x3f, 20, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Draw(screens["long"]); err != nil {
		t.Fatal(err)
	}
	if got, want := big.Text(), "Door 17 is stuck.\nYour goods stay\nlocked in.\nThe operator is."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := NewLCD(nil, 0x27, 8, 2); err == nil {
		t.Error("a size that is not known was taken")
	}
}

func TestOLEDShowsWhatWasRendered(t *testing.T) {
	t.Parallel()
	for _, height := range []int{32, 64} {
		bus, chip := chiptest.NewBus(), &chiptest.SSD1306{}
		bus.Put(0x3c, chip)
		o, err := NewOLED(bus, 0x3c, height)
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range screens {
			if err := o.Draw(s); err != nil {
				t.Fatal(err)
			}
			want, err := Render(s, oledWidth, height, true)
			if err != nil {
				t.Fatal(err)
			}
			got := NewPicture(oledWidth, height)
			for y := range height {
				for x := range oledWidth {
					got.fill(x, y, 1, 1, chip.Lit(x, y))
				}
			}
			if draw(got) != draw(want) {
				t.Errorf("%s, %d rows: got\n%swant\n%s", name, height, draw(got), draw(want))
			}
		}
		bus.Dead(true)
		if err := o.Draw(screens["code"]); !errors.Is(err, chiptest.ErrDead) {
			t.Errorf("dead bus: %v", err)
		}
	}
	if _, err := NewOLED(nil, 0x3c, 48); err == nil {
		t.Error("a size that is not known was taken")
	}
}

func TestPaperShowsWhatWasRenderedAndIsNotWornByRepetition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chip := &chiptest.SSD1680{Now: time.Now, Refresh: 2 * time.Second}
		p, err := NewPaper(chip, chip.Command(), chip.Reset(), chip.Busy(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for range 2 {
				if err := p.Draw(screens["qr"]); err != nil {
					t.Fatal(err)
				}
			}
			want, err := Render(screens["qr"], paperWidth, paperHeight, false)
			if err != nil {
				t.Fatal(err)
			}
			got := NewPicture(paperWidth, paperHeight)
			for y := range paperHeight {
				for x := range paperWidth {
					got.fill(x, y, 1, 1, chip.Pixel(x, y))
				}
			}
			if draw(got) != draw(want) {
				t.Errorf("got\n%swant\n%s", draw(got), draw(want))
			}
			if err := p.Draw(screens["answer"]); err != nil {
				t.Fatal(err)
			}
		}
		if n := chip.Drawn(); n != 4 {
			t.Errorf("%d refreshes for 4 pictures", n)
		}
		chip.Hang = true
		if err := p.Draw(screens["code"]); !errors.Is(err, errPaperBusy) {
			t.Errorf("a display that never finishes: %v", err)
		}
	})
}

// slate is a Panel that takes its time.
type slate struct {
	mu    sync.Mutex
	takes time.Duration
	seen  []string
	err   error
}

func (s *slate) Draw(n board.Screen) error {
	<-time.After(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, n.Lines[0])
	return s.err
}

func (s *slate) fail(err error) { s.mu.Lock(); defer s.mu.Unlock(); s.err = err }

func (s *slate) drawn() string { s.mu.Lock(); defer s.mu.Unlock(); return strings.Join(s.seen, ",") }

func text(s string) board.Screen { return board.Screen{Lines: [2]string{s}} }

func TestPainterDrawsTheNewest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slate{takes: 2 * time.Second}
		p := NewPaperPainter("3", s)
		synctest.Wait()
		start := time.Now()
		for _, l := range []string{"a", "b", "c"} {
			if err := p.Show(text(l)); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(start); took > 400*time.Millisecond {
			t.Errorf("showing took %s", took)
		}
		time.Sleep(10 * time.Minute)
		if got := s.drawn(); got != ",c" {
			t.Errorf("drawn %q, want the empty screen and the newest", got)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestPainterClearsWhatWasShownLongEnough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slate{}
		p := NewPaperPainter("3", s)
		answer := text("a")
		answer.For = 15 * time.Second
		_ = p.Show(answer)
		time.Sleep(14 * time.Second)
		if got := s.drawn(); got != "a" && got != ",a" {
			t.Errorf("after 14 s %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := strings.TrimPrefix(s.drawn(), ","); got != "a," {
			t.Errorf("after 16 s %q, want it cleared", got)
		}
		_ = p.Show(answer)
		time.Sleep(10 * time.Second)
		_ = p.Show(text("b")) // stays
		time.Sleep(time.Hour)
		if got := strings.TrimPrefix(s.drawn(), ","); got != "a,,a,b" {
			t.Errorf("an hour later %q", got)
		}
		_ = p.Close()
	})
}

func TestPainterTriesAgainAndRefreshes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("gone")
		if _, err := NewPainter("hall", &slate{err: gone}); !errors.Is(err, gone) || !strings.Contains(err.Error(), "display hall") {
			t.Errorf("a display that is not there: %v", err)
		}
		s := &slate{}
		p, err := NewPainter("hall", s)
		if err != nil {
			t.Fatal(err)
		}
		s.fail(gone)
		_ = p.Show(text("a"))
		synctest.Wait()
		if err := p.Show(text("b")); !errors.Is(err, gone) {
			t.Errorf("a display that fails says %v", err)
		}
		synctest.Wait()
		s.fail(nil)
		time.Sleep(retryAfter + time.Second)
		if got := s.drawn(); got != ",a,b,b" {
			t.Errorf("drawn %q", got)
		}
		time.Sleep(refreshAfter)
		if got := s.drawn(); got != ",a,b,b,b" {
			t.Errorf("a minute later %q", got)
		}
		for range 2 {
			_ = p.Close()
		}
	})
}

// FuzzRender draws outside texts on every size.
func FuzzRender(f *testing.F) {
	f.Add("481207", ticket, "Door 3", "Ä")
	f.Fuzz(func(t *testing.T, code, qrText, a, b string) {
		if len(qrText) > 300 {
			return
		}
		s := board.Screen{Code: code, QR: qrText, Lines: [2]string{a, b}}
		for _, h := range []int{32, 64, paperHeight} {
			_, _ = Render(s, 128, h, h < 100) // an error is an answer
		}
		l := &LCD{cols: 16, rows: 2}
		for _, row := range l.Text(s) {
			if len(row) != 16 || strings.ContainsFunc(row, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("row %q", row)
			}
		}
	})
}

func TestDisplaysPassTheSuite(t *testing.T) {
	t.Parallel()
	bus := chiptest.NewBus()
	lcd, oled := &chiptest.LCD{Cols: 16, Rows: 2}, &chiptest.SSD1306{}
	bus.Put(0x27, lcd)
	bus.Put(0x3c, oled)
	t.Run("lcd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, err := NewLCD(bus, 0x27, 16, 2)
			if err != nil {
				t.Fatal(err)
			}
			p, err := NewPainter("lcd", l)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = p.Close() }()
			boardtest.RunDisplay(t, p, func() (s string) { bus.Do(func() { s = lcd.Text() }); return s }, func() { time.Sleep(time.Second) })
		})
	})
	t.Run("oled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, err := NewOLED(bus, 0x3c, 64)
			if err != nil {
				t.Fatal(err)
			}
			p, err := NewPainter("oled", o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = p.Close() }()
			boardtest.RunDisplay(t, p, func() (s string) { bus.Do(func() { s = seen(oledWidth, 64, oled.Lit) }); return s }, synctest.Wait)
		})
	})
	t.Run("paper", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			chip := &chiptest.SSD1680{Now: time.Now, Refresh: 2 * time.Second}
			paper, err := NewPaper(chip, chip.Command(), chip.Reset(), chip.Busy(), 4096)
			if err != nil {
				t.Fatal(err)
			}
			p := NewPaperPainter("paper", paper)
			defer func() { _ = p.Close() }()
			boardtest.RunDisplay(t, p, func() string { return seen(paperWidth, paperHeight, chip.Pixel) }, func() { time.Sleep(4500 * time.Millisecond) })
		})
	})
}

// seen draws what a person sees.
func seen(w, h int, lit func(x, y int) bool) string {
	p := NewPicture(w, h)
	for y := range h {
		for x := range w {
			p.fill(x, y, 1, 1, lit(x, y))
		}
	}
	return draw(p)
}
