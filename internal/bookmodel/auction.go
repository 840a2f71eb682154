package bookmodel

import (
	"fmt"
	"slices"

	"lockstep/service/orderbook/match"
)

// uncross is an auction's end that is under way.
type uncross struct {
	price  uint32
	volume uint64 // still to be executed

	found   bool
	upwards bool   // bids have been gone through downwards
	at      uint32 // price that was looked at last
	surplus uint64 // of the best price so far
	calls   int
}

// auctioned returns the orders of one side that take part in an auction's end at a price, in the order in which they
// execute: market orders by number, then the best price, then the place in its queue.
func (m *Model) auctioned(i *instrument, side match.Side, price uint32) []*order {
	var markets, limits []*order
	for _, o := range m.orders {
		switch {
		case o.Instrument != i.ID || o.Side != side:
		case o.place == awaiting:
			markets = append(markets, o)
		case o.place == resting && reaches(side, o.Price, price):
			limits = append(limits, o)
		}
	}
	slices.SortFunc(markets, func(a, b *order) int { return compare(a.number, b.number) })
	slices.SortStableFunc(limits, func(a, b *order) int {
		if side == match.Buy {
			return compare(b.Price, a.Price)
		}
		return compare(a.Price, b.Price)
	})
	return append(markets, limits...)
}

func total(list []*order) (sum uint64) {
	for _, o := range list {
		sum += o.left
	}
	return sum
}

// equilibrium is the price at which most executes, and how much; 0 when nothing does.
func (m *Model) equilibrium(i *instrument) (price uint32, volume uint64) {
	ref := i.reference()
	var candidates []uint32
	for _, o := range m.orders {
		if o.Instrument == i.ID && o.place == resting {
			candidates = append(candidates, o.Price)
		}
	}
	if ref > 0 && i.trades(ref) {
		candidates = append(candidates, ref)
	}
	slices.Sort(candidates)
	var surplus, away uint64
	for _, p := range candidates {
		buy, sell := total(m.auctioned(i, match.Buy, p)), total(m.auctioned(i, match.Sell, p))
		v, s, d := min(buy, sell), max(buy, sell)-min(buy, sell), uint64(0)
		if ref > 0 {
			d = uint64(max(p, ref) - min(p, ref))
		}
		if price == 0 || v > volume || v == volume && (s < surplus || s == surplus && d < away) {
			price, volume, surplus, away = p, v, s, d
		}
	}
	return price, volume
}

// SetState has an instrument, or all (0), go to another state.
func (m *Model) SetState(_ uint64, id match.Instrument, s match.State) match.Reason {
	m.begin()
	if s < match.Closed || s > match.Halted {
		return match.BadState
	}
	list := m.instruments
	if id != 0 {
		i := m.instrument(id)
		if i == nil {
			return match.UnknownInstrument
		}
		list = []*instrument{i}
	}
	changes, busy := false, false
	for _, i := range list {
		changes = changes || i.state != s
		busy = busy || m.busy(i)
	}
	switch {
	case !changes:
		return match.BadState
	case busy:
		return match.Busy
	}
	var changing []*instrument
	for _, i := range list {
		if i.state != s {
			i.next = s
			changing = append(changing, i)
		}
	}
	m.pending = append(m.pending, m.turns(changing)...)
	return match.None
}

// change does what a change of state is made of; it says whether that is all.
func (m *Model) change(i *instrument) bool {
	if i.next == match.Continuous || i.next == match.Closed {
		if i.uncross == nil {
			i.uncross = &uncross{at: match.MaxPrice + 1}
		}
		if !i.uncross.found && !m.seek(i) {
			return false
		}
		if !m.pairs(i) || !m.auctionOver(i) {
			return false
		}
		i.uncross = nil
	}
	if i.next != 0 {
		i.closing = i.next == match.Closed
		i.state, i.next = i.next, 0
		m.public(i.ID, match.Event{Kind: match.EventState, State: i.state})
	}
	day := func(o *order) bool { return o.Instrument == i.ID && o.TIF == match.Day }
	if i.closing && !m.cancelAll(m.ascending(day), match.Expired) {
		return false
	}
	i.closing = false
	return true
}

// prices are those at which orders of the instrument rest on a side, ascending.
func (m *Model) prices(i *instrument, side match.Side) (list []uint32) {
	for _, o := range m.orders {
		if o.Instrument == i.ID && o.place == resting && o.Side == side {
			list = append(list, o.Price)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// waits says whether market orders of a side wait.
func (m *Model) waits(i *instrument, side match.Side) bool {
	return slices.ContainsFunc(m.orders, func(o *order) bool {
		return o.Instrument == i.ID && o.Side == side && o.place == awaiting
	})
}

// seek finds price and volume, price by price; it says whether that is all. What one call finds must be what is found
// when everything is looked at.
func (m *Model) seek(i *instrument) bool {
	u := i.uncross
	if i.state == match.Continuous {
		u.found = true
	}
	u.calls++
	for !u.found {
		if !u.upwards && !m.downwards(i) || u.upwards && !m.upwards(i) {
			return false
		}
	}
	if u.calls == 1 {
		price, volume := m.equilibrium(i)
		if volume != u.volume || volume > 0 && price != u.price {
			panic(fmt.Sprintf("the model finds %d at %d price by price, %d at %d otherwise", u.volume, u.price, volume, price))
		}
	}
	if u.volume > 0 {
		m.public(i.ID, match.Event{Kind: match.EventUncrossed, Price: u.price, Quantity: u.volume})
	}
	return true
}

// downwards goes through the bids at which something can execute.
func (m *Model) downwards(i *instrument) bool {
	u, floor := i.uncross, uint32(match.MaxPrice+1)
	if m.waits(i, match.Sell) {
		floor = 1
	} else if asks := m.prices(i, match.Sell); len(asks) > 0 {
		floor = asks[0]
	}
	bids := m.prices(i, match.Buy)
	slices.Reverse(bids)
	for _, p := range bids {
		if p >= u.at || p < floor {
			continue
		}
		if !m.spend() {
			return false
		}
		u.at = p
	}
	u.upwards, u.at = true, min(u.at, floor)-1
	return true
}

// upwards judges each price by the orders that are there now, up to one beyond which it can only be worse.
func (m *Model) upwards(i *instrument) bool {
	u, ref := i.uncross, i.reference()
	list := append(m.prices(i, match.Buy), m.prices(i, match.Sell)...)
	if ref > 0 && i.trades(ref) {
		list = append(list, ref)
	}
	slices.Sort(list)
	for _, p := range slices.Compact(list) {
		if p <= u.at {
			continue
		}
		if !m.spend() {
			return false
		}
		u.at = p
		buy, sell := total(m.auctioned(i, match.Buy, p)), total(m.auctioned(i, match.Sell, p))
		v, s := min(buy, sell), max(buy, sell)-min(buy, sell)
		nearer := ref > 0 && max(p, ref)-min(p, ref) < max(u.price, ref)-min(u.price, ref)
		switch {
		case v > 0 && (v > u.volume || v == u.volume && (s < u.surplus || s == u.surplus && nearer)):
			u.price, u.volume, u.surplus = p, v, s
		case sell >= buy && (v < u.volume || s > u.surplus):
			u.found = true
			return true
		}
	}
	u.found = true
	return true
}

// pairs executes the first buy and the first sell until the volume is done. Where so much was cancelled meanwhile that the
// volume cannot be had, it begins again with another price.
func (m *Model) pairs(i *instrument) bool {
	for i.uncross.volume > 0 {
		buys, sells := m.auctioned(i, match.Buy, i.uncross.price), m.auctioned(i, match.Sell, i.uncross.price)
		if len(buys) == 0 || len(sells) == 0 {
			i.uncross = &uncross{at: match.MaxPrice + 1}
			if !m.seek(i) {
				return false
			}
			continue
		}
		if !m.spend() {
			return false
		}
		quantity := min(i.uncross.volume, buys[0].left, sells[0].left)
		i.uncross.volume -= quantity
		m.pair(i, buys[0], sells[0], quantity)
	}
	return true
}

// auctionOver cancels the market orders that wait.
func (m *Model) auctionOver(i *instrument) bool {
	for _, side := range []match.Side{match.Buy, match.Sell} {
		list := m.ascending(func(o *order) bool { return o.Instrument == i.ID && o.Side == side && o.place == awaiting })
		if !m.cancelAll(list, match.AuctionOver) {
			return false
		}
	}
	return true
}

func (m *Model) pair(i *instrument, buy, sell *order, quantity uint64) {
	price := i.uncross.price
	m.lastExecution++
	i.last = price
	for _, o := range []*order{buy, sell} {
		o.executed += quantity
		o.left -= quantity
		m.private(o, match.Event{Kind: match.EventExecuted, Execution: m.lastExecution, Price: price, Quantity: quantity, Left: o.left})
	}
	m.public(i.ID, match.Event{Kind: match.EventTraded, Execution: m.lastExecution, Price: price, Quantity: quantity})
	for _, o := range []*order{buy, sell} {
		switch {
		case o.left == 0:
			m.remove(o)
			m.over(o)
			if o.place == resting {
				m.ofOrder(match.EventDeleted, o, 0)
			}
		case o.place == resting:
			m.show(o, o.shows())
		}
	}
}

// show has an order in the book show another quantity of itself, in its place.
func (m *Model) show(o *order, quantity uint64) {
	switch before := o.shown; {
	case quantity < before:
		o.shown = quantity
		m.ofOrder(match.EventReduced, o, before-quantity)
	case quantity > before:
		o.shown = quantity
		m.ofOrder(match.EventAdded, o, quantity)
	}
}
