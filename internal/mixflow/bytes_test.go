package mixflow_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/mixflow"
	"lockstep/service"
	"lockstep/service/kv"
	"lockstep/service/lock"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
	"lockstep/service/queue"
	"lockstep/service/timer"
	"lockstep/wire"
)

// What services answer and write is the same on all nodes, whichever build they run: a build that answers, or writes,
// other bytes is one of another behaviour version. Where only what is drawn has changed, the sums are to be taken anew.
func TestServicesAnswerAndWriteTheBytesTheyAlwaysDid(t *testing.T) {
	for _, c := range []struct {
		number uint16
		make   func() (service.Service, error)
		draw   func(mixflow.Options) mixflow.Flow
		first  []byte // messages
		want   string
	}{
		{service.KV, func() (service.Service, error) {
			return kv.New(kv.Options{MaxKeys: 16, MaxBytes: 1 << 12, MaxWatches: 6})
		}, mixflow.NewKV, nil, "071fd00215d4f836"},
		{service.Lock, func() (service.Service, error) {
			return lock.New(lock.Options{MaxHolds: 32, MaxSession: 12, MaxWaiting: 4, MaxAnnounced: 4, MaxSubscriptions: 6})
		}, mixflow.NewLock, nil, "7df8065d697e66bf"},
		{service.Queue, func() (service.Service, error) {
			return queue.New(queue.Options{Queues: 8, Messages: 64, Keys: 32, Waiters: 8})
		}, mixflow.NewQueue, nil, "2a6531b0b5647c28"},
		{service.TimerService, func() (service.Service, error) {
			return timer.New(timer.Options{Timers: 16, Subscriptions: 6})
		}, mixflow.NewTimer, nil, "5b64de6f232220d6"},
		{service.OrderBook, func() (service.Service, error) {
			return orderbook.New(orderbook.Options{Instruments: 2, MaxInstruments: 8, PriceLimit: 1023, MaxOrders: 256,
				MaxAccounts: 64})
		}, mixflow.NewBook, instruments(), "2b3f4f5d5b246ac8"},
	} {
		r := run{t: t, sum: sha256.New(), ctx: service.NewContext(), make: c.make, number: c.number}
		r.service = r.fresh()
		if got := r.all(c.draw, c.first); got != c.want {
			t.Errorf("%s: the bytes of a run come to %s, and always came to %s", r.service.Name(), got, c.want)
		}
	}
}

// instruments defines those that the flow uses.
func instruments() []byte {
	q := orderbook.Request{Command: orderbook.DefineInstruments}
	for i := range 2 {
		d := match.Definition{ID: match.Instrument(i + 1), Low: 1, High: 1000, State: match.Continuous}
		copy(d.Symbol[:], fmt.Sprint("SYM", i))
		q.Definitions = append(q.Definitions, d)
	}
	return orderbook.EncodeRequest(flatbuffers.NewBuilder(256), &q)
}

// The bytes of a transaction, and of what becomes of it.
func TestTransactionsAreTheBytesTheyAlwaysWere(t *testing.T) {
	b, sum := flatbuffers.NewBuilder(256), sha256.New()
	for n := range service.MaxCommands + 1 {
		var parts []service.Part
		for i := range n {
			parts = append(parts, service.Part{Service: uint16(i), Payload: make([]byte, i)})
		}
		sum.Write(service.TransactionRequest(b, parts))
		for _, committed := range []bool{false, true} {
			sum.Write(service.EncodeOutcome(b, &service.Outcome{Committed: committed, Count: n, Index: n, Service: uint16(n),
				Refusal: make([]byte, n)}))
		}
	}
	if got, want := fmt.Sprintf("%x", sum.Sum(nil)[:8]), "be91281fdb01b37c"; got != want {
		t.Errorf("they come to %s, and always came to %s", got, want)
	}
}

// run has sessions send what they draw to a service, and takes all bytes into a sum.
type run struct {
	t       *testing.T
	sum     hash.Hash
	ctx     *service.Context
	record  wire.Record
	number  uint16
	make    func() (service.Service, error)
	service service.Service
	flows   [4]mixflow.Flow // of the sessions 1, 2, ...
}

func (r *run) fresh() service.Service {
	s, err := r.make()
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *run) all(draw func(mixflow.Options) mixflow.Flow, first []byte) string {
	chance := rand.New(rand.NewPCG(1, uint64(r.number)))
	r.record.Timestamp = 1e18
	for i := range r.flows {
		r.flows[i] = draw(mixflow.Options{Rand: chance, Client: uint64(i), TimeMs: 200,
			StampNs: func() uint64 { return r.record.Timestamp }})
	}
	if first != nil {
		r.message(1, first)
	}
	for n := range 6000 {
		r.message(wire.SessionID(1+chance.IntN(len(r.flows))), nil)
		r.record.Timestamp += chance.Uint64N(4e6)
		r.fire()
		switch {
		case n%400 == 399:
			r.begin(wire.SessionID(1 + chance.IntN(len(r.flows))))
			r.service.OnSession(r.ctx, r.record.Session, false)
			r.responses(nil)
		case n%500 == 250:
			r.restore()
		}
	}
	return fmt.Sprintf("%x", r.sum.Sum(nil)[:8])
}

func (r *run) begin(session wire.SessionID) {
	r.record.Sequence++
	r.record.Timestamp++
	r.record.Session, r.record.Service = session, r.number
	r.ctx.Begin(&r.record)
}

// message has a session send what is given, or what it draws.
func (r *run) message(session wire.SessionID, payload []byte) {
	if payload == nil {
		payload = r.flows[session-1].Next()
	}
	r.sum.Write(payload)
	r.begin(session)
	r.service.Apply(r.ctx, &r.record, payload)
	r.responses(payload)
}

// responses takes in what the record caused, the first of which answers the request.
func (r *run) responses(request []byte) {
	r.ctx.Responses(func(to wire.SessionID, payload []byte) {
		r.word(uint64(to))
		r.sum.Write(payload)
		if to > 0 {
			r.flows[to-1].Heard(request, payload)
		}
		request = nil
	})
	r.word(r.service.Hash())
}

func (r *run) fire() {
	for {
		first, ok := r.ctx.Timers().First()
		if !ok || first.Deadline > r.record.Timestamp {
			return
		}
		r.ctx.Timers().Cancel(first.Service, first.ID)
		r.begin(0)
		r.service.(service.Timed).OnTimer(r.ctx, first.ID, first.Deadline)
		r.responses(nil)
	}
}

// restore goes on with a service that is made from a snapshot.
func (r *run) restore() {
	var b bytes.Buffer
	if err := r.service.Snapshot(&b); err != nil {
		r.t.Fatal(err)
	}
	r.sum.Write(b.Bytes())
	r.service = r.fresh()
	if err := r.service.Restore(&b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) word(n uint64) { r.sum.Write(binary.LittleEndian.AppendUint64(nil, n)) }
