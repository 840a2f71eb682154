package bookmodel

import (
	"slices"

	"lockstep/service/orderbook/match"
)

// Define makes an instrument, or makes it another one.
func (m *Model) Define(d *match.Definition) match.Reason {
	if d.ID < 1 || d.ID > match.Instrument(m.o.MaxInstruments) || d.Low < 1 || d.Low > d.High || d.High > match.MaxPrice ||
		d.MaxQuantity < 1 || d.MaxQuantity > m.o.MaxQuantity || d.Collar > match.MaxPrice ||
		d.Reference != 0 && (d.Reference < d.Low || d.Reference > d.High) ||
		d.State < match.Closed || d.State > match.Halted {
		return match.BadInstrument
	}
	i := m.instrument(d.ID)
	if i == nil && m.killing {
		return match.Busy
	}
	if i == nil {
		i = &instrument{Definition: *d, state: d.State}
		m.instruments = append(m.instruments, i)
		slices.SortFunc(m.instruments, func(a, b *instrument) int { return compare(uint32(a.ID), uint32(b.ID)) })
	} else if reason := m.redefine(i, d); reason != match.None {
		return reason
	}
	m.public(d.ID, match.Event{Kind: match.EventDefined, State: i.state})
	return match.None
}

func (m *Model) redefine(i *instrument, d *match.Definition) match.Reason {
	if m.busy(i) {
		return match.Busy
	}
	same := *d
	same.Collar, same.MaxQuantity, same.Reference = i.Collar, i.MaxQuantity, i.Reference
	if same == i.Definition {
		i.Definition = *d
		return match.None
	}
	if len(m.some(func(o *order) bool { return o.Instrument == i.ID })) > 0 {
		return match.BadInstrument
	}
	*i = instrument{Definition: *d, state: d.State}
	return match.None
}

// CheckEnter says what Enter would refuse, without effect.
func (m *Model) CheckEnter(now uint64, n *match.New) match.Reason {
	c := m.copy()
	reason := c.checkNew(now, n)
	i := c.instrument(n.Instrument)
	if reason != match.None || i.state != match.Continuous || n.Type > match.Market {
		return reason
	}
	o := &order{New: *n, left: n.Quantity}
	would, _ := c.try(i, o)
	return when(n.TIF == match.FOK && would.left > 0 || would.executed < n.MinQuantity, match.NotFilled)
}

// CheckReplace says what Replace would refuse, without effect.
func (m *Model) CheckReplace(now uint64, r *match.Replace) match.Reason {
	return m.copy().checkReplace(now, r)
}

// copy is a model of which accounts may be changed.
func (m *Model) copy() *Model {
	c := *m
	c.accounts = nil
	for _, a := range m.accounts {
		other := *a
		c.accounts = append(c.accounts, &other)
	}
	return &c
}

// Depth appends the best n prices of a side.
func (m *Model) Depth(dst []match.Level, id match.Instrument, side match.Side, n int) []match.Level {
	var levels []match.Level
	for _, o := range m.orders {
		if o.Instrument != id || o.Side != side || o.place != resting {
			continue
		}
		at := slices.IndexFunc(levels, func(l match.Level) bool { return l.Price == o.Price })
		if at < 0 {
			at = len(levels)
			levels = append(levels, match.Level{Price: o.Price})
		}
		levels[at].Orders++
		levels[at].Quantity += o.shown
	}
	slices.SortFunc(levels, func(a, b match.Level) int {
		if side == match.Buy {
			return compare(b.Price, a.Price)
		}
		return compare(a.Price, b.Price)
	})
	return append(dst, levels[:min(n, len(levels))]...)
}

// OpenOrders appends an account's open orders, the highest number first.
func (m *Model) OpenOrders(dst []match.Open, id match.Account) []match.Open {
	for _, o := range m.some(func(o *order) bool { return o.Account == id }) {
		open := match.Open{New: o.New, Order: o.number, Executed: o.executed, Left: o.left}
		open.Quantity = o.executed + o.left
		if o.place == resting {
			open.Shown = o.shown
		}
		dst = append(dst, open)
	}
	return dst
}

// Lookup returns what is known of an instrument.
func (m *Model) Lookup(id match.Instrument) (d match.Definition, s match.State, busy bool, last uint32, ok bool) {
	i := m.instrument(id)
	if i == nil {
		return d, 0, false, 0, false
	}
	return i.Definition, i.state, m.busy(i), i.last, true
}

// crossed is an instrument that trades while its best buy reaches its best sell, which must not be; 0: there is none.
func (m *Model) crossed() match.Instrument {
	for _, i := range m.instruments {
		buyer := order{New: match.New{Instrument: i.ID, Side: match.Buy}}
		if ask := m.meets(&buyer, match.MaxPrice); i.state == match.Continuous && ask != nil {
			seller := order{New: match.New{Instrument: i.ID, Side: match.Sell}}
			if m.meets(&seller, ask.Price) != nil {
				return i.ID
			}
		}
	}
	return 0
}
