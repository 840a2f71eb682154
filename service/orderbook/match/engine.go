package match

// Ladders of an instrument.
const (
	bids = iota
	asks
	buyStops
	sellStops
	numLadders
)

// list is a list of an instrument's open orders, by order number.
type list struct{ head, tail uint32 }

// phase is what work of an instrument is pending.
type phase uint8

const (
	idle     phase = iota
	starting       // find what to uncross
	uncross        // execute volume at price
	clearing       // cancel the market orders that wait
	closing        // cancel the Day orders
	electing       // elect stops
	summing        // find the price of the uncross: sum the bids
	pricing        // and look at the prices
)

// instrument is one that may be traded.
type instrument struct {
	ladders   [numLadders]ladder
	top       [2]uint32 // level of the best bid, of the best ask, 0: none
	open      [2]list   // Day orders, others
	d         Definition
	state     State // 0: not defined
	phase     phase
	target    State  // what it becomes when it has been uncrossed and cleared
	price     uint32 // of the uncross; while it is searched the best so far
	at        uint32 // price that the search looked at last
	volume    uint64 // that is still to execute in the uncross; while the price is searched that of the best so far
	buy       uint64 // while it is searched, see price.go: these two follow from the book
	sell      uint64
	imbalance uint64 // of the best so far
	last      uint32 // trade price
	nextBusy  uint32 // in the list of those with work pending
	ticket    uint64 // of when it joined that list
	base      uint64 // hash of the definition
	hash      uint64
}

// Engine is the matching engine: see Book for what its methods do.
type Engine struct {
	options     Options
	instruments []instrument // [0] is not used
	shelf       shelf
	orders      orders
	accounts    accounts
	expiries    expiries
	busy        list      // instruments with work pending, the first to go on first
	scratch     []glimpse // of preview
	events      []Event

	number     uint64 // last order number given out
	executions uint64 // last execution number given out
	published  uint64 // last number of a public event given out
	tickets    uint64 // last rank or ticket given out
	killed     bool   // all accounts are switched off
	killing    uint32 // instrument whose orders are next to be canceled because of that, 0: none
	sum        uint64 // of the hashes of all orders, accounts and instruments

	// Of the call that is under way.
	looks, elections, joined int

	work uint32 // since Reset
}

var _ Book = (*Engine)(nil)

// NewEngine returns an engine without orders.
func NewEngine(o Options) (*Engine, error) {
	o.defaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	e := &Engine{options: o}
	e.clear()
	for id := uint32(1); id <= o.Instruments; id++ {
		in := &e.instruments[id]
		in.state = Continuous
		e.define(in, &Definition{ID: Instrument(id), Low: 1, High: o.PriceLimit, MaxQuantity: o.MaxQuantity, State: Continuous})
	}
	return e, nil
}

// Options are those of the engine, with the defaults filled in.
func (e *Engine) Options() Options { return e.options }

// clear makes the engine one that has nothing, no instrument either.
func (e *Engine) clear() {
	o := e.options
	*e = Engine{
		options:     o,
		instruments: make([]instrument, o.MaxInstruments+1),
		shelf:       newShelf(o.MaxOrders, 3*int(o.MaxInstruments)),
		orders:      newOrders(o.MaxOrders),
		accounts:    newAccounts(o.MaxAccounts),
		expiries:    expiries{make([]uint32, 0, o.MaxOrders)},
		scratch:     make([]glimpse, 0, o.MaxFills),
		events:      make([]Event, 0, 256),
	}
}

// Open is how many orders are open, and how many accounts known.
func (e *Engine) Open() (orders, accounts int) { return e.orders.used, e.accounts.used }

// Work is what calls have done since Reset that events do not tell of: a unit for each resting order that was looked at, in
// previews too, each price that the search for that of an uncross looked at, each order canceled by what goes on in parts
// and each stop that joined the elected.
func (e *Engine) Work() int { return int(e.work) }

// NextNumber is the number that the next public event gets.
func (e *Engine) NextNumber() uint64 { return e.published + 1 }

// Hash tells two states apart: it covers all that what is answered from now on depends on.
func (e *Engine) Hash() uint64 {
	h := mix(mix(e.sum, e.number), e.executions)
	h = mix(mix(h, e.published), e.tickets)
	h = mix(h, bit(e.killed)<<32|uint64(e.killing))
	return e.accounts.defaults.mixInto(h)
}

// begin starts a call that may execute, cancel or elect.
func (e *Engine) begin() { e.looks, e.elections, e.joined = 0, 0, 0 }

// ticket is a number higher than all before.
func (e *Engine) ticket() uint64 {
	e.tickets++
	return e.tickets
}

// instrument returns the one of that number, nil if it is not defined.
func (e *Engine) instrument(id Instrument) *instrument {
	if id == 0 || id > Instrument(e.options.MaxInstruments) || e.instruments[id].state == 0 {
		return nil
	}
	return &e.instruments[id]
}

// of returns an order's instrument.
func (e *Engine) of(o *order) *instrument { return &e.instruments[o.instrument] }

// isBusy tells whether work of an instrument is pending.
func (e *Engine) isBusy(in *instrument) bool { return in.phase != idle || e.killing != 0 }

// define gives an instrument its definition.
func (e *Engine) define(in *instrument, d *Definition) {
	in.d = *d
	h := mix(uint64(d.ID), uint64(d.Low)<<32|uint64(d.High))
	h = mix(mix(h, d.MaxQuantity), uint64(d.Collar)<<32|uint64(d.Reference))
	for at := 0; at < len(d.Symbol); at += 8 {
		h = mix(h, word(d.Symbol[at:]))
	}
	in.base = mix(h, uint64(d.State))
	e.settleInstrument(in)
}

// settleInstrument takes what an instrument is now into the sum.
func (e *Engine) settleInstrument(in *instrument) {
	e.sum -= in.hash
	in.hash = mix(in.base, uint64(in.state)<<48|uint64(in.phase)<<40|uint64(in.target)<<32|uint64(in.last))
	if in.phase != idle {
		in.hash = mix(mix(mix(in.hash, uint64(in.at)<<32|uint64(in.price)), in.volume), in.ticket)
		in.hash = mix(in.hash, in.imbalance)
	}
	e.sum += in.hash
}

// word is eight bytes as a number.
func word(b []byte) (w uint64) {
	for i := range 8 {
		w |= uint64(b[i]) << (8 * i)
	}
	return w
}

// waitingQueue is the level in which market orders of a side wait.
func (in *instrument) waitingQueue(s Side) uint32 { return 3*uint32(in.d.ID) - 3 + uint32(s) }

// electedQueue is the level in which stops that are elected are.
func (in *instrument) electedQueue() uint32 { return 3 * uint32(in.d.ID) }

// ladder is where an order of a side is while it rests.
func (in *instrument) ladder(s Side) *ladder { return &in.ladders[bids+int(s-Buy)] }

// stops is where an order of a side is while it is stopped.
func (in *instrument) stops(s Side) *ladder { return &in.ladders[buyStops+int(s-Buy)] }

// best returns the level that an order of a side meets first, 0 if there is none.
func (in *instrument) best(s Side) uint32 { return in.top[Sell-s] }

// queue returns the level where orders of a side rest at a price, made if it is not there.
func (e *Engine) queue(in *instrument, s Side, price uint32) uint32 {
	top := &in.top[s-Buy]
	if *top == 0 || !meets(s, e.shelf.levels[*top].price, price) {
		*top = e.shelf.add(in.ladder(s), price)
		return *top
	}
	if e.shelf.levels[*top].price == price {
		return *top
	}
	return e.shelf.add(in.ladder(s), price)
}

// clearQueue takes out a level where no order of a side rests any more.
func (e *Engine) clearQueue(in *instrument, s Side, price, queue uint32) {
	e.shelf.remove(in.ladder(s), price)
	switch top := &in.top[s-Buy]; {
	case *top != queue:
	case s == Buy:
		*top = e.shelf.highest(&in.ladders[bids])
	default:
		*top = e.shelf.lowest(&in.ladders[asks])
	}
}

// further returns the level that an order of a side meets after that of a price.
func (e *Engine) further(in *instrument, s Side, price uint32) uint32 {
	if s == Buy {
		return e.shelf.after(&in.ladders[asks], price)
	}
	return e.shelf.before(&in.ladders[bids], price)
}

// meets tells whether an order that goes to bound may execute at a price of the other side.
func meets(s Side, bound, price uint32) bool {
	if s == Buy {
		return price <= bound
	}
	return price >= bound
}

// ref is what the collar is measured from, 0: nothing.
func (in *instrument) ref() uint32 {
	if in.last != 0 {
		return in.last
	}
	return in.d.Reference
}

// bound is the furthest price within the collar for an order of a side: the highest to buy, the lowest to sell.
func (in *instrument) bound(s Side) uint32 {
	ref := in.ref()
	switch {
	case s == Buy && (in.d.Collar == 0 || ref == 0):
		return in.d.High
	case s == Buy:
		return min(in.d.High, ref+in.d.Collar)
	case in.d.Collar == 0 || ref < in.d.Collar:
		return in.d.Low
	}
	return max(in.d.Low, ref-in.d.Collar)
}
