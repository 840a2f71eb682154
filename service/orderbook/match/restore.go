package match

import (
	"cmp"
	"io"
	"slices"
)

// Restore replaces the whole state by what Snapshot wrote, of which it reads just as many bytes. What an engine cannot
// have written is ErrSnapshot, what one with other options can have ErrUnsuited; the engine is of no use then. Events are
// forgotten.
func (e *Engine) Restore(r io.Reader) error {
	e.clear()
	g := &glass{r: r}
	accounts, instruments, orders := e.readHead(g)
	if g.err != nil {
		return g.err
	}
	e.readAccounts(g, accounts)
	var all []uint32
	for n := uint64(0); n < instruments && g.err == nil; n++ {
		all = e.readInstrument(g, all)
	}
	g.must(uint64(len(all)) == orders, "%d orders, said to be %d", len(all), orders)
	if g.err == nil {
		e.relate(g, all)
	}
	g.next(8)
	hash := g.u64()
	g.must(hash == e.Hash(), "its hash is %x, what it says is %x", e.Hash(), hash)
	return g.err
}

func (e *Engine) readHead(g *glass) (accounts, instruments, orders uint64) {
	g.next(8 * headWords)
	magic := g.u64()
	g.must(magic == snapshotMagic, "it begins with %x", magic)
	for _, want := range e.options.words() {
		if got := g.u64(); g.err == nil && got != want {
			g.err = ErrUnsuited
		}
	}
	e.number, e.executions, e.published, e.tickets = g.u64(), g.u64(), g.u64(), g.u64()
	killed := g.u64()
	e.killed, e.killing = killed>>32 == 1, uint32(killed)
	g.must(killed>>32 <= 1 && (e.killed || e.killing == 0) && e.killing < uint32(len(e.instruments)), "switched off %x", killed)
	d := &e.accounts.defaults
	d.MaxQuantity = g.u64()
	rest := g.u64()
	d.MaxOpen, d.MessagesPerS = uint32(rest>>32), uint32(rest)
	g.must(d.usable(), "default limits %+v", *d)
	accounts, instruments, orders = g.u64(), g.u64(), g.u64()
	g.must(accounts <= uint64(e.options.MaxAccounts), "%d accounts", accounts)
	g.must(instruments <= uint64(e.options.MaxInstruments), "%d instruments", instruments)
	g.must(orders <= uint64(e.options.MaxOrders), "%d orders", orders)
	return accounts, instruments, orders
}

func (e *Engine) readAccounts(g *glass, n uint64) {
	var idle []uint32
	before := Account(0)
	for i := uint32(1); uint64(i) <= n && g.err == nil; i++ {
		g.next(accountBytes)
		x := account{id: Account(g.u64()), used: g.u64(), stamp: g.u64(), idle: g.u64()}
		x.limits = Limits{MaxQuantity: g.u64(), MaxOpen: g.u32(), MessagesPerS: g.u32()}
		flags := g.u64()
		x.own, x.killed = flags&1 == 1, flags&2 == 2
		g.done()
		g.must(x.id > before, "account %d after %d", x.id, before)
		g.must(flags <= 3 && x.own == (x.limits != Limits{}) && x.limits.usable(), "account %d is %+v", x.id, x)
		g.must(x.used <= maxRate*messageCost, "account %d has %d of its bucket in use", x.id, x.used)
		g.must(x.idle <= e.tickets, "account %d is idle since %d", x.id, x.idle)
		if g.err != nil {
			return
		}
		before = x.id
		e.accounts.at[i] = x
		e.accounts.table[e.accounts.find(x.id)] = i
		e.accounts.used++
		if x.idle != 0 {
			idle = append(idle, i)
		}
	}
	at := e.accounts.at
	slices.SortFunc(idle, func(i, j uint32) int { return cmp.Compare(at[i].idle, at[j].idle) })
	for n, i := range idle {
		g.must(n == 0 || at[idle[n-1]].idle < at[i].idle, "two accounts idle since %d", at[i].idle)
		e.joinIdle(i)
	}
}

// readInstrument reads an instrument and its orders, which are added to all.
func (e *Engine) readInstrument(g *glass, all []uint32) []uint32 {
	g.next(instrumentBytes)
	x := instrument{}
	d := &x.d
	for at := range 16 {
		d.Symbol[at] = g.u8()
	}
	d.MaxQuantity, x.volume, x.ticket = g.u64(), g.u64(), g.u64()
	d.ID = Instrument(g.u32())
	for _, v := range [...]*uint32{&d.Low, &d.High, &d.Collar, &d.Reference, &x.last, &x.price, &x.at} {
		*v = g.u32()
	}
	d.State, x.state, x.phase, x.target = State(g.u8()), State(g.u8()), phase(g.u8()), State(g.u8())
	x.imbalance = g.u64()
	g.done()
	g.must(e.usable(d) && x.state >= Closed && x.state <= Halted, "instrument %+v in state %d", *d, x.state)
	if g.err != nil {
		return all
	}
	in := &e.instruments[d.ID]
	g.must(in.state == 0 && e.lastDefined() < uint32(d.ID), "instrument %d out of turn", d.ID)
	g.must(x.last == 0 || x.last >= d.Low && x.last <= d.High, "instrument %d last traded at %d", d.ID, x.last)
	g.must(x.ticket <= e.tickets, "instrument %d is pending since %d", d.ID, x.ticket)
	*in = x
	e.define(in, d)
	g.next(8)
	first := len(all)
	for n := g.u64(); n > 0 && g.err == nil; n-- {
		all = e.readOrder(g, in, all)
	}
	g.must(x.consistent(), "instrument %d on its way from %d to %d in step %d", d.ID, x.state, x.target, x.phase)
	e.settleInstrument(in)
	for at := first + 1; at < len(all); at++ {
		i, j := all[at-1], all[at]
		a, b := openList(e.orders.rest[i].tif), openList(e.orders.rest[j].tif)
		g.must(a < b || a == b && e.orders.at[i].number < e.orders.at[j].number, "order %d after %d",
			e.orders.at[j].number, e.orders.at[i].number)
	}
	return all
}

// lastDefined is the highest number of an instrument that is defined.
func (e *Engine) lastDefined() uint32 {
	for id := e.options.MaxInstruments; id > 0; id-- {
		if e.instruments[id].state != 0 {
			return id
		}
	}
	return 0
}

// consistent tells whether the work that is pending, if any, fits the state.
func (in *instrument) consistent() bool {
	trades := in.target == Continuous || in.target == Closed
	changing := in.target >= Closed && in.target <= Halted && in.target != in.state
	priced := in.price >= in.d.Low && in.price <= in.d.High
	if (in.ticket != 0) != (in.phase != idle) || in.phase != uncross && in.phase != pricing && in.volume != 0 ||
		in.phase != pricing && in.imbalance != 0 || !in.searching() && in.at != 0 {
		return false
	}
	switch in.phase {
	case idle:
		return in.target == 0 && in.price == 0
	case starting:
		return changing && in.price == 0
	case uncross:
		return changing && trades && in.volume != 0 && priced && in.state != Continuous
	case summing:
		return changing && trades && in.state != Continuous && in.price == 0 && in.at >= 1 && in.at <= MaxPrice+1
	case pricing:
		none := in.price == 0 && in.volume == 0 && in.imbalance == 0
		return changing && trades && in.state != Continuous && in.at <= MaxPrice &&
			(none || priced && in.volume != 0 && in.price <= in.at)
	case clearing:
		return changing && trades && (in.price == 0 || priced)
	case closing:
		return in.state == Closed && in.target == 0 && in.price == 0
	case electing:
		return in.state == Continuous && in.target == 0 && in.price == 0
	}
	return false
}

// readOrder reads an order, puts it into the table and adds it to all. It is in no list and no queue yet.
func (e *Engine) readOrder(g *glass, in *instrument, all []uint32) []uint32 {
	g.next(orderBytes)
	o, m, tif := order{number: g.u64(), instrument: uint16(in.d.ID)}, detail{}, Day
	id := Account(g.u64())
	o.client, o.left, o.executed = ClientOrder(g.u64()), g.u64(), g.u64()
	o.shown, m.display, m.expire, m.rank = g.u64(), g.u64(), g.u64(), g.u64()
	o.price, m.stop = g.u32(), g.u32()
	o.side, m.kind, tif, m.self = Side(g.u8()), Type(g.u8()), TimeInForce(g.u8()), SelfMatch(g.u8())
	m.postOnly, o.place = g.flag(), place(g.u8())
	g.done()
	o.account = e.accounts.known(id)
	g.must(id != 0 && o.account != 0, "order %d is of account %d, which is not known", o.number, id)
	g.must(o.number >= 1 && o.number <= e.number, "order %d", o.number)
	g.must(m.rank >= 1 && m.rank <= e.tickets, "order %d has rank %d", o.number, m.rank)
	g.must(e.plausible(&o, &m, tif, in), "order %d is %+v %+v", o.number, o, m)
	g.must(!e.orders.full(), "more orders than there may be")
	g.must(g.err != nil || e.orders.find(o.account, o.client) == 0, "account %d has two orders %d", id, o.client)
	if g.err != nil {
		return all
	}
	i := e.orders.take(o.account, o.client)
	e.orders.at[i], e.orders.rest[i] = o, rest{link{tif: tif}, m}
	return append(all, i)
}

// plausible tells whether an order can be what it says, whatever else is in the book.
func (e *Engine) plausible(o *order, m *detail, tif TimeInForce, in *instrument) bool {
	n := New{
		Side: o.side, Type: m.kind, TIF: tif, SelfMatch: m.self, PostOnly: m.postOnly,
		Price: o.price, Stop: m.stop, Quantity: o.left, Expire: m.expire,
	}
	d := in.d
	d.MaxQuantity = e.options.MaxQuantity
	most := o.left
	if m.display != 0 {
		most = min(o.left, m.display)
	}
	switch {
	case e.checkForm(0, &n, &d) != None || tif > GTD || o.executed > d.MaxQuantity-o.left:
		return false
	case m.display > d.MaxQuantity || m.display != 0 && m.kind != Limit:
		return false
	case o.place == resting:
		return m.kind == Limit && o.shown >= 1 && o.shown <= most && (m.display != 0 || o.shown == o.left)
	case o.shown != 0:
		return false
	case o.place == waiting:
		return m.kind == Market && (in.state == Auction || in.state == Halted)
	case o.place == stopped:
		return m.kind >= Stop
	}
	return o.place == elected && m.kind >= Stop && in.phase == electing
}

// relate puts all orders into lists and queues, and looks at what they are together.
func (e *Engine) relate(g *glass, all []uint32) {
	at := e.orders.at
	slices.SortFunc(all, func(i, j uint32) int { return cmp.Compare(at[i].number, at[j].number) })
	number := e.number
	for n, i := range all {
		g.must(n == 0 || at[all[n-1]].number < at[i].number, "two orders %d", at[i].number)
		e.number = at[i].number - 1
		e.enlist(i)
		e.accounts.at[at[i].account].open++
		if e.orders.rest[i].tif == GTD {
			e.setExpiry(i)
		}
	}
	e.number = number
	more := e.orders.rest
	slices.SortFunc(all, func(i, j uint32) int { return cmp.Compare(more[i].rank, more[j].rank) })
	for n, i := range all {
		g.must(n == 0 || more[all[n-1]].rank < more[i].rank, "two orders of rank %d", more[i].rank)
		off := e.accounts.at[at[i].account].killed || e.killed && (e.killing == 0 || uint32(at[i].instrument) < e.killing)
		g.must(!off, "order %d is of an account that is switched off", at[i].number)
		e.append(i, e.queueOf(i))
		e.settle(i)
	}
	for i := 1; i <= e.accounts.used; i++ {
		x := &e.accounts.at[i]
		g.must(x.open <= MaxOpen, "account %d has %d open orders", x.id, x.open)
		g.must((x.idle != 0) == (x.open == 0 && !x.own && !x.killed), "account %d is idle since %d", x.id, x.idle)
		if g.err == nil {
			e.settleAccount(uint32(i))
		}
	}
	e.relateInstruments(g)
}

// queueOf is the queue that an order belongs to.
func (e *Engine) queueOf(i uint32) uint32 {
	o := &e.orders.at[i]
	in := e.of(o)
	switch o.place {
	case resting:
		return e.queue(in, o.side, o.price)
	case stopped:
		return e.shelf.add(in.stops(o.side), e.orders.rest[i].stop)
	case waiting:
		return in.waitingQueue(o.side)
	}
	return in.electedQueue()
}

// relateInstruments looks at what orders are together, and puts the instruments with work pending in a row.
func (e *Engine) relateInstruments(g *glass) {
	var pending []uint32
	for id := range e.instruments {
		in := &e.instruments[id]
		if in.state == 0 {
			continue
		}
		if in.phase != idle {
			pending = append(pending, uint32(id))
		}
		e.recount(in)
		bid, ask := in.top[0], in.top[1]
		if bid != 0 && ask != 0 && in.state != Auction && in.state != Halted {
			g.must(e.shelf.levels[bid].price < e.shelf.levels[ask].price, "instrument %d is crossed", id)
		}
		if in.state == Continuous && in.phase == idle {
			g.must(e.satisfied(in, Buy)|e.satisfied(in, Sell) == 0, "instrument %d has stops to elect", id)
		}
		if in.state == Closed && in.phase != closing {
			g.must(in.open[openList(Day)].head == 0, "instrument %d is closed and has Day orders", id)
		}
	}
	at := e.instruments
	slices.SortFunc(pending, func(i, j uint32) int { return cmp.Compare(at[i].ticket, at[j].ticket) })
	for n, id := range pending {
		g.must(n == 0 || at[pending[n-1]].ticket < at[id].ticket, "two instruments pending since %d", at[id].ticket)
		if n > 0 {
			at[pending[n-1]].nextBusy = id
		} else {
			e.busy.head = id
		}
		e.busy.tail = id
	}
}

// usable tells whether limits are within their ranges.
func (l *Limits) usable() bool {
	return l.MaxOpen <= MaxOpen && l.MaxQuantity <= MaxQuantity && l.MessagesPerS <= maxRate
}
