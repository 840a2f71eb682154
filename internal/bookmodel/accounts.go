package bookmodel

import (
	"slices"

	"lockstep/service/orderbook/match"
)

func (m *Model) isIdle(a *account) bool {
	return m.open(a.id) == 0 && a.limits == (match.Limits{}) && !a.killed
}

// room makes room for another account, by forgetting the one that has been idle for longest; false if there is none.
func (m *Model) room() bool {
	if len(m.accounts) < m.o.MaxAccounts {
		return true
	}
	longest := -1
	for i, a := range m.accounts {
		if m.isIdle(a) && (longest < 0 || a.idle < m.accounts[longest].idle) {
			longest = i
		}
	}
	if longest >= 0 {
		m.accounts = slices.Delete(m.accounts, longest, longest+1)
	}
	return longest >= 0
}

// know returns the account, which is known from here on; nil if there is no room for it.
func (m *Model) know(id match.Account) *account {
	if a := m.account(id); a != nil {
		return a
	}
	if !m.room() {
		return nil
	}
	a := &account{id: id}
	m.accounts = append(m.accounts, a)
	m.rests(a)
	return a
}

// rests notes that an account is idle from here on, if it is.
func (m *Model) rests(a *account) {
	if a != nil && m.isIdle(a) {
		m.idle++
		a.idle = m.idle
	}
}

// over notes that an order is closed.
func (m *Model) over(o *order) { m.rests(m.account(o.Account)) }

// SetLimits sets the limits of an account, or the default ones (0).
func (m *Model) SetLimits(id match.Account, l match.Limits) match.Reason {
	if l.MaxOpen > match.MaxOpen || l.MaxQuantity > match.MaxQuantity || l.MessagesPerS > second {
		return match.BadQuantity
	}
	if id == 0 {
		m.defaults = l
		return match.None
	}
	a := m.know(id)
	if a == nil {
		return match.TooManyAccounts
	}
	was := a.limits
	a.limits = l
	if was != l {
		m.rests(a)
	}
	return match.None
}
