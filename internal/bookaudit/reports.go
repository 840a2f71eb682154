package bookaudit

// report takes one report in. It returns 1 for the one that answers the record's message.
func (a *Auditor) report(l *line, to string, p *report) int {
	switch p.Kind {
	case "accepted":
		a.accepted(l, p)
		return 1
	case "replaced":
		a.replaced(l, p)
		return 1
	case "rejected", "mass-canceled":
		return 1
	case "executed":
		a.executed(l, p)
	case "canceled":
		return a.canceled(l, p)
	case "triggered":
		a.known(l, p)
	case "logged-in":
		if s := a.sessions[to]; s != nil {
			s.account, s.stay = account{number: p.Account}, l.Order == nil || l.Order.Stay
		}
	case "logged-out":
		if s := a.sessions[to]; s != nil {
			s.account, s.stay = account{session: to}, false
		}
	case "market":
		a.events = append(a.events, p.Events...)
	}
	return 0
}

// owner is the account that the record's session acts for.
func (a *Auditor) owner(l *line) account {
	if s := a.sessions[l.Session]; s != nil {
		return s.account
	}
	return account{}
}

func (a *Auditor) accepted(l *line, p *report) {
	o := &order{number: p.Order, name: name{a.owner(l), p.ClientOrder}, instrument: p.Instrument, side: p.Side,
		accepted: p.Quantity, open: p.Quantity}
	switch q := l.Order; {
	case l.Kind != "message":
		a.find(l.Sequence, "order %d is accepted, and no message enters it", p.Order)
	case q == nil: // in a transaction
	case q.Action != "new" || q.ClientOrder != p.ClientOrder || q.Instrument != p.Instrument || q.Side != p.Side ||
		q.Quantity != p.Quantity:
		a.find(l.Sequence, "order %d is accepted as client order %d, %s %d of instrument %d, which was not asked for", p.Order,
			p.ClientOrder, p.Side, p.Quantity, p.Instrument)
	case q.Type == "" || q.Type == "Limit" || q.Type == "StopLimit":
		o.limit = q.Price
	}
	if p.Quantity == 0 || p.Resting > p.Quantity || p.Side != "buy" && p.Side != "sell" {
		a.find(l.Sequence, "order %d is accepted as %q %d, of which %d rest", p.Order, p.Side, p.Quantity, p.Resting)
	}
	a.enter(l, o)
}

// enter takes in an order with a number that was not there.
func (a *Auditor) enter(l *line, o *order) {
	if o.number != a.lastOrder+1 {
		a.find(l.Sequence, "order %d comes after order %d", o.number, a.lastOrder)
	}
	a.lastOrder = max(a.lastOrder, o.number)
	if n, taken := a.names[o.name]; taken {
		a.find(l.Sequence, "order %d has the client order id %d of order %d, which is open", o.number, o.name.order, n)
	}
	a.orders[o.number], a.names[o.name] = o, o.number
}

// known returns the open order of a report; nil, and a finding, if there is none or it goes by another name.
func (a *Auditor) known(l *line, p *report) *order {
	o := a.orders[p.Order]
	switch {
	case o == nil:
		a.find(l.Sequence, "%s, and order %d is not open", p.Kind, p.Order)
	case o.name.order != p.ClientOrder:
		a.find(l.Sequence, "%s: order %d is client order %d, not %d", p.Kind, p.Order, o.name.order, p.ClientOrder)
	}
	return o
}

// settle checks that an order adds up, and forgets it when nothing is open.
func (a *Auditor) settle(l *line, o *order, p *report) {
	if o.executed+o.canceled > o.accepted || p.Left != o.accepted-o.executed-o.canceled {
		a.find(l.Sequence, "%s: of order %d %d are accepted, %d executed and %d canceled, and %d are said to be left", p.Kind,
			o.number, o.accepted, o.executed, o.canceled, p.Left)
	}
	if o.open = p.Left; o.open == 0 {
		delete(a.orders, o.number)
		delete(a.names, o.name)
	}
}

func (a *Auditor) executed(l *line, p *report) {
	o := a.known(l, p)
	a.sides = append(a.sides, side{p.Execution, p.Order, p.Side, *p})
	if o == nil {
		return
	}
	if p.Side != o.side || p.Instrument != o.instrument || p.Quantity == 0 {
		a.find(l.Sequence, "execution %d: order %d is to %s instrument %d, and executes %d as %s of %d", p.Execution, o.number, o.side,
			o.instrument, p.Quantity, p.Side, p.Instrument)
	}
	if o.limit > 0 && (o.side == "buy" && p.Price > o.limit || o.side == "sell" && p.Price < o.limit) {
		a.find(l.Sequence, "execution %d: order %d is to %s at %d, and executes at %d", p.Execution, o.number, o.side, o.limit, p.Price)
	}
	o.executed += p.Quantity
	a.settle(l, o, p)
}

// canceled returns 1 when it answers the record's message.
func (a *Auditor) canceled(l *line, p *report) int {
	a.result.Canceled++
	o := a.known(l, p)
	if o == nil {
		return 0
	}
	asked := l.Order
	answers := asked != nil && o.name.account == a.owner(l) && o.name.order == asked.ClientOrder &&
		(asked.Action == "cancel" && p.Reason == "Requested" || asked.Action == "replace" && p.Reason == "Reduced")
	if p.Quantity == 0 {
		a.find(l.Sequence, "order %d is canceled by nothing", o.number)
	}
	o.canceled += p.Quantity
	a.settle(l, o, p)
	if answers {
		return 1
	}
	return 0
}

func (a *Auditor) replaced(l *line, p *report) {
	before := a.orders[a.names[name{a.owner(l), p.ClientOrder}]]
	if before == nil {
		a.find(l.Sequence, "client order %d is replaced, and is not open", p.ClientOrder)
		return
	}
	q := l.Order
	if q != nil && (q.Action != "replace" || q.ClientOrder != p.ClientOrder || q.NewClientOrder != p.NewClientOrder ||
		q.Quantity != p.Quantity) {
		a.find(l.Sequence, "order %d is replaced by client order %d for %d, which was not asked for", before.number, p.NewClientOrder,
			p.Quantity)
	}
	if p.Quantity <= before.executed || p.Side != before.side || p.Instrument != before.instrument {
		a.find(l.Sequence, "order %d, %s of instrument %d, of which %d have executed, is replaced by %s %d of instrument %d", before.number,
			before.side, before.instrument, before.executed, p.Side, p.Quantity, p.Instrument)
	}
	after := *before
	after.number, after.name.order = p.Order, p.NewClientOrder
	after.accepted, after.canceled = p.Quantity, 0
	after.open = p.Quantity - min(p.Quantity, before.executed)
	after.limit = 0
	if q != nil && before.limit > 0 {
		after.limit = q.Price
	}
	delete(a.orders, before.number)
	delete(a.names, before.name)
	if after.number == before.number {
		if after.open > before.open {
			a.find(l.Sequence, "order %d has %d open and keeps its place with %d", before.number, before.open, after.open)
		}
		a.orders[after.number], a.names[after.name] = &after, after.number
		return
	}
	a.enter(l, &after)
}

// executions checks that what executed in a record has two sides.
func (a *Auditor) executions(sequence uint64) {
	for i := 0; i < len(a.sides); {
		first := a.sides[i]
		sides := i + 1
		for sides < len(a.sides) && a.sides[sides].execution == first.execution {
			sides++
		}
		if first.execution != a.last+1 {
			a.find(sequence, "execution %d comes after execution %d", first.execution, a.last)
		}
		a.last = max(a.last, first.execution)
		if sides-i == 2 {
			a.pair(sequence, first, a.sides[i+1])
		} else {
			a.find(sequence, "execution %d has %d sides", first.execution, sides-i)
		}
		a.result.Quantity += first.report.Quantity
		i = sides
	}
	for _, e := range a.events {
		if e.Kind == "traded" {
			a.traded(sequence, e)
		}
	}
}

func (a *Auditor) pair(sequence uint64, x, y side) {
	p, q := &x.report, &y.report
	switch {
	case x.order == y.order:
		a.find(sequence, "execution %d is of order %d with itself", x.execution, x.order)
	case x.side == y.side:
		a.find(sequence, "execution %d has two sides that %s", x.execution, x.side)
	case p.Price != q.Price || p.Quantity != q.Quantity || p.Instrument != q.Instrument:
		a.find(sequence, "execution %d is of %d at %d for order %d, and of %d at %d for order %d (instruments %d, %d)", x.execution,
			p.Quantity, p.Price, x.order, q.Quantity, q.Price, y.order, p.Instrument, q.Instrument)
	}
}

// traded checks what subscribers were told of an execution.
func (a *Auditor) traded(sequence uint64, e event) {
	mine, ok := 0, false
	for _, s := range a.sides {
		if s.execution == e.Execution && s.report.Price == e.Price && s.report.Quantity == e.Quantity {
			mine++
			ok = ok || e.Order == 0 || s.order == e.Order
		}
	}
	if mine != 2 || !ok {
		a.find(sequence, "the market is told of execution %d of %d at %d with order %d, the parties are not", e.Execution, e.Quantity, e.Price,
			e.Order)
	}
}
