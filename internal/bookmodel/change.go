package bookmodel

import "lockstep/service/orderbook/match"

// Cancel takes an order off, or makes it smaller.
func (m *Model) Cancel(c *match.Cancel) match.Reason {
	if reason := m.CheckCancel(c); reason != match.None {
		return m.rejected(c.Account, c.ClientOrder, reason)
	}
	o := m.find(c.Account, c.ClientOrder)
	if c.Quantity <= o.executed {
		m.cancel(o, match.Requested)
		return match.None
	}
	m.shrink(o, c.Quantity-o.executed)
	return match.None
}

// shrink leaves an order less, in its place: it shows what it showed, as far as it has that.
func (m *Model) shrink(o *order, left uint64) {
	m.canceled(o, o.left-left, match.Requested)
	o.Quantity = o.executed + o.left
	if o.place == resting {
		m.show(o, min(o.shown, o.left))
	}
}

// CheckCancel says what Cancel would refuse.
func (m *Model) CheckCancel(c *match.Cancel) match.Reason {
	o := m.find(c.Account, c.ClientOrder)
	switch {
	case c.Account == 0:
		return match.BadAccount
	case o == nil:
		return match.UnknownOrder
	case c.Quantity >= o.executed+o.left:
		return match.BadQuantity
	}
	return match.None
}

// MassCancel takes an account's orders off.
func (m *Model) MassCancel(id match.Account, instrument match.Instrument, side match.Side) match.Reason {
	if reason := m.CheckMassCancel(id, instrument, side); reason != match.None {
		return m.rejected(id, 0, reason)
	}
	list := m.some(func(o *order) bool {
		return o.Account == id && (instrument == 0 || o.Instrument == instrument) && (side == 0 || o.Side == side)
	})
	for _, o := range list {
		m.cancel(o, match.MassCanceled)
	}
	m.events = append(m.events, match.Event{Kind: match.EventMassCanceled, Account: id, Instrument: instrument, Side: side,
		Quantity: uint64(len(list))})
	return match.None
}

// CheckMassCancel says what MassCancel would refuse.
func (m *Model) CheckMassCancel(id match.Account, instrument match.Instrument, side match.Side) match.Reason {
	switch {
	case id == 0:
		return match.BadAccount
	case instrument != 0 && m.instrument(instrument) == nil:
		return match.UnknownInstrument
	case side > match.Sell:
		return match.BadSide
	}
	return match.None
}

// Leave takes all orders of an account off.
func (m *Model) Leave(id match.Account) {
	for _, o := range m.some(func(o *order) bool { return o.Account == id }) {
		m.cancel(o, match.Disconnected)
	}
}

// Replace makes an open order another one.
func (m *Model) Replace(now uint64, r *match.Replace) match.Reason {
	m.begin()
	if reason := m.checkReplace(now, r); reason != match.None {
		return m.rejected(r.Account, r.ClientOrder, reason)
	}
	o := m.find(r.Account, r.ClientOrder)
	if r.Quantity <= o.executed {
		m.cancel(o, match.ReducedAway)
		return match.None
	}
	i := m.instrument(o.Instrument)
	left := r.Quantity - o.executed
	keeps := r.Price == o.Price && r.Stop == o.Stop && left <= o.left && showsNoMore(r.Display, o.Display)
	before := *o
	o.ClientOrder, o.Price, o.Stop, o.Quantity, o.Display = r.NewClientOrder, r.Price, r.Stop, r.Quantity, r.Display
	tell := func(left uint64) {
		m.private(o, match.Event{Kind: match.EventReplaced, OldClientOrder: r.ClientOrder, Quantity: r.Quantity, Left: left})
	}
	if keeps {
		o.left = left
		tell(left)
		if o.place == resting {
			m.show(o, min(o.shown, o.shows()))
		}
		return match.None
	}
	m.remove(o)
	o.left = left
	m.take(i, o, func(left uint64) {
		tell(left)
		if before.place == resting {
			m.ofOrder(match.EventDeleted, &before, 0)
		}
	})
	m.after(i)
	return match.None
}

// showsNoMore compares what two orders show at once; 0 is all.
func showsNoMore(a, b uint64) bool { return b == 0 || a != 0 && a <= b }

func (m *Model) checkReplace(now uint64, r *match.Replace) match.Reason {
	a, reason := m.admit(now, r.Account)
	if reason != match.None {
		return reason
	}
	o := m.find(r.Account, r.ClientOrder)
	if o == nil {
		return match.UnknownOrder
	}
	i := m.instrument(o.Instrument)
	n := o.New
	n.Price, n.Stop, n.Quantity, n.Display = r.Price, r.Stop, r.Quantity, r.Display
	for _, check := range []func() match.Reason{
		func() match.Reason { return checkPrices(i, &n) },
		func() match.Reason { return checkQuantities(i, &n) },
		func() match.Reason { return when(n.Quantity > m.limitsOf(a).MaxQuantity, match.TooLarge) },
		func() match.Reason { return m.checkState(i, &n) },
		func() match.Reason {
			return when(r.NewClientOrder != r.ClientOrder && m.find(r.Account, r.NewClientOrder) != nil, match.DuplicateOrder)
		},
		func() match.Reason {
			return when(r.Quantity > o.executed && n.Type == match.Limit && i.collars(n.Side, n.Price), match.Collar)
		},
		func() match.Reason { return when(r.Quantity > o.executed && m.wouldExecute(i, &n), match.WouldExecute) },
	} {
		if reason := check(); reason != match.None {
			return reason
		}
	}
	return match.None
}
