package match

// An order that is open is in the list of its account and in one of its instrument's, whatever its place. It joins a
// queue (join) and leaves it (part) as its place changes.

// open makes an order of an account that is open and nowhere yet, under the next number.
func (e *Engine) open(account uint32, client ClientOrder, id Instrument, tif TimeInForce) uint32 {
	i := e.orders.take(account, client)
	o := &e.orders.at[i]
	o.instrument, o.tif = uint16(id), tif
	e.accounts.at[account].open++
	e.enlist(i)
	if e.accounts.at[account].idle != 0 {
		e.settleAccount(account)
	}
	return i
}

// enlist gives an order the next number and puts it where the highest number is in its lists.
func (e *Engine) enlist(i uint32) {
	at := e.orders.at
	o := &at[i]
	e.number++
	o.number = e.number
	a := &e.accounts.at[o.account]
	o.prevOwn, o.nextOwn = 0, a.head
	if a.head != 0 {
		at[a.head].prevOwn = i
	}
	a.head = i
	l := &e.of(o).open[openList(o.tif)]
	o.prevOpen, o.nextOpen = l.tail, 0
	if l.tail != 0 {
		at[l.tail].nextOpen = i
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
func (e *Engine) delist(o *order) {
	at := e.orders.at
	if o.prevOwn != 0 {
		at[o.prevOwn].nextOwn = o.nextOwn
	} else {
		e.accounts.at[o.account].head = o.nextOwn
	}
	if o.nextOwn != 0 {
		at[o.nextOwn].prevOwn = o.prevOwn
	}
	l := &e.of(o).open[openList(o.tif)]
	if o.prevOpen != 0 {
		at[o.prevOpen].nextOpen = o.nextOpen
	} else {
		l.head = o.nextOpen
	}
	if o.nextOpen != 0 {
		at[o.nextOpen].prevOpen = o.prevOpen
	} else {
		l.tail = o.prevOpen
	}
}

// close ends an order that is nowhere.
func (e *Engine) close(i uint32) {
	o := &e.orders.at[i]
	account := o.account
	if o.heap != 0 {
		e.clearExpiry(i)
	}
	e.delist(o)
	e.orders.give(i)
	a := &e.accounts.at[account]
	if a.open--; a.open == 0 {
		e.settleAccount(account)
	}
}

// join puts an order that is nowhere at the end of a queue.
func (e *Engine) join(i uint32, p place, queue uint32) {
	o := &e.orders.at[i]
	o.place, o.rank = p, e.ticket()
	if p == resting {
		o.shown = e.showing(o)
	}
	if o.tif == GTD && o.heap == 0 {
		e.setExpiry(i)
	}
	e.append(i, queue)
	e.settle(o)
}

// showing is what an order shows when it shows anew.
func (e *Engine) showing(o *order) uint64 {
	if o.display != 0 {
		return min(o.display, o.left)
	}
	return o.left
}

// append links an order to the end of a queue.
func (e *Engine) append(i, queue uint32) {
	o, l := &e.orders.at[i], &e.shelf.levels[queue]
	o.level, o.prev, o.next = queue, l.tail, 0
	if l.tail != 0 {
		e.orders.at[l.tail].next = i
	} else {
		l.head = i
	}
	l.tail = i
	l.orders++
	l.shown += o.shown
	l.total += o.left
}

// unlink takes an order out of its queue.
func (e *Engine) unlink(o *order) *level {
	l := &e.shelf.levels[o.level]
	if o.prev != 0 {
		e.orders.at[o.prev].next = o.next
	} else {
		l.head = o.next
	}
	if o.next != 0 {
		e.orders.at[o.next].prev = o.prev
	} else {
		l.tail = o.prev
	}
	l.orders--
	l.shown -= o.shown
	l.total -= o.left
	return l
}

// part takes an order out of its queue, which goes if it was the last there: it is nowhere then.
func (e *Engine) part(o *order) {
	e.sum -= o.hash
	o.hash = 0
	if l := e.unlink(o); l.orders == 0 {
		switch o.place {
		case resting:
			e.shelf.remove(e.of(o).ladder(o.side), o.price)
		case stopped:
			e.shelf.remove(e.of(o).stops(o.side), o.stop)
		}
	}
	o.place, o.shown = nowhere, 0
}

// rest puts an order that is nowhere on the book and tells everybody.
func (e *Engine) rest(i uint32) {
	o := &e.orders.at[i]
	e.join(i, resting, e.shelf.add(e.of(o).ladder(o.side), o.price))
	e.publishOrder(EventAdded, o, o.shown)
}

// shrink sets what is left of an order that is somewhere, and what it shows; everybody is told if it shows less.
func (e *Engine) shrink(o *order, left, shown uint64) {
	l := &e.shelf.levels[o.level]
	less := o.shown - shown
	l.total -= o.left - left
	l.shown -= less
	o.left, o.shown = left, shown
	e.settle(o)
	if less != 0 {
		e.publishOrder(EventReduced, o, less)
	}
}

// cancelWhole ends an order that is somewhere.
func (e *Engine) cancelWhole(i uint32, r CancelReason) {
	o := &e.orders.at[i]
	shows, left := o.place == resting, o.left
	e.part(o)
	o.left = 0
	e.canceled(o, left, r)
	if shows {
		e.publishOrder(EventDeleted, o, 0)
	}
	e.close(i)
}
