package match

// needs is how much of an order must execute at once, 0: nothing.
func (n *New) needs() uint64 {
	if n.TIF == FOK {
		return n.Quantity
	}
	return n.MinQuantity
}

// reach is the furthest price at which an order executes.
func (in *instrument) reach(t Type, s Side, price uint32) uint32 {
	if t == Market {
		return in.bound(s)
	}
	return price
}

// Enter takes a new order: see Book.
func (e *Engine) Enter(nowNs uint64, n *New) Reason {
	account, reason := e.admit(nowNs, n.Account)
	if reason == None {
		reason = e.checkNew(nowNs, n, account)
	}
	if reason != None {
		return e.refuse(n.Account, n.ClientOrder, reason)
	}
	e.begin()
	i := e.open(account, n.ClientOrder, n.Instrument, n.TIF)
	o := &e.orders.at[i]
	o.side, o.price, o.left = n.Side, n.Price, n.Quantity
	e.orders.rest[i].detail = detail{
		display: n.Display, expire: n.Expire, stop: n.Stop, kind: n.Type, self: n.SelfMatch, postOnly: n.PostOnly,
	}
	at := len(e.events)
	v := e.report(EventAccepted, o)
	v.Quantity, v.Left = n.Quantity, 0
	in := e.of(o)
	e.enter(in, i, at, n.needs())
	e.after(in)
	return None
}

// enter takes an order that is nowhere to where it belongs. The event at says what will rest or wait of it.
func (e *Engine) enter(in *instrument, i uint32, at int, need uint64) {
	o, m := &e.orders.at[i], &e.orders.rest[i]
	switch {
	case m.kind >= Stop:
		e.events[at].Left = o.left
		e.join(i, stopped, e.shelf.add(in.stops(o.side), m.stop))
		return
	case in.state == Auction && m.kind == Market:
		e.events[at].Left = o.left
		e.join(i, waiting, in.waitingQueue(o.side))
		return
	case in.state == Auction:
		e.events[at].Left = o.left
		e.rest(i)
		return
	}
	bound := in.reach(m.kind, o.side, o.price)
	if need != 0 && e.preview(in, o.account, m.self, o.side, bound, o.left) < need {
		e.drop(i, CanceledNotFilled)
		return
	}
	ended := e.match(in, i, bound)
	switch {
	case o.left == 0:
		e.close(i)
	case ended != 0:
		e.drop(i, ended)
	case m.kind == Market || e.orders.rest[i].tif == IOC:
		e.drop(i, Unfilled)
	default:
		e.events[at].Left = o.left
		e.rest(i)
	}
}

// drop ends an order that is nowhere before it has executed whole.
func (e *Engine) drop(i uint32, r CancelReason) {
	o := &e.orders.at[i]
	left := o.left
	o.left = 0
	e.canceled(o, left, r)
	e.close(i)
}

// glimpse is an iceberg in a preview: what it does not show yet.
type glimpse struct{ hidden, display uint64 }

// preview returns how much of an order would execute at once. It changes nothing but the work.
func (e *Engine) preview(in *instrument, account uint32, self SelfMatch, s Side, bound uint32, quantity uint64) uint64 {
	would, looks := e.foresee(in, account, self, s, bound, quantity)
	e.work += uint32(looks)
	return would
}

// foresee is preview, and says how many orders it looked at. Of each price it looks at what is shown, and then, round after
// round, at the icebergs that show anew.
func (e *Engine) foresee(
	in *instrument, account uint32, self SelfMatch, s Side, bound uint32, quantity uint64,
) (would uint64, looks int) {
	left := quantity
	for queue := in.best(s); queue != 0; queue = e.further(in, s, e.shelf.levels[queue].price) {
		if !meets(s, bound, e.shelf.levels[queue].price) {
			break
		}
		hidden := e.scratch[:0]
		for i := e.shelf.levels[queue].head; i != 0; {
			r, display := &e.orders.at[i], e.orders.rest[i].display
			i = e.orders.rest[i].next
			if looks == e.options.MaxFills {
				return quantity - left, looks
			}
			looks++
			if r.account == account && self != Allow {
				if self != CancelOldest {
					return quantity - left, looks
				}
				continue
			}
			if r.shown >= left {
				return quantity, looks
			}
			left -= r.shown
			if r.left > r.shown {
				hidden = append(hidden, glimpse{r.left - r.shown, display})
			}
		}
		for len(hidden) > 0 {
			again := hidden[:0]
			for _, h := range hidden {
				if looks == e.options.MaxFills {
					return quantity - left, looks
				}
				looks++
				shown := min(h.hidden, h.display)
				if shown >= left {
					return quantity, looks
				}
				left -= shown
				if h.hidden > shown {
					again = append(again, glimpse{h.hidden - shown, h.display})
				}
			}
			hidden = again
		}
	}
	return quantity - left, looks
}

// match executes an order that is nowhere against what it meets. It returns why what is left is to be canceled, 0 if
// it is not.
func (e *Engine) match(in *instrument, i uint32, bound uint32) CancelReason {
	o, self := &e.orders.at[i], e.orders.rest[i].self
	last, looks := in.last, 0
	var ended CancelReason
	for o.left > 0 && ended == 0 {
		queue := in.best(o.side)
		if queue == 0 {
			break
		}
		l := &e.shelf.levels[queue]
		price := l.price
		if !meets(o.side, bound, price) {
			break
		}
		for o.left > 0 && l.orders > 0 {
			if looks == e.options.MaxFills {
				ended = TooManyFills
				break
			}
			looks++
			ri := l.head
			r := &e.orders.at[ri]
			if r.account == o.account && self != Allow {
				if self != CancelNewest {
					e.cancelWhole(ri, CanceledSelfMatch)
				}
				if self != CancelOldest {
					ended = CanceledSelfMatch
					break
				}
				continue
			}
			in.last = price
			e.execute(o, ri, l)
		}
	}
	e.looks += looks
	e.work += uint32(looks)
	if in.last != last {
		e.settleInstrument(in)
	}
	return ended
}

// execute lets an order that comes in execute against the first of a queue.
func (e *Engine) execute(o *order, ri uint32, l *level) {
	r := &e.orders.at[ri]
	quantity := min(o.left, r.shown)
	o.left -= quantity
	o.executed += quantity
	r.left -= quantity
	r.executed += quantity
	r.shown -= quantity
	l.shown -= quantity
	l.total -= quantity
	e.executions++
	e.executed(o, l.price, quantity)
	e.executed(r, l.price, quantity)
	v := e.publish(EventTraded, Instrument(r.instrument))
	v.Execution, v.Order, v.Side, v.Price, v.Quantity = e.executions, r.number, r.side, l.price, quantity
	switch {
	case r.left == 0:
		e.part(ri)
		e.close(ri)
	case r.shown == 0:
		e.unlink(ri)
		r.shown, e.orders.rest[ri].rank = e.showing(ri), e.ticket()
		e.append(ri, r.level)
		e.settle(ri)
		e.publishOrder(EventAdded, r, r.shown)
	default:
		e.settle(ri)
	}
}

// executed tells an order's account of the last execution.
func (e *Engine) executed(o *order, price uint32, quantity uint64) {
	v := e.report(EventExecuted, o)
	v.Execution, v.Price, v.Quantity = e.executions, price, quantity
}
