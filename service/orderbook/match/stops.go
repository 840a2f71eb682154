package match

// satisfied returns the level of a side's stops that the last trade price satisfies first, 0 if there is none.
func (e *Engine) satisfied(in *instrument, s Side) uint32 {
	l := in.stops(s)
	if in.last == 0 || l.root.bits == 0 {
		return 0
	}
	if s == Buy {
		if i := e.shelf.lowest(l); e.shelf.levels[i].price <= in.last {
			return i
		}
		return 0
	}
	if i := e.shelf.highest(l); e.shelf.levels[i].price >= in.last {
		return i
	}
	return 0
}

// after does what follows when an order that came in has done all it does: stops are elected.
func (e *Engine) after(in *instrument) {
	if in.state != Continuous || e.satisfied(in, Buy)|e.satisfied(in, Sell) == 0 {
		return
	}
	in.phase = electing
	if !e.run(in) {
		e.pend(in)
	}
}

// gather lets the stops that are satisfied join the elected, buys first. It tells whether it got through.
func (e *Engine) gather(in *instrument) bool {
	for side := Buy; side <= Sell; side++ {
		for queue := e.satisfied(in, side); queue != 0; queue = e.satisfied(in, side) {
			if e.joined == maxJoining {
				return false
			}
			e.joined++
			e.work++
			i := e.shelf.levels[queue].head
			e.part(i)
			e.join(i, elected, in.electedQueue())
		}
	}
	return true
}

// elect elects stops until none is satisfied, or the call has done enough: then it reports false.
func (e *Engine) elect(in *instrument) bool {
	queue := &e.shelf.levels[in.electedQueue()]
	for {
		if !e.gather(in) {
			return false
		}
		if queue.orders == 0 {
			return true
		}
		o := &e.options
		if e.elections >= o.MaxElections || e.looks > min(o.MaxFills, maxFills-o.MaxFills) {
			return false
		}
		e.elections++
		e.trigger(in, queue.head)
	}
}

// trigger lets an elected stop enter as what it becomes.
func (e *Engine) trigger(in *instrument, i uint32) {
	o, m := &e.orders.at[i], &e.orders.rest[i]
	e.part(i)
	at := len(e.events)
	e.report(EventTriggered, o).Left = 0
	m.stop = 0
	if m.kind == Stop {
		m.kind = Market
	} else if m.kind = Limit; !meets(o.side, in.bound(o.side), o.price) {
		e.drop(i, Collared)
		return
	}
	e.enter(in, i, at, 0)
}
