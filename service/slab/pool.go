package slab

// link is what a pool knows of a place: its neighbours in a list. A free place is linked by next.
type link struct{ next, prev uint32 }

// Pool gives out the places 1 .. limit of an array that its owner keeps, and holds the links of the lists they are in:
// a place is in one list at most.
type Pool struct {
	links []link
	free  uint32 // given back last
	fresh uint32 // places up to here were in use before
	used  int
}

// NewPool returns a pool of which all places are free.
func NewPool(limit int) Pool { return Pool{links: make([]link, limit+1)} }

// Used is how many places are taken.
func (p *Pool) Used() int { return p.used }

// Free is how many places are left.
func (p *Pool) Free() int { return len(p.links) - 1 - p.used }

// High is the highest place that was ever taken since the pool was made or Reset.
func (p *Pool) High() uint32 { return p.fresh }

// Take gives out a free place, 0 when there is none.
func (p *Pool) Take() uint32 {
	i := p.free
	switch {
	case i != 0:
		p.free = p.links[i].next
	case int(p.fresh)+1 < len(p.links):
		p.fresh++
		i = p.fresh
	default:
		return 0
	}
	p.links[i] = link{}
	p.used++
	return i
}

// Give takes a place back, which is in no list.
func (p *Pool) Give(i uint32) {
	p.links[i] = link{next: p.free}
	p.free = i
	p.used--
}

// Reset takes all places back; lists of them are to be forgotten.
func (p *Pool) Reset() { p.free, p.fresh, p.used = 0, 0, 0 }

// Next is the place behind one in its list, 0 at the end.
func (p *Pool) Next(i uint32) uint32 { return p.links[i].next }

// List is a list of places of one pool. The zero List is empty.
type List struct {
	Head, Tail uint32
	Len        int
}

// Push puts a place that is in no list at the end.
func (l *List) Push(p *Pool, i uint32) {
	p.links[i] = link{prev: l.Tail}
	if l.Tail != 0 {
		p.links[l.Tail].next = i
	} else {
		l.Head = i
	}
	l.Tail = i
	l.Len++
}

// Remove takes a place out that is in this list.
func (l *List) Remove(p *Pool, i uint32) {
	x := p.links[i]
	if x.prev != 0 {
		p.links[x.prev].next = x.next
	} else {
		l.Head = x.next
	}
	if x.next != 0 {
		p.links[x.next].prev = x.prev
	} else {
		l.Tail = x.prev
	}
	p.links[i] = link{}
	l.Len--
}

// GiveAll takes the places of a list back, the last first, and leaves the list empty.
func (l *List) GiveAll(p *Pool) {
	for i := l.Tail; i != 0; {
		before := p.links[i].prev
		p.Give(i)
		i = before
	}
	*l = List{}
}
