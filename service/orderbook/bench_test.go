package orderbook_test

import (
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/wire"
	"lockstep/wire/fb"
)

const flowClients = 4

// flow is a recorded order flow of several clients, long enough to be played in a circle: every client id is made
// new in each round by the session.
func flow(messages int) [][]byte {
	var clients [flowClients]*orderflow.Generator
	for i := range clients {
		clients[i] = orderflow.New(orderflow.Options{Seed: 11, Client: uint64(i), Open: 2000})
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
	apply   func(session wire.SessionID, payload []byte)
	open    func(session wire.SessionID, opened bool)
	flow    [][]byte
	at      int
	session wire.SessionID
}

func (p *player) next() {
	if p.at == len(p.flow) {
		for i := range wire.SessionID(flowClients) {
			p.open(p.session+i, false)
		}
		p.at = 0
		p.session += flowClients
	}
	p.apply(p.session+wire.SessionID(p.at%flowClients), p.flow[p.at])
	p.at++
}

func newPlayer(t testing.TB, flow [][]byte) (*player, *orderbook.Book) {
	book, err := orderbook.New(orderbook.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := service.NewContext()
	var r wire.Record
	p := &player{flow: flow, session: 1}
	p.apply = func(session wire.SessionID, payload []byte) {
		r.Session = session
		ctx.Begin(&r)
		book.Apply(ctx, &r, payload)
	}
	p.open = func(session wire.SessionID, opened bool) {
		ctx.Begin(&r)
		book.OnSession(ctx, session, opened)
	}
	return p, book
}

// The flow's orders, executions, rejections and cancels: nothing of it allocates.
func TestApplyDoesNotAllocate(t *testing.T) {
	p, book := newPlayer(t, flow(60000))
	for range 20000 {
		p.next()
	}
	if n := testing.AllocsPerRun(30000, p.next); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
	if book.Resting() < 200 {
		t.Errorf("only %d orders on the book", book.Resting())
	}
}

func TestCodecsDoNotAllocate(t *testing.T) {
	b := flatbuffers.NewBuilder(256)
	var q orderbook.Request
	var e orderbook.Event
	executed := &orderbook.Event{Left: 7}
	if n := testing.AllocsPerRun(1000, func() {
		if !orderbook.DecodeRequest(orderbook.NewOrderRequest(b, 1, 2, fb.SideSell, 3, 4), &q) || q.Quantity != 4 {
			t.Fatal("not what was encoded")
		}
		if !orderbook.DecodeRequest(orderbook.CancelOrderRequest(b, 1, 2), &q) || !q.Cancel {
			t.Fatal("not what was encoded")
		}
		if !orderbook.DecodeEvent(orderbook.EncodeExecuted(b, executed), &e) || e.Left != 7 {
			t.Fatal("not what was encoded")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBook(b *testing.B) {
	p, _ := newPlayer(b, flow(100000))
	for range 20000 {
		p.next()
	}
	b.ReportAllocs()
	for b.Loop() {
		p.next()
	}
}

func BenchmarkNaiveBook(b *testing.B) {
	p := newNaivePlayer(flow(100000))
	for range 20000 {
		p.next()
	}
	b.ReportAllocs()
	for b.Loop() {
		p.next()
	}
}

// naive is what one writes first: maps from price to a slice of orders, a sorted slice of the prices, a map for the
// look-up. It answers the same.
type naive struct {
	ctx        *service.Context
	builder    *flatbuffers.Builder
	sides      map[uint32]*[2]naiveSide
	byID       map[naiveKey]*naiveOrder
	orders     uint64
	executions uint64
}

type naiveKey struct {
	session     wire.SessionID
	clientOrder uint64
}

type naiveOrder struct {
	naiveKey
	orderbook.Request
	number, left uint64
}

type naiveSide struct {
	prices []uint64
	levels map[uint64][]*naiveOrder
}

func newNaivePlayer(flow [][]byte) *player {
	n := &naive{
		ctx: service.NewContext(), builder: flatbuffers.NewBuilder(256),
		sides: map[uint32]*[2]naiveSide{}, byID: map[naiveKey]*naiveOrder{},
	}
	var r wire.Record
	return &player{
		flow: flow, session: 1,
		apply: func(session wire.SessionID, payload []byte) {
			n.ctx.Begin(&r)
			n.apply(session, payload)
		},
		open: func(session wire.SessionID, _ bool) {
			for key, o := range n.byID {
				if key.session == session {
					n.remove(o)
				}
			}
		},
	}
}

func (n *naive) apply(session wire.SessionID, payload []byte) {
	var q orderbook.Request
	if !orderbook.DecodeRequest(payload, &q) {
		n.ctx.Respond(session, orderbook.EncodeRejected(n.builder, 0, fb.OrderRejectMalformed))
		return
	}
	key := naiveKey{session, q.ClientOrder}
	o := n.byID[key]
	if q.Cancel {
		if o == nil {
			n.ctx.Respond(session, orderbook.EncodeRejected(n.builder, q.ClientOrder, fb.OrderRejectUnknownOrder))
			return
		}
		n.remove(o)
		n.ctx.Respond(session, orderbook.EncodeCanceled(n.builder, q.ClientOrder, o.number, o.left))
		return
	}
	n.orders++
	o = &naiveOrder{naiveKey: key, Request: q, number: n.orders, left: q.Quantity}
	book := n.sides[q.Instrument]
	if book == nil {
		book = &[2]naiveSide{{levels: map[uint64][]*naiveOrder{}}, {levels: map[uint64][]*naiveOrder{}}}
		n.sides[q.Instrument] = book
	}
	n.ctx.Respond(session, orderbook.EncodeAccepted(n.builder, q.ClientOrder, o.number, q.Quantity))
	n.match(o, &book[2-q.Side])
	if o.left > 0 {
		n.byID[key] = o
		book[q.Side-1].add(o)
	}
}

func (n *naive) match(o *naiveOrder, other *naiveSide) {
	for o.left > 0 && len(other.prices) > 0 {
		price := other.prices[0]
		if o.Side == fb.SideSell {
			price = other.prices[len(other.prices)-1]
		}
		if o.Side == fb.SideBuy && price > o.Price || o.Side == fb.SideSell && price < o.Price {
			return
		}
		rest := other.levels[price][0]
		quantity := min(o.left, rest.left)
		o.left -= quantity
		rest.left -= quantity
		n.executions++
		e := orderbook.Event{Execution: n.executions, Price: price, Quantity: quantity}
		e.ClientOrder, e.Order, e.Left = o.naiveKey.clientOrder, o.number, o.left
		n.ctx.Respond(o.session, orderbook.EncodeExecuted(n.builder, &e))
		e.ClientOrder, e.Order, e.Left = rest.naiveKey.clientOrder, rest.number, rest.left
		n.ctx.Respond(rest.session, orderbook.EncodeExecuted(n.builder, &e))
		if rest.left == 0 {
			n.remove(rest)
		}
	}
}

func (n *naive) remove(o *naiveOrder) {
	delete(n.byID, o.naiveKey)
	s := &n.sides[o.Instrument][o.Side-1]
	level := s.levels[o.Price]
	at := slices.Index(level, o)
	if level = slices.Delete(level, at, at+1); len(level) > 0 {
		s.levels[o.Price] = level
		return
	}
	delete(s.levels, o.Price)
	at, _ = slices.BinarySearch(s.prices, o.Price)
	s.prices = slices.Delete(s.prices, at, at+1)
}

func (s *naiveSide) add(o *naiveOrder) {
	if _, ok := s.levels[o.Price]; !ok {
		at, _ := slices.BinarySearch(s.prices, o.Price)
		s.prices = slices.Insert(s.prices, at, o.Price)
	}
	s.levels[o.Price] = append(s.levels[o.Price], o)
}
