package match

// An order that is open is in the list of its account and in one of its instrument's, whatever its place. It joins a
// queue (join) and leaves it (part) as its place changes.

// open makes an order of an account that is open and nowhere yet, under the next number.
func (e *Engine) open(account uint32, client ClientOrder, id Instrument, tif TimeInForce) uint32 {
	i := e.orders.take(account, client)
	o := &e.orders.at[i]
	o.instrument = uint16(id)
	e.orders.rest[i].tif = tif
	e.accounts.at[account].open++
	e.enlist(i)
	if e.accounts.at[account].idle != 0 {
		e.settleAccount(account)
	}
	return i
}

// enlist gives an order the next number and puts it where the highest number is in its lists.
func (e *Engine) enlist(i uint32) {
	o, links := &e.orders.at[i], e.orders.rest
	k := &links[i]
	e.number++
	o.number = e.number
	a := &e.accounts.at[o.account]
	k.prevOwn, k.nextOwn = 0, a.head
	if a.head != 0 {
		links[a.head].prevOwn = i
	}
	a.head = i
	l := &e.of(o).open[openList(k.tif)]
	k.prevOpen, k.nextOpen = l.tail, 0
	if l.tail != 0 {
		links[l.tail].nextOpen = i
	} else {
		l.head = i
	}
	l.tail = i
}

// openList is the list that an order is in.
func openList(t TimeInForce) int {
	if t == Day {
		return 0
	}
	return 1
}

// delist takes an order out of its lists.
func (e *Engine) delist(i uint32) {
	o, links := &e.orders.at[i], e.orders.rest
	k := &links[i]
	if k.prevOwn != 0 {
		links[k.prevOwn].nextOwn = k.nextOwn
	} else {
		e.accounts.at[o.account].head = k.nextOwn
	}
	if k.nextOwn != 0 {
		links[k.nextOwn].prevOwn = k.prevOwn
	}
	l := &e.of(o).open[openList(k.tif)]
	if k.prevOpen != 0 {
		links[k.prevOpen].nextOpen = k.nextOpen
	} else {
		l.head = k.nextOpen
	}
	if k.nextOpen != 0 {
		links[k.nextOpen].prevOpen = k.prevOpen
	} else {
		l.tail = k.prevOpen
	}
}

// close ends an order that is nowhere.
func (e *Engine) close(i uint32) {
	account := e.orders.at[i].account
	if e.orders.rest[i].heap != 0 {
		e.clearExpiry(i)
	}
	e.delist(i)
	e.orders.give(i)
	a := &e.accounts.at[account]
	if a.open--; a.open == 0 {
		e.settleAccount(account)
	}
}

// join puts an order that is nowhere at the end of a queue.
func (e *Engine) join(i uint32, p place, queue uint32) {
	o := &e.orders.at[i]
	o.place, e.orders.rest[i].rank = p, e.ticket()
	if p == resting {
		o.shown = e.showing(i)
	}
	if k := &e.orders.rest[i]; k.tif == GTD && k.heap == 0 {
		e.setExpiry(i)
	}
	e.append(i, queue)
	e.settle(i)
}

// showing is what an order shows when it shows anew.
func (e *Engine) showing(i uint32) uint64 {
	left := e.orders.at[i].left
	if display := e.orders.rest[i].display; display != 0 {
		return min(display, left)
	}
	return left
}

// append links an order to the end of a queue.
func (e *Engine) append(i, queue uint32) {
	o, l := &e.orders.at[i], &e.shelf.levels[queue]
	o.level, e.orders.rest[i].prev, e.orders.rest[i].next = queue, l.tail, 0
	if l.tail != 0 {
		e.orders.rest[l.tail].next = i
	} else {
		l.head = i
	}
	l.tail = i
	l.orders++
	l.shown += o.shown
	l.total += o.left
}

// unlink takes an order out of its queue.
func (e *Engine) unlink(i uint32) *level {
	o, links := &e.orders.at[i], e.orders.rest
	k, l := &links[i], &e.shelf.levels[o.level]
	if k.prev != 0 {
		links[k.prev].next = k.next
	} else {
		l.head = k.next
	}
	if k.next != 0 {
		links[k.next].prev = k.prev
	} else {
		l.tail = k.prev
	}
	l.orders--
	l.shown -= o.shown
	l.total -= o.left
	return l
}

// part takes an order out of its queue, which goes if it was the last there: it is nowhere then.
func (e *Engine) part(i uint32) {
	o := &e.orders.at[i]
	e.sum -= o.hash
	o.hash = 0
	if l := e.unlink(i); l.orders == 0 {
		switch o.place {
		case resting:
			e.clearQueue(e.of(o), o.side, o.price, o.level)
		case stopped:
			e.shelf.remove(e.of(o).stops(o.side), e.orders.rest[i].stop)
		}
	}
	o.place, o.shown = nowhere, 0
}

// rest puts an order that is nowhere on the book and tells everybody.
func (e *Engine) rest(i uint32) {
	o := &e.orders.at[i]
	e.join(i, resting, e.queue(e.of(o), o.side, o.price))
	e.publishOrder(EventAdded, o, o.shown)
}

// shrink sets what is left of an order that is somewhere, and what it shows; everybody is told if it shows less.
func (e *Engine) shrink(i uint32, left, shown uint64) {
	o := &e.orders.at[i]
	l := &e.shelf.levels[o.level]
	less := o.shown - shown
	if e.busy.head != 0 {
		e.uncount(o, o.left-left)
	}
	l.total -= o.left - left
	l.shown -= less
	o.left, o.shown = left, shown
	e.settle(i)
	if less != 0 {
		e.publishOrder(EventReduced, o, less)
	}
}

// cancelWhole ends an order that is somewhere.
func (e *Engine) cancelWhole(i uint32, r CancelReason) {
	o := &e.orders.at[i]
	shows, left := o.place == resting, o.left
	if e.busy.head != 0 {
		e.uncount(o, left)
	}
	e.part(i)
	o.left = 0
	e.canceled(o, left, r)
	if shows {
		e.publishOrder(EventDeleted, o, 0)
	}
	e.close(i)
}
