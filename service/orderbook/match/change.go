package match

// Cancel takes an order off, or makes it smaller: see Book.
func (e *Engine) Cancel(c *Cancel) Reason {
	i, reason := e.checkCanceling(c)
	if reason != None {
		return e.refuse(c.Account, c.ClientOrder, reason)
	}
	o := &e.orders.at[i]
	if c.Quantity <= o.executed {
		e.cancelWhole(i, Requested)
		return None
	}
	left := c.Quantity - o.executed
	v := e.report(EventCanceled, o)
	v.Quantity, v.Left, v.Cancel = o.left-left, left, Requested
	e.shrink(i, left, min(o.shown, left))
	return None
}

// MassCancel takes off an account's orders: see Book.
func (e *Engine) MassCancel(id Account, instrument Instrument, side Side) Reason {
	if reason := e.CheckMassCancel(id, instrument, side); reason != None {
		return e.refuse(id, 0, reason)
	}
	n := e.cancelOwn(e.accounts.known(id), instrument, side, MassCanceled)
	v := e.tell(EventMassCanceled)
	v.Account, v.Instrument, v.Side, v.Quantity = id, instrument, side, n
	return None
}

// Leave takes off all orders of an account.
func (e *Engine) Leave(id Account) { e.cancelOwn(e.accounts.known(id), 0, 0, Disconnected) }

// cancelOwn cancels an account's orders of an instrument (0: all) and side (0: both), the highest number first.
func (e *Engine) cancelOwn(account uint32, instrument Instrument, side Side, r CancelReason) (n uint64) {
	if account == 0 {
		return 0
	}
	for i := e.accounts.at[account].head; i != 0; {
		o := &e.orders.at[i]
		next := e.orders.rest[i].nextOwn
		if (instrument == 0 || Instrument(o.instrument) == instrument) && (side == 0 || o.side == side) {
			e.cancelWhole(i, r)
			n++
		}
		i = next
	}
	return n
}

// Replace makes an open order another: see Book.
func (e *Engine) Replace(nowNs uint64, r *Replace) Reason {
	account, reason := e.admit(nowNs, r.Account)
	var i uint32
	if reason == None {
		i, reason = e.checkReplacing(r, account)
	}
	if reason != None {
		return e.refuse(r.Account, r.ClientOrder, reason)
	}
	e.begin()
	o, m := &e.orders.at[i], &e.orders.rest[i]
	if r.Quantity <= o.executed {
		e.cancelWhole(i, ReducedAway)
		return None
	}
	left := r.Quantity - o.executed
	if r.Price == o.price && r.Stop == m.stop && left <= o.left && !larger(r.Display, m.display) {
		e.replaceInPlace(i, r, left)
		return None
	}
	e.replaceAnew(i, r, left)
	return None
}

// larger tells whether a display shows more than another; 0 shows all.
func larger(display, than uint64) bool { return than != 0 && (display == 0 || display > than) }

// replaceInPlace makes an order smaller; its number and its place in the queue stay.
func (e *Engine) replaceInPlace(i uint32, r *Replace, left uint64) {
	o := &e.orders.at[i]
	e.rename(i, r.NewClientOrder)
	e.orders.rest[i].display = r.Display
	v := e.report(EventReplaced, o)
	v.OldClientOrder, v.Quantity, v.Left = r.ClientOrder, r.Quantity, left
	shown := min(o.shown, left)
	if r.Display != 0 {
		shown = min(shown, r.Display)
	}
	e.shrink(i, left, shown)
}

func (e *Engine) rename(i uint32, client ClientOrder) {
	if e.orders.at[i].client != client {
		e.orders.unname(i)
		e.orders.at[i].client = client
		e.orders.name(i)
	}
}

// replaceAnew takes an order off and enters it under the next number.
func (e *Engine) replaceAnew(i uint32, r *Replace, left uint64) {
	o := &e.orders.at[i]
	in := e.of(o)
	number, price, showed := o.number, o.price, o.place == resting
	e.part(i)
	e.delist(i)
	e.rename(i, r.NewClientOrder)
	o.price, o.left = r.Price, left
	e.orders.rest[i].stop, e.orders.rest[i].display = r.Stop, r.Display
	e.enlist(i)
	if e.orders.rest[i].heap != 0 {
		e.setExpiry(i)
	}
	at := len(e.events)
	v := e.report(EventReplaced, o)
	v.OldClientOrder, v.Quantity, v.Left = r.ClientOrder, r.Quantity, 0
	if showed {
		v = e.publish(EventDeleted, Instrument(o.instrument))
		v.Order, v.Side, v.Price = number, o.side, price
	}
	e.enter(in, i, at, 0)
	e.after(in)
}
