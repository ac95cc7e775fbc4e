package conformance

// maxTape is how many entries a tape keeps; older ones are dropped.
const maxTape = 4096

// tape is the newest of a growing list. Positions count from its beginning and stay good.
type tape[T any] struct {
	gone int
	kept []T
}

func (t *tape[T]) add(v T) {
	if len(t.kept) == 2*maxTape {
		t.gone += maxTape
		t.kept = append(t.kept[:0:0], t.kept[maxTape:]...)
	}
	t.kept = append(t.kept, v)
}

// end is the position behind the newest entry.
func (t *tape[T]) end() int { return t.gone + len(t.kept) }

// since lists the entries from a position on.
func (t *tape[T]) since(at int) []T { return t.kept[min(max(at-t.gone, 0), len(t.kept)):] }

func (t *tape[T]) last() (v T, ok bool) {
	if len(t.kept) == 0 {
		return v, false
	}
	return t.kept[len(t.kept)-1], true
}

// before answers the entry n before the newest.
func (t *tape[T]) before(n int) (v T, ok bool) {
	if len(t.kept) <= n {
		return v, false
	}
	return t.kept[len(t.kept)-1-n], true
}
