package queue_test

import (
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/servicetest"
	"lockstep/service"
	"lockstep/service/queue"
	"lockstep/wire"
)

const ms = 1_000_000 // ns

// sent is a response and who gets it.
type sent struct {
	to wire.SessionID
	queue.Response
}

// rig is the service with a log.
type rig struct {
	*servicetest.Rig[sent]
	builder *flatbuffers.Builder
}

func newRig(t testing.TB, o queue.Options) *rig {
	kind := servicetest.Kind[sent]{
		Number: service.Queue,
		New:    func() (servicetest.Service, error) { return queue.New(o) },
		Read: func(to wire.SessionID, payload []byte) (sent, bool) {
			var r queue.Response
			ok := queue.DecodeResponse(payload, &r)
			return sent{to, tidy(r)}, ok
		},
		Refused: func(x sent) bool { return x.Kind == queue.Refused },
	}
	return &rig{Rig: servicetest.New(t, kind), builder: flatbuffers.NewBuilder(1024)}
}

// tidy makes nil what is empty, so that responses can be compared.
func tidy(r queue.Response) queue.Response {
	r.Messages, r.Names = slices.Clone(r.Messages), slices.Clone(r.Names)
	if len(r.Messages) == 0 {
		r.Messages = nil
	}
	if len(r.Names) == 0 {
		r.Names = nil
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		m.Origin, m.Payload = some(m.Origin), some(m.Payload)
	}
	r.Queue, r.DeadLetter = some(r.Queue), some(r.DeadLetter)
	return r
}

func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// do applies a request, and returns what it caused.
func (g *rig) do(session wire.SessionID, q queue.Request) []sent {
	return g.Apply(session, queue.EncodeRequest(g.builder, &q))
}
