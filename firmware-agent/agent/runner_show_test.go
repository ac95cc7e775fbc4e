package agent

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockerfleet/firmware-agent/board"
	"lockerfleet/firmware-agent/board/boardtest"
	"lockerfleet/locker"
)

// plate is the display of a door or of a bank without a keypad.
type plate struct {
	mu    sync.Mutex
	shown []string
}

func (p *plate) Show(s board.Screen) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown = append(p.shown, s.Lines[0])
	return nil
}

func (p *plate) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.shown, "\n")
}

func TestAnswersAreShownAtTheBankAndAtTheDoorTheyAreAbout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, d := newHub(), boardtest.NewDouble(2)
		o := options(h, d, memoryJournal(t), "000000000000000a")
		var bank, first, second plate
		o.Board.Display, o.Board.Compartments[0].Display, o.Board.Compartments[1].Display = &bank, &first, &second
		stop := start(t, o)
		time.Sleep(time.Second)
		d.SetDoor(2, locker.DoorOpen) // by force
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		const want = "Door 2 is open and should not be."
		if !strings.Contains(bank.text(), want) || !strings.Contains(second.text(), want) || first.text() != "" {
			t.Errorf("the bank shows %q, door 1 %q, door 2 %q", bank.text(), first.text(), second.text())
		}
	})
}
