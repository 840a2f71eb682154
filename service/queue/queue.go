package queue

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/simbug"
	"lockstep/service"
	"lockstep/service/queue/fb"
	"lockstep/wire"
)

const (
	// batchBytes bounds the messages of one response: payloads, and messageBytes for each.
	batchBytes   = 56 << 10
	messageBytes = 256
	// maxLate is how many late messages one request drops.
	maxLate = 1024
	// What one timer does before it leaves the rest to the next: things that fall due, bytes of responses.
	maxDue      = 512
	maxDueBytes = 512 << 10

	nsPerMs = 1_000_000
)

// What falls due, in the lowest bits of the name of its deadline. The rest is its id.
const (
	dueMessage = 0 // its delay or its lease is over
	dueKey     = 1 // is forgotten
	dueWaiter  = 2 // has waited long enough
	dueBits    = 2
)

// Service is the queue service.
type Service struct {
	state
	options  Options
	due      *service.Deadlines
	request  Request
	response Response
	builder  *flatbuffers.Builder
	refused  *flatbuffers.Builder // of Check
	scratch  []byte               // payloads of one response
	sent     int                  // bytes of responses that the record has caused
}

// New returns the service without any queue.
func New(o Options) (*Service, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	return &Service{
		state: newState(&o), options: o, due: service.NewDeadlines(0, o.Messages+o.Keys+o.Waiters, maxDue),
		builder: flatbuffers.NewBuilder(64 << 10), refused: flatbuffers.NewBuilder(256),
		scratch:  make([]byte, 0, batchBytes+o.Payload),
		response: Response{Messages: make([]Message, 0, MaxBatch), Names: make([][]byte, 0, MaxBatch)},
	}, nil
}

// Name implements service.Service.
func (s *Service) Name() string { return "queue" }

// Hash implements service.Service.
func (s *Service) Hash() uint64 { return s.hash() }

// Memory implements service.Sized: the bytes of payloads, in whole blocks. Where messages, dedup keys, waiting requests
// or queues are nearer to their limit, it is as many bytes as would be as near to that of bytes.
func (s *Service) Memory() (used, limit uint64) {
	o := &s.options
	limit = uint64(o.Blocks) * blockBytes
	share := func(n, most int) uint64 { return uint64(n) * limit / uint64(most) }
	used = max(share(s.blockPool.Used(), o.Blocks), share(s.messagePool.Used(), o.Messages))
	used = max(used, share(s.keyPool.Used(), o.Keys), share(s.waiterPool.Used(), o.Waiters))
	return max(used, share(s.queuePool.Used(), o.Queues)), limit
}

// Check implements service.Checker.
func (s *Service) Check(ctx *service.Context, _ *wire.Record, payload []byte) []byte {
	q := &s.request
	reason := fb.ReasonMalformed
	if DecodeRequest(payload, q) {
		reason = s.refusal(q, ctx.Timestamp())
	}
	if reason == fb.ReasonNone {
		return nil
	}
	return EncodeResponse(s.refused, &Response{Kind: Refused, Reason: reason, ID: q.ID})
}

// Apply implements service.Service.
func (s *Service) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	s.sent = 0
	s.due.Rearm(ctx) // the record of its timer may have been passed over
	q := &s.request
	reason := fb.ReasonMalformed
	if DecodeRequest(payload, q) {
		reason = s.refusal(q, ctx.Timestamp())
	}
	if reason != fb.ReasonNone {
		out := s.answer(Refused)
		out.Reason, out.ID = reason, q.ID
		s.respond(ctx, r.Session)
		return
	}
	switch q.Kind {
	case Put:
		s.put(ctx, r.Session, q)
	case Lease:
		s.lease(ctx, r.Session, q)
	case Extend:
		s.extend(ctx, r.Session, q)
	case Delete:
		s.delete(ctx, r.Session, q)
	case Release:
		s.release(ctx, r.Session, q)
	default:
		s.manage(ctx, r.Session, q)
	}
	s.settle()
}

// OnSession forgets what a session that ends waits for. What it has leased stays leased until the lease ends.
func (s *Service) OnSession(ctx *service.Context, session wire.SessionID, opened bool) {
	if opened || s.waiterPool.Used() == 0 {
		return
	}
	s.due.Hold() // places are not in an order that is the same everywhere
	for i := uint32(1); i <= s.waiterPool.High(); i++ {
		if w := &s.waiters[i]; w.id != 0 && w.session == session {
			s.due.Cancel(ctx, w.id<<dueBits|dueWaiter)
			s.unpark(i)
		}
	}
	s.due.Rearm(ctx)
	ctx.Count(int(s.waiterPool.High()))
}

// OnTimer implements service.Timed: it does what has fallen due, and leaves the rest to a next timer when that is much.
func (s *Service) OnTimer(ctx *service.Context, _, _ uint64) {
	s.sent = 0
	for s.sent < maxDueBytes {
		id, _, ok := s.due.Next(ctx)
		if !ok {
			break
		}
		switch hash := hashNumber(id >> dueBits); id & (1<<dueBits - 1) {
		case dueMessage:
			s.messageDue(ctx, s.byID.Find(hash))
		case dueKey:
			s.forget(s.keyByID.Find(hash))
		case dueWaiter:
			s.waiterDue(ctx, s.waiterByID.Find(hash))
		}
	}
	s.due.Rearm(ctx)
	s.settle()
}

// answer is the response to be filled in next.
func (s *Service) answer(kind ReportKind) *Response {
	s.response = Response{Kind: kind, Messages: s.response.Messages[:0], Names: s.response.Names[:0]}
	s.scratch = s.scratch[:0]
	return &s.response
}

func (s *Service) respond(ctx *service.Context, session wire.SessionID) {
	payload := EncodeResponse(s.builder, &s.response)
	s.sent += len(payload)
	ctx.Respond(session, payload)
}

// put takes a new message in, or finds that its key is known.
func (s *Service) put(ctx *service.Context, session wire.SessionID, q *Request) {
	i := s.open(q.Queue)
	x := s.touch(i)
	out := s.answer(Stored)
	if len(q.Key) > 0 {
		k := s.findKey(i, q.Key)
		if k != 0 && s.keys[k].until > ctx.Timestamp() {
			x.seen.Duplicates++
			out.ID, out.Duplicate = s.keys[k].id, true
			s.respond(ctx, session)
			return
		}
		if k != 0 {
			s.due.Cancel(ctx, s.keys[k].id<<dueBits|dueKey)
			s.forget(k)
		}
	}
	id, now := ctx.Sequence(), ctx.Timestamp()
	out.ID = id
	s.respond(ctx, session)
	x.seen.Put++
	at := s.messagePool.Take()
	m := &s.messages[at]
	*m = message{id: id, put: now, queue: i}
	if q.DeadlineMs > 0 {
		m.deadline = now + q.DeadlineMs*nsPerMs
	}
	s.store(m, q.Payload)
	s.byID.Add(hashNumber(id), at)
	if len(q.Key) > 0 {
		until := now + x.dedupMs*nsPerMs
		s.remember(i, q.Key, id, until)
		s.due.Set(ctx, id<<dueBits|dueKey, until)
	}
	s.offer(ctx, at, q.DelayMs)
}

// offer has a message, which is in no list, wait out a delay, or makes it ready.
func (s *Service) offer(ctx *service.Context, at uint32, delayMs uint64) {
	m := &s.messages[at]
	m.token = 0
	if delayMs > 0 {
		until := ctx.Timestamp() + delayMs*nsPerMs
		s.enter(at, fb.StateDelayed, until)
		s.due.Set(ctx, m.id<<dueBits|dueMessage, until)
		return
	}
	s.enter(at, fb.StateReady, 0)
	s.feed(ctx, m.queue)
}

// extend makes a lease end later, or earlier.
func (s *Service) extend(ctx *service.Context, session wire.SessionID, q *Request) {
	m := &s.messages[s.byID.Find(hashNumber(q.ID))]
	s.sum -= s.messageHash(m)
	m.until = s.leaseEnd(ctx, m.queue, q.LeaseMs)
	s.sum += s.messageHash(m)
	s.due.Set(ctx, m.id<<dueBits|dueMessage, m.until)
	out := s.answer(Extended)
	out.ID, out.Until = m.id, m.until
	s.respond(ctx, session)
}

func (s *Service) leaseEnd(ctx *service.Context, queue uint32, leaseMs uint64) uint64 {
	if leaseMs == 0 {
		leaseMs = s.queues[queue].leaseMs
	}
	return ctx.Timestamp() + leaseMs*nsPerMs
}

// delete removes a message that is done with.
func (s *Service) delete(ctx *service.Context, session wire.SessionID, q *Request) {
	at := s.byID.Find(hashNumber(q.ID))
	m := &s.messages[at]
	s.due.Cancel(ctx, m.id<<dueBits|dueMessage)
	s.leave(at)
	s.queues[m.queue].seen.Deleted++
	if simbug.On(simbug.KeepDeleted) {
		s.offer(ctx, at, 0)
	} else {
		s.discard(at)
	}
	s.answer(Deleted).ID = q.ID
	s.respond(ctx, session)
}

// release gives a message back that could not be done.
func (s *Service) release(ctx *service.Context, session wire.SessionID, q *Request) {
	at := s.byID.Find(hashNumber(q.ID))
	m := &s.messages[at]
	s.due.Cancel(ctx, m.id<<dueBits|dueMessage)
	s.leave(at)
	x := &s.queues[m.queue]
	x.seen.Released++
	out := s.answer(Released)
	out.ID, out.Dead = m.id, x.spent(m)
	s.respond(ctx, session)
	if x.spent(m) {
		s.die(ctx, at)
	} else {
		s.offer(ctx, at, q.DelayMs)
	}
}

// spent says whether a message has had all its attempts.
func (q *queue) spent(m *message) bool { return q.maxAttempts > 0 && m.attempts >= q.maxAttempts }

// die moves a message, which is in no list, to the dead-letter queue; there it begins anew. Without one it is dropped.
func (s *Service) die(ctx *service.Context, at uint32) {
	m := &s.messages[at]
	x := s.touch(m.queue)
	x.seen.Dead++
	if x.dead == 0 {
		s.discard(at)
		return
	}
	if m.origin != 0 {
		s.queues[m.origin].elsewhere--
	}
	m.origin, m.queue, m.attempts = m.queue, x.dead, 0
	x.elsewhere++
	s.offer(ctx, at, 0)
}

// messageDue ends a message's delay or its lease.
func (s *Service) messageDue(ctx *service.Context, at uint32) {
	m := &s.messages[at]
	s.leave(at)
	x := &s.queues[m.queue]
	if m.state == fb.StateLeased {
		x.seen.Expired++
		if x.spent(m) {
			s.die(ctx, at)
			return
		}
	}
	s.offer(ctx, at, 0)
}

// waiterDue tells a consumer that there was nothing for as long as it wanted to wait.
func (s *Service) waiterDue(ctx *service.Context, at uint32) {
	w := &s.waiters[at]
	out := s.answer(Leased)
	out.Request, out.Queue, out.Dropped = w.request, s.queues[w.queue].text(), w.dropped
	s.respond(ctx, w.session)
	s.unpark(at)
}
