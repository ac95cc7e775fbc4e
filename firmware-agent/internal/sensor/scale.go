package sensor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"lockerfleet/locker"
)

// Calibration turns counts into grams. It comes from weighing two known weights.
type Calibration struct {
	Zero     int32        // counts of the empty scale
	PerGram  float64      // counts of one gram; negative when the cell is mounted the other way round
	Capacity locker.Grams // the most it may carry
}

// Bounds of a calibration.
const (
	MaxCapacity = 500_000 // grams
	maxPerGram  = 100_000
)

// Check says what is wrong with a calibration.
func (c Calibration) Check() error {
	switch {
	case math.IsNaN(c.PerGram) || math.Abs(c.PerGram) < 1e-3 || math.Abs(c.PerGram) > maxPerGram:
		return fmt.Errorf("counts_per_gram %v: 0.001 to %d are allowed, negative when the cell is mounted upside down; weigh two known weights to find it", c.PerGram, maxPerGram)
	case c.Capacity < 100 || c.Capacity > MaxCapacity:
		return fmt.Errorf("capacity_g %d: 100 to %d are allowed", c.Capacity, MaxCapacity)
	}
	return nil
}

// Grams converts counts.
func (c Calibration) Grams(counts int32) locker.Grams {
	g := math.Round((float64(counts) - float64(c.Zero)) / c.PerGram)
	return locker.Grams(max(math.MinInt32, min(math.MaxInt32, g)))
}

// Calibrate finds the calibration from the counts of two weights, the first usually nothing.
func Calibrate(counts1, counts2 int32, grams1, grams2, capacity locker.Grams) (Calibration, error) {
	if grams1 == grams2 {
		return Calibration{}, fmt.Errorf("both weights are %d g: use two that differ", grams1)
	}
	per := float64(int64(counts2)-int64(counts1)) / float64(grams2-grams1)
	if math.Abs(per) < 1e-3 {
		return Calibration{}, errors.New("the counts do not change with the weight: check the wires of the load cell")
	}
	c := Calibration{Zero: int32(math.Round(float64(counts1) - per*float64(grams1))), PerGram: per, Capacity: capacity}
	return c, c.Check()
}

// medianOf is how many conversions one weight is made of.
const medianOf = 5

// scaleStuck is how many equal conversions mean that the converter is stuck: the last of 24 bits
// never stand still.
const scaleStuck = 50

const (
	// scaleFresh is how old the newest conversion may be: a weight is evidence.
	scaleFresh = 250 * time.Millisecond
	// scaleSpan is the time within which the conversions of one weight must lie.
	scaleSpan = 800 * time.Millisecond
)

var (
	errNotEnough  = errors.New("not enough fresh conversions")
	errNegative   = errors.New("less than -2 % of the capacity: the load cell is pulled, mounted upside down or its zero is wrong")
	errOverloaded = errors.New("more than 110 % of the capacity")
	errRepeats    = errors.New("the converter repeats itself: it is stuck")
)

// Scale weighs with a converter. Its Step runs on one goroutine; the rest may be called by
// anybody.
type Scale struct {
	name string
	conv Converter
	cal  Calibration
	now  func() time.Time

	mu     sync.Mutex
	counts [medianOf]int32 // a ring of the newest conversions
	at     [medianOf]time.Time
	next   int
	seen   bool // a conversion was made
	same   int
	err    error // why the newest conversion was lost; nil after a good one
}

// NewScale returns a scale that has weighed nothing. name is what its errors call it, now the
// clock.
func NewScale(name string, conv Converter, cal Calibration, now func() time.Time) (*Scale, error) {
	if err := cal.Check(); err != nil {
		return nil, fmt.Errorf("scale %s: %w", name, err)
	}
	return &Scale{name: name, conv: conv, cal: cal, now: now}, nil
}

// Step fetches a conversion. It asks four times in a conversion's period.
func (s *Scale) Step(now time.Time) time.Duration {
	v, err := s.conv.Convert()
	again := max(s.conv.Period()/4, time.Millisecond)
	if errors.Is(err, ErrNotReady) {
		return again
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err != nil {
		return again
	}
	if newest := s.counts[(s.next+medianOf-1)%medianOf]; s.seen && v == newest {
		s.same++
	} else {
		s.same = 1
	}
	s.counts[s.next], s.at[s.next] = v, now
	s.next, s.seen = (s.next+1)%medianOf, true
	return again
}

// Weigh is the median of the newest conversions, all of which are fresh.
func (s *Scale) Weigh() (locker.Grams, error) {
	counts, _, err := s.newest()
	if err != nil {
		return 0, err
	}
	g := s.cal.Grams(counts)
	switch {
	case int64(g)*50 < -int64(s.cal.Capacity):
		return 0, fmt.Errorf("scale %s: %d g: %w", s.name, g, errNegative)
	case int64(g)*10 > int64(s.cal.Capacity)*11:
		return 0, fmt.Errorf("scale %s: %d g: %w", s.name, g, errOverloaded)
	}
	return g, nil
}

// Counts is the median of the newest conversions before calibration, and how far they spread.
func (s *Scale) Counts() (median, spread int32, err error) { return s.newest() }

// Steadiness is the spread of the newest conversions and the capacity, both in grams. The spread
// is 0 while there is nothing to tell it from; Weigh has an error then.
func (s *Scale) Steadiness() (spread, capacity locker.Grams) {
	_, counts, err := s.newest()
	if err != nil {
		return 0, s.cal.Capacity
	}
	g := math.Ceil(float64(counts) / math.Abs(s.cal.PerGram))
	return locker.Grams(min(g, float64(s.cal.Capacity))), s.cal.Capacity
}

// newest answers only when every conversion of the median was made just now.
func (s *Scale) newest() (median, spread int32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var oldest, latest time.Duration
	for i, at := range s.at {
		age := now.Sub(at)
		if i == 0 {
			oldest, latest = age, age
		}
		oldest, latest = max(oldest, age), min(latest, age)
	}
	switch {
	case s.same >= scaleStuck:
		return 0, 0, fmt.Errorf("scale %s: %w", s.name, errRepeats)
	case latest > scaleFresh || oldest > scaleSpan:
		if s.err != nil {
			return 0, 0, fmt.Errorf("scale %s: %w", s.name, s.err)
		}
		return 0, 0, fmt.Errorf("scale %s: %w", s.name, errNotEnough)
	}
	sorted := s.counts
	slices.Sort(sorted[:])
	return sorted[medianOf/2], sorted[medianOf-1] - sorted[0], nil
}
