package orderbook_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/fb"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

// rig drives a book as the driver would: one record at a time, each a second after the one before.
type rig struct {
	t       testing.TB
	options orderbook.Options
	book    *orderbook.Book
	ctx     *service.Context
	record  wire.Record
	builder *flatbuffers.Builder
}

const second = 1_000_000_000

func newRig(t testing.TB, o orderbook.Options) *rig {
	t.Helper()
	book, err := orderbook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, options: o, book: book, ctx: service.NewContext(), builder: flatbuffers.NewBuilder(256),
		record: wire.Record{Service: service.OrderBook, Kind: wire.RecordMessage}}
}

// answer is a response, as a line, and whom it goes to.
type answer struct {
	to    wire.SessionID
	event orderbook.Event
}

func (r *rig) begin(session wire.SessionID) {
	r.record.Session = session
	r.record.Sequence++
	r.record.Timestamp += second
	r.ctx.Begin(&r.record)
}

func (r *rig) answers() (list []answer) {
	r.t.Helper()
	r.ctx.Responses(func(to wire.SessionID, payload []byte) {
		a := answer{to: to}
		if !orderbook.DecodeEvent(payload, &a.event) {
			r.t.Fatalf("an answer that does not decode: %x", payload)
		}
		list = append(list, a)
	})
	return list
}

func (r *rig) send(session wire.SessionID, q orderbook.Request) []answer {
	r.t.Helper()
	return r.raw(session, orderbook.EncodeRequest(r.builder, &q))
}

// raw applies a message. Before that Check says whether it will be refused, and must be right.
func (r *rig) raw(session wire.SessionID, payload []byte) []answer {
	r.t.Helper()
	r.begin(session)
	before := r.book.Hash()
	refusal := bytes.Clone(r.book.Check(r.ctx, &r.record, payload))
	if r.book.Hash() != before {
		r.t.Fatal("Check has an effect")
	}
	r.book.Apply(r.ctx, &r.record, payload)
	r.checkRefusal(payload, refusal)
	return r.answers()
}

// checkRefusal: what Check refuses Apply refuses, with the same response; what Check takes Apply does not refuse.
func (r *rig) checkRefusal(payload, refusal []byte) {
	r.t.Helper()
	var q orderbook.Request
	if orderbook.DecodeRequest(payload, &q) && q.Command >= orderbook.DefineInstruments &&
		q.Command != orderbook.BustTrade {
		return // never in a transaction
	}
	var first []byte
	n := 0
	r.ctx.Responses(func(_ wire.SessionID, payload []byte) {
		if n++; n == 1 {
			first = bytes.Clone(payload)
		}
	})
	var e, was orderbook.Event
	if !orderbook.DecodeEvent(first, &e) {
		r.t.Fatalf("no answer: %x", first)
	}
	refused := refusal != nil && orderbook.DecodeEvent(refusal, &was)
	switch {
	case refused && was.Reason == match.NotFilled:
		if e.Kind != orderbook.Accepted && e.Kind != orderbook.Replaced {
			r.t.Fatalf("Check says NotFilled, Apply %+v", e)
		}
	case refused != (e.Kind == orderbook.Rejected), refused && !bytes.Equal(first, refusal):
		r.t.Fatalf("Check says %+v, Apply %+v", was, e)
	}
}

func (r *rig) session(session wire.SessionID, opened bool) []answer {
	r.t.Helper()
	r.begin(session)
	r.book.OnSession(r.ctx, session, opened)
	return r.answers()
}

// due fires the timers that are due, each in a record of its own, until none is.
func (r *rig) due() (list []answer) {
	r.t.Helper()
	for range 1000 {
		x, ok := r.ctx.Timers().First()
		if !ok || x.Deadline > r.record.Timestamp {
			return list
		}
		r.record.Timestamp++
		r.record.Sequence++
		r.ctx.Begin(&r.record)
		r.ctx.Timers().Cancel(x.Service, x.ID)
		r.book.OnTimer(r.ctx, x.ID, x.Deadline)
		list = append(list, r.answers()...)
	}
	r.t.Fatal("timers fire for ever")
	return nil
}

// restore has the book be what its snapshot restores to, and its snapshot be that of the restored one.
func (r *rig) restore() {
	r.t.Helper()
	var first, second bytes.Buffer
	if err := r.book.Snapshot(&first); err != nil {
		r.t.Fatal(err)
	}
	to, err := orderbook.New(r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	in := bytes.NewReader(first.Bytes())
	if err := to.Restore(in); err != nil || in.Len() != 0 {
		r.t.Fatalf("%v, %d bytes left", err, in.Len())
	}
	if err := to.Snapshot(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) ||
		to.Hash() != r.book.Hash() {
		r.t.Fatalf("the restored book is another one: %v, hash %x, was %x", err, to.Hash(), r.book.Hash())
	}
	r.book = to
}

// limit is a limit order for the day.
func limit(id match.ClientOrder, side match.Side, price uint32, quantity uint64) orderbook.Request {
	return orderbook.Request{Command: orderbook.NewOrder, New: match.New{ClientOrder: id, Instrument: 1, Side: side,
		Type:  match.Limit,
		Price: price, Quantity: quantity}}
}

// want compares answers with lines: "session: what".
func want(t testing.TB, got []answer, lines ...string) {
	t.Helper()
	var said []string
	for i := range got {
		said = append(said, fmt.Sprintf("%d: %s", got[i].to, describe(&got[i].event)))
	}
	if g, w := strings.Join(said, "\n"), strings.Join(lines, "\n"); g != w {
		t.Errorf("answers\n%s\nwant\n%s", g, w)
	}
}

func describe(e *orderbook.Event) string {
	switch e.Kind {
	case orderbook.Accepted:
		return fmt.Sprintf("accepted %d as %d, %d rest", e.ClientOrder, e.Order, e.Left)
	case orderbook.Rejected:
		return fmt.Sprintf("rejected %d %v", e.ClientOrder, fb.Reject(e.Reason))
	case orderbook.Executed:
		return fmt.Sprintf("executed %d as %d, %d at %d, %d left, execution %d", e.ClientOrder, e.Order, e.Quantity,
			e.Price, e.Left,
			e.Execution)
	case orderbook.Canceled:
		return fmt.Sprintf("canceled %d as %d, %d, %d left, %v", e.ClientOrder, e.Order, e.Quantity, e.Left,
			fb.CancelReason(e.Cancel))
	case orderbook.Replaced:
		return fmt.Sprintf("replaced %d by %d as %d, %d rest", e.ClientOrder, e.NewClientOrder, e.Order, e.Left)
	case orderbook.LoggedIn:
		return fmt.Sprintf("logged in to %d, %d open", e.Account, e.Count)
	case orderbook.LoggedOut:
		return fmt.Sprintf("logged out of %d", e.Account)
	case orderbook.Subscribed:
		return fmt.Sprintf("subscribed to %d, off %v, from %d", e.Instrument, e.Off, e.Next)
	case orderbook.MarketEvents:
		text := "market"
		for i := range e.Market {
			x := &e.Market[i]
			text += fmt.Sprintf(" [%d %v %d@%d]", x.Number, fb.MarketKind(x.Kind-match.EventAdded+1), x.Quantity, x.Price)
		}
		if e.Count > 0 {
			text += fmt.Sprintf(" and %d", e.Count)
		}
		return text
	case orderbook.Done:
		return fmt.Sprintf("done %d", e.Count)
	}
	return fmt.Sprintf("%v %d", e.Kind, e.Count)
}
