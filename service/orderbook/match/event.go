package match

// Events are those since Reset. They are good until the next call.
func (e *Engine) Events() []Event { return e.events }

// Reset forgets the events, and the work.
func (e *Engine) Reset() { e.events, e.work = e.events[:0], 0 }

// tell appends an event that is zero but for its kind.
func (e *Engine) tell(k Kind) *Event {
	n := len(e.events)
	if n == cap(e.events) {
		e.events = append(e.events, Event{})
	}
	e.events = e.events[:n+1]
	v := &e.events[n]
	*v = Event{Kind: k}
	return v
}

// report appends a private event about an order.
func (e *Engine) report(k Kind, o *order) *Event {
	v := e.tell(k)
	v.Side, v.Instrument = o.side, Instrument(o.instrument)
	v.Account, v.ClientOrder = e.accounts.at[o.account].id, o.client
	v.Order, v.Left = o.number, o.left
	return v
}

// publish appends a public event of an instrument.
func (e *Engine) publish(k Kind, id Instrument) *Event {
	v := e.tell(k)
	e.published++
	v.Number, v.Instrument = e.published, id
	return v
}

// publishOrder appends a public event about an order.
func (e *Engine) publishOrder(k Kind, o *order, quantity uint64) {
	v := e.publish(k, Instrument(o.instrument))
	v.Order, v.Side, v.Price, v.Quantity = o.number, o.side, o.price, quantity
}

// refuse appends a Rejected, and returns the reason.
func (e *Engine) refuse(id Account, client ClientOrder, r Reason) Reason {
	v := e.tell(EventRejected)
	v.Account, v.ClientOrder, v.Reason = id, client, r
	return r
}

// canceled tells an order's account that so much of it is gone; what is left of it has been set.
func (e *Engine) canceled(o *order, quantity uint64, r CancelReason) {
	v := e.report(EventCanceled, o)
	v.Quantity, v.Cancel = quantity, r
}
