package match

// checkForm looks at what an order is, before what it would meet.
func (e *Engine) checkForm(nowNs uint64, n *New, d *Definition) Reason {
	stays := n.TIF <= GTD
	switch {
	case n.Side != Buy && n.Side != Sell:
		return BadSide
	case n.Type < Limit || n.Type > StopLimit || n.SelfMatch > CancelBoth:
		return BadType
	case n.PostOnly && (n.Type != Limit || !stays):
		return BadType
	case n.TIF > FOK, n.Type == Market && (n.TIF == GTC || n.TIF == GTD), n.Type >= Stop && !stays:
		return BadTimeInForce
	}
	if reason := checkNumbers(n, d); reason != None {
		return reason
	}
	switch {
	case n.MinQuantity != 0 && (n.TIF != IOC || n.MinQuantity > n.Quantity):
		return BadMinQuantity
	case n.TIF == GTD && n.Expire <= nowNs, n.TIF != GTD && n.Expire != 0:
		return BadExpiry
	}
	return None
}

// checkNumbers looks at what a Replace may change.
func checkNumbers(n *New, d *Definition) Reason {
	priced := n.Type == Limit || n.Type == StopLimit
	switch {
	case priced && (n.Price < d.Low || n.Price > d.High), !priced && n.Price != 0:
		return BadPrice
	case n.Type >= Stop && (n.Stop < d.Low || n.Stop > d.High), n.Type < Stop && n.Stop != 0:
		return BadStop
	case n.Quantity == 0 || n.Quantity > d.MaxQuantity:
		return BadQuantity
	case n.Display != 0 && (n.Type != Limit || n.TIF > GTD || n.Display > n.Quantity):
		return BadDisplay
	}
	return None
}

// checkState tells whether an instrument takes the order now.
func (e *Engine) checkState(n *New, in *instrument) Reason {
	switch {
	case e.isBusy(in):
		return Busy
	case in.state == Closed:
		return RefusedClosed
	case in.state == Halted:
		return RefusedHalted
	case in.state == Auction && (n.TIF > GTD || n.MinQuantity != 0 || n.PostOnly):
		return NotInAuction
	}
	return None
}

// checkBook looks at what the order would meet.
func (e *Engine) checkBook(n *New, in *instrument) Reason {
	if n.Type == Limit && !meets(n.Side, in.bound(n.Side), n.Price) {
		return Collar
	}
	if n.PostOnly {
		if l := in.best(n.Side); l != 0 && meets(n.Side, n.Price, e.shelf.levels[l].price) {
			return WouldExecute
		}
	}
	return None
}

// off tells whether an account is switched off.
func (e *Engine) off(account uint32) bool { return e.killed || e.accounts.at[account].killed }

// checkNew makes all checks of a New but those of the account itself.
func (e *Engine) checkNew(nowNs uint64, n *New, account uint32) Reason {
	if e.off(account) {
		return Killed
	}
	in := e.instrument(n.Instrument)
	if in == nil {
		return UnknownInstrument
	}
	if reason := e.checkForm(nowNs, n, &in.d); reason != None {
		return reason
	}
	limits := e.limits(account)
	if limits.MaxQuantity != 0 && n.Quantity > limits.MaxQuantity {
		return TooLarge
	}
	if reason := e.checkState(n, in); reason != None {
		return reason
	}
	switch {
	case account != 0 && e.orders.find(account, n.ClientOrder) != 0:
		return DuplicateOrder
	case e.accounts.at[account].open >= e.maxOpen(limits):
		return TooManyOpen
	case e.orders.full():
		return TooManyOrders
	}
	return e.checkBook(n, in)
}

// checkReplacing makes all checks of a Replace but those of the account itself, and returns the order.
func (e *Engine) checkReplacing(r *Replace, account uint32) (uint32, Reason) {
	if e.off(account) {
		return 0, Killed
	}
	i := e.orders.find(account, r.ClientOrder)
	if i == 0 {
		return 0, UnknownOrder
	}
	o, m := &e.orders.at[i], &e.orders.rest[i]
	in := e.of(o)
	n := New{
		Instrument: Instrument(o.instrument), Side: o.side, Type: m.kind, TIF: e.orders.rest[i].tif, PostOnly: m.postOnly,
		Price: r.Price, Stop: r.Stop, Quantity: r.Quantity, Display: r.Display,
	}
	if reason := checkNumbers(&n, &in.d); reason != None {
		return i, reason
	}
	if limits := e.limits(account); limits.MaxQuantity != 0 && n.Quantity > limits.MaxQuantity {
		return i, TooLarge
	}
	if reason := e.checkState(&n, in); reason != None {
		return i, reason
	}
	if r.NewClientOrder != r.ClientOrder && e.orders.find(account, r.NewClientOrder) != 0 {
		return i, DuplicateOrder
	}
	if r.Quantity <= o.executed {
		return i, None
	}
	return i, e.checkBook(&n, in)
}

// checkCanceling makes the checks of a Cancel, and returns the order.
func (e *Engine) checkCanceling(c *Cancel) (uint32, Reason) {
	if c.Account == 0 {
		return 0, BadAccount
	}
	account := e.accounts.known(c.Account)
	i := e.orders.find(account, c.ClientOrder)
	if account == 0 || i == 0 {
		return 0, UnknownOrder
	}
	if o := &e.orders.at[i]; c.Quantity != 0 && c.Quantity >= o.executed+o.left {
		return i, BadQuantity
	}
	return i, None
}

// checkAccount makes the checks of an account that New and Replace begin with, without effect.
func (e *Engine) checkAccount(nowNs uint64, id Account) (uint32, Reason) {
	if id == 0 {
		return 0, BadAccount
	}
	account := e.accounts.known(id)
	switch {
	case account == 0 && !e.accounts.room():
		return 0, TooManyAccounts
	case e.throttled(nowNs, account):
		return account, Throttled
	}
	return account, None
}

// admit does what checkAccount checks.
func (e *Engine) admit(nowNs uint64, id Account) (uint32, Reason) {
	if id == 0 {
		return 0, BadAccount
	}
	account := e.know(id)
	if account == 0 {
		return 0, TooManyAccounts
	}
	if !e.count(nowNs, account) {
		return account, Throttled
	}
	return account, None
}

// CheckEnter is the Reason that Enter would give, NotFilled for what would be Canceled NotFilled. No effect.
func (e *Engine) CheckEnter(nowNs uint64, n *New) Reason {
	account, reason := e.checkAccount(nowNs, n.Account)
	if reason == None {
		reason = e.checkNew(nowNs, n, account)
	}
	if need := n.needs(); reason == None && need != 0 {
		in := e.instrument(n.Instrument)
		if e.preview(in, account, n.SelfMatch, n.Side, in.reach(n.Type, n.Side, n.Price), n.Quantity) < need {
			return NotFilled
		}
	}
	return reason
}

// CheckReplace is the Reason that Replace would give. No effect.
func (e *Engine) CheckReplace(nowNs uint64, r *Replace) Reason {
	account, reason := e.checkAccount(nowNs, r.Account)
	if reason == None {
		_, reason = e.checkReplacing(r, account)
	}
	return reason
}

// CheckCancel is the Reason that Cancel would give. No effect.
func (e *Engine) CheckCancel(c *Cancel) Reason {
	_, reason := e.checkCanceling(c)
	return reason
}

// CheckMassCancel is the Reason that MassCancel would give. No effect.
func (e *Engine) CheckMassCancel(id Account, instrument Instrument, side Side) Reason {
	switch {
	case id == 0:
		return BadAccount
	case instrument != 0 && e.instrument(instrument) == nil:
		return UnknownInstrument
	case side > Sell:
		return BadSide
	}
	return None
}
