package timer_test

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"lockstep/service/timer"
	"lockstep/wire"
)

// tiny has every limit reached.
var tiny = timer.Options{Timers: 5, Subscriptions: 3, Firings: 250}

// Every request, from hostile ones to good ones, in every order, with time passing, sessions that end and snapshots in
// between: the service says what the model says, to whom the model says it.
func TestItAnswersAsTheModelDoes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		g := newRig(t, tiny)
		m := &model{limits: tiny}
		states := map[uint64][]byte{}
		for step := range rapid.IntRange(1, 60).Draw(r, "steps") {
			var got, want []sent
			what := ""
			switch rapid.IntRange(0, 12).Draw(r, "do") {
			case 0:
				session := wire.SessionID(rapid.Uint64Range(1, 3).Draw(r, "session"))
				what = fmt.Sprintf("session %d ends", session)
				g.End(session)
				m.end(session)
			case 1:
				g.Restore()
			case 2, 3, 4:
				g.Record.Timestamp += rapid.Uint64Range(0, 60).Draw(r, "ms") * ms
				what = "time passes"
				for more := true; more; {
					var some []sent
					some, more = g.Fire()
					got = append(got, some...)
				}
				m.number, m.now = g.Record.Sequence, g.Record.Timestamp
				want = m.due()
			default:
				q := drawRequest(r, g)
				session := wire.SessionID(rapid.Uint64Range(1, 3).Draw(r, "session"))
				what = fmt.Sprintf("session %d: %+v", session, q)
				got = g.do(session, q)
				m.number, m.now = g.Record.Sequence, g.Record.Timestamp
				want = m.apply(session, q)
			}
			if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
				r.Fatalf("step %d: %s\n got %+v\nwant %+v", step, what, got, want)
			}
			before := g.Service.Hash()
			q := timer.Request{Kind: timer.List}
			if got, want := g.do(1, q), m.apply(1, q); !reflect.DeepEqual(got, want) {
				r.Fatalf("step %d: %s: afterwards\n got %+v\nwant %+v", step, what, got, want)
			}
			if g.Service.Hash() != before {
				r.Fatal("looking changed the hash")
			}
			g.TellApart(states)
		}
	})
}

func drawRequest(r *rapid.T, g *rig) timer.Request {
	name := rapid.SampledFrom([]string{"a", "a", "ab", "b", "bc", "c", "d", "", "bad name"})
	short := rapid.SampledFrom([]uint64{0, 0, 5, 10, 20, 40, 1 << 60})
	q := timer.Request{
		Kind: timer.Kind(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 3, 4, 4}).Draw(r, "kind")),
		Name: []byte(name.Draw(r, "name")),
	}
	switch q.Kind {
	case timer.Start:
		switch rapid.IntRange(0, 3).Draw(r, "when") {
		case 0:
			q.At = g.Record.Timestamp + 50*ms - rapid.Uint64Range(0, 100*ms).Draw(r, "at")
		case 1:
			q.At, q.AfterMs = rapid.SampledFrom([]uint64{0, 1, 9e18}).Draw(r, "at"), short.Draw(r, "after")
		default:
			q.AfterMs = short.Draw(r, "after")
		}
		if q.At == 1 { // the model counts every period from there on
			q.IntervalMs = 0
		} else {
			q.IntervalMs = short.Draw(r, "interval")
		}
		q.Count = rapid.Uint64Range(0, 3).Draw(r, "count")
		if q.IntervalMs == 0 && rapid.Bool().Draw(r, "once") {
			q.Count = 0
		}
		q.Kept, q.Replace = rapid.Bool().Draw(r, "kept"), rapid.Bool().Draw(r, "replace")
		q.Payload = make([]byte, rapid.SampledFrom([]int{0, 1, 1024, 1025}).Draw(r, "payload"))
	case timer.List:
		q.Name = []byte(rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "prefix"))
		q.After = []byte(name.Draw(r, "after"))
		q.Max = rapid.SampledFrom([]uint32{0, 1, 64, 65}).Draw(r, "max")
	case timer.Subscribe:
		q.Prefix, q.Off = rapid.Bool().Draw(r, "prefix"), rapid.IntRange(0, 3).Draw(r, "off") == 0
	}
	return q
}
