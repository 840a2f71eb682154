package orderbook_test

import (
	"errors"
	"testing"

	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

func login(account match.Account, stay bool) orderbook.Request {
	return orderbook.Request{Command: orderbook.Login, Account: account, Stay: stay}
}

func TestOrdersMeetAndBothSidesHear(t *testing.T) {
	r := newRig(t, orderbook.Options{})
	want(t, r.send(1, limit(7, match.Sell, 100, 5)), "1: accepted 7 as 1, 5 rest")
	want(t, r.send(2, limit(7, match.Buy, 101, 3)), "2: accepted 7 as 2, 0 rest",
		"2: executed 7 as 2, 3 at 100, 0 left, execution 1",
		"1: executed 7 as 1, 3 at 100, 2 left, execution 1")
	want(t, r.send(1, orderbook.Request{Command: orderbook.ReplaceOrder,
		Replace: match.Replace{ClientOrder: 7, NewClientOrder: 8, Price: 99, Quantity: 4}}),
		"1: replaced 7 by 8 as 3, 1 rest")
	want(t, r.send(2, orderbook.Request{Command: orderbook.CancelOrder, Cancel: match.Cancel{ClientOrder: 7}}),
		"2: rejected 7 UnknownOrder")
	want(t, r.send(1, orderbook.Request{Command: orderbook.MassCancel}), "1: canceled 8 as 3, 1, 0 left, MassCanceled",
		"1: MassCanceled 1")
	want(t, r.raw(1, []byte("no request")), "1: rejected 0 Malformed")
	want(t, r.send(1, orderbook.Request{Command: orderbook.BustTrade, Execution: 1}), "1: rejected 0 BustUnsupported")
}

// TestSessionsOwnOrdersEndWithIt: a session that never logged in has an account of its own, and its orders go with it.
func TestSessionsOwnOrdersEndWithIt(t *testing.T) {
	r := newRig(t, orderbook.Options{})
	want(t, r.session(1, true))
	r.send(1, limit(1, match.Buy, 10, 1))
	r.send(1, limit(2, match.Buy, 11, 1))
	want(t, r.session(1, false), "1: canceled 2 as 2, 1, 0 left, Disconnected",
		"1: canceled 1 as 1, 1, 0 left, Disconnected")
	if r.book.Resting() != 0 {
		t.Errorf("%d orders are open", r.book.Resting())
	}
	want(t, r.session(9, false)) // one that never sent anything
}

// TestAccountOutlivesItsSession: orders that stay are reported to nobody while no session has the account, and to the
// newest one that has.
func TestAccountOutlivesItsSession(t *testing.T) {
	r := newRig(t, orderbook.Options{})
	want(t, r.send(1, login(5, true)), "1: logged in to 5, 0 open")
	want(t, r.send(1, limit(1, match.Buy, 10, 4)), "1: accepted 1 as 1, 4 rest")
	want(t, r.session(1, false))
	want(t, r.send(2, limit(1, match.Sell, 10, 1)), "2: accepted 1 as 2, 0 rest",
		"2: executed 1 as 2, 1 at 10, 0 left, execution 1",
		"0: executed 1 as 1, 1 at 10, 3 left, execution 1")
	want(t, r.send(3, login(5, true)), "3: logged in to 5, 1 open")
	want(t, r.send(4, login(5, false)), "3: logged out of 5", "4: logged in to 5, 1 open")
	r.restore()
	want(t, r.send(2, limit(2, match.Sell, 10, 1)), "2: accepted 2 as 3, 0 rest",
		"2: executed 2 as 3, 1 at 10, 0 left, execution 2",
		"4: executed 1 as 1, 1 at 10, 2 left, execution 2")
	// The one that was logged out acts for itself now, and its end concerns nobody.
	want(t, r.send(3, limit(1, match.Buy, 9, 1)), "3: accepted 1 as 4, 1 rest")
	want(t, r.session(3, false), "3: canceled 1 as 4, 1, 0 left, Disconnected")
	// It leaves for another account: what is open is canceled, as it said at its login.
	want(t, r.send(4, login(6, true)), "4: canceled 1 as 1, 2, 0 left, Disconnected", "4: logged in to 6, 0 open")
	want(t, r.send(4, login(6, true)), "4: logged in to 6, 0 open")
	for _, account := range []match.Account{0, 1 << 63, 1<<64 - 1} {
		want(t, r.send(4, login(account, true)), "4: rejected 0 BadAccount")
	}
}

// TestMarketIsToldInOrder: a subscriber gets one response a record, with what it wants, numbered.
func TestMarketIsToldInOrder(t *testing.T) {
	r := newRig(t, orderbook.Options{})
	subscribe := func(id match.Instrument, off bool) orderbook.Request {
		return orderbook.Request{Command: orderbook.Subscribe, Instrument: id, Off: off}
	}
	want(t, r.send(8, subscribe(0, false)), "8: subscribed to 0, off false, from 1")
	want(t, r.send(9, subscribe(2, false)), "9: subscribed to 2, off false, from 1")
	want(t, r.send(1, limit(1, match.Sell, 100, 5)), "1: accepted 1 as 1, 5 rest", "8: market [1 Added 5@100]")
	r.restore()
	q := limit(2, match.Buy, 100, 9)
	want(t, r.send(1, q), "1: accepted 2 as 2, 4 rest", "1: executed 2 as 2, 5 at 100, 4 left, execution 1",
		"1: executed 1 as 1, 5 at 100, 0 left, execution 1", "8: market [2 Traded 5@100] [3 Added 4@100]")
	q.New.Instrument, q.New.ClientOrder = 2, 3
	want(t, r.send(1, q), "1: accepted 3 as 3, 9 rest", "8: market [4 Added 9@100]", "9: market [4 Added 9@100]")
	want(t, r.send(8, subscribe(0, true)), "8: subscribed to 0, off true, from 5")
	want(t, r.session(9, false))
	q.New.ClientOrder = 4
	want(t, r.send(1, q), "1: accepted 4 as 4, 9 rest")
	want(t, r.send(1, subscribe(70000, false)), "1: rejected 0 UnknownInstrument")
	for session := range orderbook.MaxSubscribers {
		r.send(wire.SessionID(20+session), subscribe(1, false))
	}
	want(t, r.send(30, subscribe(1, false)), "30: rejected 0 TooManySubscribers")
	r.restore()
	r.session(22, false)
	want(t, r.send(30, subscribe(1, false)), "30: subscribed to 1, off false, from 6")
}

// TestMarketEventsThatDoNotFitAreCounted: more than a response holds.
func TestMarketEventsThatDoNotFitAreCounted(t *testing.T) {
	r := newRig(t, orderbook.Options{MaxOpen: 3000})
	for id := range match.ClientOrder(2 * orderbook.MaxMarket) {
		r.send(1, limit(1+id, match.Buy, 50, 1))
	}
	r.send(2, orderbook.Request{Command: orderbook.Subscribe})
	got := r.send(1, orderbook.Request{Command: orderbook.MassCancel})
	e := got[len(got)-1].event
	if e.Kind != orderbook.MarketEvents || len(e.Market) != orderbook.MaxMarket || e.Count != orderbook.MaxMarket {
		t.Errorf("%v: %d events, %d left out", e.Kind, len(e.Market), e.Count)
	}
}

func TestDepthAndInstruments(t *testing.T) {
	r := newRig(t, orderbook.Options{})
	for i := range uint32(20) {
		r.send(1, limit(match.ClientOrder(100+i), match.Buy, 50-i, 2))
		r.send(1, limit(match.ClientOrder(200+i), match.Sell, 60+i, 3))
	}
	e := r.send(2, orderbook.Request{Command: orderbook.DepthRequest, Instrument: 1, Levels: 3})[0].event
	if e.Kind != orderbook.Depth || len(e.Bids) != 3 || len(e.Asks) != 3 || e.Bids[0] != (match.Level{Price: 50,
		Orders: 1, Quantity: 2}) ||
		e.Asks[2].Price != 62 || e.State != match.Continuous || e.Next != 41 {
		t.Errorf("%+v", e)
	}
	want(t, r.send(2, orderbook.Request{Command: orderbook.DepthRequest, Instrument: 17}),
		"2: rejected 0 UnknownInstrument")

	tulip := match.Definition{ID: 17, Symbol: [16]byte{'T', 'U', 'L', 'I', 'P'}, Low: 10, High: 90, State: match.Auction}
	bad := match.Definition{ID: 18, Symbol: [16]byte{'X'}, Low: 10, High: 9, State: match.Auction}
	r.send(2, orderbook.Request{Command: orderbook.Subscribe})
	want(t, r.send(1, orderbook.Request{Command: orderbook.DefineInstruments, Definitions: []match.Definition{tulip,
		bad, tulip}}),
		"1: done 1", "1: rejected 18 BadInstrument", "2: market [41 Defined 0@0]")
	r.restore()
	e = r.send(1, orderbook.Request{Command: orderbook.InstrumentsRequest, Instrument: 15})[0].event
	if len(e.Definitions) != 2 || e.Next != 0 || e.Definitions[1].Symbol != tulip.Symbol ||
		e.Definitions[1].State != match.Auction {
		t.Errorf("%+v", e)
	}
	want(t, r.send(1, orderbook.Request{Command: orderbook.SetState, Instrument: 17, State: match.Auction}),
		"1: rejected 0 BadState")
	want(t, r.send(1, orderbook.Request{Command: orderbook.SetState, Instrument: 17, State: match.Halted}), "1: done 0",
		"2: market [42 State 0@0]")
}

// TestOrdersExpireByTimer: the book's timer stands at the earliest expiry, also after a restore, and takes off what
// is due.
func TestOrdersExpireByTimer(t *testing.T) {
	r := newRig(t, orderbook.Options{})
	for id := range uint64(3) {
		q := limit(match.ClientOrder(1+id), match.Buy, 10, 1)
		q.New.TIF, q.New.Expire = match.GTD, (20-5*id)*second
		r.send(1, q)
	}
	r.restore()
	want(t, r.due())
	r.record.Timestamp = 15 * second
	want(t, r.due(), "1: canceled 3 as 3, 1, 0 left, Expired", "1: canceled 2 as 2, 1, 0 left, Expired")
	r.send(1, orderbook.Request{Command: orderbook.CancelOrder, Cancel: match.Cancel{ClientOrder: 1}})
	if n := r.ctx.Timers().Len(); n != 0 {
		t.Errorf("%d timers are pending, nothing can expire", n)
	}
}

// TestLongWorkGoesOnByTimer: an uncross of more than one record's work is finished by the records that follow, also
// across restores, and the instrument is busy meanwhile.
func TestLongWorkGoesOnByTimer(t *testing.T) {
	r := newRig(t, orderbook.Options{MaxFills: 3})
	r.send(9, orderbook.Request{Command: orderbook.SetState, Instrument: 1, State: match.Auction})
	for id := range match.ClientOrder(10) {
		r.send(1, limit(1+id, match.Buy, 50, 1))
		r.send(2, limit(1+id, match.Sell, 50, 1))
	}
	r.send(9, orderbook.Request{Command: orderbook.SetState, Instrument: 1, State: match.Continuous})
	want(t, r.send(1, limit(99, match.Buy, 50, 1)), "1: rejected 99 Busy")
	r.restore()
	executed := 0
	for _, a := range r.due() {
		if a.event.Kind == orderbook.Executed {
			executed++
		}
	}
	if executed < 2*(10-3-3) || r.book.Resting() != 0 {
		t.Errorf("%d executions by timers, %d orders open", executed, r.book.Resting())
	}
	want(t, r.send(1, limit(99, match.Buy, 50, 1)), "1: accepted 99 as 21, 1 rest")
}

func TestKillAndLimits(t *testing.T) {
	r := newRig(t, orderbook.Options{})
	r.send(1, login(5, true))
	r.send(1, limit(1, match.Buy, 10, 1))
	want(t, r.send(2, orderbook.Request{Command: orderbook.Kill, Account: 5}), "2: done 0",
		"1: canceled 1 as 1, 1, 0 left, Killed")
	want(t, r.send(1, limit(1, match.Buy, 10, 1)), "1: rejected 1 Killed")
	want(t, r.send(2, orderbook.Request{Command: orderbook.Kill, Account: 5, Off: true}), "2: done 0")
	want(t, r.send(2, orderbook.Request{Command: orderbook.SetLimits, Account: 5,
		Limits: match.Limits{MaxQuantity: 2}}), "2: done 0")
	want(t, r.send(1, limit(1, match.Buy, 10, 3)), "1: rejected 1 TooLarge")
	want(t, r.send(1, limit(1, match.Buy, 10, 2)), "1: accepted 1 as 2, 2 rest")
}

func TestOptionsThatCannotWork(t *testing.T) {
	for _, o := range []orderbook.Options{{MaxFills: 3501}, {PriceLimit: 1 << 24}, {MaxOrders: -1}} {
		if _, err := orderbook.New(o); !errors.Is(err, orderbook.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestChangingTheStateOfAllInstrumentsIsNoHeavyRecord: there are as many as there can be, and all who may listen do.
func TestChangingTheStateOfAllInstrumentsIsNoHeavyRecord(t *testing.T) {
	const most = 1 << 14
	r := newRig(t, orderbook.Options{Instruments: most, MaxInstruments: most, MaxOrders: 16})
	for session := wire.SessionID(1); session <= orderbook.MaxSubscribers; session++ {
		r.send(session, orderbook.Request{Command: orderbook.Subscribe})
	}
	got := r.send(1, orderbook.Request{Command: orderbook.SetState, State: match.Halted})
	if len(got) != 1+orderbook.MaxSubscribers {
		t.Fatalf("%d answers", len(got))
	}
	if work := r.ctx.Work(); work <= most || work > service.MaxWork/2 {
		t.Errorf("%d units of work", work)
	}
	if _, err := orderbook.New(orderbook.Options{MaxInstruments: most + 1}); err == nil {
		t.Error("there can be more instruments")
	}
}

func TestKillOfASessionsOwnAccount(t *testing.T) {
	r := newRig(t, orderbook.Options{})
	r.send(3, limit(1, match.Buy, 10, 1))
	want(t, r.send(2, orderbook.Request{Command: orderbook.Kill, Account: orderbook.OwnAccount(3)}), "2: done 0",
		"3: canceled 1 as 1, 1, 0 left, Killed")
	want(t, r.send(3, limit(1, match.Buy, 10, 1)), "3: rejected 1 Killed")
}

// TestWorkGoesOnWhenATimersRecordIsPassedOver: that timer is over, and the next message sets another.
func TestWorkGoesOnWhenATimersRecordIsPassedOver(t *testing.T) {
	r := newRig(t, orderbook.Options{MaxFills: 3})
	r.send(2, orderbook.Request{Command: orderbook.SetState, Instrument: 1, State: match.Auction})
	for id := range match.ClientOrder(10) {
		r.send(1, limit(id, match.Buy, 50, 1))
		r.send(2, limit(id, match.Sell, 50, 1))
	}
	r.send(2, orderbook.Request{Command: orderbook.SetState, Instrument: 1, State: match.Continuous})
	x, ok := r.ctx.Timers().First()
	if !ok {
		t.Fatal("nothing is left to be done")
	}
	r.ctx.Timers().Cancel(x.Service, x.ID)
	want(t, r.send(1, limit(99, match.Buy, 50, 1)), "1: rejected 99 Busy")
	r.due()
	want(t, r.send(1, limit(99, match.Buy, 50, 1)), "1: accepted 99 as 21, 1 rest")
}
