package timer_test

import (
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/servicetest"
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

// rig is the service with a log.
type rig struct {
	*servicetest.Rig[sent]
	builder *flatbuffers.Builder
}

func newRig(t testing.TB, o timer.Options) *rig {
	kind := servicetest.Kind[sent]{
		Number: service.TimerService,
		New:    func() (servicetest.Service, error) { return timer.New(o) },
		Read: func(to wire.SessionID, payload []byte) (sent, bool) {
			var r timer.Response
			ok := timer.DecodeResponse(payload, &r)
			return sent{to, tidy(r)}, ok
		},
		Refused: func(x sent) bool { return x.Kind == timer.Refused },
	}
	return &rig{Rig: servicetest.New(t, kind), builder: flatbuffers.NewBuilder(1024)}
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

// do applies a request, and returns what it caused.
func (g *rig) do(session wire.SessionID, q timer.Request) []sent {
	return g.Apply(session, timer.EncodeRequest(g.builder, &q))
}
