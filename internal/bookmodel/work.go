package bookmodel

import (
	"slices"

	"lockstep/service/orderbook/match"
)

// busy says whether work of an instrument is left.
func (m *Model) busy(i *instrument) bool { return m.killing || slices.Contains(m.pending, i) }

// spend says whether the call may do one thing more.
func (m *Model) spend() bool {
	if m.worked >= m.o.MaxFills {
		return false
	}
	m.worked++
	return true
}

// after is what follows when an order has come in.
func (m *Model) after(i *instrument) {
	if !m.elect(i) {
		m.pending = append(m.pending, i)
	}
}

// Pending says whether work is left.
func (m *Model) Pending() bool { return m.killing || len(m.pending) > 0 }

// Continue does some of the work that is left.
func (m *Model) Continue(uint64) {
	m.begin()
	m.work()
}

// work does what is left, as much as one call may: first orders are taken off when all are switched off, then the
// instruments' turns, one after the other.
func (m *Model) work() {
	if m.killing && !m.killOn() {
		return
	}
	m.pending = m.turns(m.pending)
}

// turns does the work of instruments, one after the other, and returns those that are not done.
func (m *Model) turns(list []*instrument) []*instrument {
	for len(list) > 0 && m.change(list[0]) && m.elect(list[0]) {
		list = list[1:]
	}
	return list
}

// ascending returns the open orders that fit, the lowest number first.
func (m *Model) ascending(fits func(*order) bool) []*order {
	list := m.some(fits)
	slices.Reverse(list)
	return list
}

// cancelAll takes orders off, as many as the call may; it says whether that were all.
func (m *Model) cancelAll(list []*order, why match.CancelReason) bool {
	for _, o := range list {
		if !m.spend() {
			return false
		}
		m.cancel(o, why)
	}
	return true
}

// Kill switches an account off or on, or all.
func (m *Model) Kill(id match.Account, on bool) match.Reason {
	m.begin()
	if id == 0 {
		return m.killAll(on)
	}
	a := m.account(id)
	if a == nil && on {
		if a = m.know(id); a == nil {
			return match.TooManyAccounts
		}
	}
	if a == nil || a.killed == on {
		return match.None
	}
	a.killed = on
	if !on {
		m.rests(a)
		return match.None
	}
	for _, o := range m.some(func(o *order) bool { return o.Account == id }) {
		m.cancel(o, match.CanceledKilled)
	}
	return match.None
}

func (m *Model) killAll(on bool) match.Reason {
	switch {
	case m.allKilled == on:
		return match.None
	case m.killing:
		return match.Busy
	}
	m.allKilled, m.killing = on, on
	if on {
		m.killOn()
	}
	return match.None
}

// killOn takes orders of all accounts off.
func (m *Model) killOn() bool {
	for _, i := range m.instruments {
		day := m.ascending(func(o *order) bool { return o.Instrument == i.ID && o.TIF == match.Day })
		others := m.ascending(func(o *order) bool { return o.Instrument == i.ID && o.TIF != match.Day })
		if !m.cancelAll(append(day, others...), match.CanceledKilled) {
			return false
		}
	}
	m.killing = false
	return true
}

// Expire cancels orders that are over their time.
func (m *Model) Expire(now uint64, budget int) int {
	m.begin()
	done := 0
	for done < budget {
		o := m.expiresNext()
		if o == nil || o.Expire > now {
			break
		}
		m.cancel(o, match.Expired)
		done++
	}
	return done
}

// NextExpiry is the earliest time at which an order is to be cancelled.
func (m *Model) NextExpiry() (at uint64, ok bool) {
	if o := m.expiresNext(); o != nil {
		return o.Expire, true
	}
	return 0, false
}

func (m *Model) expiresNext() *order {
	var first *order
	for _, o := range m.orders {
		if o.TIF != match.GTD {
			continue
		}
		if first == nil || o.Expire < first.Expire || o.Expire == first.Expire && o.number < first.number {
			first = o
		}
	}
	return first
}
