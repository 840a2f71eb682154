package match

// The price of an uncross is that of the greatest volume, then of the least imbalance, then nearest to ref, then the lowest.
// It is found in two passes, each a price at a time and each in as many calls as it takes:
//
//	summing   bids downwards from the best to the lowest sell (to the lowest bid if market sells wait): buy is their sum
//	pricing   bids, asks and ref upwards from there: buy and sell are what executes at a price at most
//
// Between two calls orders may be canceled, none comes in. The sums follow (uncount), so each price is judged by the orders
// that are there when it is looked at, and no pass ever goes back: a search ends after at most twice as many prices as there
// are. A volume that was found can only have become less, so nothing that is still to be had exceeds the best one. If that
// cannot be had itself the uncross begins again, which costs an order each time: a round executes one whole, or one side has
// lost all its orders at that price.

// searching tells whether a price is being found.
func (in *instrument) searching() bool { return in.phase == summing || in.phase == pricing }

// floor is the lowest price at which anything can execute.
func (e *Engine) floor(in *instrument) uint32 {
	switch {
	case e.shelf.levels[in.waitingQueue(Sell)].total != 0:
		return 1
	case in.top[1] != 0:
		return e.shelf.levels[in.top[1]].price
	}
	return MaxPrice + 1
}

// sumSome sums the bids that count; it reports false when the call has done enough before all is done.
func (e *Engine) sumSome(in *instrument) bool {
	s, floor, queue := &e.shelf, e.floor(in), in.top[0]
	if in.at <= MaxPrice {
		queue = s.before(&in.ladders[bids], in.at)
	}
	for queue != 0 && s.levels[queue].price >= floor {
		if !e.spend() {
			return false
		}
		in.at = s.levels[queue].price
		in.buy += s.levels[queue].total
		queue = s.before(&in.ladders[bids], in.at)
	}
	in.phase, in.at = pricing, min(in.at, floor)-1
	in.sell = s.levels[in.waitingQueue(Sell)].total
	return true
}

// priceSome judges prices; it reports false when the call has done enough before all is done.
func (e *Engine) priceSome(in *instrument) bool {
	s, ref := &e.shelf, in.ref()
	bid, ask := s.after(&in.ladders[bids], in.at), s.after(&in.ladders[asks], in.at)
	for {
		p := uint32(MaxPrice + 1)
		if bid != 0 {
			p = s.levels[bid].price
		}
		if ask != 0 {
			p = min(p, s.levels[ask].price)
		}
		if ref > in.at && ref >= in.d.Low && ref <= in.d.High {
			p = min(p, ref)
		}
		if p > MaxPrice {
			break
		}
		if !e.spend() {
			return false
		}
		if ask != 0 && s.levels[ask].price == p {
			in.sell += s.levels[ask].total
			ask = s.after(&in.ladders[asks], p)
		}
		in.at = p
		if !in.judge(ref) {
			break
		}
		if bid != 0 && s.levels[bid].price == p {
			in.buy -= s.levels[bid].total
			bid = s.after(&in.ladders[bids], p)
		}
	}
	e.found(in)
	return true
}

// judge keeps the price that is looked at if it is the best so far. It reports false when none above can be better: where
// sell has reached buy, less and less executes and the imbalance grows.
func (in *instrument) judge(ref uint32) bool {
	v, i := min(in.buy, in.sell), max(in.buy, in.sell)-min(in.buy, in.sell)
	if v > in.volume || v == in.volume && (i < in.imbalance || i == in.imbalance && in.nearer(ref)) {
		in.price, in.volume, in.imbalance = in.at, v, i
		return true
	}
	return in.sell < in.buy || v == in.volume && i == in.imbalance
}

// nearer tells whether the price that is looked at is nearer to ref than the best one.
func (in *instrument) nearer(ref uint32) bool {
	return ref != 0 && in.volume != 0 && max(in.at, ref)-min(in.at, ref) < max(in.price, ref)-min(in.price, ref)
}

// found ends the search: it goes on with what is to execute, if anything is.
func (e *Engine) found(in *instrument) {
	in.at, in.buy, in.sell, in.imbalance = 0, 0, 0, 0
	in.phase = clearing
	if in.volume != 0 {
		in.phase = uncross
		v := e.publish(EventUncrossed, in.d.ID)
		v.Price, v.Quantity = in.price, in.volume
	}
}

// uncount takes what an order of a pending instrument has lost out of the sums of a search, if it is in them.
func (e *Engine) uncount(o *order, quantity uint64) {
	in := e.of(o)
	switch {
	case !in.searching() || o.place != resting && o.place != waiting:
	case o.side == Buy && in.countsBuy(o):
		in.buy -= quantity
	case o.side == Sell && in.countsSell(o):
		in.sell -= quantity
	}
}

// countsBuy tells whether buy has an order in it that rests or waits.
func (in *instrument) countsBuy(o *order) bool {
	return o.place == waiting || o.price > in.at || in.phase == summing && o.price == in.at
}

// countsSell tells whether sell has an order in it that rests or waits.
func (in *instrument) countsSell(o *order) bool {
	return in.phase == pricing && (o.place == waiting || o.price <= in.at)
}

// recount makes the sums of a search anew, after all orders are back.
func (e *Engine) recount(in *instrument) {
	if !in.searching() {
		return
	}
	in.buy, in.sell = 0, 0
	for l := range in.open {
		for i := in.open[l].head; i != 0; i = e.orders.rest[i].nextOpen {
			switch o := &e.orders.at[i]; {
			case o.place != resting && o.place != waiting:
			case o.side == Buy && in.countsBuy(o):
				in.buy += o.left
			case o.side == Sell && in.countsSell(o):
				in.sell += o.left
			}
		}
	}
}
