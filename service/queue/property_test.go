package queue_test

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"lockstep/service/queue"
	"lockstep/service/queue/fb"
	"lockstep/wire"
)

// tiny has every limit reached.
var tiny = queue.Options{Queues: 3, Messages: 6, Blocks: 8, Keys: 3, Waiters: 2, Payload: 600}

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
			case 2, 3:
				g.Record.Timestamp += rapid.Uint64Range(0, 60).Draw(r, "ms") * ms
				what = "time passes"
				if rapid.Bool().Draw(r, "late") {
					continue // nothing fires yet
				}
				for more := true; more; {
					var some []sent
					some, more = g.Fire()
					got = append(got, some...)
				}
				m.number, m.now = g.Record.Sequence, g.Record.Timestamp
				want = m.due()
			default:
				q := drawRequest(r, m)
				session := wire.SessionID(rapid.Uint64Range(1, 3).Draw(r, "session"))
				what = fmt.Sprintf("session %d: %+v", session, q)
				got = g.do(session, q)
				m.number, m.now = g.Record.Sequence, g.Record.Timestamp
				want = m.apply(session, q)
			}
			if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
				r.Fatalf("step %d: %s\n got %+v\nwant %+v", step, what, got, want)
			}
			checkCounts(r, g, m)
			g.TellApart(states)
		}
	})
}

// checkCounts compares what every queue holds.
func checkCounts(r *rapid.T, g *rig, m *model) {
	for _, x := range m.queues {
		for _, q := range []queue.Request{
			{Kind: queue.Stats}, {Kind: queue.Peek, Max: 9}, {Kind: queue.Peek, Max: 9, Aside: true},
		} {
			q.Queue = []byte(x.name)
			before := g.Service.Hash()
			got, want := g.do(1, q), m.apply(1, q)
			if !reflect.DeepEqual(got, want) {
				r.Fatalf("%+v\n got %+v\nwant %+v", q, got, want)
			}
			if g.Service.Hash() != before {
				r.Fatalf("looking at %s changed the hash", x.name)
			}
		}
	}
	g.Service.Hash()
}

func drawRequest(r *rapid.T, m *model) queue.Request {
	names := []string{"a", "b", "c", "d"}
	q := queue.Request{
		Kind:  queue.Kind(rapid.SampledFrom([]int{1, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10}).Draw(r, "kind")),
		Queue: []byte(rapid.SampledFrom(append(names, "a", "a", "b", "", "bad name")).Draw(r, "queue")),
	}
	short := rapid.SampledFrom([]uint64{0, 0, 5, 10, 20, 40})
	switch q.Kind {
	case queue.Put:
		q.Key = some([]byte(rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(r, "key")))
		q.DelayMs, q.DeadlineMs = short.Draw(r, "delay"), short.Draw(r, "deadline")
		q.Payload = make([]byte, rapid.SampledFrom([]int{0, 1, 255, 256, 257, 600, 601}).Draw(r, "payload"))
		for i := range q.Payload {
			q.Payload[i] = byte(int(m.number) + i)
		}
	case queue.Lease:
		q.Request = rapid.Uint64Range(0, 9).Draw(r, "request")
		q.Mode = fb.Mode(rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(r, "mode"))
		q.DropLate = rapid.Bool().Draw(r, "drop")
		q.Max = rapid.SampledFrom([]uint32{0, 1, 2, 64, 65}).Draw(r, "max")
		q.LeaseMs, q.WaitMs = short.Draw(r, "lease"), short.Draw(r, "wait")
	case queue.Extend, queue.Delete, queue.Release:
		drawMessage(r, m, &q)
		q.LeaseMs = short.Draw(r, "lease")
		q.DelayMs = short.Draw(r, "delay")
		if q.Kind != queue.Extend {
			q.LeaseMs = 0
		}
		if q.Kind != queue.Release {
			q.DelayMs = 0
		}
	case queue.Configure:
		q.MaxAttempts = rapid.Uint32Range(0, 2).Draw(r, "attempts")
		q.DeadLetter = some([]byte(rapid.SampledFrom(append(names, "", "x y")).Draw(r, "dead")))
		q.LeaseMs, q.DedupMs = short.Draw(r, "lease"), short.Draw(r, "dedup")
	case queue.List:
		q.Queue, q.After = nil, []byte(rapid.SampledFrom(append(names, "")).Draw(r, "after"))
		q.Max = rapid.SampledFrom([]uint32{0, 1, 64, 65}).Draw(r, "max")
	case queue.Peek:
		q.Aside, q.Max = rapid.Bool().Draw(r, "aside"), rapid.SampledFrom([]uint32{0, 2, 65}).Draw(r, "max")
	}
	return q
}

// drawMessage names a message that is there, most of the time.
func drawMessage(r *rapid.T, m *model, q *queue.Request) {
	q.ID, q.Token = rapid.Uint64Range(0, m.number).Draw(r, "id"), rapid.Uint64Range(0, 3).Draw(r, "token")
	var all []*modelMessage
	for _, x := range m.queues {
		all = append(append(all, x.ready...), x.aside...)
	}
	if len(all) == 0 || rapid.IntRange(0, 9).Draw(r, "hostile") == 0 {
		return
	}
	y := rapid.SampledFrom(all).Draw(r, "message")
	q.ID, q.Token, q.Queue = y.ID, y.Token, []byte(y.queue.name)
}
