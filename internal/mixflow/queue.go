package mixflow

import (
	"bytes"

	"lockstep/service/queue"
	"lockstep/service/queue/fb"
)

// queueFlow puts messages, takes some, and says what became of them.
type queueFlow struct {
	draw
	held     []held // the newest last
	requests uint64
	response queue.Response
}

// held is a message that was handed to this client.
type held struct {
	queue     []byte
	id, token uint64
}

// maxHeld is how many it remembers.
const maxHeld = 16

// NewQueue draws commands for work queues.
func NewQueue(o Options) Flow { return &queueFlow{draw: newDraw(o)} }

// Next implements Flow. Most leases end before their messages are deleted, some tokens are old, and some messages are not there.
func (f *queueFlow) Next() []byte {
	q := queue.Request{Queue: f.name("queue-")}
	switch n := f.IntN(100); {
	case n < 36:
		f.put(&q)
	case n < 62:
		f.lease(&q)
	case n < 88 && len(f.held) > 0:
		f.settle(&q)
	case n < 93:
		q.Kind = queue.Stats
	case n < 96:
		q.Kind, q.Aside, q.Max = queue.Peek, f.odds(50), f.Uint32N(4)
	case n < 97:
		q.Kind, q.Max = queue.List, f.Uint32N(8)
	default:
		f.configure(&q)
	}
	return queue.EncodeRequest(f.builder, &q)
}

func (f *queueFlow) put(q *queue.Request) {
	q.Kind, q.Payload = queue.Put, f.value()
	if f.odds(30) {
		q.Key = f.name("once-")
	}
	if f.odds(25) {
		q.DelayMs = f.time()
	}
	if f.odds(20) {
		q.DeadlineMs = f.time()
	}
}

func (f *queueFlow) lease(q *queue.Request) {
	f.requests++
	q.Kind, q.Request, q.Max, q.DropLate = queue.Lease, f.requests, f.Uint32N(4), f.odds(30)
	if q.LeaseMs = f.time(); f.odds(50) {
		q.LeaseMs += f.o.TimeMs
	}
	if f.odds(20) {
		q.Mode = fb.ModeAtMostOnce
	}
	if f.odds(40) {
		q.WaitMs = f.time()
	}
}

// settle says what became of a message that this client was handed.
func (f *queueFlow) settle(q *queue.Request) {
	i := f.IntN(len(f.held))
	h := f.held[i]
	q.Queue, q.ID, q.Token = h.queue, h.id, h.token
	switch n := f.IntN(100); {
	case n < 55:
		q.Kind = queue.Delete
	case n < 75:
		q.Kind, q.LeaseMs = queue.Extend, f.time()
	default:
		q.Kind = queue.Release
		if f.odds(50) {
			q.DelayMs = f.time()
		}
	}
	if q.Kind != queue.Extend && f.odds(80) {
		f.held = append(f.held[:i], f.held[i+1:]...)
	}
}

// configure ends what was tried too often: in the queue of that name's dead letters, or nowhere.
func (f *queueFlow) configure(q *queue.Request) {
	q.Kind, q.MaxAttempts, q.LeaseMs, q.DedupMs = queue.Configure, f.Uint32N(4), f.time(), f.time()
	if f.odds(60) {
		q.DeadLetter = f.name("queue-")
	}
	if bytes.Equal(q.DeadLetter, q.Queue) {
		q.DeadLetter = nil
	}
}

// Heard implements Flow.
func (f *queueFlow) Heard(_, response []byte) {
	if !queue.DecodeResponse(response, &f.response) || f.response.Kind != queue.Leased {
		return
	}
	for i := range f.response.Messages {
		m := &f.response.Messages[i]
		f.held = append(f.held, held{bytes.Clone(f.response.Queue), m.ID, m.Token})
	}
	f.held = f.held[max(0, len(f.held)-maxHeld):]
}
