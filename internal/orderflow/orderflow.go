package orderflow

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

// Kind says what a message is.
type Kind uint8

// The kinds.
const (
	Passive Kind = iota
	Crossing
	Cancel
	Replace
	Stop
)

// Options describe a flow. Zero fields take the default.
type Options struct {
	Seed        uint64
	Client      uint64 // tells apart the flows of the clients of one run
	Instruments uint32 // numbered from 1; default 8
	PriceLimit  uint32 // at least 64; default 65535
	Open        int    // own orders not yet cancelled; default 256
}

// Generator produces the messages of one client.
type Generator struct {
	options Options
	builder *flatbuffers.Builder
	request orderbook.Request
	own     random // the client's choices
	market  random // the way of the mid prices
	mid     []uint32
	open    []openOrder
	orders  uint64 // client order ids given out: 1 .. orders
}

type openOrder struct {
	clientOrder match.ClientOrder
	instrument  match.Instrument
	side        match.Side
	stop        bool
}

// New returns a generator at its first message.
func New(o Options) *Generator {
	if o.Instruments == 0 {
		o.Instruments = 8
	}
	if o.PriceLimit == 0 {
		o.PriceLimit = 65535
	}
	o.PriceLimit = max(o.PriceLimit, 64)
	if o.Open <= 0 {
		o.Open = 256
	}
	g := &Generator{
		options: o,
		builder: flatbuffers.NewBuilder(256),
		own:     random{o.Seed ^ (o.Client+1)*0xD1342543DE82EF95},
		market:  random{o.Seed},
		mid:     make([]uint32, o.Instruments+1),
		open:    make([]openOrder, 0, o.Open),
	}
	for i := range g.mid {
		g.mid[i] = o.PriceLimit / 2
	}
	return g
}

// Next returns the next message, good until the next call, and what it is.
func (g *Generator) Next() (payload []byte, kind Kind) {
	g.moveMarket()
	dice, room := g.own.below(100), len(g.open) < cap(g.open)
	switch {
	case len(g.open) == 0 || dice < 37 && room:
		kind = Passive
		g.passive()
	case dice < 46 && room:
		kind = Crossing
		g.crossing()
	case dice < 48 && room:
		kind = Stop
		g.stop()
	case dice >= 96:
		kind = Replace
		g.replace()
	default:
		kind = Cancel
		g.cancel()
	}
	return orderbook.EncodeRequest(g.builder, &g.request), kind
}

// moveMarket takes one step of one instrument's mid price, now and then.
func (g *Generator) moveMarket() {
	n := uint64(g.options.Instruments)
	dice := g.market.below(16 * n)
	if dice >= n {
		return
	}
	mid := &g.mid[dice+1]
	low, high := g.options.PriceLimit/4, g.options.PriceLimit/4*3
	if g.market.below(2) == 0 {
		*mid = max(*mid-1, low)
	} else {
		*mid = min(*mid+1, high)
	}
}

// enter begins a new limit order, of either side.
func (g *Generator) enter() *match.New {
	instrument, quantity := g.instrument(), g.quantity()
	side := match.Buy
	if g.own.below(2) != 0 {
		side = match.Sell
	}
	g.orders++
	g.request = orderbook.Request{Command: orderbook.NewOrder, New: match.New{ClientOrder: match.ClientOrder(g.orders),
		Instrument: instrument, Side: side, Type: match.Limit, Quantity: quantity}}
	g.open = append(g.open, openOrder{match.ClientOrder(g.orders), instrument, side, false})
	return &g.request.New
}

// away is a price at a distance from the mid price, on the side's own side of it.
func (g *Generator) away(side match.Side, instrument match.Instrument, distance uint32) uint32 {
	if side == match.Buy {
		return g.mid[instrument] - distance
	}
	return g.mid[instrument] + distance
}

// through is a price beyond the mid price.
func (g *Generator) through(side match.Side, instrument match.Instrument, distance uint32) uint32 {
	return g.away(match.Buy+match.Sell-side, instrument, distance)
}

// distance is how far from the mid price a passive order stands.
func (g *Generator) distance() uint32 {
	distance := uint32(1)
	for g.own.below(8) != 0 && distance < g.options.PriceLimit/8 {
		distance++
	}
	return distance
}

func (g *Generator) passive() {
	n := g.enter()
	n.Price = g.away(n.Side, n.Instrument, g.distance())
	if g.own.below(12) == 0 {
		n.Display = 1 + n.Quantity/4
	}
}

func (g *Generator) crossing() {
	n := g.enter()
	n.Price = g.through(n.Side, n.Instrument, uint32(1+g.own.below(8)))
	if g.own.below(3) == 0 {
		n.TIF = match.IOC
	}
}

func (g *Generator) stop() {
	n := g.enter()
	n.Type, n.Stop = match.Stop, g.through(n.Side, n.Instrument, uint32(1+g.own.below(8)))
	g.open[len(g.open)-1].stop = true
}

// replace gives an own order another id, quantity, and price: of a stop, another stop.
func (g *Generator) replace() {
	o := &g.open[g.own.below(uint64(len(g.open)))]
	g.orders++
	r := match.Replace{ClientOrder: o.clientOrder, NewClientOrder: match.ClientOrder(g.orders), Quantity: g.quantity()}
	if o.stop {
		r.Stop = g.through(o.side, o.instrument, uint32(1+g.own.below(8)))
	} else {
		r.Price = g.away(o.side, o.instrument, g.distance())
	}
	o.clientOrder = r.NewClientOrder
	g.request = orderbook.Request{Command: orderbook.ReplaceOrder, Replace: r}
}

func (g *Generator) cancel() {
	i := g.own.below(uint64(len(g.open)))
	o := g.open[i]
	last := len(g.open) - 1
	g.open[i] = g.open[last]
	g.open = g.open[:last]
	g.request = orderbook.Request{Command: orderbook.CancelOrder, Cancel: match.Cancel{ClientOrder: o.clientOrder}}
}

func (g *Generator) instrument() match.Instrument {
	n := uint64(g.options.Instruments)
	return match.Instrument(1 + min(g.own.below(n), g.own.below(n)))
}

func (g *Generator) quantity() uint64 {
	q := 1 + g.own.below(10)
	if g.own.below(10) == 0 {
		q *= 10
	}
	return q
}
