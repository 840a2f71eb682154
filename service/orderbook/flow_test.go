package orderbook_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

const flowClients = 4

// flow is a recorded order flow of several clients, long enough to be played in a circle: every client order id is made
// new in each round by the session.
func flow(messages int) [][]byte {
	var clients [flowClients]*orderflow.Generator
	for i := range clients {
		clients[i] = orderflow.New(orderflow.Options{Seed: 11, Client: uint64(i), Open: 1000})
	}
	out := make([][]byte, messages)
	for i := range out {
		payload, _ := clients[i%flowClients].Next()
		out[i] = slices.Clone(payload)
	}
	return out
}

// player sends a flow to a book, again and again, under new sessions each time round.
type player struct {
	book    *orderbook.Book
	ctx     *service.Context
	record  wire.Record
	flow    [][]byte
	at      int
	session wire.SessionID
}

func newPlayer(t testing.TB, flow [][]byte) *player {
	book, err := orderbook.New(orderbook.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &player{book: book, ctx: service.NewContext(), flow: flow, session: 1}
	p.record.Service = service.OrderBook
	p.apply(90, orderbook.EncodeRequest(flatbuffers.NewBuilder(64), &orderbook.Request{Command: orderbook.Subscribe}))
	return p
}

func (p *player) apply(session wire.SessionID, payload []byte) {
	p.record.Session = session
	p.record.Timestamp++
	p.ctx.Begin(&p.record)
	p.book.Apply(p.ctx, &p.record, payload)
}

func (p *player) next() {
	if p.at == len(p.flow) {
		for i := range wire.SessionID(flowClients) {
			p.ctx.Begin(&p.record)
			p.book.OnSession(p.ctx, p.session+i, false)
		}
		p.at = 0
		p.session += 100
	}
	p.apply(p.session+wire.SessionID(p.at%flowClients), p.flow[p.at])
	p.at++
}

// Orders of the flow's kinds, executions, rejections, replacements and cancels, with a subscriber to it all, sessions
// that end and others that open: nothing of it allocates.
func TestApplyDoesNotAllocate(t *testing.T) {
	p := newPlayer(t, flow(60000))
	for range 70000 {
		p.next()
	}
	if n := testing.AllocsPerRun(30000, p.next); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
	if p.book.Resting() < 200 {
		t.Errorf("only %d orders on the book", p.book.Resting())
	}
}

func TestCodecsDoNotAllocate(t *testing.T) {
	b := flatbuffers.NewBuilder(256)
	var q orderbook.Request
	var e orderbook.Event
	executed := &orderbook.Event{Kind: orderbook.Executed, Left: 7}
	enter := &orderbook.Request{Command: orderbook.NewOrder, New: match.New{Side: match.Sell, Type: match.Limit, Quantity: 4}}
	cancel := &orderbook.Request{Command: orderbook.CancelOrder, Cancel: match.Cancel{ClientOrder: 1}}
	if n := testing.AllocsPerRun(1000, func() {
		if !orderbook.DecodeRequest(orderbook.EncodeRequest(b, enter), &q) || q.New.Quantity != 4 {
			t.Fatal("not what was encoded")
		}
		if !orderbook.DecodeRequest(orderbook.EncodeRequest(b, cancel), &q) || q.Cancel.ClientOrder != 1 {
			t.Fatal("not what was encoded")
		}
		if !orderbook.DecodeEvent(orderbook.EncodeEvent(b, executed), &e) || e.Left != 7 {
			t.Fatal("not what was encoded")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkBook is the service with its codec, one message of the flow at a time.
func BenchmarkBook(b *testing.B) {
	p := newPlayer(b, flow(100000))
	for range 110000 {
		p.next()
	}
	b.ReportAllocs()
	for b.Loop() {
		p.next()
	}
}

// TestTwoBooksAndARestoredOne: random messages of every kind, hostile ones too, to two books, one of which is
// replaced by what its own snapshot restores to again and again: same answers, same hash. Check is right about each
// message.
func TestTwoBooksAndARestoredOne(t *testing.T) {
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 7))
		o := orderbook.Options{Instruments: 3, MaxInstruments: 8, PriceLimit: 100, MaxOrders: 60, MaxAccounts: 12,
			MaxOpen: 12, MaxFills: 3, MaxElections: 2}
		one, two := newRig(t, o), newRig(t, o)
		for step := range 1500 {
			session := wire.SessionID(1 + random.IntN(6))
			var a, b []answer
			switch payload := orderbook.EncodeRequest(one.builder, drawRequest(random, one.record.Timestamp)); random.IntN(40) {
			case 0:
				a, b = one.session(session, false), two.session(session, false)
				one.session(session, true)
				two.session(session, true)
			case 1:
				payload[random.IntN(len(payload))] ^= byte(1 << random.IntN(8))
				fallthrough
			default:
				a, b = one.raw(session, payload), two.raw(session, payload)
			}
			a, b = append(a, one.due()...), append(b, two.due()...)
			if !slices.EqualFunc(a, b, func(x, y answer) bool { return x.to == y.to && equalEvents(&x.event, &y.event) }) ||
				one.book.Hash() != two.book.Hash() {
				t.Fatalf("seed %d, step %d:\n%+v\n%+v", seed, step, a, b)
			}
			if random.IntN(20) == 0 {
				two.restore()
			}
		}
	}
}

// drawRequest makes up a message: most of orders, at few prices, with few ids.
func drawRequest(r *rand.Rand, nowNs uint64) *orderbook.Request {
	q := &orderbook.Request{Command: orderbook.NewOrder}
	if r.IntN(2) == 0 {
		q.Command = orderbook.Command(1 + r.IntN(int(orderbook.BustTrade)))
	}
	id := func() match.ClientOrder { return match.ClientOrder(r.IntN(9)) }
	price := func() uint32 { return uint32(48 + r.IntN(6)) }
	q.New = match.New{ClientOrder: id(), Instrument: match.Instrument(r.IntN(5)), Side: match.Side(1 + r.IntN(2)),
		Type: match.Limit,
		TIF:  match.TimeInForce(r.IntN(6)), SelfMatch: match.SelfMatch(r.IntN(5)), PostOnly: r.IntN(9) == 0, Price: price(),
		Quantity: uint64(r.IntN(12))}
	switch r.IntN(6) {
	case 0:
		q.New.Type, q.New.Price = match.Market, 0
	case 1:
		q.New.Type, q.New.Stop, q.New.Price = match.Stop, price(), 0
	case 2:
		q.New.Type, q.New.Stop = match.StopLimit, price()
	case 3:
		q.New.Display = uint64(r.IntN(5))
	case 4:
		q.New.MinQuantity = uint64(r.IntN(5))
	}
	if q.New.TIF == match.GTD {
		q.New.Expire = nowNs + uint64(r.IntN(8))*second
	}
	q.Cancel = match.Cancel{ClientOrder: id(), Quantity: uint64(r.IntN(6))}
	q.Replace = match.Replace{ClientOrder: id(), NewClientOrder: id(), Price: price(), Quantity: uint64(r.IntN(12)),
		Display: uint64(r.IntN(3))}
	q.Instrument, q.Side, q.State = match.Instrument(r.IntN(5)), match.Side(r.IntN(3)), match.State(2+r.IntN(3))
	q.Account, q.Stay, q.Off = match.Account(r.IntN(4)), r.IntN(2) == 0, r.IntN(4) != 0
	q.Limits = match.Limits{MaxOpen: uint32(r.IntN(9)), MessagesPerS: uint32(r.IntN(3))}
	q.Definitions = []match.Definition{{ID: match.Instrument(r.IntN(9)), Symbol: [16]byte{'S'}, Low: 1, High: 100,
		MaxQuantity: uint64(r.IntN(20)),
		Collar:      uint32(r.IntN(5)), Reference: uint32(r.IntN(60)), State: match.State(r.IntN(5))}}
	return q
}

// TestDamagedSnapshotsAreRefused: a byte changed anywhere, or the end missing, and it does not restore; nor under
// other options.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	r := newRig(t, orderbook.Options{MaxOrders: 64, Instruments: 2, MaxInstruments: 4, MaxAccounts: 8})
	r.send(1, login(5, true))
	for id := range match.ClientOrder(5) {
		q := limit(id, match.Buy, 10+uint32(id), 1)
		q.New.TIF, q.New.Expire = match.GTD, 1000*second
		r.send(1, q)
	}
	r.send(2, orderbook.Request{Command: orderbook.Subscribe, Instrument: 2})
	var whole bytes.Buffer
	if err := r.book.Snapshot(&whole); err != nil {
		t.Fatal(err)
	}
	restore := func(b []byte, o orderbook.Options) error {
		book, err := orderbook.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return book.Restore(bytes.NewReader(b))
	}
	for at := range whole.Len() {
		b := bytes.Clone(whole.Bytes())
		b[at] ^= 0x41
		if err := restore(b, r.options); err == nil || !errors.Is(err, orderbook.ErrSnapshot) && !errors.Is(err,
			service.ErrUnsuited) {
			t.Fatalf("byte %d of %d changed: %v", at, whole.Len(), err)
		}
		if err := restore(whole.Bytes()[:at], r.options); !errors.Is(err, orderbook.ErrSnapshot) {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
	o := r.options
	o.MaxOrders++
	if err := restore(whole.Bytes(), o); !errors.Is(err, service.ErrUnsuited) {
		t.Errorf("under other options: %v", err)
	}
}

// TestTheMostThatOneRecordCausesFits: an order whose executions elect as many stops as one record may, which execute
// as often as one record may, with every subscriber there may be. More would panic.
func TestTheMostThatOneRecordCausesFits(t *testing.T) {
	const fills, stops = 1750, 250
	r := newRig(t, orderbook.Options{MaxFills: fills, MaxOpen: 3500})
	for i := range match.ClientOrder(2 * fills) {
		price := uint32(100)
		if i >= fills-stops {
			price = 101
		}
		r.send(1, limit(i, match.Sell, price, 1))
	}
	for i := range match.ClientOrder(stops + 1) {
		q := limit(i, match.Buy, 0, 1)
		q.New.Type, q.New.Stop = match.Stop, 100
		if i == stops {
			q.New.Quantity = fills
		}
		r.send(3, q)
	}
	for session := range wire.SessionID(orderbook.MaxSubscribers) {
		r.send(10+session, orderbook.Request{Command: orderbook.Subscribe})
	}
	private, size, subscribers := 0, 0, 0
	for _, a := range r.send(4, limit(1, match.Buy, 100, fills-stops)) {
		if a.event.Kind != orderbook.MarketEvents {
			private++
			continue
		}
		subscribers++
		if a.event.Count == 0 {
			t.Errorf("a subscriber is told %d events, and none is left out", len(a.event.Market))
		}
	}
	r.ctx.Responses(func(_ wire.SessionID, payload []byte) { size += len(payload) })
	if private < 4*fills || subscribers != orderbook.MaxSubscribers {
		t.Errorf("%d private reports, %d subscribers, %d bytes", private, subscribers, size)
	}
	t.Logf("%d private reports, %d subscribers, %d bytes, %d units of work", private, subscribers, size, r.ctx.Work())
}

// TestNoRecordIsWorkForTooLong: what costs most, with options as large as they can be and every subscriber there may be. More
// than MaxWork would panic; the engine's part of it alone is counted too.
func TestNoRecordIsWorkForTooLong(t *testing.T) {
	const most, all = 3500, 1 << 14
	command := func(q orderbook.Request) func(r *rig) { return func(r *rig) { r.send(4, q) } }
	state := func(s match.State) func(r *rig) {
		return command(orderbook.Request{Command: orderbook.SetState, State: s})
	}
	many := func(count int, side match.Side, change func(i int, n *match.New)) func(r *rig) {
		return func(r *rig) {
			for i := range count {
				q := limit(match.ClientOrder(i), side, 100, 2)
				change(i, &q.New)
				r.send(wire.SessionID(20+int(side)*10+i/most), q)
			}
		}
	}
	icebergs := func(_ int, n *match.New) { n.Display = 1 }
	apart := func(i int, n *match.New) { n.Price, n.TIF = uint32(1000+i), match.GTC }
	crossing := func(i int, n *match.New) { n.Price, n.TIF, n.Display = uint32(5000-i), match.Day, 1 }
	stops := func(_ int, n *match.New) { n.Type, n.Price, n.Stop = match.Stop, 0, 100 }
	whole := limit(1, match.Buy, 100, most)
	whole.New.TIF = match.FOK
	for name, x := range map[string]struct {
		work  int // at least
		steps []func(r *rig)
	}{
		"fill or kill": {2*most + 4*most, []func(*rig){many(most, match.Sell, icebergs), command(whole)}},
		"stops that join": {4096, []func(*rig){many(4500, match.Buy, stops), many(1, match.Sell, func(int, *match.New) {}),
			command(limit(1, match.Buy, 100, 1))}},
		"the price of an uncross": {most, []func(*rig){state(match.Auction), many(2*most, match.Sell, apart),
			many(2*most, match.Buy, crossing), state(match.Continuous)}},
		"an uncross": {3 * most, []func(*rig){state(match.Auction), many(most+100, match.Sell, icebergs),
			many(most+100, match.Buy, icebergs), state(match.Closed)}},
		"a logout": {2 * most, []func(*rig){many(most, match.Buy, apart), func(r *rig) { r.session(30, false) }}},
		"switching off": {2 * most, []func(*rig){many(2*most, match.Buy, apart),
			command(orderbook.Request{Command: orderbook.Kill})}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, orderbook.Options{Instruments: all, MaxInstruments: all, MaxFills: most, MaxOpen: most})
			for session := range wire.SessionID(orderbook.MaxSubscribers) {
				r.send(session+100, orderbook.Request{Command: orderbook.Subscribe})
			}
			for _, step := range x.steps {
				step(r)
			}
			if work := r.ctx.Work(); work < x.work || work > service.MaxWork*3/4 {
				t.Errorf("%d units of work, of %d at most; these are %d at least", work, service.MaxWork, x.work)
			} else {
				t.Logf("%d units of work", work)
			}
			r.due() // all that goes on; it would panic too
		})
	}
}

// A fill-or-kill order that is checked in a transaction costs what it looks at, as it does when it comes in.
func TestACheckCountsWhatItLooksAt(t *testing.T) {
	r := newRig(t, orderbook.Options{})
	for i := range match.ClientOrder(50) {
		r.send(1, limit(i, match.Sell, 100, 1))
	}
	q := limit(99, match.Buy, 100, 60)
	q.New.TIF = match.FOK
	r.record.Service = service.Transaction
	r.ctx.BeginCheck(&r.record)
	if r.book.Check(r.ctx, &r.record, orderbook.EncodeRequest(r.builder, &q)) == nil {
		t.Fatal("it could be had")
	}
	if work := r.ctx.Work(); work != 50 {
		t.Errorf("%d units of work for 50 orders", work)
	}
}
