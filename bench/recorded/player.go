package recorded

import (
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

// Player plays a flow, or one session's share of it, again and again: the requests in their order and then one that
// takes off what is open still, so that the next pass begins like the first. Every pass gives its orders ids of their own.
type Player struct {
	flow    *Flow
	own     []uint32 // indices of its messages; nil: all of them
	length  int      // of its messages
	at      int      // in the pass
	orders  uint64   // ids given out in the passes before
	builder *flatbuffers.Builder
	request orderbook.Request
}

// Players returns those of n sessions: each plays what the users do whose number leaves its own over n. Sessions without
// anything to play are an error.
func (f *Flow) Players(n int) ([]*Player, error) {
	players := make([]*Player, n)
	for i := range players {
		players[i] = &Player{flow: f, builder: flatbuffers.NewBuilder(256)}
	}
	if n == 1 {
		players[0].length = len(f.messages)
		return players, nil
	}
	for at := range f.messages {
		p := players[int(f.messages[at].user)%n]
		p.own = append(p.own, uint32(at))
		p.length++
	}
	for i, p := range players {
		if p.length == 0 {
			return nil, fmt.Errorf("recorded flow %s has nothing for session %d of %d: it has %d users", f.Name, i+1, n, f.Users)
		}
	}
	return players, nil
}

// Pass is how many requests one pass has.
func (p *Player) Pass() int { return p.length + 1 }

func (p *Player) message(at int) *message {
	if p.own != nil {
		at = int(p.own[at])
	}
	return &p.flow.messages[at]
}

// DueNs is when the n-th request, from 0, is due at the pace of the recording, from the beginning of the flow on.
func (p *Player) DueNs(n uint64) int64 {
	pass, at := int64(n/uint64(p.Pass())), int(n%uint64(p.Pass()))
	begin, span := p.flow.messages[0].timeNs, p.flow.Span().Nanoseconds()
	period := span + span/int64(len(p.flow.messages)) + 1
	if at == p.length {
		return pass*period + span
	}
	return pass*period + p.message(at).timeNs - begin
}

// Next returns the next request, good until the next call.
func (p *Player) Next() []byte {
	if p.at == p.length {
		p.at = 0
		p.orders += uint64(p.flow.Orders)
		p.request = orderbook.Request{Command: orderbook.MassCancel}
		return orderbook.EncodeRequest(p.builder, &p.request)
	}
	m := p.message(p.at)
	p.at++
	p.set(m)
	return orderbook.EncodeRequest(p.builder, &p.request)
}

// set makes the request of a message.
func (p *Player) set(m *message) {
	order := match.ClientOrder(p.orders + uint64(m.order))
	switch m.verb {
	case enter:
		p.request = orderbook.Request{Command: orderbook.NewOrder, New: match.New{ClientOrder: order,
			Instrument: p.flow.first + match.Instrument(m.instrument), Side: m.side, Type: m.kind, TIF: m.tif,
			Price: uint32(m.price), Stop: uint32(m.stop), Quantity: m.quantity, Display: m.display}}
	case cancel:
		p.request = orderbook.Request{Command: orderbook.CancelOrder, Cancel: match.Cancel{ClientOrder: order,
			Quantity: m.quantity}}
	default:
		p.request = orderbook.Request{Command: orderbook.ReplaceOrder, Replace: match.Replace{ClientOrder: order,
			NewClientOrder: match.ClientOrder(p.orders + uint64(m.newOrder)), Price: uint32(m.price), Stop: uint32(m.stop),
			Quantity: m.quantity, Display: m.display}}
	}
}
