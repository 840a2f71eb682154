package bookmodel

import (
	"slices"

	"lockstep/service/orderbook/match"
)

// reached says whether the last trade has reached an order's stop.
func (i *instrument) reached(o *order) bool {
	return o.place == stopped && o.Instrument == i.ID && i.last > 0 && reaches(o.Side, i.last, o.Stop)
}

// mostJoin is how many stops join those that are to enter in one call.
const mostJoin = 4096

// queueStops appends the stops that the last trade has reached to those that are to enter: buys, the lowest stop first,
// then sells, the highest first; of one stop by number.
func (m *Model) queueStops(i *instrument) {
	if i.state != match.Continuous {
		return
	}
	var list []*order
	for _, o := range m.orders {
		if i.reached(o) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *order) int {
		switch {
		case a.Side != b.Side:
			return compare(uint32(a.Side), uint32(b.Side))
		case a.Stop != b.Stop && a.Side == match.Buy:
			return compare(a.Stop, b.Stop)
		case a.Stop != b.Stop:
			return compare(b.Stop, a.Stop)
		}
		return compare(a.number, b.number)
	})
	for _, o := range list[:min(len(list), mostJoin-m.joined)] {
		m.joined++
		o.place = elected
		i.elected = append(i.elected, o)
	}
}

// elect has stops that are reached enter, one after the other: as many as one call may. It says whether that were all.
func (m *Model) elect(i *instrument) bool {
	most := min(m.o.MaxFills, match.MaxOpen-m.o.MaxFills)
	m.queueStops(i)
	for len(i.elected) > 0 {
		if m.elections == m.o.MaxElections || m.worked > most {
			return false
		}
		m.elections++
		m.trigger(i, i.elected[0])
		m.queueStops(i)
	}
	return true
}

// trigger has one stop enter, under the number it has.
func (m *Model) trigger(i *instrument, o *order) {
	m.remove(o)
	tell := func(left uint64) { m.private(o, match.Event{Kind: match.EventTriggered, Left: left}) }
	o.Stop = 0
	if o.Type == match.Stop {
		o.Type, o.TIF = match.Market, match.IOC
	} else {
		o.Type = match.Limit
	}
	if o.Type == match.Limit && i.collars(o.Side, o.Price) {
		tell(0)
		m.close(o, match.Collared)
		return
	}
	m.execute(i, o, tell)
}
