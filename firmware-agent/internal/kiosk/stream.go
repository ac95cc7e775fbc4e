package kiosk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"lockerfleet/locker/ticket"
)

// Bounds of a stream.
const (
	beatEvery   = 10 * time.Second // so that the page notices an agent that is gone
	writeWithin = 5 * time.Second
)

// event is something the page hears.
type event struct {
	kind string
	data any
}

// scanned tells that the scanner read something, and not what: a ticket is a key.
type scanned struct {
	Ticket bool `json:"ticket"` // it looks like one of ours
	Length int  `json:"length"` // characters
}

func isTicket(text string) bool {
	return len(text) > len(ticket.Prefix) && text[:len(ticket.Prefix)] == ticket.Prefix
}

// tell hands an event to every page. One that is too slow is cut.
func (k *Kiosk) tell(e event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for s := range k.streams {
		select {
		case s <- e:
		default:
			delete(k.streams, s)
			close(s)
		}
	}
}

// join takes one of the places; nil when there is none.
func (k *Kiosk) join() chan event {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.streams) >= maxStreams {
		return nil
	}
	s := make(chan event, waiting)
	k.streams[s] = true
	return s
}

func (k *Kiosk) leave(s chan event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.streams, s)
}

// listen streams what happens to one page until it or the agent goes.
func (k *Kiosk) listen(w http.ResponseWriter, r *http.Request) {
	s := k.join()
	if s == nil {
		write(w, http.StatusTooManyRequests, Answer{Reason: SlowDown, WaitS: 5})
		return
	}
	defer k.leave(s)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	out := http.NewResponseController(w)
	if out.SetReadDeadline(time.Time{}) != nil { // the page says nothing more
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	text := "retry: 1000\nevent: beat\ndata: {}\n\n"
	for {
		if out.SetWriteDeadline(time.Now().Add(writeWithin)) != nil {
			return
		}
		if _, err := w.Write([]byte(text)); err != nil || out.Flush() != nil {
			return
		}
		select {
		case e, open := <-s:
			if !open {
				return
			}
			data, err := json.Marshal(e.data)
			if err != nil {
				return
			}
			text = fmt.Sprintf("event: %s\ndata: %s\n\n", e.kind, data)
		case <-beat.C:
			text = "event: beat\ndata: {}\n\n"
		case <-k.stop:
			return
		case <-r.Context().Done():
			return
		}
	}
}
