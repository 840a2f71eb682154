package judge

import (
	"fmt"

	"lockstep/internal/history"
	"lockstep/service/queue"
	"lockstep/service/queue/fb"
	"lockstep/wire"
)

const nsPerMs = 1_000_000

// queueJuror judges work queues.
type queueJuror struct {
	queues *history.Queues
	dedup  map[string]uint64 // how long keys are remembered, ns, of queues that were configured
	modes  map[claim]fb.Mode // that consumers asked for, last
	said   queue.Response
	drops  int // late messages that leases dropped at once
}

// claim names a request for messages.
type claim struct {
	session wire.SessionID
	request uint64
}

func newQueue() *queueJuror {
	return &queueJuror{queues: history.NewQueues(), dedup: map[string]uint64{}, modes: map[claim]fb.Mode{}}
}

func (q *queueJuror) refuses(answer []byte) bool {
	return !queue.DecodeResponse(answer, &q.said) || q.said.Kind == queue.Refused
}

// message implements juror: the first response answers the request, the others are messages that somebody waited for.
func (q *queueJuror) message(at history.Moment, session wire.SessionID, payload []byte, said []Output) error {
	if len(said) == 0 || said[0].Session != session || !queue.DecodeResponse(said[0].Payload, &q.said) {
		return fmt.Errorf("queue: no answer among %d responses", len(said))
	}
	var r queue.Request
	ok := queue.DecodeRequest(payload, &r)
	if q.said.Kind == queue.Refused {
		return q.refused(at, ok, &r)
	}
	if err := q.answered(at, session, &r); err != nil {
		return err
	}
	return q.others(at, said[1:])
}

// refused takes a refusal: of a lease, it may say that the token is not (any more) whose message it is.
func (q *queueJuror) refused(at history.Moment, ok bool, r *queue.Request) error {
	switch q.said.Reason {
	case fb.ReasonMalformed:
		if ok {
			return fmt.Errorf("queue: a sound request is refused as malformed")
		}
	case fb.ReasonUnknownMessage, fb.ReasonStaleLease:
		return q.queues.NotHeld(at, string(r.Queue), r.ID, r.Token)
	}
	return nil
}

// answered takes what the service says that it did.
func (q *queueJuror) answered(at history.Moment, session wire.SessionID, r *queue.Request) error {
	s := &q.said
	switch r.Kind {
	case queue.Put:
		return q.put(at, r)
	case queue.Lease:
		if s.Kind != queue.Leased || s.Request != r.Request || string(s.Queue) != string(r.Queue) {
			return fmt.Errorf("queue: a lease is answered with %+v", s)
		}
		q.drops += int(s.Dropped)
		q.modes[claim{session, r.Request}] = r.Mode
		return q.handed(at, session)
	case queue.Delete:
		if r.Token == 0 {
			return q.queues.Removed(at, r.ID)
		}
		return q.queues.Acknowledged(at, r.ID, r.Token)
	case queue.Extend:
		return q.queues.Extended(at, r.ID, r.Token, s.Until)
	case queue.Release:
		from := uint64(0)
		if r.DelayMs > 0 {
			from = at.Stamp + r.DelayMs*nsPerMs
		}
		return q.queues.Returned(at, r.ID, r.Token, from, s.Dead)
	case queue.Configure:
		q.queues.Configured(at, string(r.Queue), r.MaxAttempts, string(r.DeadLetter))
		q.dedup[string(r.Queue)] = r.DedupMs * nsPerMs
		if r.DedupMs == 0 {
			delete(q.dedup, string(r.Queue))
		}
	case queue.Stats:
		c := &s.Counts
		return q.queues.Counted(at, string(r.Queue), int(c.Ready+c.Delayed+c.Leased))
	case queue.Peek:
		for i := range s.Messages {
			m := &s.Messages[i]
			if err := q.queues.Peeked(at, string(r.Queue), m.ID, string(m.Payload)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *queueJuror) put(at history.Moment, r *queue.Request) error {
	dedup, ok := q.dedup[string(r.Queue)]
	if !ok {
		dedup = queue.DefaultDedupMs * nsPerMs
	}
	p := history.Put{Queue: string(r.Queue), Key: string(r.Key), Remembered: at.Stamp + dedup, Payload: string(r.Payload)}
	if r.DelayMs > 0 {
		p.From = at.Stamp + r.DelayMs*nsPerMs
	}
	if r.DeadlineMs > 0 {
		p.Deadline = at.Stamp + r.DeadlineMs*nsPerMs
	}
	if q.said.Duplicate {
		return q.queues.Repeat(at, q.said.ID, p)
	}
	return q.queues.Put(at, q.said.ID, p)
}

// handed takes the messages of a response.
func (q *queueJuror) handed(at history.Moment, session wire.SessionID) error {
	mode, asked := q.modes[claim{session, q.said.Request}]
	if !asked {
		return fmt.Errorf("queue: session %x is told of request %d, which it never made", session, q.said.Request)
	}
	for i := range q.said.Messages {
		m := &q.said.Messages[i]
		if (m.Until == 0) != (mode == fb.ModeAtMostOnce) {
			return fmt.Errorf("queue: message %d is handed out until %d, and was to be in mode %v", m.ID, m.Until, mode)
		}
		l := history.Lease{ID: m.ID, Payload: string(m.Payload), Attempt: m.Attempts, Token: m.Token, Until: m.Until, Origin: string(m.Origin)}
		if err := q.queues.Hand(at, string(q.said.Queue), l); err != nil {
			return err
		}
	}
	return nil
}

// others takes what those are told who wait.
func (q *queueJuror) others(at history.Moment, said []Output) error {
	for i := range said {
		if !queue.DecodeResponse(said[i].Payload, &q.said) || q.said.Kind != queue.Leased {
			return fmt.Errorf("queue: session %x is told %+v, and asked for nothing", said[i].Session, q.said)
		}
		if err := q.handed(at, said[i].Session); err != nil {
			return err
		}
	}
	return nil
}

func (q *queueJuror) closed(history.Moment, wire.SessionID) {}

func (q *queueJuror) end(uint64) error { return nil }
