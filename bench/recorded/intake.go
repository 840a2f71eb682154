package recorded

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"lockstep/service/orderbook/match"
)

// Reasons for which something is left out.
const (
	skipUnknown     = "about an order that the file does not have"
	skipOver        = "about an order that is over"
	skipInstruments = "of instruments beyond the limit"
	skipUsers       = "of users beyond the limit"
	skipPrice       = "without a price that the book can take"
	skipQuantity    = "without a quantity that the book can take"
	skipSymbol      = "of an instrument without a usable symbol"
	skipExecuted    = "that execute more than an order has"
)

// intake is what readers give what they find to: it numbers orders, instruments and users, and knows what is open.
type intake struct {
	f           *Flow
	limit       int
	instruments map[string]uint32
	users       map[string]uint32
	orders      map[orderName]uint32
	known       []knownOrder // by number; [0] is not used
	open        int
	skipped     map[string]uint64
}

// orderName is what a file calls an order: names are a user's own in CSV, and the venue's (user 0) in ITCH.
type orderName struct {
	user uint32
	text string
	ref  uint64
}

// knownOrder is an order as far as the file says.
type knownOrder struct {
	instrument, user uint32
	side             match.Side
	kind             match.Type
	open             bool
	price            int64
	total, executed  uint64
}

func newIntake(name string, format Format, limit int) *intake {
	return &intake{f: &Flow{Name: name, Format: format}, limit: limit, instruments: map[string]uint32{},
		users: map[string]uint32{}, orders: map[orderName]uint32{}, known: make([]knownOrder, 1), skipped: map[string]uint64{}}
}

// full tells whether no more messages are taken.
func (in *intake) full() bool { return len(in.f.messages) >= in.limit }

func (in *intake) skip(why string) { in.skipped[why]++ }

// instrument returns the index of a symbol.
func (in *intake) instrument(symbol string) (uint32, bool) {
	i, ok := in.instruments[symbol]
	if ok || len(in.instruments) == MaxInstruments {
		return i, ok
	}
	i = uint32(len(in.instruments))
	in.instruments[symbol] = i
	in.f.Instruments = append(in.f.Instruments, Instrument{Symbol: symbol})
	return i, true
}

// usableSymbol tells whether the book takes a symbol.
func usableSymbol(symbol string) bool {
	if symbol == "" || len(symbol) > len(match.Definition{}.Symbol) {
		return false
	}
	for _, c := range []byte(symbol) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// user returns the index of a user's name.
func (in *intake) user(name string) (uint32, bool) {
	i, ok := in.users[name]
	if ok || len(in.users) == MaxUsers {
		return i, ok
	}
	i = uint32(len(in.users))
	in.users[name] = i
	return i, true
}

// number gives an order its number.
func (in *intake) number(name orderName, o knownOrder) uint32 {
	n := uint32(len(in.known))
	in.known = append(in.known, o)
	in.orders[name] = n
	return n
}

// find returns an order, open or not: users ask for what is over.
func (in *intake) find(name orderName) (uint32, *knownOrder) {
	n, ok := in.orders[name]
	if !ok {
		in.skip(skipUnknown)
		return 0, nil
	}
	return n, &in.known[n]
}

// enter takes a new order. rests: it is open from now on, unless something closes it.
func (in *intake) enter(name orderName, m message, rests bool) {
	m.verb = enter
	m.order = in.number(name, knownOrder{instrument: m.instrument, user: m.user, side: m.side, kind: m.kind, price: m.price,
		open: true, total: m.quantity})
	in.open++
	in.f.PeakOpen = max(in.f.PeakOpen, in.open)
	if !rests {
		in.close(m.order)
	}
	in.f.messages = append(in.f.messages, m)
}

// aggressor is an order that nobody will name again.
func (in *intake) aggressor(m message) message {
	m.verb, m.order = enter, uint32(len(in.known))
	in.known = append(in.known, knownOrder{})
	return m
}

// cancel takes an order off, or leaves so much of it; 0: nothing.
func (in *intake) cancel(timeNs int64, n uint32, stays uint64) {
	o := &in.known[n]
	if o.total = stays; stays == 0 {
		in.close(n)
	}
	in.f.messages = append(in.f.messages, message{timeNs: timeNs, verb: cancel, order: n, instrument: o.instrument, user: o.user,
		quantity: stays})
}

// replace gives an order another name, price and quantity.
func (in *intake) replace(name orderName, n uint32, m message) {
	o := in.known[n]
	m.verb, m.order, m.instrument, m.user, m.side, m.kind = replace, n, o.instrument, o.user, o.side, o.kind
	o.price, o.total = m.price, m.quantity
	in.known[n].open = false
	m.newOrder = in.number(name, o)
	in.f.messages = append(in.f.messages, m)
}

func (in *intake) close(n uint32) {
	if in.known[n].open {
		in.known[n].open = false
		in.open--
	}
}

// finish turns prices into ticks, and leaves out what has none.
func (in *intake) finish(first match.Instrument) (*Flow, error) {
	f := in.f
	f.first = first
	for i := range f.messages {
		m := &f.messages[i]
		instrument := &f.Instruments[m.instrument]
		instrument.Tick = gcd(gcd(instrument.Tick, m.price), m.stop)
	}
	in.ticks()
	f.Users, f.Orders = len(in.users), len(in.known)-1
	for why, count := range in.skipped {
		f.Skipped = append(f.Skipped, Skip{why, count})
	}
	slices.SortFunc(f.Skipped, func(a, b Skip) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Why, b.Why))
	})
	if len(f.messages) == 0 {
		return nil, fmt.Errorf("%w %s: %s", ErrEmpty, f.Name, f.skips())
	}
	for i := range f.Instruments {
		f.Instruments[i].settle()
	}
	return f, nil
}

// ticks is finish for the messages.
func (in *intake) ticks() {
	f, gone := in.f, make([]bool, len(in.known))
	kept := f.messages[:0]
	for _, m := range f.messages {
		instrument := &f.Instruments[m.instrument]
		if instrument.Tick > 0 {
			m.price, m.stop = m.price/instrument.Tick, m.stop/instrument.Tick
		}
		if gone[m.order] || m.price > match.MaxPrice || m.stop > match.MaxPrice {
			gone[m.order], gone[m.newOrder] = true, true
			in.skip(skipPrice)
			continue
		}
		instrument.take(&m)
		kept = append(kept, m)
	}
	f.messages = kept
}

// take widens an instrument's band to what a message needs.
func (i *Instrument) take(m *message) {
	i.Messages++
	i.Quantity = max(i.Quantity, m.quantity)
	for _, price := range [2]int64{m.price, m.stop} {
		if price == 0 {
			continue
		}
		if i.Low == 0 || uint32(price) < i.Low {
			i.Low = uint32(price)
		}
		i.High = max(i.High, uint32(price))
	}
}

// settle makes an instrument of whose prices nothing is known one that can be defined.
func (i *Instrument) settle() {
	i.Low, i.High, i.Quantity = max(i.Low, 1), max(i.High, 1), max(i.Quantity, 1)
}

// sorted lists words.
func sorted(words []string) string {
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// gcd is the greatest common divisor; 0 counts as no number.
func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// skips says what was left out.
func (f *Flow) skips() string {
	if len(f.Skipped) == 0 {
		return "nothing was left out"
	}
	text := "left out:"
	for i, s := range f.Skipped {
		if i == 5 {
			return text + ", ..."
		}
		text += fmt.Sprintf("%s %d %s", map[bool]string{true: ",", false: ""}[i > 0], s.Count, s.Why)
	}
	return text
}
