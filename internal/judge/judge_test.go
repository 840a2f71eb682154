package judge

import (
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/history"
	"lockstep/service"
	"lockstep/service/echo"
	"lockstep/service/kv"
	"lockstep/service/lock"
	"lockstep/wire"
)

// bench has the judge hear messages that real services answer, or what a test makes of their answers.
type bench struct {
	t        *testing.T
	j        *Judge
	services [service.MaxServices]service.Service
	ctx      *service.Context
	record   wire.Record
	next     map[wire.SessionID]uint64
}

func newBench(t *testing.T) *bench {
	store, err := kv.New(kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	table, err := lock.New(lock.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, j: New(), ctx: service.NewContext(), next: map[wire.SessionID]uint64{}}
	b.services = b.j.Wrap([service.MaxServices]service.Service{service.Echo: &echo.Service{}, service.KV: store, service.Lock: table})
	return b
}

// send applies a message and has the judge hear of it; twist changes what was said.
func (b *bench) send(session wire.SessionID, to uint16, payload []byte, twist func([]Output) []Output) error {
	if b.next[session]++; b.next[session] == 1 {
		b.services[service.Echo].OnSession(b.ctx, session, true)
	}
	b.record.Kind, b.record.Service, b.record.Session, b.record.Correlation = wire.RecordMessage, to, session, b.next[session]
	b.record.Sequence++
	b.record.Timestamp += 1e6
	b.ctx.Begin(&b.record)
	var said []Output
	if to == service.Transaction {
		said = nil
	} else {
		b.services[to].Apply(b.ctx, &b.record, payload)
		b.ctx.Responses(func(s wire.SessionID, p []byte) {
			said = append(said, Output{Service: to, Session: s, Payload: append([]byte(nil), p...)})
		})
	}
	if twist != nil {
		said = twist(said)
	}
	for _, o := range said {
		head := service.Egress{Service: o.Service, Session: o.Session}
		b.j.Output(&head, o.Payload)
	}
	return b.j.Record(&b.record, payload)
}

func (b *bench) good(session wire.SessionID, to uint16, payload []byte) {
	b.t.Helper()
	if err := b.send(session, to, payload, nil); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) bad(why string, session wire.SessionID, to uint16, payload []byte, twist func([]Output) []Output) {
	b.t.Helper()
	err := b.send(session, to, payload, twist)
	if err == nil {
		err = b.j.End()
	}
	if err == nil || !strings.Contains(err.Error(), why) {
		b.t.Errorf("%v, want %q", err, why)
	}
}

func kvRequest(q kv.Request) []byte { return kv.EncodeRequest(flatbuffers.NewBuilder(64), &q) }

func lockRequest(q lock.Request) []byte { return lock.EncodeRequest(flatbuffers.NewBuilder(64), &q) }

func TestJudgeHearsWhatServicesSay(t *testing.T) {
	put := kvRequest(kv.Request{Command: kv.Put, Key: []byte("a"), Value: []byte("1")})
	watch := kvRequest(kv.Request{Command: kv.Watch, On: true})
	acquire := lockRequest(lock.Request{Command: lock.Acquire, Name: []byte("a"), WaitMs: 50})
	release := lockRequest(lock.Request{Command: lock.Release, Name: []byte("a"), Token: 1})
	nothing := func([]Output) []Output { return nil }
	swap := service.TransactionRequest(flatbuffers.NewBuilder(64), []service.Part{{Service: service.KV, Payload: put}})

	b := newBench(t)
	b.good(1, service.KV, watch)
	b.good(2, service.KV, put)
	b.good(2, service.KV, kvRequest(kv.Request{Command: kv.Range}))
	if err := b.j.End(); err != nil {
		t.Error(err)
	}
	b.bad("0 sessions hear", 2, service.KV, put, func(said []Output) []Output { return said[:1] })

	b = newBench(t)
	b.good(1, service.KV, put)
	var old []byte
	_ = b.send(1, service.KV, kvRequest(kv.Request{Command: kv.Get, Key: []byte("a")}), func(said []Output) []Output {
		old = said[0].Payload
		return said
	})
	b.good(1, service.KV, put)
	b.bad("it saw version 1", 1, service.KV, kvRequest(kv.Request{Command: kv.Get, Key: []byte("a")}), func(said []Output) []Output {
		said[0].Payload = old
		return said
	})

	b = newBench(t)
	b.bad("no answer", 1, service.KV, put, nothing)
	b.bad("no outcome", 1, service.Transaction, swap, nothing)

	b = newBench(t)
	b.good(1, service.Lock, acquire)
	b.good(2, service.Lock, acquire)
	b.good(3, service.Lock, acquire)
	b.bad("before session 2, which waits", 1, service.Lock, release, func(said []Output) []Output {
		last := &said[len(said)-1]
		last.Session = 3
		last.Payload = granted(t, last.Payload, 3)
		return said
	})
}

// granted is a grant for another place.
func granted(t *testing.T, payload []byte, place byte) []byte {
	var p lock.Response
	if !lock.DecodeResponse(payload, &p) || p.Report != lock.Granted || p.Waited != 2 {
		t.Fatalf("%+v is no grant of place 2", p)
	}
	for i := 0; i+8 <= len(payload); i += 4 {
		changed := append([]byte(nil), payload...)
		changed[i] = place
		if lock.DecodeResponse(changed, &p) && p.Report == lock.Granted && p.Waited == uint64(place) && string(p.Name) == "a" {
			return changed
		}
	}
	t.Fatal("the place of a grant is not found")
	return nil
}

// Two clients' views of one lock: who holds it without an end, until it is asked back.
func TestLocksAsTheirHoldersSeeThem(t *testing.T) {
	b := newBench(t)
	views := []*View{{Session: 1}, {Session: 2}}
	tell := func(at int64, v *View, q lock.Request) {
		v.Send(at, service.Lock, lockRequest(q))
		if err := b.send(v.Session, service.Lock, lockRequest(q), func(said []Output) []Output {
			for _, o := range said {
				correlation := uint64(0)
				if o.Session == v.Session {
					correlation = b.next[v.Session]
				}
				views[o.Session-1].Hear(at+1, service.Lock, correlation, 0, o.Payload)
			}
			return said
		}); err != nil {
			t.Fatal(err)
		}
	}
	name := []byte("a")
	tell(10, views[0], lock.Request{Command: lock.Acquire, Name: name})
	tell(20, views[1], lock.Request{Command: lock.Acquire, Name: name, WaitMs: 1000})
	tell(30, views[0], lock.Request{Command: lock.Release, Name: name, Token: 1})
	list := Locks(views)
	if len(list) != 2 || list[0].FromNs != 11 || list[0].ToNs != 30 || list[1].FromNs != 31 || list[1].ToNs != 0 {
		t.Errorf("held: %+v", list)
	}
	if err := history.CheckIntervals(list); err != nil {
		t.Error(err)
	}
	views[0].Sent[1].InvokeNs = 40
	if history.CheckIntervals(Locks(views)) == nil {
		t.Error("two holders at once are not found")
	}
}
