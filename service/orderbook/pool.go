package orderbook

import (
	"lockstep/service"
	"lockstep/wire"
	"lockstep/wire/fb"
)

// order is one resting order. Orders refer to one another by their indexes in the pool; 0 is none.
type order struct {
	session     wire.SessionID
	clientOrder uint64
	number      uint64 // the book's, dense from 1: also its place in time
	left        uint64 // quantity, above 0
	price       uint32
	instrument  uint32
	next, prev  uint32 // in the queue of its price; next also links free orders
	nextOwn     uint32 // in the list of its session
	prevOwn     uint32
	side        fb.Side
}

// hash tells orders apart. The book's hash is the sum over its orders, which is the same in whatever way it came
// about; their numbers say who stands before whom.
func (o *order) hash() uint64 {
	h := service.Mix(o.number, uint64(o.session))
	h = service.Mix(h, o.clientOrder)
	h = service.Mix(h, o.left)
	h = service.Mix(h, uint64(o.price)<<32|uint64(o.instrument))
	return service.Mix(h, uint64(o.side))
}

// account heads the list of a session's resting orders.
type account struct{ head uint32 }

// pool holds all resting orders: a fixed array, a free list through it, and a table from (session, client order id)
// to index. The table is open addressing with linear probing, at most half full, without tombstones: a removal moves
// the entries behind it up.
type pool struct {
	orders []order // [0] is not used
	free   uint32
	used   int
	index  []uint32 // 0: empty
	mask   uint64
}

func newPool(capacity int) pool {
	p := pool{orders: make([]order, capacity+1)}
	for i := 1; i < capacity; i++ {
		p.orders[i].next = uint32(i + 1)
	}
	p.free = 1
	size := 2
	for size < 2*capacity {
		size *= 2
	}
	p.index, p.mask = make([]uint32, size), uint64(size-1)
	return p
}

func (p *pool) full() bool { return p.free == 0 }

func slotOf(session wire.SessionID, clientOrder uint64) uint64 {
	return service.Mix(service.Mix(0, uint64(session)), clientOrder)
}

// find returns the index of an order, or 0.
func (p *pool) find(session wire.SessionID, clientOrder uint64) uint32 {
	for at := slotOf(session, clientOrder) & p.mask; ; at = (at + 1) & p.mask {
		i := p.index[at]
		if i == 0 {
			return 0
		}
		if o := &p.orders[i]; o.clientOrder == clientOrder && o.session == session {
			return i
		}
	}
}

// take returns a free order, entered under its key. The pool is not full and the key is new.
func (p *pool) take(session wire.SessionID, clientOrder uint64) uint32 {
	i := p.free
	o := &p.orders[i]
	p.free = o.next
	p.used++
	*o = order{session: session, clientOrder: clientOrder}
	at := slotOf(session, clientOrder) & p.mask
	for p.index[at] != 0 {
		at = (at + 1) & p.mask
	}
	p.index[at] = i
	return i
}

// give takes an order out of the table and returns it to the free list.
func (p *pool) give(i uint32) {
	o := &p.orders[i]
	at := slotOf(o.session, o.clientOrder) & p.mask
	for p.index[at] != i {
		at = (at + 1) & p.mask
	}
	p.closeGap(at)
	o.next = p.free
	p.free = i
	p.used--
}

// closeGap empties a slot of the table and moves up what would not be found behind it.
func (p *pool) closeGap(gap uint64) {
	for at := gap; ; {
		at = (at + 1) & p.mask
		i := p.index[at]
		if i == 0 {
			break
		}
		home := slotOf(p.orders[i].session, p.orders[i].clientOrder) & p.mask
		if (at-home)&p.mask >= (at-gap)&p.mask {
			p.index[gap] = i
			gap = at
		}
	}
	p.index[gap] = 0
}
