package pipeline

import (
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/client"
	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

// Bounds of a load.
const (
	opening     = 256     // sessions that are opened at once
	bulkBytes   = 60_000  // of a message that makes a journal long
	bulkOpen    = 6       // of these under way
	window      = 64      // messages that a session may have open
	ordersEach  = 3000    // open orders of one session at most
	priceMiddle = 32_000  // below it buyers stand, above it sellers: nobody meets
	prices      = 2_000   // on either side
	answering   = 300_000 // cycles until a message is answered, at most
)

// session is one client, and what it has in the book.
type session struct {
	client *client.Client
	err    error
	orders uint64   // order ids given out
	open   []uint64 // those in the book
	cancel bool     // the next message cancels, so that there are as many as before
}

// OnAck implements client.Handler.
func (s *session) OnAck(a client.Ack) {
	if a.Level == wire.LevelNone {
		s.err = fmt.Errorf("pipeline: a message is refused: %v", a.Code)
	}
}

// OnResponse implements client.Handler.
func (s *session) OnResponse(client.Response) {}

// OnEvent implements client.Handler.
func (s *session) OnEvent(e client.Event) {
	if e.Kind == client.EventClosed {
		s.err = fmt.Errorf("pipeline: a session is closed: %v", e.Code)
	}
}

// load is a world with sessions that send in turn.
type load struct {
	*world
	sessions []*session
	next     int // whose turn it is
	service  uint16
	payload  []byte               // of an echo
	builder  *flatbuffers.Builder // of an order
	dice     uint64
}

// newLoad makes a world with so many sessions, all of them open.
func newLoad(k *kind) (*load, error) {
	w, err := newWorld(orderbook.Options{MaxOrders: max(1<<17, k.orders+k.orders/8), MaxOpen: match.MaxOpen})
	if err != nil {
		return nil, err
	}
	l := &load{world: w, service: service.Echo, payload: make([]byte, k.payload), builder: flatbuffers.NewBuilder(256), dice: 1}
	if k.orders > 0 {
		l.service = service.OrderBook
	}
	for i := range l.payload {
		l.payload[i] = byte(i)
	}
	for len(l.sessions) < k.sessions {
		from := len(l.sessions)
		for range min(opening, k.sessions-from) {
			s := &session{}
			if s.client, err = w.mux.Add(client.Options{Nodes: w.data, Window: window,
				Name: fmt.Sprintf("pipeline %d", len(l.sessions)+1)}, s); err != nil {
				return l, err
			}
			l.sessions = append(l.sessions, s)
		}
		if err := l.until("sessions are open", func() (bool, error) { return l.connected(from), l.failed(from) }); err != nil {
			return l, err
		}
	}
	if err := l.fill(k.orders); err != nil {
		return l, err
	}
	if err := l.grow(uint64(k.journal)); err != nil {
		return l, err
	}
	return l, l.warm()
}

// warm has every session send until it has taken what memory it needs, on all sides.
func (l *load) warm() error {
	for range 2 * len(l.sessions) {
		if err := l.batch(window); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) connected(from int) bool {
	for _, s := range l.sessions[from:] {
		if !s.client.Connected() {
			return false
		}
	}
	return true
}

func (l *load) failed(from int) error {
	for _, s := range l.sessions[from:] {
		if s.err != nil {
			return s.err
		}
	}
	return nil
}

// fill puts so many orders into the book, the sessions in turn.
func (l *load) fill(orders int) error {
	for open := 0; open < orders; {
		s := l.turn()
		n := min(window/2, orders-open, ordersEach-len(s.open))
		for range n {
			if err := l.send(s, l.enter(s)); err != nil {
				return err
			}
		}
		open += n
		if err := l.answered(s); err != nil {
			return err
		}
	}
	return nil
}

// grow makes the log at least so long.
func (l *load) grow(bytes uint64) error {
	if l.logBytes() >= bytes {
		return nil
	}
	s := &session{}
	var err error
	if s.client, err = l.mux.Add(client.Options{Nodes: l.data, Window: window, Name: "bulk"}, s); err != nil {
		return err
	}
	payload := make([]byte, bulkBytes)
	return l.until("the log is long", func() (bool, error) {
		for s.client.Connected() && s.client.Open() < bulkOpen && l.logBytes() < bytes {
			if _, err := s.client.Send(l.clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), payload); err != nil {
				return false, err
			}
		}
		return l.logBytes() >= bytes && s.client.Open() == 0, s.err
	})
}

// turn is the session whose turn it is.
func (l *load) turn() *session {
	s := l.sessions[l.next]
	if l.next++; l.next == len(l.sessions) {
		l.next = 0
	}
	return s
}

// batch has the next session send so many messages, and runs until they are answered.
func (l *load) batch(messages int) error {
	s := l.turn()
	for range messages {
		payload := l.payload
		if l.service == service.OrderBook {
			payload = l.order(s)
		}
		if err := l.send(s, payload); err != nil {
			return err
		}
	}
	return l.answered(s)
}

func (l *load) send(s *session, payload []byte) error {
	_, err := s.client.Send(l.clock.NowNs(), l.service, wire.LevelsOf(wire.LevelApplied), payload)
	return err
}

// answered runs until all that a session has sent is answered. What it has sent leaves before the first cycle.
func (l *load) answered(s *session) error {
	l.mux.Poll(l.clock.NowNs())
	for limit := answering; s.client.Open() > 0; limit-- {
		if limit == 0 || s.err != nil {
			return fmt.Errorf("pipeline: a message is not answered: %w", s.err)
		}
		if err := l.cycle(); err != nil {
			return err
		}
	}
	return s.err
}

// order is a message that leaves the book as full as it was, together with the one before it or behind it: one cancels an order
// drawn by lot, the other enters one.
func (l *load) order(s *session) []byte {
	if s.cancel = !s.cancel; !s.cancel {
		return l.enter(s)
	}
	i := l.draw(len(s.open))
	id := s.open[i]
	s.open[i] = s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	q := orderbook.Request{Command: orderbook.CancelOrder, Cancel: match.Cancel{ClientOrder: match.ClientOrder(id)}}
	return orderbook.EncodeRequest(l.builder, &q)
}

// enter is a message that enters an order which meets nobody.
func (l *load) enter(s *session) []byte {
	s.orders++
	s.open = append(s.open, s.orders)
	n := match.New{ClientOrder: match.ClientOrder(s.orders), Instrument: match.Instrument(1 + l.draw(instruments)), Side: match.Buy,
		Type: match.Limit, Price: uint32(priceMiddle - 1 - l.draw(prices)), Quantity: uint64(1 + l.draw(100))}
	if l.draw(2) == 0 {
		n.Side, n.Price = match.Sell, uint32(priceMiddle+1+l.draw(prices))
	}
	q := orderbook.Request{Command: orderbook.NewOrder, New: n}
	return orderbook.EncodeRequest(l.builder, &q)
}

// instruments are there from the start.
const instruments = 16

// draw is a number from 0 to n-1.
func (l *load) draw(n int) int {
	l.dice ^= l.dice << 13
	l.dice ^= l.dice >> 7
	l.dice ^= l.dice << 17
	return int(l.dice % uint64(n))
}
