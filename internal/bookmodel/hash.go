package bookmodel

import "lockstep/service/orderbook/match"

// digest takes numbers together, one after the other.
type digest uint64

func (d *digest) add(values ...uint64) {
	for _, v := range values {
		z := uint64(*d)*0x9E3779B97F4A7C15 ^ v
		z = (z ^ z>>29) * 0xBF58476D1CE4E5B9
		*d = digest(z ^ z>>32)
	}
}

func number(is bool) uint64 {
	if is {
		return 1
	}
	return 0
}

// Hash tells two states apart, but for what is missing in buckets and for how long accounts have been idle. It is computed
// over everything, and is not that of an engine.
func (m *Model) Hash() uint64 {
	var d digest
	d.add(m.lastOrder, m.lastExecution, m.lastNumber, number(m.allKilled), number(m.killing))
	d.limits(m.defaults)
	for _, o := range m.orders {
		d.add(uint64(o.Account), uint64(o.ClientOrder), uint64(o.Instrument), uint64(o.Side), uint64(o.Type), uint64(o.TIF),
			uint64(o.SelfMatch), number(o.PostOnly), uint64(o.Price), uint64(o.Stop), o.Display, o.Expire, o.number,
			uint64(o.place), o.executed, o.left, o.shown)
	}
	for _, i := range m.instruments {
		d.add(uint64(i.ID), uint64(i.Low), uint64(i.High), i.MaxQuantity, uint64(i.Collar), uint64(i.Reference),
			uint64(i.State), uint64(i.state), uint64(i.last), uint64(i.next), number(i.closing))
		for _, b := range i.Symbol {
			d.add(uint64(b))
		}
		if i.uncross != nil {
			d.add(uint64(i.uncross.price), i.uncross.volume, uint64(i.uncross.at), number(i.uncross.upwards))
		}
		for _, o := range i.elected {
			d.add(o.number)
		}
	}
	for _, i := range m.pending {
		d.add(uint64(i.ID))
	}
	for _, a := range m.accounts {
		d.add(uint64(a.id), number(a.killed))
		d.limits(a.limits)
	}
	return uint64(d)
}

func (d *digest) limits(l match.Limits) {
	d.add(uint64(l.MaxOpen), l.MaxQuantity, uint64(l.MessagesPerS))
}
