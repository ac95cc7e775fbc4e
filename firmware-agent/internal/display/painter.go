// Package display shows text, codes and QR codes to people: on text displays (HD44780 behind a
// PCF8574), OLEDs (SSD1306) and electronic paper (SSD1680).
//
// All of them are slow, paper takes seconds, so a Painter draws on a goroutine of its own and
// always the newest screen. Text is written in ASCII, which is what all of them have; letters
// with accents lose them. What is shown may be secret and is not logged.
package display

import (
	"fmt"
	"sync"
	"time"

	"lockerfleet/firmware-agent/board"
)

// Panel is a display that can be drawn on.
type Panel interface {
	// Draw shows a screen and returns when it is shown. It sets the display up first when that
	// has to be done, also after an earlier Draw has failed.
	Draw(board.Screen) error
}

// retryAfter is how long after a failure the newest screen is drawn again; refreshAfter how long
// after a success, for displays that have lost it. Paper is not refreshed, it keeps what it
// shows and wears.
const (
	retryAfter   = 5 * time.Second
	refreshAfter = time.Minute
	forever      = 1000 * time.Hour
)

// Painter is a board.Display that draws on its own goroutine. It ends with Close.
type Painter struct {
	name  string
	panel Panel
	keeps bool
	wake  chan struct{}
	stop  chan struct{}
	done  sync.WaitGroup
	once  sync.Once

	mu     sync.Mutex
	newest board.Screen
	until  time.Time // when newest has been shown long enough; zero when it stays
	err    error
}

// NewPainter draws an empty screen, which finds out whether the display is there, and then
// whatever is shown. name is what errors call it.
func NewPainter(name string, panel Panel) (*Painter, error) {
	if err := panel.Draw(board.Screen{}); err != nil {
		return nil, fmt.Errorf("display %s: %w", name, err)
	}
	p := newPainter(name, panel)
	p.done.Go(p.run)
	return p, nil
}

// NewPaperPainter is NewPainter for a display that keeps its picture and takes seconds to draw
// one: it is cleared on the goroutine, so a bank with many starts in time.
func NewPaperPainter(name string, panel Panel) *Painter {
	p := newPainter(name, panel)
	p.keeps = true
	p.wake <- struct{}{}
	p.done.Go(p.run)
	return p
}

func newPainter(name string, panel Panel) *Painter {
	return &Painter{name: name, panel: panel, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// Show replaces what is shown and returns at once. When the time of the screen is over the display
// is cleared. The error is that of the last drawing: the display may show nothing.
func (p *Painter) Show(s board.Screen) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest, p.until = s, time.Time{}
	if s.For > 0 {
		p.until = time.Now().Add(s.For)
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return p.err
}

// Close ends the goroutine, when what it draws is drawn. Later calls do nothing.
func (p *Painter) Close() error {
	p.once.Do(func() { close(p.stop) })
	p.done.Wait()
	return nil
}

func (p *Painter) run() {
	again := time.NewTimer(refreshAfter)
	defer again.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-p.wake:
		case <-again.C:
		}
		again.Reset(p.rest(p.draw()))
	}
}

// rest is how long to do nothing after a drawing that ended with err.
func (p *Painter) rest(err error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := refreshAfter
	switch {
	case err != nil:
		rest = retryAfter
	case p.keeps:
		rest = forever
	}
	if !p.until.IsZero() {
		rest = min(rest, max(0, time.Until(p.until)))
	}
	return rest
}

func (p *Painter) draw() error {
	p.mu.Lock()
	if !p.until.IsZero() && !time.Now().Before(p.until) {
		p.newest, p.until = board.Screen{}, time.Time{}
	}
	s := p.newest
	p.mu.Unlock()
	err := p.panel.Draw(s)
	if err != nil {
		err = fmt.Errorf("display %s: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	return err
}
