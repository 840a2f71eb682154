package orderbook

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"pgregory.net/rapid"

	"lockstep/service"
	"lockstep/wire"
	"lockstep/wire/fb"
)

// bench drives a book as the driver would, one message at a time.
type bench struct {
	book     *Book
	ctx      *service.Context
	builder  *flatbuffers.Builder
	sequence uint64
}

func newBench(t testing.TB, o Options) *bench {
	t.Helper()
	book, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{book: book, ctx: service.NewContext(), builder: flatbuffers.NewBuilder(256)}
}

type failer interface{ Fatalf(string, ...any) }

func (b *bench) send(t failer, session wire.SessionID, q Request) []sent {
	if q.Cancel {
		return b.raw(t, session, CancelOrderRequest(b.builder, q.ClientOrder, q.Instrument))
	}
	return b.raw(t, session, NewOrderRequest(b.builder, q.ClientOrder, q.Instrument, q.Side, q.Price, q.Quantity))
}

func (b *bench) raw(t failer, session wire.SessionID, payload []byte) []sent {
	b.sequence++
	r := wire.Record{Sequence: b.sequence, Session: session, Service: service.OrderBook, Kind: wire.RecordMessage}
	b.ctx.Begin(&r)
	b.book.Apply(b.ctx, &r, payload)
	var out []sent
	b.ctx.Responses(func(to wire.SessionID, payload []byte) {
		s := sent{to: to}
		if !DecodeEvent(payload, &s.Event) {
			t.Fatalf("an event that does not decode: %x", payload)
		}
		out = append(out, s)
	})
	return out
}

var smallOptions = Options{Instruments: 2, PriceLimit: 200, MaxQuantity: 30, MaxOrders: 24, MaxFills: 4}

func drawRequest(t *rapid.T) Request {
	q := Request{
		Cancel:      rapid.IntRange(0, 3).Draw(t, "cancel") == 0,
		ClientOrder: rapid.Uint64Range(0, 12).Draw(t, "clientOrder"),
		Instrument:  uint32(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 2, 0, 3}).Draw(t, "instrument")),
	}
	if q.Cancel {
		return q
	}
	q.Side = rapid.SampledFrom([]fb.Side{fb.SideBuy, fb.SideSell, fb.SideBuy, fb.SideSell, 3}).Draw(t, "side")
	q.Price = rapid.SampledFrom([]uint64{
		60, 61, 62, 63, 64, 65, 66, 61, 62, 63, 64, 65, 127, 128, 1, 200, 201, 0,
	}).Draw(t, "price")
	q.Quantity = rapid.SampledFrom([]uint64{1, 2, 3, 5, 8, 13, 30, 31, 0}).Draw(t, "quantity")
	return q
}

// The book answers as the reference does, whatever is sent, and its hash is that of the orders the reference holds:
// also after sessions closed, and after it was restored from its own snapshot.
func TestBookAnswersAsTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		book, err := New(smallOptions)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{book: book, ctx: service.NewContext(), builder: flatbuffers.NewBuilder(0)}
		ref := &reference{options: smallOptions}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			session := wire.SessionID(rapid.Uint64Range(1, 3).Draw(t, "session"))
			switch rapid.IntRange(0, 40).Draw(t, "what") {
			case 0:
				b.book.OnSession(b.ctx, session, false)
				ref.close(session)
			case 1:
				b.book = restored(t, b.book, smallOptions)
			default:
				q := drawRequest(t)
				got, want := b.send(t, session, q), ref.apply(session, q)
				if !slices.Equal(got, want) {
					t.Fatalf("session %d sends %+v:\n got %+v\nwant %+v", session, q, got, want)
				}
			}
			if b.book.Hash() != ref.hash() || b.book.Resting() != len(ref.resting) {
				t.Fatalf("the book holds %d orders with hash %x, the reference %d with %x",
					b.book.Resting(), b.book.Hash(), len(ref.resting), ref.hash())
			}
		}
	})
}

func restored(t failer, from *Book, o Options) *Book {
	var first, second bytes.Buffer
	if err := from.Snapshot(&first); err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	to, err := New(o)
	if err != nil {
		t.Fatalf("new: %v", err)
	}
	if err := to.Restore(bytes.NewReader(first.Bytes())); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if err := to.Snapshot(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Fatalf("a restored book does not write the snapshot that it was restored from (%v)", err)
	}
	if to.Hash() != from.Hash() {
		t.Fatalf("hash %x before the snapshot, %x after", from.Hash(), to.Hash())
	}
	return to
}

// Every execution has two sides, one order bought what the other sold, and no order executes for more than it had.
func TestExecutionsConserveQuantity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		book, err := New(smallOptions)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{book: book, ctx: service.NewContext(), builder: flatbuffers.NewBuilder(0)}
		type entered struct {
			request  Request
			executed uint64
		}
		orders := map[uint64]*entered{} // by the book's number
		executions := map[uint64][]Event{}
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			session := wire.SessionID(rapid.Uint64Range(1, 3).Draw(t, "session"))
			q := drawRequest(t)
			for _, e := range b.send(t, session, q) {
				switch e.Kind {
				case Accepted:
					orders[e.Order] = &entered{request: q}
				case Executed:
					o := orders[e.Order]
					o.executed += e.Quantity
					if o.executed+e.Left != o.request.Quantity {
						t.Fatalf("order %+v: executed %d, left %d", o.request, o.executed, e.Left)
					}
					if !o.request.meets(e.Price) && o.request.Price != e.Price {
						t.Fatalf("order %+v executed at %d", o.request, e.Price)
					}
					executions[e.Execution] = append(executions[e.Execution], e.Event)
				case Canceled:
					o := orders[e.Order]
					if o.executed+e.Quantity != o.request.Quantity {
						t.Fatalf("order %+v: executed %d, canceled %d", o.request, o.executed, e.Quantity)
					}
				}
			}
		}
		for n, sides := range executions {
			if len(sides) != 2 || sides[0].Price != sides[1].Price || sides[0].Quantity != sides[1].Quantity ||
				orders[sides[0].Order].request.Side == orders[sides[1].Order].request.Side {
				t.Fatalf("execution %d has the sides %+v", n, sides)
			}
		}
	})
}

func TestRejectReasons(t *testing.T) {
	o := Options{Instruments: 2, PriceLimit: 100, MaxQuantity: 50, MaxOrders: 2}
	good := Request{ClientOrder: 9, Instrument: 1, Side: fb.SideBuy, Price: 10, Quantity: 5}
	tests := []struct {
		want   fb.OrderReject
		change func(q *Request)
	}{
		{fb.OrderRejectUnknownInstrument, func(q *Request) { q.Instrument = 0 }},
		{fb.OrderRejectUnknownInstrument, func(q *Request) { q.Instrument = 3 }},
		{fb.OrderRejectBadSide, func(q *Request) { q.Side = 0 }},
		{fb.OrderRejectBadSide, func(q *Request) { q.Side = 3 }},
		{fb.OrderRejectBadPrice, func(q *Request) { q.Price = 0 }},
		{fb.OrderRejectBadPrice, func(q *Request) { q.Price = 101 }},
		{fb.OrderRejectBadQuantity, func(q *Request) { q.Quantity = 0 }},
		{fb.OrderRejectBadQuantity, func(q *Request) { q.Quantity = 51 }},
		{fb.OrderRejectDuplicateOrder, func(q *Request) { q.ClientOrder = 1 }},
		{fb.OrderRejectUnknownOrder, func(q *Request) { q.Cancel = true }},
		{fb.OrderRejectUnknownOrder, func(q *Request) { q.Cancel, q.ClientOrder, q.Instrument = true, 1, 2 }},
		{fb.OrderRejectUnknownInstrument, func(q *Request) { q.Cancel, q.Instrument = true, 3 }},
	}
	b := newBench(t, o)
	b.send(t, 1, Request{ClientOrder: 1, Instrument: 1, Side: fb.SideBuy, Price: 10, Quantity: 5})
	hash := b.book.Hash()
	for _, test := range tests {
		q := good
		test.change(&q)
		got := b.send(t, 1, q)
		want := []sent{{1, Event{Kind: Rejected, ClientOrder: q.ClientOrder, Reason: test.want}}}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: got %+v, want %v", q, got, test.want)
		}
	}
	if b.book.Hash() != hash {
		t.Error("a rejected request changed the book")
	}
	b.send(t, 2, good)
	third := good
	third.ClientOrder++
	if got := b.send(t, 2, third); got[0].Reason != fb.OrderRejectTooManyOrders {
		t.Errorf("a third order in a book of two: %+v", got)
	}
}

func TestWhatIsNoRequestIsRejectedAsMalformed(t *testing.T) {
	b := newBench(t, smallOptions)
	whole := slices.Clone(NewOrderRequest(b.builder, 1, 1, fb.SideBuy, 10, 1))
	payloads := [][]byte{nil, {}, {0}, make([]byte, 64), bytes.Repeat([]byte{0xff}, 64)}
	for n := range whole {
		payloads = append(payloads, whole[:n])
	}
	for _, payload := range payloads {
		got := b.raw(t, 1, payload)
		if len(got) != 1 || got[0].Kind != Rejected || got[0].Reason != fb.OrderRejectMalformed {
			t.Errorf("%x: %+v", payload, got)
		}
	}
}

// An order of the session that closes is gone; the orders of others, at the same price too, are not.
func TestClosingASessionTakesItsOrdersOff(t *testing.T) {
	b := newBench(t, smallOptions)
	for id := range uint64(3) {
		b.send(t, 1, Request{ClientOrder: id, Instrument: 1, Side: fb.SideSell, Price: 50 + id, Quantity: 1})
		b.send(t, 2, Request{ClientOrder: id, Instrument: 1, Side: fb.SideSell, Price: 50 + id, Quantity: 1})
	}
	b.ctx.Begin(&wire.Record{})
	b.book.OnSession(b.ctx, 1, false)
	if b.book.Resting() != 3 {
		t.Fatalf("%d orders rest, want the 3 of the other session", b.book.Resting())
	}
	for _, e := range b.send(t, 3, Request{ClientOrder: 1, Instrument: 1, Side: fb.SideBuy, Price: 99, Quantity: 9}) {
		if e.to == 1 {
			t.Errorf("the closed session gets %+v", e)
		}
	}
}

func TestRestoreRefusesWhatIsNotItsSnapshot(t *testing.T) {
	b := newBench(t, smallOptions)
	for id := range uint64(8) {
		b.send(t, 1, Request{ClientOrder: id, Instrument: 1, Side: fb.SideSell, Price: 50 + id%3, Quantity: 1 + id})
	}
	var snapshot bytes.Buffer
	if err := b.book.Snapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	whole := snapshot.Bytes()
	other := smallOptions
	other.MaxOrders++
	for name, test := range map[string]struct {
		options Options
		data    []byte
	}{
		"cut short":             {smallOptions, whole[:len(whole)-1]},
		"empty":                 {smallOptions, nil},
		"of other options":      {other, whole},
		"a quantity changed":    {smallOptions, flip(whole, snapshotHeader+24)},
		"two orders exchanged":  {smallOptions, exchange(whole)},
		"a side that is none":   {smallOptions, flip(whole, snapshotHeader+44)},
		"the other side":        {smallOptions, flip(flip(whole, snapshotHeader+40), snapshotHeader+40+1)},
		"an order number wrong": {smallOptions, flip(whole, 40)},
		"of something else":     {smallOptions, flip(whole, 0)},
		"goes on":               {smallOptions, append(slices.Clone(whole), 0)},
		"crossed":               {smallOptions, rested(t, Request{ClientOrder: 9, Side: fb.SideBuy, Price: 60}, 1)},
		"two sides at a price":  {smallOptions, rested(t, Request{ClientOrder: 9, Side: fb.SideBuy, Price: 50}, 1)},
		"a number to come":      {smallOptions, rested(t, Request{ClientOrder: 9, Side: fb.SideSell, Price: 60}, 2)},
	} {
		book, err := New(test.options)
		if err != nil {
			t.Fatal(err)
		}
		err = book.Restore(bytes.NewReader(test.data))
		if !errors.Is(err, ErrSnapshot) || errors.Is(err, service.ErrUnsuited) != (name == "of other options") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rested is the snapshot of a book with an ask of 50, into which an order was put that no message can have.
func rested(t *testing.T, q Request, number uint64) []byte {
	b := newBench(t, smallOptions)
	b.send(t, 1, Request{ClientOrder: 1, Instrument: 1, Side: fb.SideSell, Price: 50, Quantity: 1})
	q.Instrument, q.Quantity = 1, 1
	b.book.rest(1, &q, &b.book.instruments[1], number, 1)
	var snapshot bytes.Buffer
	if err := b.book.Snapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	return snapshot.Bytes()
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

// exchange swaps the first two orders of a snapshot, which are at the same price.
func exchange(b []byte) []byte {
	b = slices.Clone(b)
	x, y := b[snapshotHeader:][:snapshotOrder], b[snapshotHeader+snapshotOrder:][:snapshotOrder]
	first := slices.Clone(x)
	copy(x, y)
	copy(y, first)
	return b
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for _, o := range []Options{
		{PriceLimit: maxPrices}, {MaxOrders: -1}, {MaxOrders: 1<<28 + 1}, {MaxFills: -1}, {MaxFills: 3501},
	} {
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestLadderFindsWhatASortedSetDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = maxPrices
		p := newPrices(n)
		var set []uint64
		price := rapid.OneOf(rapid.Uint64Range(0, n-1), rapid.SampledFrom([]uint64{0, 63, 64, 4095, 4096, n - 1}))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			x := price.Draw(t, "price")
			at, there := slices.BinarySearch(set, x)
			if there {
				set = slices.Delete(set, at, at+1)
				p.remove(x)
			} else {
				set = slices.Insert(set, at, x)
				p.add(x)
			}
			y := price.Draw(t, "from")
			at, there = slices.BinarySearch(set, y)
			above := at
			if there {
				above++
			}
			compare(t, "lowest", set, 0)(p.lowest())
			compare(t, "highest", set, len(set)-1)(p.highest())
			compare(t, "after", set, above)(p.after(y))
			compare(t, "before", set, at-1)(p.before(y))
		}
	})
}

func compare(t *rapid.T, what string, set []uint64, at int) func(uint64, bool) {
	return func(got uint64, ok bool) {
		if want := at >= 0 && at < len(set); ok != want || ok && got != set[at] {
			t.Fatalf("%s: %d, %v in %v at %d", what, got, ok, set, at)
		}
	}
}
