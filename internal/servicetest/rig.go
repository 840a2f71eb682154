package servicetest

import (
	"bytes"
	"slices"
	"testing"

	"lockstep/service"
	"lockstep/wire"
)

// Service is what a rig tests.
type Service interface {
	service.Service
	service.Checker
	service.Timed
	service.Sized
}

// Kind is a kind of service, whose responses are read as R.
type Kind[R any] struct {
	Number uint16
	New    func() (Service, error) // as it is before the first record
	// Read reads a response, which it may keep, and who gets it; ok is false when it is none.
	Read    func(to wire.SessionID, payload []byte) (r R, ok bool)
	Refused func(R) bool // whether a response is a refusal
}

// Rig is a service with a log. One thread.
type Rig[R any] struct {
	T       testing.TB
	Service Service
	Ctx     *service.Context
	Record  wire.Record // the last
	Got     []R         // responses to the last record: good until the next
	Discard bool        // responses, and what Check says

	kind    Kind[R]
	collect func(session wire.SessionID, payload []byte)
}

const nsPerMs = 1_000_000

// New returns a rig whose service has seen nothing.
func New[R any](t testing.TB, kind Kind[R]) *Rig[R] {
	g := &Rig[R]{T: t, Ctx: service.NewContext(), kind: kind}
	g.Service = g.fresh()
	g.Record.Timestamp = 1_000_000_000_000
	g.collect = func(session wire.SessionID, payload []byte) {
		r, ok := kind.Read(session, bytes.Clone(payload))
		if !ok {
			g.T.Fatalf("a response of %d bytes that is none", len(payload))
		}
		g.Got = append(g.Got, r)
	}
	return g
}

// fresh is another service that has seen nothing.
func (g *Rig[R]) fresh() Service {
	s, err := g.kind.New()
	if err != nil {
		g.T.Fatal(err)
	}
	return s
}

// next begins a record.
func (g *Rig[R]) next(session wire.SessionID) {
	g.Record.Sequence++
	g.Record.Timestamp++
	g.Record.Session, g.Record.Service = session, g.kind.Number
	g.Ctx.Begin(&g.Record)
}

// Apply applies a message, and returns what it caused: its answer first, which is what Check said if it is a refusal.
func (g *Rig[R]) Apply(session wire.SessionID, payload []byte) []R {
	g.next(session)
	if g.Discard {
		g.Service.Apply(g.Ctx, &g.Record, payload)
		return nil
	}
	before := g.Service.Hash()
	refusal := bytes.Clone(g.Service.Check(g.Ctx, &g.Record, payload))
	if g.Service.Hash() != before {
		g.T.Fatal("Check changed the hash")
	}
	g.Service.Apply(g.Ctx, &g.Record, payload)
	got := g.responses()
	g.Ctx.Responses(func(_ wire.SessionID, first []byte) {
		if refusal != nil && !bytes.Equal(refusal, first) {
			g.T.Fatalf("Check says %x, Apply %x", refusal, first)
		}
	})
	if g.kind.Refused(got[0]) != (refusal != nil) {
		g.T.Fatalf("Check says %x, Apply %+v", refusal, got[0])
	}
	return got
}

func (g *Rig[R]) responses() []R {
	g.Got = g.Got[:0]
	if g.Discard {
		return nil
	}
	g.Ctx.Responses(g.collect)
	return g.Got
}

// End has a session end.
func (g *Rig[R]) End(session wire.SessionID) {
	g.next(session)
	g.Service.OnSession(g.Ctx, session, false)
}

// Fire has the first timer fire if it is due. It reports false when there was none.
func (g *Rig[R]) Fire() ([]R, bool) {
	first, ok := g.Ctx.Timers().First()
	if !ok || first.Deadline > g.Record.Timestamp {
		return nil, false
	}
	g.Ctx.Timers().Cancel(first.Service, first.ID)
	g.next(0)
	g.Service.OnTimer(g.Ctx, first.ID, first.Deadline)
	return g.responses(), true
}

// Wait lets time pass and everything fire that falls due, each at once.
func (g *Rig[R]) Wait(forMs uint64) (all []R) {
	until := g.Record.Timestamp + forMs*nsPerMs
	for {
		first, ok := g.Ctx.Timers().First()
		if !ok || first.Deadline > until {
			break
		}
		g.Record.Timestamp = max(g.Record.Timestamp, first.Deadline)
		got, _ := g.Fire()
		all = append(all, slices.Clone(got)...)
	}
	g.Record.Timestamp = max(g.Record.Timestamp, until)
	return all
}

// Timer is when the driver's timer is set; 0: it is not.
func (g *Rig[R]) Timer() uint64 {
	first, _ := g.Ctx.Timers().First()
	return first.Deadline
}
