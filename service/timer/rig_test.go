package timer_test

import (
	"bytes"
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service"
	"lockstep/service/timer"
	"lockstep/wire"
)

const ms = 1_000_000 // ns

// sent is a response and who gets it.
type sent struct {
	to wire.SessionID
	timer.Response
}

// rig is a service with a log: it gives it records, and has its timers fire when they are due.
type rig struct {
	t       testing.TB
	service *timer.Service
	options timer.Options
	ctx     *service.Context
	record  wire.Record
	builder *flatbuffers.Builder
	got     []sent
	collect func(session wire.SessionID, payload []byte)
	discard bool // responses, and what Check says
}

func newRig(t testing.TB, o timer.Options) *rig {
	s, err := timer.New(o)
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, service: s, options: o, ctx: service.NewContext(), builder: flatbuffers.NewBuilder(1024)}
	g.record.Timestamp = 1_000_000_000_000
	g.collect = func(session wire.SessionID, payload []byte) {
		var r timer.Response
		if !timer.DecodeResponse(bytes.Clone(payload), &r) {
			g.t.Fatalf("a response of %d bytes that is none", len(payload))
		}
		g.got = append(g.got, sent{session, tidy(r)})
	}
	return g
}

// tidy makes nil what is empty, so that responses can be compared.
func tidy(r timer.Response) timer.Response {
	r.Timers = slices.Clone(r.Timers)
	if len(r.Timers) == 0 {
		r.Timers = nil
	}
	r.Name, r.Payload = some(r.Name), some(r.Payload)
	return r
}

func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// next begins a record.
func (g *rig) next(session wire.SessionID) {
	g.record.Sequence++
	g.record.Timestamp++
	g.record.Session, g.record.Service = session, service.TimerService
	g.ctx.Begin(&g.record)
}

// do applies a request, and returns what it caused.
func (g *rig) do(session wire.SessionID, q timer.Request) []sent {
	return g.payload(session, timer.EncodeRequest(g.builder, &q))
}

func (g *rig) payload(session wire.SessionID, payload []byte) []sent {
	g.next(session)
	if g.discard {
		g.service.Apply(g.ctx, &g.record, payload)
		return nil
	}
	before := g.service.Hash()
	refusal := bytes.Clone(g.service.Check(g.ctx, &g.record, payload))
	if g.service.Hash() != before {
		g.t.Fatal("Check changed the hash")
	}
	g.service.Apply(g.ctx, &g.record, payload)
	got := g.responses()
	g.ctx.Responses(func(_ wire.SessionID, first []byte) {
		if refusal != nil && !bytes.Equal(refusal, first) {
			g.t.Fatalf("Check says %x, Apply %x", refusal, first)
		}
	})
	if (got[0].Kind == timer.Refused) != (refusal != nil) {
		g.t.Fatalf("Check says %x, Apply %+v", refusal, got[0])
	}
	return got
}

func (g *rig) responses() []sent {
	g.got = g.got[:0]
	if g.discard {
		return nil
	}
	g.ctx.Responses(g.collect)
	return g.got
}

// end has a session end.
func (g *rig) end(session wire.SessionID) {
	g.next(session)
	g.service.OnSession(g.ctx, session, false)
}

// fire has the first timer fire if it is due. It reports false when there was none.
func (g *rig) fire() ([]sent, bool) {
	first, ok := g.ctx.Timers().First()
	if !ok || first.Deadline > g.record.Timestamp {
		return nil, false
	}
	g.ctx.Timers().Cancel(first.Service, first.ID)
	g.next(0)
	g.service.OnTimer(g.ctx, first.ID, first.Deadline)
	return g.responses(), true
}

// wait lets time pass and everything fire that falls due, each at once.
func (g *rig) wait(forMs uint64) (all []sent) {
	until := g.record.Timestamp + forMs*ms
	for {
		first, ok := g.ctx.Timers().First()
		if !ok || first.Deadline > until {
			break
		}
		g.record.Timestamp = max(g.record.Timestamp, first.Deadline)
		got, _ := g.fire()
		all = append(all, slices.Clone(got)...)
	}
	g.record.Timestamp = max(g.record.Timestamp, until)
	return all
}

// timer is when the driver's timer is set; 0: it is not.
func (g *rig) timer() uint64 {
	first, _ := g.ctx.Timers().First()
	return first.Deadline
}

// snapshot is the service's state as bytes.
func (g *rig) snapshot() []byte {
	var b bytes.Buffer
	if err := g.service.Snapshot(&b); err != nil {
		g.t.Fatal(err)
	}
	return b.Bytes()
}

// tellApart holds that states with one hash are one state, as far as snapshots tell.
func (g *rig) tellApart(states map[uint64][]byte) {
	now, hash := g.snapshot(), g.service.Hash()
	if before, seen := states[hash]; seen && !bytes.Equal(before, now) {
		g.t.Fatalf("two states have hash %x:\n%x\n%x", hash, before, now)
	}
	states[hash] = now
}

// restore goes on with another service, restored from a snapshot of this one.
func (g *rig) restore() {
	before := g.snapshot()
	s, err := timer.New(g.options)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := s.Restore(bytes.NewReader(before)); err != nil {
		g.t.Fatal(err)
	}
	if s.Hash() != g.service.Hash() {
		g.t.Fatalf("hash %x after restoring, %x before", s.Hash(), g.service.Hash())
	}
	g.service = s
	if !bytes.Equal(g.snapshot(), before) {
		g.t.Fatal("a restored service writes another snapshot")
	}
}
