package bookmodel

import (
	"slices"

	"lockstep/service/orderbook/match"
)

// Model is an order book that is searched for everything. It implements match.Book.
type Model struct {
	o           match.Options
	events      []match.Event
	instruments []*instrument // by ascending number
	accounts    []*account
	orders      []*order // all that are open; those that rest at one price stand in the order of its queue
	defaults    match.Limits
	allKilled   bool
	killing     bool // orders of all accounts are being taken off
	pending     []*instrument
	worked      int    // in this call: orders looked at, executed in an auction's end, or cancelled as work that was left
	elections   int    // in this call
	joined      int    // stops, in this call
	idle        uint64 // how often an account has become idle

	lastOrder, lastExecution, lastNumber uint64
}

// place is where an open order is.
type place uint8

const (
	resting  place = iota // in the book
	stopped               // until its stop is reached
	awaiting              // a market order, until the auction is over
	elected               // its stop is reached, and it is about to enter
)

type order struct {
	match.New // as entered or last replaced, but that Quantity is executed and left
	number    uint64
	place     place
	executed  uint64
	left      uint64
	shown     uint64 // while it rests
}

type instrument struct {
	match.Definition // State is the one it opened in
	state            match.State
	last             uint32 // trade price; 0: none yet
	elected          []*order
	uncross          *uncross    // under way
	next             match.State // that it goes to; 0: it stays
	closing          bool        // it is Closed, and Day orders are still to be taken off
}

type account struct {
	id     match.Account
	limits match.Limits // zero: the default ones
	killed bool
	bucket bucket
	idle   uint64 // of those that are idle the lowest has been for longest
}

// New returns a model with nothing entered.
func New(o match.Options) *Model {
	defaults(&o)
	m := &Model{o: o}
	for id := match.Instrument(1); id <= match.Instrument(o.Instruments); id++ {
		m.instruments = append(m.instruments, &instrument{
			Definition: match.Definition{ID: id, Low: 1, High: o.PriceLimit, MaxQuantity: o.MaxQuantity, State: match.Continuous},
			state:      match.Continuous,
		})
	}
	return m
}

func defaults(o *match.Options) {
	set(&o.Instruments, 16)
	set(&o.MaxInstruments, max(4096, o.Instruments))
	set(&o.PriceLimit, 65535)
	set(&o.MaxQuantity, 1<<32)
	set(&o.MaxOrders, 131072)
	set(&o.MaxAccounts, 16384)
	set(&o.MaxOpen, 1024)
	set(&o.MaxFills, 1024)
	set(&o.MaxElections, 256)
}

func set[T int | uint32 | uint64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Events returns what happened since Reset.
func (m *Model) Events() []match.Event { return m.events }

// Reset forgets the events.
func (m *Model) Reset() { m.events = m.events[:0] }

func (m *Model) instrument(id match.Instrument) *instrument {
	i := slices.IndexFunc(m.instruments, func(i *instrument) bool { return i.ID == id })
	if i < 0 {
		return nil
	}
	return m.instruments[i]
}

func (m *Model) account(id match.Account) *account {
	i := slices.IndexFunc(m.accounts, func(a *account) bool { return a.id == id })
	if i < 0 {
		return nil
	}
	return m.accounts[i]
}

// find returns the open order that an account calls so.
func (m *Model) find(id match.Account, name match.ClientOrder) *order {
	i := slices.IndexFunc(m.orders, func(o *order) bool { return o.Account == id && o.ClientOrder == name })
	if i < 0 {
		return nil
	}
	return m.orders[i]
}

// some returns the open orders that fit, the highest number first.
func (m *Model) some(fits func(*order) bool) []*order {
	var list []*order
	for _, o := range m.orders {
		if fits(o) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *order) int { return compare(b.number, a.number) })
	return list
}

func compare[T uint32 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// begin begins a call.
func (m *Model) begin() { m.worked, m.elections, m.joined = 0, 0, 0 }

// remove takes an order out of where it rests or waits.
func (m *Model) remove(o *order) {
	m.orders = slices.DeleteFunc(m.orders, func(x *order) bool { return x == o })
	if i := m.instrument(o.Instrument); i != nil {
		i.elected = slices.DeleteFunc(i.elected, func(x *order) bool { return x == o })
	}
}

// private reports something of an order to its account.
func (m *Model) private(o *order, e match.Event) {
	e.Account, e.ClientOrder, e.Instrument, e.Order, e.Side = o.Account, o.ClientOrder, o.Instrument, o.number, o.Side
	m.events = append(m.events, e)
}

func (m *Model) rejected(id match.Account, name match.ClientOrder, reason match.Reason) match.Reason {
	if reason != match.None {
		m.events = append(m.events, match.Event{Kind: match.EventRejected, Account: id, ClientOrder: name, Reason: reason})
	}
	return reason
}

// public tells everybody.
func (m *Model) public(id match.Instrument, e match.Event) {
	m.lastNumber++
	e.Instrument, e.Number = id, m.lastNumber
	m.events = append(m.events, e)
}

// ofOrder tells everybody something about an order that is in the book.
func (m *Model) ofOrder(kind match.Kind, o *order, quantity uint64) {
	m.public(o.Instrument, match.Event{Kind: kind, Order: o.number, Side: o.Side, Price: o.Price, Quantity: quantity})
}
