package watch

import (
	"bytes"
	"cmp"

	"lockstep/service"
	"lockstep/wire"
)

// MaxKey is the longest key or prefix, in bytes.
const MaxKey = 256

// Watch is one subscription: to a key, or to all keys that begin with it.
type Watch struct {
	Session wire.SessionID
	Exact   bool
	Key     []byte // MaxKey bytes at most
}

type item struct {
	session wire.SessionID
	exact   bool
	length  int
	key     [MaxKey]byte
}

func (x *item) view() Watch { return Watch{Session: x.session, Exact: x.exact, Key: x.key[:x.length]} }

// concerns says whether the subscription is on a key.
func (x *item) concerns(key []byte) bool {
	return bytes.HasPrefix(key, x.key[:x.length]) && (!x.exact || len(key) == x.length)
}

func (w *Watch) compare(x *item) int {
	exact := 0
	if w.Exact != x.exact {
		if exact = -1; w.Exact {
			exact = 1
		}
	}
	return cmp.Or(cmp.Compare(w.Session, x.session), exact, bytes.Compare(w.Key, x.key[:x.length]))
}

func (w *Watch) hash() uint64 {
	h := service.Mix(1, uint64(w.Session))
	if w.Exact {
		h = service.Mix(h, 1)
	}
	return service.MixBytes(h, w.Key)
}

// List is a set of subscriptions. Make one with New.
type List struct {
	items []item // sorted
	sum   uint64
}

// New returns an empty list of limit subscriptions at most.
func New(limit int) *List { return &List{items: make([]item, 0, limit)} }

// Reset takes everything out.
func (l *List) Reset() { l.items, l.sum = l.items[:0], 0 }

// Len is how many subscriptions there are.
func (l *List) Len() int { return len(l.items) }

// At returns one of the subscriptions, from 0, ascending by session, exact and key. Its key is good until the list
// changes.
func (l *List) At(i int) Watch { return l.items[i].view() }

// Hash tells two lists apart.
func (l *List) Hash() uint64 { return service.Mix(l.sum, uint64(len(l.items))) }

// Fits says whether there is room for a subscription, or it is there already.
func (l *List) Fits(w Watch) bool {
	_, there := l.place(&w)
	return there || len(l.items) < cap(l.items)
}

// place is where a subscription is, or belongs.
func (l *List) place(w *Watch) (at int, there bool) {
	low, high := 0, len(l.items)
	for low < high {
		if middle := (low + high) / 2; w.compare(&l.items[middle]) > 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < len(l.items) && w.compare(&l.items[low]) == 0
}

// Add takes a subscription in, if it is not there. There must be room.
func (l *List) Add(w Watch) {
	at, there := l.place(&w)
	if there {
		return
	}
	if len(l.items) == cap(l.items) {
		panic("watch: no room for a subscription: programmer error")
	}
	l.items = l.items[:len(l.items)+1]
	copy(l.items[at+1:], l.items[at:])
	x := &l.items[at]
	x.session, x.exact, x.length = w.Session, w.Exact, copy(x.key[:], w.Key)
	l.sum += w.hash()
}

// Remove takes a subscription out, if it is there.
func (l *List) Remove(w Watch) {
	if at, there := l.place(&w); there {
		l.cut(at, at+1)
	}
}

// Forget takes all subscriptions of a session out.
func (l *List) Forget(session wire.SessionID) {
	from, _ := l.place(&Watch{Session: session})
	to := from
	for to < len(l.items) && l.items[to].session == session {
		to++
	}
	l.cut(from, to)
}

func (l *List) cut(from, to int) {
	for i := from; i < to; i++ {
		w := l.items[i].view()
		l.sum -= w.hash()
	}
	l.items = append(l.items[:from], l.items[to:]...)
}

// Concerned is how many sessions are to hear of a change to a key.
func (l *List) Concerned(key []byte) int {
	n := 0
	for session := l.After(0, key); session != 0; session = l.After(session, key) {
		n++
	}
	return n
}

// After is the next session that is to hear of a change to a key, in ascending order; 0 when there is none, and to
// begin with.
func (l *List) After(session wire.SessionID, key []byte) wire.SessionID {
	for at := l.behind(session); at < len(l.items); at++ {
		if l.items[at].concerns(key) {
			return l.items[at].session
		}
	}
	return 0
}

// behind is the first place of the sessions above one.
func (l *List) behind(session wire.SessionID) int {
	low, high := 0, len(l.items)
	for low < high {
		if middle := (low + high) / 2; l.items[middle].session <= session {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}
