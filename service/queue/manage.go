package queue

import (
	"lockstep/service"
	"lockstep/wire"
)

// manage carries out what is not about a single message.
func (s *Service) manage(ctx *service.Context, session wire.SessionID, q *Request) {
	switch q.Kind {
	case Configure:
		s.configure(q)
		s.answer(Configured)
	case Remove:
		s.close(s.find(q.Queue))
		s.answer(Removed)
	case Stats:
		s.count(s.find(q.Queue))
	case List:
		s.names(ctx, q)
	case Peek:
		s.peek(ctx, q)
	}
	s.respond(ctx, session)
}

// configure replaces how a queue is configured.
func (s *Service) configure(q *Request) {
	i := s.open(q.Queue)
	x := s.touch(i)
	if x.dead != 0 {
		s.queues[x.dead].feeds--
	}
	x.maxAttempts, x.dead, x.leaseMs, x.dedupMs = q.MaxAttempts, 0, q.LeaseMs, q.DedupMs
	if len(q.DeadLetter) > 0 {
		x.dead = s.open(q.DeadLetter)
		s.queues[x.dead].feeds++
	}
	if x.leaseMs == 0 {
		x.leaseMs = DefaultLeaseMs
	}
	if x.dedupMs == 0 {
		x.dedupMs = DefaultDedupMs
	}
}

// count answers with what a queue holds and has seen.
func (s *Service) count(i uint32) {
	x := &s.queues[i]
	out := s.answer(Counted)
	out.Queue, out.Counts = x.text(), x.seen
	c := &out.Counts
	c.Ready, c.Leased, c.Delayed = uint64(x.ready.Len), x.leased, uint64(x.aside.Len)-x.leased
	c.Waiting, c.Keys = uint64(x.waiters.Len), uint64(x.keys.Len)
	c.MaxAttempts, c.LeaseMs, c.DedupMs = x.maxAttempts, x.leaseMs, x.dedupMs
	if x.dead != 0 {
		out.DeadLetter = s.queues[x.dead].text()
	}
}

// names answers with the names of queues, in their order.
func (s *Service) names(ctx *service.Context, q *Request) {
	out := s.answer(Listed)
	most := int(q.Max)
	if most == 0 {
		most = MaxBatch
	}
	from, there := s.rank(q.After)
	if there {
		from++
	}
	for _, i := range s.ordered[from:min(from+most, len(s.ordered))] {
		out.Names = append(out.Names, s.queues[i].text())
		ctx.Count(1)
	}
}

// peek answers with messages as they are, and changes nothing.
func (s *Service) peek(ctx *service.Context, q *Request) {
	out := s.answer(Peeked)
	x := &s.queues[s.find(q.Queue)]
	from, cost := x.ready.Head, 0
	if q.Aside {
		from = x.aside.Head
	}
	for i := from; i != 0 && len(out.Messages) < int(max(q.Max, 1)); i = s.messagePool.Next(i) {
		m := &s.messages[i]
		if cost += int(m.length) + messageBytes; cost > batchBytes && len(out.Messages) > 0 {
			break
		}
		s.describe(m)
		ctx.Count(1)
	}
}
