package keypad

import (
	"sync"
	"time"

	"lockerfleet/firmware-agent/board"
)

const waitingCodes = 4

// tick is how often a panel looks whether something has been shown or typed for long enough.
const tick = 500 * time.Millisecond

// Panel is a board.Panel of a keypad and a text display. Its goroutine ends with Close.
type Panel struct {
	keys    <-chan rune
	display board.Display
	now     func() time.Time
	codes   chan board.Code
	stop    chan struct{}
	done    sync.WaitGroup
	once    sync.Once

	mu    sync.Mutex
	entry Entry
	until time.Time // when the answer on the display has been there long enough; zero when none is
}

// NewPanel shows the first question and listens to keys.
func NewPanel(keys board.Keypad, display board.Display, now func() time.Time) (*Panel, error) {
	p := &Panel{keys: keys.Keys(), display: display, now: now, codes: make(chan board.Code, waitingCodes), stop: make(chan struct{})}
	if err := display.Show(p.entry.Screen()); err != nil {
		return nil, err
	}
	p.done.Go(p.run)
	return p, nil
}

// Codes delivers what was typed.
func (p *Panel) Codes() <-chan board.Code { return p.codes }

// Show answers people. The next key, or the end of the screen's time, brings the question back; a
// screen without a time stays until the next key.
func (p *Panel) Show(s board.Screen) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = time.Time{}
	if s.For > 0 {
		p.until = p.now().Add(s.For)
	}
	return p.display.Show(s)
}

// Close ends the goroutine. Later calls do nothing.
func (p *Panel) Close() error {
	p.once.Do(func() { close(p.stop) })
	p.done.Wait()
	return nil
}

func (p *Panel) run() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case k := <-p.keys:
			p.key(k)
		case <-ticker.C:
			p.settle()
		}
	}
}

// key takes a key. A display that fails takes nothing from the entry: codes open doors also when
// nobody can read the answer.
func (p *Panel) key(k rune) {
	p.mu.Lock()
	defer p.mu.Unlock()
	typed, ok := p.entry.Key(k, p.now())
	if ok {
		select {
		case p.codes <- typed:
		default:
		}
	}
	p.until = time.Time{}
	_ = p.display.Show(p.entry.Screen()) // see above
}

// settle brings the question back.
func (p *Panel) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	over := !p.until.IsZero() && !now.Before(p.until)
	if expired := p.entry.Expire(now); !over && (!expired || !p.until.IsZero()) {
		return
	}
	p.until = time.Time{}
	_ = p.display.Show(p.entry.Screen()) // the next screen may work again
}
