package replica

import (
	"cmp"
	"slices"

	"lockstep/wire"
)

// MaxTerms is how many entries of the term index a core keeps: the newest. A node that was away for more leaderships
// than that, and shares nothing newer with the leader, cannot be aligned any more: it stops and is reseeded.
const MaxTerms = 1 << 16

// termIndex says where each term of the log begins: oldest first, terms and starts strictly ascending.
type termIndex []wire.TermStart

// last is the newest term in the log, 0 if the log is empty.
func (t termIndex) last() wire.Term {
	if len(t) == 0 {
		return 0
	}
	return t[len(t)-1].Term
}

// add appends an entry; the oldest goes when there are MaxTerms. It grows the index: cold, once a leadership.
func (t *termIndex) add(term wire.Term, start wire.Position) {
	if len(*t) >= MaxTerms {
		*t = slices.Delete(*t, 0, len(*t)-MaxTerms+1)
	}
	*t = append(*t, wire.TermStart{Start: start, Term: term})
}

// cut forgets the terms that begin at or past p.
func (t *termIndex) cut(p wire.Position) {
	n := len(*t)
	for n > 0 && (*t)[n-1].Start >= p {
		n--
	}
	*t = (*t)[:n]
}

// find returns the range [start, end) that term has in a log that ends at end.
func (t termIndex) find(term wire.Term, logEnd wire.Position) (start, end wire.Position, ok bool) {
	i, ok := slices.BinarySearchFunc(t, term, func(e wire.TermStart, term wire.Term) int {
		return cmp.Compare(e.Term, term)
	})
	if !ok {
		return 0, 0, false
	}
	end = logEnd
	if i+1 < len(t) {
		end = t[i+1].Start
	}
	return t[i].Start, end, true
}

// page fills entries with page k of the index, newest first, and says whether it is the last. Each page but the first
// begins with the entry that the one before ended with: where a term ends is where the newer one starts.
func (t termIndex) page(k uint32, entries *[AlignPage]wire.TermStart) (n int, last bool) {
	skip := uint64(k) * (AlignPage - 1)
	for skip < uint64(len(t)) && n < AlignPage {
		entries[n] = t[len(t)-1-int(skip)]
		n++
		skip++
	}
	return n, skip >= uint64(len(t))
}

// sharedEnd is the alignment rule: two logs that both hold bytes of a term agree on all of its bytes that both have,
// and on all before. entries are page k of the other log, which ends at end and begins at floor. It returns up to
// where the logs are the same; found is false when this page has no common term and it is not the last. ok is false
// when the other index contradicts this one.
func (t termIndex) sharedEnd(own, end, floor wire.Position, k uint32, entries []wire.TermStart,
	lastPage bool) (shared wire.Position, found, ok bool) {
	if k > 0 && len(entries) > 0 {
		end, entries = entries[0].Start, entries[1:]
	}
	for i := range entries {
		e := &entries[i]
		if e.Start >= end {
			return 0, false, false
		}
		if start, until, common := t.find(e.Term, own); common {
			return min(until, end), true, start == e.Start
		}
		end = e.Start
	}
	return floor, lastPage, true
}
