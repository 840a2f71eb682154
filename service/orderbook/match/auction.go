package match

// SetState changes an instrument's state, or that of all: see Book.
func (e *Engine) SetState(nowNs uint64, id Instrument, s State) Reason {
	if s < Closed || s > Halted {
		return BadState
	}
	if id == 0 {
		return e.setAll(s)
	}
	in := e.instrument(id)
	switch {
	case in == nil:
		return UnknownInstrument
	case in.state == s:
		return BadState
	case e.isBusy(in):
		return Busy
	}
	e.begin()
	in.phase, in.target = starting, s
	if !e.run(in) {
		e.pend(in)
	}
	return None
}

// setAll changes the state of all instruments that are not in that state yet.
func (e *Engine) setAll(s State) Reason {
	differ := false
	for i := range e.instruments {
		differ = differ || e.instruments[i].state != 0 && e.instruments[i].state != s
	}
	switch {
	case !differ:
		return BadState
	case e.Pending():
		return Busy
	}
	e.begin()
	for i := range e.instruments {
		if in := &e.instruments[i]; in.state != 0 && in.state != s {
			in.phase, in.target = starting, s
			e.pend(in)
		}
	}
	e.runPending()
	return None
}

// start finds what an instrument does first on its way to another state. Only what trades or closes has to uncross, and
// what traded until now is not crossed.
func (e *Engine) start(in *instrument) {
	switch {
	case in.target == Auction || in.target == Halted:
		e.arrive(in)
	case in.state == Continuous:
		in.phase = clearing
	default:
		in.phase, in.at = summing, MaxPrice+1
		in.buy = e.shelf.levels[in.waitingQueue(Buy)].total
	}
}

// arrive makes an instrument what it was to become.
func (e *Engine) arrive(in *instrument) {
	in.state, in.target, in.price = in.target, 0, 0
	in.phase = idle
	switch in.state {
	case Closed:
		in.phase = closing
	case Continuous:
		in.phase = electing
	}
	e.publish(EventState, in.d.ID).State = in.state
}

// first is the order of a side that is next in an uncross, 0 if there is none.
func (e *Engine) first(in *instrument, s Side) uint32 {
	if i := e.shelf.levels[in.waitingQueue(s)].head; i != 0 {
		return i
	}
	queue := in.best(Buy + Sell - s)
	if queue == 0 || !meets(s, e.shelf.levels[queue].price, in.price) {
		return 0
	}
	return e.shelf.levels[queue].head
}

// spend takes one of what a call may execute, cancel and look at to find a price; it reports false when there is none left.
func (e *Engine) spend() bool {
	if e.looks >= e.options.MaxFills {
		return false
	}
	e.looks++
	e.work++
	return true
}

// uncrossSome executes pairs; it reports false when the call has done enough before all is done. When so much was canceled
// meanwhile that the volume cannot be had, what is left may cross at another price: it begins again.
func (e *Engine) uncrossSome(in *instrument) bool {
	for in.volume > 0 {
		buy, sell := e.first(in, Buy), e.first(in, Sell)
		if buy == 0 || sell == 0 {
			in.phase, in.price, in.volume = starting, 0, 0
			return true
		}
		if !e.spend() {
			return false
		}
		e.pair(in, buy, sell)
	}
	in.phase = clearing
	return true
}

// pair lets two orders execute in an uncross.
func (e *Engine) pair(in *instrument, buy, sell uint32) {
	b, s := &e.orders.at[buy], &e.orders.at[sell]
	quantity := min(b.left, s.left, in.volume)
	in.volume -= quantity
	in.last = in.price
	e.executions++
	for _, o := range [2]*order{b, s} {
		o.left -= quantity
		o.executed += quantity
		e.shelf.levels[o.level].total -= quantity
		e.executed(o, in.price, quantity)
	}
	v := e.publish(EventTraded, in.d.ID)
	v.Execution, v.Price, v.Quantity = e.executions, in.price, quantity
	e.showAnew(buy)
	e.showAnew(sell)
}

// showAnew ends an order that has executed in an uncross, or shows what is to be shown of it.
func (e *Engine) showAnew(i uint32) {
	o := &e.orders.at[i]
	shows := o.place == resting
	if o.left == 0 {
		e.part(i)
		if shows {
			e.publishOrder(EventDeleted, o, 0)
		}
		e.close(i)
		return
	}
	if shows {
		before := o.shown
		o.shown = e.showing(i)
		e.shelf.levels[o.level].shown += o.shown - before
		switch {
		case o.shown > before:
			e.publishOrder(EventAdded, o, o.shown)
		case o.shown < before:
			e.publishOrder(EventReduced, o, before-o.shown)
		}
	}
	e.settle(i)
}

// clearSome cancels the market orders that wait; it reports false when the call has done enough before all is done.
func (e *Engine) clearSome(in *instrument) bool {
	for side := Buy; side <= Sell; side++ {
		for queue := in.waitingQueue(side); e.shelf.levels[queue].head != 0; {
			if !e.spend() {
				return false
			}
			e.cancelWhole(e.shelf.levels[queue].head, AuctionOver)
		}
	}
	return true
}

// closeSome cancels the Day orders; it reports false when the call has done enough before all is done.
func (e *Engine) closeSome(in *instrument) bool {
	for in.open[openList(Day)].head != 0 {
		if !e.spend() {
			return false
		}
		e.cancelWhole(in.open[openList(Day)].head, Expired)
	}
	return true
}
