package queue

import (
	"lockstep/internal/simbug"
	"lockstep/service"
	"lockstep/service/queue/fb"
	"lockstep/wire"
)

// lease gives a consumer what is ready, or has it wait. Nobody waits while a message is ready.
func (s *Service) lease(ctx *service.Context, session wire.SessionID, q *Request) {
	i := s.open(q.Queue)
	c := claim{
		session: session, request: q.Request, leaseMs: q.LeaseMs, max: max(q.Max, 1), mode: q.Mode,
		dropLate: q.DropLate,
	}
	s.deliver(ctx, i, &c)
	waits := len(s.response.Messages) == 0 && q.WaitMs > 0 && s.queues[i].ready.Len == 0 && s.waiterPool.Free() > 0
	s.response.Waiting = waits
	s.respond(ctx, session)
	if waits {
		w := waiter{claim: c, id: ctx.Sequence(), until: ctx.Timestamp() + q.WaitMs*nsPerMs, queue: i}
		s.park(&w)
		s.due.Set(ctx, w.id<<dueBits|dueWaiter, w.until)
	}
}

// feed gives what is ready to those who wait for it, in the order in which they came.
func (s *Service) feed(ctx *service.Context, i uint32) {
	x := &s.queues[i]
	for x.ready.Len > 0 && x.waiters.Len > 0 {
		at := x.waiters.Head
		w := &s.waiters[at]
		c := w.claim
		s.deliver(ctx, i, &c)
		if len(s.response.Messages) == 0 { // what was ready came too late for it
			s.sum -= s.waiterHash(w)
			w.dropped = c.dropped
			s.sum += s.waiterHash(w)
			continue
		}
		s.respond(ctx, c.session)
		s.due.Cancel(ctx, w.id<<dueBits|dueWaiter)
		s.unpark(at)
	}
}

// deliver takes what a consumer is to have out of those that are ready, oldest first, into the response. c.dropped is
// counted on.
func (s *Service) deliver(ctx *service.Context, i uint32, c *claim) {
	x := s.touch(i)
	out := s.answer(Leased)
	out.Request, out.Queue = c.request, x.text()
	dropped, cost := c.dropped, 0
	for x.ready.Len > 0 && len(out.Messages) < int(c.max) && c.dropped-dropped < maxLate {
		at := x.ready.Head
		m := &s.messages[at]
		if c.dropLate && m.deadline != 0 && m.deadline <= ctx.Timestamp() {
			s.leave(at)
			x.seen.Late++
			c.dropped++
			s.discard(at)
			ctx.Count(1)
			continue
		}
		if cost += int(m.length) + messageBytes; cost > batchBytes && len(out.Messages) > 0 {
			break
		}
		s.hand(ctx, at, c)
	}
	out.Dropped = c.dropped
}

// hand gives a message that is ready to a consumer: leased, or for good.
func (s *Service) hand(ctx *service.Context, at uint32, c *claim) {
	m := &s.messages[at]
	s.leave(at)
	m.attempts++
	s.queues[m.queue].seen.Delivered++
	ctx.Count(1)
	if c.mode == fb.ModeAtMostOnce {
		m.until = 0
		s.describe(m)
		if simbug.On(simbug.HandTwice) && m.attempts == 1 {
			s.enter(at, fb.StateReady, 0)
			return
		}
		s.discard(at)
		return
	}
	m.token = ctx.Sequence()
	s.enter(at, fb.StateLeased, s.leaseEnd(ctx, m.queue, c.leaseMs))
	s.due.Set(ctx, m.id<<dueBits|dueMessage, m.until)
	s.describe(m)
}

// describe adds a message to the response.
func (s *Service) describe(m *message) {
	begin := len(s.scratch)
	s.scratch = s.payload(s.scratch, m)
	out := Message{
		ID: m.id, Token: m.token, State: m.state, Attempts: m.attempts, Put: m.put, Until: m.until,
		Deadline: m.deadline,
		Payload:  s.scratch[begin:],
	}
	if simbug.On(simbug.LeaseEndsEarly) && m.until != 0 {
		out.Until += 100 * nsPerMs
	}
	if m.origin != 0 {
		out.Origin = s.queues[m.origin].text()
	}
	s.response.Messages = append(s.response.Messages, out)
}
