package bookmodel

import "lockstep/service/orderbook/match"

// bucket is what is missing in an account's bucket of messages, in parts of 1/second: a message takes second of them. It
// stays missing when the rate changes.
type bucket struct {
	missing uint64
	at      uint64 // ns
}

const second = 1_000_000_000

// take takes a message out of a bucket that gets rate messages a second and holds as many.
func (b *bucket) take(now, rate uint64) bool {
	if rate == 0 {
		return true
	}
	if passed := now - b.at; passed > b.missing/rate {
		b.missing = 0
	} else {
		b.missing -= passed * rate
	}
	b.at = now
	if b.missing+second > rate*second {
		return false
	}
	b.missing += second
	return true
}

func (m *Model) limitsOf(a *account) match.Limits {
	l := m.defaults
	if a.limits != (match.Limits{}) {
		l = a.limits
	}
	if l.MaxOpen == 0 {
		l.MaxOpen = m.o.MaxOpen
	}
	if l.MaxQuantity == 0 {
		l.MaxQuantity = match.MaxQuantity
	}
	return l
}

// admit is what every New and Replace meets first. A message counts, whatever becomes of it.
func (m *Model) admit(now uint64, id match.Account) (*account, match.Reason) {
	if id == 0 {
		return nil, match.BadAccount
	}
	a := m.know(id)
	switch {
	case a == nil:
		return nil, match.TooManyAccounts
	case !a.bucket.take(now, uint64(m.limitsOf(a).MessagesPerS)):
		return nil, match.Throttled
	case m.allKilled || a.killed:
		return nil, match.Killed
	}
	return a, match.None
}

func stays(t match.TimeInForce) bool { return t <= match.GTD }

func (m *Model) checkNew(now uint64, n *match.New) match.Reason {
	a, reason := m.admit(now, n.Account)
	if reason != match.None {
		return reason
	}
	i := m.instrument(n.Instrument)
	if i == nil {
		return match.UnknownInstrument
	}
	for _, check := range []func() match.Reason{
		func() match.Reason { return checkWords(n) },
		func() match.Reason { return checkPrices(i, n) },
		func() match.Reason { return checkQuantities(i, n) },
		func() match.Reason { return checkExpiry(now, n) },
		func() match.Reason { return when(n.Quantity > m.limitsOf(a).MaxQuantity, match.TooLarge) },
		func() match.Reason { return m.checkState(i, n) },
		func() match.Reason { return when(m.find(n.Account, n.ClientOrder) != nil, match.DuplicateOrder) },
		func() match.Reason { return when(m.open(n.Account) >= int(m.limitsOf(a).MaxOpen), match.TooManyOpen) },
		func() match.Reason { return when(len(m.orders) >= m.o.MaxOrders, match.TooManyOrders) },
		func() match.Reason { return when(n.Type == match.Limit && i.collars(n.Side, n.Price), match.Collar) },
		func() match.Reason { return when(m.wouldExecute(i, n), match.WouldExecute) },
	} {
		if reason := check(); reason != match.None {
			return reason
		}
	}
	return match.None
}

func when(is bool, reason match.Reason) match.Reason {
	if is {
		return reason
	}
	return match.None
}

func (m *Model) open(id match.Account) int {
	n := 0
	for _, o := range m.orders {
		if o.Account == id {
			n++
		}
	}
	return n
}

// checkWords looks at side, type and time in force.
func checkWords(n *match.New) match.Reason {
	stop := n.Type == match.Stop || n.Type == match.StopLimit
	switch {
	case n.Side != match.Buy && n.Side != match.Sell:
		return match.BadSide
	case n.Type < match.Limit || n.Type > match.StopLimit || n.SelfMatch > match.CancelBoth:
		return match.BadType
	case n.PostOnly && (n.Type != match.Limit || !stays(n.TIF)):
		return match.BadType
	case n.TIF > match.FOK,
		n.Type == match.Market && (n.TIF == match.GTC || n.TIF == match.GTD),
		stop && !stays(n.TIF):
		return match.BadTimeInForce
	}
	return match.None
}

func (i *instrument) trades(price uint32) bool { return price >= i.Low && price <= i.High }

// checkPrices looks at price and stop: each has its types, and within the band.
func checkPrices(i *instrument, n *match.New) match.Reason {
	hasPrice := n.Type == match.Limit || n.Type == match.StopLimit
	hasStop := n.Type == match.Stop || n.Type == match.StopLimit
	switch {
	case hasPrice && !i.trades(n.Price), !hasPrice && n.Price != 0:
		return match.BadPrice
	case hasStop && !i.trades(n.Stop), !hasStop && n.Stop != 0:
		return match.BadStop
	}
	return match.None
}

func checkQuantities(i *instrument, n *match.New) match.Reason {
	switch {
	case n.Quantity < 1 || n.Quantity > i.MaxQuantity:
		return match.BadQuantity
	case n.Display > 0 && (n.Type != match.Limit || !stays(n.TIF) || n.Display > n.Quantity):
		return match.BadDisplay
	case n.MinQuantity > 0 && (n.TIF != match.IOC || n.MinQuantity > n.Quantity):
		return match.BadMinQuantity
	}
	return match.None
}

func checkExpiry(now uint64, n *match.New) match.Reason {
	if n.TIF == match.GTD {
		return when(n.Expire <= now, match.BadExpiry)
	}
	return when(n.Expire != 0, match.BadExpiry)
}

func (m *Model) checkState(i *instrument, n *match.New) match.Reason {
	switch {
	case m.busy(i):
		return match.Busy
	case i.state == match.Closed:
		return match.RefusedClosed
	case i.state == match.Halted:
		return match.RefusedHalted
	case i.state == match.Auction && (!stays(n.TIF) || n.PostOnly):
		return match.NotInAuction
	}
	return match.None
}

// reference is the price that collars are measured from; 0: there is none.
func (i *instrument) reference() uint32 {
	if i.last > 0 {
		return i.last
	}
	return i.Reference
}

// collars says whether a limit is too far on the wrong side of the reference price.
func (i *instrument) collars(side match.Side, price uint32) bool {
	ref := i.reference()
	if i.Collar == 0 || ref == 0 {
		return false
	}
	if side == match.Buy {
		return price > ref+i.Collar
	}
	return price+i.Collar < ref
}

// wouldExecute says whether a PostOnly order meets any order, its account's own too.
func (m *Model) wouldExecute(i *instrument, n *match.New) bool {
	return n.PostOnly && i.state == match.Continuous && m.meets(&order{New: *n}, n.Price) != nil
}
