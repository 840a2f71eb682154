package bookmodel

import (
	"math/bits"

	"lockstep/service/orderbook/match"
)

// Source says which of n things happens, 0 .. n-1: a random generator, or the bytes of a fuzzer.
type Source func(n uint64) uint64

// Random is a source that gives the same for the same seed, for ever (SplitMix64).
func Random(seed uint64) Source {
	return func(n uint64) uint64 {
		seed += 0x9E3779B97F4A7C15
		z := seed
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		hi, _ := bits.Mul64(z^z>>31, n)
		return hi
	}
}

// Bytes is a source that is used up with b; then it gives 0. So it does for an n of 0, as Random does.
func Bytes(b []byte) Source {
	return func(n uint64) (v uint64) {
		if n == 0 {
			return 0
		}
		for most := n - 1; most > 0 && len(b) > 0; most >>= 8 {
			v, b = v<<8|uint64(b[0]), b[1:]
		}
		return v % n
	}
}

// World is what a flow goes on in: limits of the engine, and how often what is done.
type World struct {
	Name     string
	Options  match.Options
	Accounts uint64
	Names    uint64 // client order ids of an account
	Weights  [numOps]uint64
	Types    [4]uint64 // limit, market, stop, stop-limit
	Prices   uint32    // around 100
	Wide     bool      // prices lie far apart, from 1 to the highest
	Hostile  uint64    // of 100 fields so many are out of the ordinary
	Own      uint64    // of 100 orders so many have a policy for self-match
}

// ordinary is what most worlds do how often.
var ordinary = [numOps]uint64{OpEnter: 500, OpReplace: 150, OpCancel: 150, OpMassCancel: 4, OpLeave: 2, OpState: 14, OpDefine: 6,
	OpLimits: 3, OpKill: 3, OpExpire: 20, OpContinue: 20, OpSnapshot: 2, OpCheck: 60}

// Worlds are those that flows are drawn in.
func Worlds() []World {
	small := match.Options{Instruments: 3, MaxInstruments: 6, PriceLimit: 200, MaxOrders: 64, MaxAccounts: 16}
	tiny, few, one, most, calm, wide, many := small, small, small, small, small, small, small
	tiny.MaxOrders, tiny.MaxAccounts, tiny.MaxOpen, tiny.MaxFills, tiny.MaxElections = 8, 3, 6, 2, 1
	few.MaxFills, few.MaxElections = 3, 2
	one.MaxFills, one.MaxElections, one.Instruments = 1, 1, 2
	most.MaxFills = match.MaxOpen
	calm.MaxOrders, calm.Instruments = 200, 1
	wide.PriceLimit, wide.MaxFills = match.MaxPrice, 5
	many.Instruments, many.MaxInstruments, many.MaxFills = 70, 130, 4
	auctions, stops, quiet, limits := ordinary, ordinary, ordinary, ordinary
	auctions[OpState], auctions[OpContinue], auctions[OpReplace] = 60, 60, 100
	stops[OpContinue], stops[OpCancel] = 80, 60
	quiet[OpState], quiet[OpDefine], quiet[OpLimits], quiet[OpKill], quiet[OpLeave] = 1, 1, 0, 0, 0
	limits[OpLimits], limits[OpKill], limits[OpExpire] = 15, 6, 40
	usual, mostStops := [4]uint64{70, 12, 8, 10}, [4]uint64{45, 10, 22, 23}
	w := func(name string, o match.Options, weights [numOps]uint64, types [4]uint64, prices uint32) World {
		return World{Name: name, Options: o, Accounts: 5, Names: 12, Weights: weights, Types: types, Prices: prices, Own: 30}
	}
	worlds := []World{
		w("ordinary", small, ordinary, usual, 8), w("tiny", tiny, ordinary, usual, 5), w("few fills", few, auctions, usual, 6),
		w("one fill", one, auctions, usual, 4), w("auctions", small, auctions, usual, 12), w("stops", few, stops, mostStops, 10),
		w("all stops at once", small, stops, mostStops, 4), w("most fills", most, stops, mostStops, 6),
		w("deep", calm, quiet, usual, 10), w("limits", tiny, limits, usual, 6), w("wide", wide, auctions, usual, 0),
		w("many instruments", many, auctions, usual, 4), w("hostile", small, ordinary, usual, 6),
	}
	for i := range worlds {
		switch world := &worlds[i]; world.Name {
		case "deep":
			world.Names = 40
		case "wide":
			world.Wide = true
		case "tiny", "limits", "ordinary":
			world.Hostile = 2
		case "hostile":
			world.Hostile, world.Own = 15, 50
		}
	}
	return worlds
}

// Flow makes up calls in a world.
type Flow struct {
	world World
	draw  Source
	model *Model // that is where the calls lead to
	now   uint64
	total uint64
}

// NewFlow returns a flow at its first call. It looks into the model so as to name orders that are open, most of the time.
func NewFlow(w World, draw Source, m *Model) *Flow {
	f := &Flow{world: w, draw: draw, model: m, now: 1_000_000}
	for _, n := range w.Weights {
		f.total += n
	}
	return f
}

// Next makes up the next call.
func (f *Flow) Next() Op {
	f.now += f.step()
	op := Op{Kind: f.kind(), Now: f.now}
	if f.model.Pending() && f.draw(3) == 0 {
		op.Kind = OpContinue
	}
	switch op.Kind {
	case OpEnter:
		op.New = f.order()
	case OpReplace:
		op.Replace = f.replace()
	case OpCancel:
		op.Cancel = f.cancel()
	case OpMassCancel, OpLeave, OpKill:
		op.Account, op.Instrument, op.Side, op.On = f.account(), f.instrument(), match.Side(f.draw(4)), f.draw(2) == 0
		if f.draw(3) == 0 {
			op.Instrument = 0
		}
		if op.Kind == OpKill {
			f.kill(&op)
		}
	case OpState:
		op.Instrument, op.State = f.instrument(), f.state()
		if f.draw(4) == 0 {
			op.Instrument = 0
		}
	case OpDefine:
		op.Definition = f.definition()
	case OpLimits:
		op.Account, op.Limits = f.account(), f.limits()
	case OpExpire:
		op.Budget = int(f.draw(4))
	case OpCheck:
		op.New, op.Replace, op.Cancel = f.order(), f.replace(), f.cancel()
		op.Account, op.Instrument, op.Side = f.account(), f.instrument(), match.Side(f.draw(4))
	}
	return op
}

// kind draws what is called; what keeps everybody from trading does not last long.
func (f *Flow) kind() OpKind {
	still := 0
	for _, i := range f.model.instruments {
		if i.state == match.Closed || i.state == match.Halted {
			still++
		}
	}
	switch {
	case f.model.allKilled && f.draw(10) == 0:
		return OpKill
	case f.draw(20*uint64(len(f.model.instruments))) < uint64(still):
		return OpState
	}
	at := f.draw(f.total)
	for k, n := range f.world.Weights {
		if at < n {
			return OpKind(k)
		}
		at -= n
	}
	return OpEnter
}

// kill switches off now and then, and on again soon.
func (f *Flow) kill(op *Op) {
	op.On = op.On && f.draw(2) == 0
	for _, a := range f.model.accounts {
		if a.killed && !op.On {
			op.Account = a.id
		}
	}
	if f.model.allKilled {
		op.Account, op.On = 0, f.draw(8) == 0
	} else if f.draw(6) == 0 {
		op.Account = 0
	}
}

// step is how much later the next call comes: mostly close by, now and then after most buckets are full again.
func (f *Flow) step() uint64 {
	switch f.draw(8) {
	case 0:
		return 1
	case 1:
		return 1 + f.draw(2*second)
	}
	return 1 + f.draw(second/8)
}

func (f *Flow) odd() bool { return f.draw(100) < f.world.Hostile }

// extremes are numbers at which something ends.
var extremes = [...]uint64{0, 1, 2, 99, 100, 101, 200, 201, 1000, match.MaxOpen, match.MaxOpen + 1, 65535, 65536, match.MaxPrice,
	match.MaxPrice + 1, 1<<32 - 1, 1 << 32, 1<<32 + 1, match.MaxQuantity, match.MaxQuantity + 1, 1 << 63, ^uint64(0)}

func (f *Flow) extreme() uint64 { return extremes[f.draw(uint64(len(extremes)))] }

func (f *Flow) account() match.Account {
	if f.odd() {
		return match.Account(f.extreme())
	}
	return match.Account(1 + f.draw(f.world.Accounts))
}

func (f *Flow) name() match.ClientOrder { return match.ClientOrder(f.draw(f.world.Names)) }

func (f *Flow) instrument() match.Instrument {
	if f.odd() {
		return match.Instrument(f.extreme())
	}
	n := uint64(f.world.Options.Instruments)
	if f.draw(4) == 0 {
		return 1 + match.Instrument(f.draw(n+1))
	}
	return 1 + match.Instrument(min(f.draw(n), f.draw(3)))
}

func (f *Flow) price() uint32 {
	if f.odd() {
		return uint32(f.extreme())
	}
	if f.world.Wide {
		at := uint32(1) << (6 * f.draw(5)) * uint32(1+f.draw(3))
		return min(max(at+uint32(f.draw(3)), 2)-1, match.MaxPrice)
	}
	return 100 - f.world.Prices/2 + uint32(f.draw(uint64(f.world.Prices)))
}

func (f *Flow) quantity() uint64 {
	if f.odd() {
		return f.extreme()
	}
	if f.draw(6) == 0 {
		return 10 + f.draw(40)
	}
	return 1 + f.draw(10)
}

// state is mostly one in which something happens.
func (f *Flow) state() match.State {
	if f.odd() {
		return match.State(f.draw(7))
	}
	return [...]match.State{match.Continuous, match.Continuous, match.Continuous, match.Auction, match.Auction, match.Closed,
		match.Halted}[f.draw(7)]
}

func (f *Flow) order() match.New {
	n := match.New{Account: f.account(), ClientOrder: f.name(), Instrument: f.instrument(), Side: match.Side(1 + f.draw(2)),
		Quantity: f.quantity(), Type: match.Limit}
	if f.draw(100) < f.world.Own {
		n.SelfMatch = match.SelfMatch(f.draw(4))
	}
	at := f.draw(100)
	for t, part := range f.world.Types {
		if at < part {
			n.Type = match.Type(t + 1)
			break
		}
		at -= part
	}
	if n.Type == match.Limit || n.Type == match.StopLimit {
		n.Price = f.price()
	}
	switch n.Type {
	case match.Stop, match.StopLimit:
		n.Stop, n.TIF = f.price(), match.TimeInForce(f.draw(3))
	case match.Market:
		n.TIF = [...]match.TimeInForce{match.Day, match.Day, match.IOC, match.FOK}[f.draw(4)]
	default:
		n.TIF = [...]match.TimeInForce{match.Day, match.Day, match.Day, match.GTC, match.GTC, match.GTD, match.IOC, match.FOK}[f.draw(8)]
	}
	f.extras(&n)
	if f.odd() {
		n.Side, n.Type, n.TIF, n.SelfMatch = match.Side(f.draw(5)), match.Type(f.draw(6)), match.TimeInForce(f.draw(7)),
			match.SelfMatch(f.draw(6))
	}
	return n
}

func (f *Flow) extras(n *match.New) {
	if n.TIF == match.GTD || f.odd() {
		n.Expire = f.now + f.draw(second)
	}
	if n.TIF == match.IOC && f.draw(3) == 0 || f.odd() {
		n.MinQuantity = 1 + f.draw(n.Quantity+1)%64
	}
	if n.Type == match.Limit && stays(n.TIF) {
		if f.draw(4) == 0 {
			n.Display = 1 + f.draw(5)
		}
		n.PostOnly = f.draw(8) == 0
	}
	if f.odd() {
		n.Display, n.PostOnly, n.Stop, n.Price = f.quantity(), f.draw(2) == 0, f.price(), f.price()
	}
}

// some returns an order that is open; nil now and then.
func (f *Flow) some() *order {
	if n := uint64(len(f.model.orders)); n > 0 && f.draw(8) != 0 {
		return f.model.orders[f.draw(n)]
	}
	return nil
}

func (f *Flow) replace() match.Replace {
	r := match.Replace{Account: f.account(), ClientOrder: f.name(), Price: f.price(), Quantity: f.quantity()}
	o := f.some()
	if o != nil {
		r.Account, r.ClientOrder, r.Stop, r.Display = o.Account, o.ClientOrder, o.Stop, o.Display
		r.Quantity += o.executed
		if o.Price == 0 || f.draw(2) == 0 {
			r.Price = o.Price
		}
		if f.draw(3) == 0 {
			r.Quantity = o.executed + f.draw(o.left+3)
		}
	}
	r.NewClientOrder = r.ClientOrder
	if f.draw(2) == 0 {
		r.NewClientOrder = f.name()
	}
	if o != nil && o.Stop != 0 && f.draw(3) == 0 || f.odd() {
		r.Stop = f.price()
	}
	if f.draw(6) == 0 {
		r.Display = f.draw(6)
	}
	if f.odd() {
		r.Price, r.Quantity = f.price(), f.quantity()
	}
	return r
}

func (f *Flow) cancel() match.Cancel {
	c := match.Cancel{Account: f.account(), ClientOrder: f.name()}
	o := f.some()
	if o != nil {
		c.Account, c.ClientOrder = o.Account, o.ClientOrder
	}
	switch f.draw(4) {
	case 0:
		c.Quantity = f.quantity()
	case 1:
		if o != nil {
			c.Quantity = o.executed + f.draw(o.left+2)
		}
	}
	return c
}

func (f *Flow) limits() match.Limits {
	if f.odd() {
		return match.Limits{MaxOpen: uint32(f.extreme()), MaxQuantity: f.extreme(), MessagesPerS: uint32(f.extreme())}
	}
	var l match.Limits
	if f.draw(2) == 0 {
		l.MaxOpen = uint32(1 + f.draw(10))
	}
	if f.draw(3) == 0 {
		l.MaxQuantity = 1 + f.draw(60)
	}
	if f.draw(4) == 0 {
		l.MessagesPerS = uint32(1 + f.draw(40))
	}
	return l
}

func (f *Flow) definition() match.Definition {
	d := match.Definition{ID: f.instrument(), Low: 1, High: 200, MaxQuantity: 1000, State: match.Continuous}
	if f.draw(2) == 0 { // else it differs from what the engine begins with in what may be changed at any time
		d.Low, d.High, d.State = 100-uint32(f.draw(10)), 100+uint32(f.draw(10)), f.state()
	}
	if f.world.Wide {
		d.High = match.MaxPrice
	}
	if f.draw(2) == 0 {
		d.Collar = uint32(1 + f.draw(8))
	}
	if f.draw(2) == 0 {
		d.Reference = 97 + uint32(f.draw(6))
	}
	if f.draw(8) == 0 {
		d.Symbol[0] = byte('A' + f.draw(4))
	}
	if f.odd() {
		d.Low, d.High, d.MaxQuantity, d.Collar = uint32(f.extreme()), uint32(f.extreme()), f.extreme(), uint32(f.extreme())
	}
	return d
}
