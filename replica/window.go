package replica

import "lockstep/wire"

// windowIntervals bounds the reorder window: how many ranges with holes between them it keeps.
const windowIntervals = 32

// interval is the byte range [from, until) of the log, never empty.
type interval struct{ from, until wire.Position }

// window is the reorder window: what lies beyond the first hole. Ascending, disjoint, no two touching. Entries from n
// on are zero, so that equal windows compare equal.
type window struct {
	n  int
	at [windowIntervals]interval
}

// room says whether [from, until) can be inserted: there is a free entry, or it touches one that is there.
func (w *window) room(from, until wire.Position) bool {
	if w.n < windowIntervals {
		return true
	}
	for i := range w.at[:w.n] {
		if w.at[i].from <= until && from <= w.at[i].until {
			return true
		}
	}
	return false
}

// insert adds [from, until), for which there is room, and merges it with what it touches.
func (w *window) insert(from, until wire.Position) {
	first := 0
	for first < w.n && w.at[first].until < from {
		first++
	}
	past := first
	for past < w.n && w.at[past].from <= until {
		from, until = min(from, w.at[past].from), max(until, w.at[past].until)
		past++
	}
	if past == first {
		copy(w.at[first+1:w.n+1], w.at[first:w.n])
		w.n++
	} else {
		w.drop(first+1, past)
	}
	w.at[first] = interval{from, until}
}

// advance takes out what lies below or touches until, and returns how far the log is without a hole then.
func (w *window) advance(until wire.Position) wire.Position {
	past := 0
	for past < w.n && w.at[past].from <= until {
		until = max(until, w.at[past].until)
		past++
	}
	if past > 0 {
		w.drop(0, past)
	}
	return until
}

// drop removes the entries [first, past).
func (w *window) drop(first, past int) {
	n := first + copy(w.at[first:w.n], w.at[past:w.n])
	clear(w.at[n:w.n])
	w.n = n
}
