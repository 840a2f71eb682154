package match

// place says where an order is.
type place uint8

const (
	nowhere place = iota // it is not open, or it is entering just now
	resting              // in the ladder of its side
	waiting              // a market order in an auction
	stopped              // in the ladder of its side's stops
	elected              // in the queue of the elected
)

// order is what most of executing and cancelling needs of an open order: a cache line. The rest of it is another, with the
// links, of which who cancels an order touches those of its neighbours too.
type order struct {
	number     uint64
	left       uint64
	shown      uint64 // of one that rests
	executed   uint64
	hash       uint64 // its part of the engine's sum, while it is somewhere
	client     ClientOrder
	price      uint32
	level      uint32 // its queue
	account    uint32
	instrument uint16
	side       Side
	place      place
}

// link is how an order hangs together with others.
type link struct {
	next, prev         uint32 // in its queue
	nextOwn, prevOwn   uint32 // in its account's list, newest first
	nextOpen, prevOpen uint32 // in its instrument's list, oldest first
	heap               uint32 // its place in the heap of expiries, 0: not in it
	tif                TimeInForce
}

// detail is what is seldom needed of an order.
type detail struct {
	rank     uint64 // later in its queue, higher
	display  uint64
	expire   uint64
	stop     uint32
	kind     Type
	self     SelfMatch
	postOnly bool
}

// rest is the second cache line of an order.
type rest struct {
	link
	detail
}

// orders are all open orders, and the table that finds them by account and client order id.
type orders struct {
	at    []order // [0] is not used
	rest  []rest
	free  uint32 // of those that were given back: a list through next
	fresh uint32 // the first that was never in use
	used  int
	table []uint64 // open addressing: 32 bits of the key's hash, 32 bits of index; 0: free
	mask  uint32
}

func newOrders(n int) orders {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return orders{
		at: make([]order, n+1), rest: make([]rest, n+1), fresh: 1,
		table: make([]uint64, size), mask: uint32(size - 1),
	}
}

func (p *orders) full() bool { return p.used == len(p.at)-1 }

// tag is the hash of a key. Client order ids that follow one another, as they mostly do, are next to one another in the
// table, eight in a cache line.
func tag(account uint32, client ClientOrder) uint32 {
	return uint32(fold(uint64(client>>3)^salts[2], uint64(account)^salts[3])>>16)<<3 | uint32(client&7)
}

// find returns the open order of that name, 0 if there is none.
func (p *orders) find(account uint32, client ClientOrder) uint32 {
	t := tag(account, client)
	for slot := t & p.mask; p.table[slot] != 0; slot = (slot + 1) & p.mask {
		if e := p.table[slot]; uint32(e>>32) == t {
			if o := &p.at[uint32(e)]; o.client == client && o.account == account {
				return uint32(e)
			}
		}
	}
	return 0
}

// take returns an order that is zero but for its name, under which it is found.
func (p *orders) take(account uint32, client ClientOrder) uint32 {
	i := p.free
	if i == 0 {
		i = p.fresh
		p.fresh++
	} else {
		p.free = p.rest[i].next
	}
	p.used++
	p.at[i], p.rest[i] = order{account: account, client: client}, rest{}
	p.name(i)
	return i
}

func (p *orders) give(i uint32) {
	p.unname(i)
	p.rest[i].next, p.free = p.free, i
	p.used--
}

// name puts an order into the table.
func (p *orders) name(i uint32) {
	t := tag(p.at[i].account, p.at[i].client)
	slot := t & p.mask
	for p.table[slot] != 0 {
		slot = (slot + 1) & p.mask
	}
	p.table[slot] = uint64(t)<<32 | uint64(i)
}

// unname takes an order out of the table and closes the gap: who was put behind it because it was taken moves up.
func (p *orders) unname(i uint32) {
	t := tag(p.at[i].account, p.at[i].client)
	e := uint64(t)<<32 | uint64(i)
	gap := t & p.mask
	for p.table[gap] != e {
		gap = (gap + 1) & p.mask
	}
	for slot := (gap + 1) & p.mask; p.table[slot] != 0; slot = (slot + 1) & p.mask {
		if home := uint32(p.table[slot] >> 32); (slot-home)&p.mask >= (slot-gap)&p.mask {
			p.table[gap] = p.table[slot]
			gap = slot
		}
	}
	p.table[gap] = 0
}

// hashOf covers all that an order does from now on depends on. Numbers that somebody chose are each put together with
// the order's own, so that none of them hides another.
func (e *Engine) hashOf(i uint32) uint64 {
	o, m := &e.orders.at[i], &e.orders.rest[i]
	kinds := uint64(o.instrument)<<48 | uint64(o.side)<<40 | uint64(o.place)<<32 |
		uint64(m.kind)<<24 | uint64(e.orders.rest[i].tif)<<16 | uint64(m.self)<<8 | bit(m.postOnly)
	h := fold(o.number^salts[0], m.rank^salts[1]) ^ fold(o.left^salts[2], o.shown^salts[3]) ^
		fold(o.executed^salts[4], m.display^salts[5]) ^
		fold((uint64(o.price)<<32|uint64(m.stop))^salts[6], kinds^salts[7]) ^
		fold(uint64(o.client)^salts[8], o.number^salts[9]) ^
		fold(uint64(e.accounts.at[o.account].id)^salts[10], o.number^salts[11])
	if m.expire != 0 {
		h ^= fold(m.expire^salts[12], o.number^salts[13])
	}
	return fold(h^salts[14], salts[15])
}

// settle takes what an order is now into the sum, in place of what it was.
func (e *Engine) settle(i uint32) {
	o := &e.orders.at[i]
	e.sum -= o.hash
	o.hash = e.hashOf(i)
	e.sum += o.hash
}
