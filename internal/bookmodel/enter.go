package bookmodel

import "lockstep/service/orderbook/match"

// Enter enters an order.
func (m *Model) Enter(now uint64, n *match.New) match.Reason {
	m.begin()
	if reason := m.checkNew(now, n); reason != match.None {
		return m.rejected(n.Account, n.ClientOrder, reason)
	}
	i := m.instrument(n.Instrument)
	o := &order{New: *n, left: n.Quantity}
	m.take(i, o, func(left uint64) {
		m.private(o, match.Event{Kind: match.EventAccepted, Quantity: n.Quantity, Left: left})
	})
	m.after(i)
	return match.None
}

// take takes an order in under a number of its own. tell says what it begins with: how much of it will rest or wait.
func (m *Model) take(i *instrument, o *order, tell func(left uint64)) {
	m.lastOrder++
	o.number = m.lastOrder
	switch {
	case o.Type == match.Stop || o.Type == match.StopLimit:
		tell(o.left)
		m.wait(o, stopped)
	case i.state == match.Auction && o.Type == match.Market:
		tell(o.left)
		m.wait(o, awaiting)
	case i.state == match.Auction:
		tell(o.left)
		m.rest(o)
	default:
		m.execute(i, o, tell)
	}
}

func (m *Model) wait(o *order, where place) {
	o.place = where
	m.orders = append(m.orders, o)
}

// rest puts an order at the end of its price's queue.
func (m *Model) rest(o *order) {
	o.place = resting
	o.shown = o.shows()
	m.orders = append(m.orders, o)
	m.ofOrder(match.EventAdded, o, o.shown)
}

// shows is how much of itself an order shows when it begins to.
func (o *order) shows() uint64 {
	if o.Display > 0 {
		return min(o.Display, o.left)
	}
	return o.left
}

// execute has an order execute against the book, and what is left of it rest if it may.
func (m *Model) execute(i *instrument, o *order, tell func(left uint64)) {
	would, why := m.try(i, o)
	may := o.Type == match.Limit && stays(o.TIF)
	if why == 0 && may {
		tell(would.left)
	} else {
		tell(0)
	}
	if o.TIF == match.FOK && would.left > 0 || would.executed-o.executed < o.MinQuantity {
		m.close(o, match.CanceledNotFilled)
		return
	}
	switch why := m.run(i, o); {
	case o.left == 0:
		m.over(o)
	case why != 0:
		m.close(o, why)
	case !may:
		m.close(o, match.Unfilled)
	default:
		m.rest(o)
	}
}

// try says what would come of run, on a copy of all that it could change.
func (m *Model) try(i *instrument, o *order) (would *order, why match.CancelReason) {
	copied, place := *o, *i
	c := &Model{o: m.o, instruments: []*instrument{&place}}
	for _, r := range m.orders {
		if r.Instrument == i.ID && r.Side != o.Side {
			other := *r
			c.orders = append(c.orders, &other)
		}
	}
	why = c.run(&place, &copied)
	return &copied, why
}

// run has an order execute against those it meets, one after the other. why is the reason for which what is left is not
// to go on.
func (m *Model) run(i *instrument, o *order) (why match.CancelReason) {
	worst := i.worst(o)
	for looked := 0; o.left > 0; looked++ {
		r := m.meets(o, worst)
		if r == nil {
			return 0
		}
		if looked == m.o.MaxFills {
			return match.TooManyFills
		}
		m.worked++
		if r.Account == o.Account && o.SelfMatch != match.Allow {
			if o.SelfMatch != match.CancelNewest {
				m.cancel(r, match.CanceledSelfMatch)
			}
			if o.SelfMatch != match.CancelOldest {
				return match.CanceledSelfMatch
			}
			continue
		}
		m.trade(i, o, r)
	}
	return 0
}

// worst is the worst price at which an order may execute.
func (i *instrument) worst(o *order) uint32 {
	ref := i.reference()
	collared := i.Collar > 0 && ref > 0
	switch {
	case o.Type != match.Market:
		return o.Price
	case o.Side == match.Buy && collared:
		return min(i.High, ref+i.Collar)
	case o.Side == match.Buy:
		return i.High
	case collared && ref > i.Collar:
		return max(i.Low, ref-i.Collar)
	}
	return i.Low
}

// meets returns the order that o meets next at a price no worse than that: of those at the best price the one that has
// stood there longest.
func (m *Model) meets(o *order, worst uint32) *order {
	var best *order
	for _, r := range m.orders {
		if r.place != resting || r.Instrument != o.Instrument || r.Side == o.Side || !reaches(o.Side, worst, r.Price) {
			continue
		}
		if best == nil || r.Price != best.Price && reaches(o.Side, best.Price, r.Price) {
			best = r
		}
	}
	return best
}

// reaches says whether who buys (or sells) at limit takes price.
func reaches(side match.Side, limit, price uint32) bool {
	if side == match.Buy {
		return price <= limit
	}
	return price >= limit
}

// trade executes what o and an order that rests have in common.
func (m *Model) trade(i *instrument, o, r *order) {
	quantity := min(o.left, r.shown)
	m.lastExecution++
	i.last = r.Price
	for _, side := range []*order{o, r} {
		side.executed += quantity
		side.left -= quantity
		m.private(side, match.Event{Kind: match.EventExecuted, Execution: m.lastExecution, Price: r.Price, Quantity: quantity,
			Left: side.left})
	}
	m.public(i.ID, match.Event{Kind: match.EventTraded, Execution: m.lastExecution, Order: r.number, Side: r.Side, Price: r.Price,
		Quantity: quantity})
	r.shown -= quantity
	if r.shown == 0 {
		m.remove(r)
	}
	if r.shown == 0 && r.left > 0 {
		m.rest(r)
	}
	if r.left == 0 {
		m.over(r)
	}
}

// canceled reports that so much of an order was taken off.
func (m *Model) canceled(o *order, quantity uint64, why match.CancelReason) {
	o.left -= quantity
	m.private(o, match.Event{Kind: match.EventCanceled, Quantity: quantity, Cancel: why, Left: o.left})
}

// close is the end of an order that is nowhere.
func (m *Model) close(o *order, why match.CancelReason) {
	m.canceled(o, o.left, why)
	m.over(o)
}

// cancel takes an open order off.
func (m *Model) cancel(o *order, why match.CancelReason) {
	m.remove(o)
	m.close(o, why)
	if o.place == resting {
		m.ofOrder(match.EventDeleted, o, 0)
	}
}
