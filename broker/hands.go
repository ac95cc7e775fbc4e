package broker

import (
	"errors"
	"sync/atomic"
)

// idleHands is how many hands without work are kept. Under load there are as many as there are
// connections at work.
const idleHands = 64

// errPanicked ends a connection over whose packet the library panicked.
var errPanicked = errors.New("panicked")

// hands do the work of connections on stacks of their own. Reading JSON or asking the record needs
// 16 KiB of stack or more, and ten thousand connections that wait would each keep what their last
// packet needed.
type hands struct {
	idle   chan *hand // at most idleHands
	closed atomic.Bool
}

// hand is a goroutine that works for one connection at a time.
type hand struct {
	jobs chan job
	done chan error
}

// job is one thing to be done for a connection.
type job struct {
	conn *conn
	act  func(*conn, packet) error
	p    packet
}

// work lets a hand act for the connection and waits for it. A panic ends there, is noted, and comes
// back as errPanicked.
//
//go:noinline
func (c *conn) work(act func(*conn, packet) error, p packet) error {
	h := c.b.hands.take()
	h.jobs <- job{conn: c, act: act, p: p}
	err := <-h.done
	c.b.hands.give(h)
	return err
}

func (s *hands) take() *hand {
	select {
	case h := <-s.idle:
		return h
	default:
	}
	h := &hand{jobs: make(chan job), done: make(chan error)}
	go h.run()
	return h
}

func (s *hands) give(h *hand) {
	select {
	case s.idle <- h:
	default:
		close(h.jobs)
		return
	}
	if s.closed.Load() {
		s.empty()
	}
}

// close lets all hands go; those at work go when they are given back.
func (s *hands) close() {
	s.closed.Store(true)
	s.empty()
}

func (s *hands) empty() {
	for {
		select {
		case h := <-s.idle:
			close(h.jobs)
		default:
			return
		}
	}
}

func (h *hand) run() {
	for j := range h.jobs {
		h.done <- j.do()
	}
}

func (j job) do() (err error) {
	defer func() {
		if failure := recover(); failure != nil {
			j.conn.survive(failure)
			err = errPanicked
		}
	}()
	return j.act(j.conn, j.p)
}
