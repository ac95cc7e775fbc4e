package store

import "sync"

// signal tells listeners that something happened, without saying how often:
// one that has not looked yet is told once.
type signal struct {
	mu        sync.Mutex
	listeners map[chan struct{}]struct{}
}

func newSignal() *signal {
	return &signal{listeners: make(map[chan struct{}]struct{})}
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.listeners {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (s *signal) listen() (heard <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	s.listeners[c] = struct{}{}
	s.mu.Unlock()
	return c, func() {
		s.mu.Lock()
		delete(s.listeners, c)
		s.mu.Unlock()
	}
}

// commits calls its followers after commits that emitted facts.
type commits struct {
	mu        sync.Mutex // held while followers are called, so that stop waits for them
	followers map[*func([]Delivery)]struct{}
}

func newCommits() *commits { return &commits{followers: make(map[*func([]Delivery)]struct{})} }

func (c *commits) tell(facts []Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for fn := range c.followers {
		(*fn)(facts)
	}
}

func (c *commits) follow(fn func([]Delivery)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := &fn
	c.followers[key] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.followers, key)
	}
}
