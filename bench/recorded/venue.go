package recorded

import (
	"bufio"
	"encoding/binary"

	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

// venue carries out requests and publishes as ITCH what a venue would: the book's public events.
type venue struct {
	w      *bufio.Writer
	engine *match.Engine
	rests  map[uint64]*published // by order number
	ref    uint64                // given out last
	match  uint64
	timeNs int64
	public []match.Event // of one call
	b      [64]byte
}

// published is an order that rests, as the venue published it.
type published struct{ ref, shown uint64 }

// attributed is which users trade under their name: every fourth.
const attributed = 4

// newVenue returns one whose instruments are those of the seeded flow.
func newVenue(w *bufio.Writer, o *SampleOptions) (*venue, error) {
	engine, err := match.NewEngine(match.Options{Instruments: uint32(o.Instruments), MaxOpen: match.MaxOpen})
	if err != nil {
		return nil, err
	}
	v := &venue{w: w, engine: engine, rests: map[uint64]*published{}, timeNs: sampleStart}
	v.begin('S', 12)[itchRef] = 'O'
	v.end(12)
	for i := range o.Instruments {
		b := v.begin('R', 39)
		binary.BigEndian.PutUint16(b[1:], uint16(i+1))
		putSymbol(b[itchRef:itchRef+8], match.Instrument(i+1))
		v.end(39)
	}
	v.begin('S', 12)[itchRef] = 'Q'
	v.end(12)
	return v, nil
}

// record carries out one request of a user. The buffer says at its flush what went wrong.
func (v *venue) record(timeNs int64, user int, q *orderbook.Request) error {
	v.timeNs = timeNs
	v.engine.Reset()
	account, nowNs := match.Account(user+1), uint64(timeNs)
	switch q.Command {
	case orderbook.NewOrder:
		q.New.Account = account
		v.engine.Enter(nowNs, &q.New)
	case orderbook.CancelOrder:
		q.Cancel.Account = account
		v.engine.Cancel(&q.Cancel)
	default:
		q.Replace.Account = account
		v.engine.Replace(nowNs, &q.Replace)
	}
	for v.publish(user); v.engine.Pending(); v.publish(user) {
		v.engine.Reset()
		v.engine.Continue(nowNs)
	}
	return nil
}

// publish writes the public events of a call.
func (v *venue) publish(user int) {
	v.public = v.public[:0]
	for _, e := range v.engine.Events() {
		if e.Kind.Public() {
			v.public = append(v.public, e)
		}
	}
	if x := v.public; len(x) == 2 && x[0].Kind == match.EventDeleted && x[1].Kind == match.EventAdded {
		v.replaced(&x[0], &x[1])
		return
	}
	for i := range v.public {
		e := &v.public[i]
		switch e.Kind {
		case match.EventAdded:
			v.added(e, user)
		case match.EventReduced:
			v.less(e, 'X', 23)
		case match.EventTraded:
			v.match++
			v.less(e, 'E', 31)
		case match.EventDeleted:
			v.about(e, 'D', 19)
			v.end(19)
			delete(v.rests, e.Order)
		}
	}
}

// added publishes an order that came to rest.
func (v *venue) added(e *match.Event, user int) {
	kind, length := byte('A'), 36
	if user%attributed == 0 {
		kind, length = 'F', 40
	}
	b := v.begin(kind, length)
	binary.BigEndian.PutUint16(b[1:], uint16(e.Instrument))
	binary.BigEndian.PutUint64(b[itchRef:], v.rest(e))
	b[itchSide] = map[match.Side]byte{match.Buy: 'B', match.Sell: 'S'}[e.Side]
	binary.BigEndian.PutUint32(b[itchShares:], uint32(e.Quantity))
	putSymbol(b[itchStock:itchPrice], e.Instrument)
	binary.BigEndian.PutUint32(b[itchPrice:], e.Price*samplePrice)
	if kind == 'F' {
		copy(b[itchMPID:], []byte{'M', 'P', 'A' + byte(user/26%26), 'A' + byte(user%26)})
	}
	v.end(length)
}

// rest gives an order a reference number.
func (v *venue) rest(e *match.Event) uint64 {
	v.ref++
	v.rests[e.Order] = &published{v.ref, e.Quantity}
	return v.ref
}

// about begins a message about an order that rests.
func (v *venue) about(e *match.Event, kind byte, length int) []byte {
	b := v.begin(kind, length)
	binary.BigEndian.PutUint16(b[1:], uint16(e.Instrument))
	binary.BigEndian.PutUint64(b[itchRef:], v.rests[e.Order].ref)
	return b
}

// less publishes that so much of an order was executed, or taken off.
func (v *venue) less(e *match.Event, kind byte, length int) {
	b := v.about(e, kind, length)
	binary.BigEndian.PutUint32(b[itchExecuted:], uint32(e.Quantity))
	if kind == 'E' {
		binary.BigEndian.PutUint64(b[itchExecuted+4:], v.match)
	}
	v.end(length)
	p := v.rests[e.Order]
	if p.shown -= e.Quantity; p.shown == 0 {
		delete(v.rests, e.Order)
	}
}

// replaced publishes that an order took another's place.
func (v *venue) replaced(old, e *match.Event) {
	b := v.about(old, 'U', 35)
	delete(v.rests, old.Order)
	binary.BigEndian.PutUint64(b[itchNewRef:], v.rest(e))
	binary.BigEndian.PutUint32(b[itchNewShares:], uint32(e.Quantity))
	binary.BigEndian.PutUint32(b[itchNewPrice:], e.Price*samplePrice)
	v.end(35)
}

// begin returns room for a message, with its type and time.
func (v *venue) begin(kind byte, length int) []byte {
	clear(v.b[:])
	binary.BigEndian.PutUint16(v.b[:], uint16(length))
	b := v.b[2 : 2+length]
	b[0] = kind
	binary.BigEndian.PutUint16(b[itchTime:], uint16(v.timeNs>>32))
	binary.BigEndian.PutUint32(b[itchTime+2:], uint32(v.timeNs))
	return b
}

// end writes it.
func (v *venue) end(length int) { _, _ = v.w.Write(v.b[:2+length]) }

// putSymbol writes what an instrument is called, filled up with spaces.
func putSymbol(b []byte, n match.Instrument) {
	for i := copy(b, sampleSymbol(n)); i < len(b); i++ {
		b[i] = ' '
	}
}
