package kv_test

import (
	"bytes"
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service"
	"lockstep/service/kv"
	"lockstep/wire"
)

// rig feeds a store records, one after the other.
type rig struct {
	store    *kv.Store
	ctx      *service.Context
	builder  *flatbuffers.Builder
	sequence uint64
}

// sent is a response and who gets it.
type sent struct {
	to wire.SessionID
	kv.Response
	list []kv.Entry
}

func newRig(t testing.TB, o kv.Options) *rig {
	store, err := kv.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{store: store, ctx: service.NewContext(), builder: flatbuffers.NewBuilder(256)}
}

func (g *rig) record(session wire.SessionID) *wire.Record {
	g.sequence++
	return &wire.Record{Sequence: g.sequence, Timestamp: g.sequence * 1000, Session: session, Service: service.KV}
}

// apply gives the store a request and returns what it answers, read with the codec.
func (g *rig) apply(t interface{ Fatalf(string, ...any) }, session wire.SessionID, q kv.Request) []sent {
	return g.applyBytes(t, session, kv.EncodeRequest(g.builder, &q))
}

func (g *rig) applyBytes(t interface{ Fatalf(string, ...any) }, session wire.SessionID, payload []byte) (out []sent) {
	r := g.record(session)
	g.ctx.Begin(r)
	g.store.Apply(g.ctx, r, payload)
	g.ctx.Responses(func(to wire.SessionID, b []byte) {
		x := sent{to: to}
		if !kv.DecodeResponse(slices.Clone(b), &x.Response) {
			t.Fatalf("not a response: %x", b)
		}
		for i := range x.Entries {
			x.list = append(x.list, x.Entry(i))
		}
		out = append(out, x)
	})
	return out
}

// check asks what Check says, before the record comes.
func (g *rig) check(session wire.SessionID, q kv.Request) []byte {
	r := g.record(session)
	g.sequence--
	g.ctx.Begin(r)
	return slices.Clone(g.store.Check(g.ctx, r, kv.EncodeRequest(g.builder, &q)))
}

func (g *rig) session(session wire.SessionID, opened bool) {
	g.ctx.Begin(g.record(session))
	g.store.OnSession(g.ctx, session, opened)
}

func (g *rig) snapshot(t interface{ Fatalf(string, ...any) }) []byte {
	var b bytes.Buffer
	if err := g.store.Snapshot(&b); err != nil {
		t.Fatalf("%v", err)
	}
	return b.Bytes()
}
