package sim

import (
	"lockerfleet/firmware-agent/agent"
	"lockerfleet/locker"
)

// goods are one real thing. Exactly one of the places holds it.
type goods struct {
	ref   string // of the statement that announced it; empty: nobody's
	grams int64
	where string // courier, bank/no, recipient, gone
}

// cell is one compartment as it truly is.
type cell struct {
	no       int
	open     bool
	released bool
	coil     bool
	inside   *goods

	stuck    bool  // the latch does not move
	weak     bool  // the spring does not push: the door must be pulled
	dead     int64 // until when the door contact cannot be read
	noisy    int64 // until when the scale errs
	pull     bool  // somebody pulls at the door
	coilOff  func()
	openings int // doors opened by the coil or a hand on it
	forced   int
}

// read is what the sensors of c say.
func (b *bank) read(c *cell) agent.Reading {
	r := agent.Reading{C: c.no, Door: locker.DoorClosed, Content: locker.Empty, HasGrams: true}
	if c.open {
		r.Door = locker.DoorOpen
	}
	if c.inside != nil {
		r.Content, r.Grams = locker.Present, locker.Grams(c.inside.grams)
	}
	if b.l.now < c.dead {
		r.Door = locker.DoorUnknown
	}
	if b.l.now < c.noisy {
		r.Grams += locker.Grams(b.l.between(-20, 20)) // with the rest within custody.Threshold
		if b.l.dice.IntN(4) == 0 {
			r.Content = locker.ContentUnknown
		}
	} else {
		r.Grams += locker.Grams(b.l.between(-4, 4))
	}
	if b.bolts {
		r.Bolt = agent.BoltEngaged
		if c.released || c.open {
			r.Bolt = agent.BoltReleased
		}
	}
	return r
}

// pulse switches a coil on; answer is called when it is off again.
func (b *bank) pulse(c *cell, ms int64, answer func()) {
	if c.coil {
		b.l.fail("coil %s/%d is switched on twice", b.id, c.no)
		return
	}
	c.coil = true
	began := b.l.now
	stuck := c.stuck || b.swarm.hits(lockStuck)
	c.stuck = stuck
	c.weak = b.swarm.hits(lockWeak)
	off := false
	end := func() {
		if off {
			return
		}
		off = true
		c.coil, c.coilOff = false, nil
		if on := b.l.now - began; on > agent.MaxPulseMS {
			b.l.fail("coil %s/%d was on for %d ms", b.id, c.no, on)
		}
		if !c.open {
			c.released = false
		}
		answer()
	}
	c.coilOff = end
	latch := b.l.between(12, 42)
	b.l.after(latch, func() {
		if !off && !stuck {
			c.released = true
			b.changed()
		}
	})
	b.l.after(latch+b.l.between(20, 80), func() {
		if !off && c.released && (!c.weak || c.pull) {
			b.open(c)
		}
	})
	b.l.after(ms, end)
}

// open lets a released door swing.
func (b *bank) open(c *cell) {
	if c.open {
		return
	}
	c.open = true
	c.openings++
	b.l.note("door %s/%d opens", b.id, c.no)
	b.check.opened(b, c)
	b.changed()
}

// force opens a door without asking the lock.
func (b *bank) force(c *cell) {
	if c.open {
		return
	}
	c.open, c.released = true, true
	c.forced++
	b.l.note("door %s/%d is forced", b.id, c.no)
	b.changed()
}

// shut closes a door; the contact may bounce.
func (b *bank) shut(c *cell) {
	if !c.open {
		return
	}
	c.open, c.released = false, false
	b.l.note("door %s/%d closes, inside %s", b.id, c.no, c.inside)
	b.changed()
	if b.swarm.hits(doorBounce) {
		b.l.after(b.l.between(5, 300), func() {
			if !c.open {
				c.open, c.released = true, true
				b.changed()
				b.l.after(b.l.between(5, 200), func() {
					c.open, c.released = false, false
					b.changed()
				})
			}
		})
	}
}

func (g *goods) String() string {
	switch {
	case g == nil:
		return "nothing"
	case g.ref == "":
		return "strange goods"
	}
	return "goods " + g.ref
}

// put places goods into an open compartment.
func (b *bank) put(c *cell, g *goods) {
	c.inside = g
	g.where = b.door(c)
	b.changed()
}

// take takes what is inside.
func (b *bank) take(c *cell, to string) *goods {
	g := c.inside
	c.inside = nil
	if g != nil {
		g.where = to
		b.changed()
	}
	return g
}

func (b *bank) door(c *cell) string {
	return locker.CompartmentID{Bank: b.id, No: c.no}.String()
}
