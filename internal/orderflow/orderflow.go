package orderflow

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/orderbook"
	"lockstep/wire/fb"
)

// Kind says what a message is.
type Kind uint8

// The kinds.
const (
	Passive Kind = iota
	Crossing
	Cancel
)

// Options describe a flow. Zero fields take the default.
type Options struct {
	Seed        uint64
	Client      uint64 // tells apart the flows of the clients of one run
	Instruments uint32 // numbered from 1; default 8
	PriceLimit  uint64 // at least 64; default 65535
	Open        int    // own orders not yet cancelled; default 256
}

// Generator produces the messages of one client.
type Generator struct {
	options Options
	builder *flatbuffers.Builder
	own     random // the client's choices
	market  random // the way of the mid prices
	mid     []uint64
	open    []openOrder
	orders  uint64 // client order ids given out: 1 .. orders
}

type openOrder struct {
	clientOrder uint64
	instrument  uint32
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
		mid:     make([]uint64, o.Instruments+1),
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
	dice := g.own.below(100)
	switch {
	case len(g.open) == 0 || dice < 40 && len(g.open) < cap(g.open):
		return g.passive(), Passive
	case dice < 50 && len(g.open) < cap(g.open):
		return g.crossing(), Crossing
	}
	return g.cancel(), Cancel
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

func (g *Generator) passive() []byte {
	instrument, quantity := g.instrument(), g.quantity()
	distance := uint64(1)
	for g.own.below(8) != 0 && distance < g.options.PriceLimit/8 {
		distance++
	}
	mid := g.mid[instrument]
	g.orders++
	g.open = append(g.open, openOrder{g.orders, instrument})
	if g.own.below(2) == 0 {
		return orderbook.NewOrderRequest(g.builder, g.orders, instrument, fb.SideBuy, mid-distance, quantity)
	}
	return orderbook.NewOrderRequest(g.builder, g.orders, instrument, fb.SideSell, mid+distance, quantity)
}

func (g *Generator) crossing() []byte {
	instrument, quantity := g.instrument(), g.quantity()
	through := 1 + g.own.below(8)
	mid := g.mid[instrument]
	g.orders++
	g.open = append(g.open, openOrder{g.orders, instrument})
	if g.own.below(2) == 0 {
		return orderbook.NewOrderRequest(g.builder, g.orders, instrument, fb.SideBuy, mid+through, quantity)
	}
	return orderbook.NewOrderRequest(g.builder, g.orders, instrument, fb.SideSell, mid-through, quantity)
}

func (g *Generator) cancel() []byte {
	i := g.own.below(uint64(len(g.open)))
	o := g.open[i]
	last := len(g.open) - 1
	g.open[i] = g.open[last]
	g.open = g.open[:last]
	return orderbook.CancelOrderRequest(g.builder, o.clientOrder, o.instrument)
}

func (g *Generator) instrument() uint32 {
	n := uint64(g.options.Instruments)
	return uint32(1 + min(g.own.below(n), g.own.below(n)))
}

func (g *Generator) quantity() uint64 {
	q := 1 + g.own.below(10)
	if g.own.below(10) == 0 {
		q *= 10
	}
	return q
}
