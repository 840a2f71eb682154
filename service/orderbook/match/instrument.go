package match

// usable tells whether a definition is within its ranges.
func (e *Engine) usable(d *Definition) bool {
	return d.ID >= 1 && d.ID <= Instrument(e.options.MaxInstruments) &&
		d.Low >= 1 && d.Low <= d.High && d.High <= MaxPrice &&
		d.MaxQuantity >= 1 && d.MaxQuantity <= e.options.MaxQuantity && d.Collar <= MaxPrice &&
		(d.Reference == 0 || d.Reference >= d.Low && d.Reference <= d.High) &&
		d.State >= Closed && d.State <= Halted
}

// Define makes an instrument, or makes it another one: see Book.
func (e *Engine) Define(d *Definition) Reason {
	if !e.usable(d) {
		return BadInstrument
	}
	in := &e.instruments[d.ID]
	if e.isBusy(in) {
		return Busy
	}
	was := in.d
	was.Collar, was.MaxQuantity, was.Reference = d.Collar, d.MaxQuantity, d.Reference
	if in.state == 0 || was != *d {
		if in.open[0].head|in.open[1].head != 0 {
			return BadInstrument
		}
		in.state, in.last = d.State, 0
	}
	e.define(in, d)
	e.publish(EventDefined, d.ID).State = in.state
	return None
}

// Lookup returns an instrument's definition, state, whether work of it is pending, and last trade price (0: none).
func (e *Engine) Lookup(id Instrument) (d Definition, s State, busy bool, last uint32, ok bool) {
	in := e.instrument(id)
	if in == nil {
		return Definition{}, 0, false, 0, false
	}
	return in.d, in.state, e.isBusy(in), in.last, true
}

// Depth appends the best n prices of a side: what is shown of limit orders that rest.
func (e *Engine) Depth(dst []Level, id Instrument, side Side, n int) []Level {
	in := e.instrument(id)
	if in == nil || side != Buy && side != Sell {
		return dst
	}
	other := Buy + Sell - side
	for queue := in.best(other); queue != 0 && n > 0; n-- {
		l := &e.shelf.levels[queue]
		dst = append(dst, Level{Price: l.price, Orders: l.orders, Quantity: l.shown})
		queue = e.further(in, other, l.price)
	}
	return dst
}

// OpenOrders appends an account's open orders, the highest number first.
func (e *Engine) OpenOrders(dst []Open, id Account) []Open {
	account := e.accounts.known(id)
	if account == 0 {
		return dst
	}
	for i := e.accounts.at[account].head; i != 0; i = e.orders.rest[i].nextOwn {
		o, m := &e.orders.at[i], &e.orders.rest[i]
		dst = append(dst, Open{
			New: New{
				Account: id, ClientOrder: o.client, Instrument: Instrument(o.instrument),
				Side: o.side, Type: m.kind, TIF: e.orders.rest[i].tif, SelfMatch: m.self, PostOnly: m.postOnly,
				Price: o.price, Stop: m.stop, Quantity: o.executed + o.left, Display: m.display, Expire: m.expire,
			},
			Order: o.number, Executed: o.executed, Left: o.left, Shown: o.shown,
		})
	}
	return dst
}
