package queue_test

import (
	"cmp"
	"slices"

	"lockstep/service/queue"
	"lockstep/service/queue/fb"
	"lockstep/wire"
)

// model is the service as one would write it down: slices, searched from the beginning.
type model struct {
	limits queue.Options
	queues []*modelQueue // by name
	out    []sent
	now    uint64
	number uint64 // of the record
}

type modelQueue struct {
	name, dead       string
	attempts         uint32
	leaseMs, dedupMs uint64
	ready, aside     []*modelMessage
	waiters          []*modelWaiter
	keys             []modelKey
	seen             queue.Counts
}

type modelMessage struct {
	queue.Message
	queue *modelQueue
}

type modelWaiter struct {
	id, until uint64
	session   wire.SessionID
	dropped   uint32
	queue.Request
}

type modelKey struct {
	id, until uint64
	text      string
}

func (m *model) find(name []byte) *modelQueue {
	for _, q := range m.queues {
		if q.name == string(name) {
			return q
		}
	}
	return nil
}

func (m *model) open(name []byte) *modelQueue {
	if q := m.find(name); q != nil {
		return q
	}
	q := &modelQueue{name: string(name), leaseMs: 30_000, dedupMs: 300_000}
	m.queues = append(m.queues, q)
	slices.SortFunc(m.queues, func(a, b *modelQueue) int { return cmp.Compare(a.name, b.name) })
	return q
}

// count is how much there is of all queues.
func (m *model) count() (messages, blocks, keys, waiters int) {
	for _, q := range m.queues {
		for _, x := range slices.Concat(q.ready, q.aside) {
			messages++
			blocks += (len(x.Payload) + 255) / 256
		}
		keys += len(q.keys)
		waiters += len(q.waiters)
	}
	return messages, blocks, keys, waiters
}

func (m *model) respond(to wire.SessionID, r queue.Response) {
	m.out = append(m.out, sent{to, tidy(r)})
}

func (m *model) apply(session wire.SessionID, q queue.Request) []sent {
	m.out = nil
	if x := m.find(q.Queue); x != nil && q.Kind == queue.Put {
		if i := x.key(q.Key); i >= 0 && x.keys[i].until <= m.now { // if it were there, but for its being over
			before := x.keys
			x.keys = slices.Delete(slices.Clone(x.keys), i, i+1)
			if m.refusal(q) != 0 {
				x.keys = before
			}
		}
	}
	if reason := m.refusal(q); reason != 0 {
		m.respond(session, queue.Response{Kind: queue.Refused, Reason: reason, ID: q.ID})
		return m.out
	}
	switch q.Kind {
	case queue.Put:
		m.put(session, q)
	case queue.Lease:
		m.lease(session, q)
	case queue.Extend, queue.Delete, queue.Release:
		m.settle(session, q)
	default:
		m.manage(session, q)
	}
	return m.out
}

func badName(name []byte) bool {
	odd := func(c byte) bool { return c <= ' ' || c >= 0x7f }
	return len(name) == 0 || len(name) > 128 || slices.ContainsFunc(name, odd)
}

func (m *model) refusal(q queue.Request) fb.Reason {
	messages, blocks, keys, waiters := m.count()
	x := m.find(q.Queue)
	full := x == nil && len(m.queues) == m.limits.Queues
	switch {
	case q.Kind == queue.List:
	case badName(q.Queue):
		return fb.ReasonBadName
	case q.Kind == queue.Put:
		switch known := x != nil && len(q.Key) > 0 && x.key(q.Key) >= 0 && x.keys[x.key(q.Key)].until > m.now; {
		case len(q.Key) > 128:
			return fb.ReasonBadKey
		case len(q.Payload) > m.limits.Payload:
			return fb.ReasonBadPayload
		case full:
			return fb.ReasonTooManyQueues
		case known:
		case messages == m.limits.Messages:
			return fb.ReasonTooManyMessages
		case blocks+(len(q.Payload)+255)/256 > m.limits.Blocks:
			return fb.ReasonTooManyBytes
		case len(q.Key) > 0 && keys == m.limits.Keys:
			return fb.ReasonTooManyKeys
		}
		return 0
	case q.Kind == queue.Lease:
		switch {
		case q.Mode > 1:
			return fb.ReasonBadMode
		case q.Max > 64:
			return fb.ReasonBadCount
		case full:
			return fb.ReasonTooManyQueues
		case q.WaitMs > 0 && waiters == m.limits.Waiters && (x == nil || len(x.ready) == 0):
			return fb.ReasonTooManyWaiters
		}
		return 0
	case q.Kind == queue.Configure:
		return m.refuseConfigure(q, x)
	case x == nil:
		return fb.ReasonUnknownQueue
	case q.Kind == queue.Remove && m.inUse(x):
		return fb.ReasonInUse
	case q.Kind == queue.Extend || q.Kind == queue.Delete || q.Kind == queue.Release:
		switch at := x.message(q.ID); {
		case at == nil:
			return fb.ReasonUnknownMessage
		case at.Token != q.Token, q.Token == 0 && q.Kind != queue.Delete:
			return fb.ReasonStaleLease
		}
		return 0
	}
	if (q.Kind == queue.List || q.Kind == queue.Peek) && q.Max > 64 {
		return fb.ReasonBadCount
	}
	return 0
}

func (m *model) refuseConfigure(q queue.Request, x *modelQueue) fb.Reason {
	wanted := 0
	if x == nil {
		wanted++
	}
	if len(q.DeadLetter) > 0 {
		switch {
		case badName(q.DeadLetter):
			return fb.ReasonBadName
		case string(q.DeadLetter) == string(q.Queue):
			return fb.ReasonBadDeadLetter
		case m.find(q.DeadLetter) == nil:
			wanted++
		}
	}
	if len(m.queues)+wanted > m.limits.Queues {
		return fb.ReasonTooManyQueues
	}
	return 0
}

func (m *model) inUse(x *modelQueue) bool {
	for _, q := range m.queues {
		if q.dead == x.name {
			return true
		}
		for _, y := range slices.Concat(q.ready, q.aside) {
			if string(y.Origin) == x.name {
				return true
			}
		}
	}
	return len(x.ready)+len(x.aside)+len(x.waiters)+len(x.keys) > 0
}

func (x *modelQueue) key(text []byte) int {
	return slices.IndexFunc(x.keys, func(k modelKey) bool { return k.text == string(text) })
}

func (x *modelQueue) message(id uint64) *modelMessage {
	for _, y := range slices.Concat(x.ready, x.aside) {
		if y.ID == id {
			return y
		}
	}
	return nil
}

func (x *modelQueue) remove(y *modelMessage) {
	is := func(z *modelMessage) bool { return y == z }
	x.ready, x.aside = slices.DeleteFunc(x.ready, is), slices.DeleteFunc(x.aside, is)
}

func (m *model) put(session wire.SessionID, q queue.Request) {
	x := m.open(q.Queue)
	if i := x.key(q.Key); len(q.Key) > 0 && i >= 0 {
		x.seen.Duplicates++
		m.respond(session, queue.Response{Kind: queue.Stored, ID: x.keys[i].id, Duplicate: true})
		return
	}
	x.seen.Put++
	if len(q.Key) > 0 {
		x.keys = append(x.keys, modelKey{m.number, m.now + x.dedupMs*ms, string(q.Key)})
	}
	y := &modelMessage{queue.Message{ID: m.number, Put: m.now, Payload: some(q.Payload)}, x}
	if q.DeadlineMs > 0 {
		y.Deadline = m.now + q.DeadlineMs*ms
	}
	m.respond(session, queue.Response{Kind: queue.Stored, ID: y.ID})
	m.offer(y, q.DelayMs)
}

// offer makes a message ready, at once or later, and feeds those who wait.
func (m *model) offer(y *modelMessage, delayMs uint64) {
	x := y.queue
	y.Token, y.Until = 0, 0
	if delayMs > 0 {
		y.State, y.Until = fb.StateDelayed, m.now+delayMs*ms
		x.aside = append(x.aside, y)
		return
	}
	y.State = fb.StateReady
	x.ready = append(x.ready, y)
	for len(x.waiters) > 0 && len(x.ready) > 0 {
		w := x.waiters[0]
		r := m.deliver(x, w)
		if len(r.Messages) == 0 {
			continue
		}
		m.respond(w.session, r)
		x.waiters = x.waiters[1:]
	}
}

func (m *model) deliver(x *modelQueue, w *modelWaiter) queue.Response {
	r := queue.Response{Kind: queue.Leased, Request: w.Request.Request, Queue: []byte(x.name)}
	cost := 0
	for len(x.ready) > 0 && len(r.Messages) < int(max(w.Max, 1)) {
		y := x.ready[0]
		if w.DropLate && y.Deadline != 0 && y.Deadline <= m.now {
			x.ready = x.ready[1:]
			x.seen.Late++
			w.dropped++
			continue
		}
		if cost += len(y.Payload) + 256; cost > 56<<10 && len(r.Messages) > 0 {
			break
		}
		x.ready = x.ready[1:]
		y.Attempts++
		x.seen.Delivered++
		if w.Mode == fb.ModeAtLeastOnce {
			y.State, y.Token, y.Until = fb.StateLeased, m.number, m.now+cmp.Or(w.LeaseMs, x.leaseMs)*ms
			x.aside = append(x.aside, y)
		}
		r.Messages = append(r.Messages, y.Message)
	}
	r.Dropped = w.dropped
	return r
}

func (m *model) lease(session wire.SessionID, q queue.Request) {
	x := m.open(q.Queue)
	w := &modelWaiter{id: m.number, until: m.now + q.WaitMs*ms, session: session, Request: q}
	r := m.deliver(x, w)
	_, _, _, waiters := m.count()
	if len(r.Messages) == 0 && q.WaitMs > 0 && waiters < m.limits.Waiters {
		r.Waiting = true
		x.waiters = append(x.waiters, w)
	}
	m.respond(session, r)
}

// settle extends, deletes or releases.
func (m *model) settle(session wire.SessionID, q queue.Request) {
	x := m.find(q.Queue)
	y := x.message(q.ID)
	if q.Kind == queue.Extend {
		y.Until = m.now + cmp.Or(q.LeaseMs, x.leaseMs)*ms
		m.respond(session, queue.Response{Kind: queue.Extended, ID: q.ID, Until: y.Until})
		return
	}
	x.remove(y)
	if q.Kind == queue.Delete {
		x.seen.Deleted++
		m.respond(session, queue.Response{Kind: queue.Deleted, ID: q.ID})
		return
	}
	x.seen.Released++
	dead := x.attempts > 0 && y.Attempts >= x.attempts
	m.respond(session, queue.Response{Kind: queue.Released, ID: q.ID, Dead: dead})
	if dead {
		m.die(y)
	} else {
		m.offer(y, q.DelayMs)
	}
}

func (m *model) die(y *modelMessage) {
	y.queue.seen.Dead++
	if y.queue.dead != "" {
		y.Origin, y.Attempts = []byte(y.queue.name), 0
		y.queue = m.find([]byte(y.queue.dead))
		m.offer(y, 0)
	}
}

func (m *model) manage(session wire.SessionID, q queue.Request) {
	x := m.find(q.Queue)
	switch q.Kind {
	case queue.Configure:
		x = m.open(q.Queue)
		x.attempts, x.dead = q.MaxAttempts, string(q.DeadLetter)
		x.leaseMs, x.dedupMs = cmp.Or(q.LeaseMs, 30_000), cmp.Or(q.DedupMs, 300_000)
		if x.dead != "" {
			m.open(q.DeadLetter)
		}
		m.respond(session, queue.Response{Kind: queue.Configured})
	case queue.Remove:
		m.queues = slices.DeleteFunc(m.queues, func(y *modelQueue) bool { return x == y })
		m.respond(session, queue.Response{Kind: queue.Removed})
	case queue.Stats:
		c := x.seen
		for _, y := range x.aside {
			if y.State == fb.StateLeased {
				c.Leased++
			} else {
				c.Delayed++
			}
		}
		c.Ready, c.Waiting, c.Keys = uint64(len(x.ready)), uint64(len(x.waiters)), uint64(len(x.keys))
		c.MaxAttempts, c.LeaseMs, c.DedupMs = x.attempts, x.leaseMs, x.dedupMs
		m.respond(session, queue.Response{
			Kind: queue.Counted, Queue: []byte(x.name), DeadLetter: []byte(x.dead), Counts: c,
		})
	case queue.List:
		r := queue.Response{Kind: queue.Listed}
		for _, y := range m.queues {
			if y.name > string(q.After) && len(r.Names) < int(cmp.Or(q.Max, 64)) {
				r.Names = append(r.Names, []byte(y.name))
			}
		}
		m.respond(session, r)
	case queue.Peek:
		r := queue.Response{Kind: queue.Peeked}
		from := x.ready
		if q.Aside {
			from = x.aside
		}
		for _, y := range from[:min(len(from), int(max(q.Max, 1)))] {
			r.Messages = append(r.Messages, y.Message)
		}
		m.respond(session, r)
	}
}

func (m *model) end(session wire.SessionID) {
	for _, q := range m.queues {
		q.waiters = slices.DeleteFunc(q.waiters, func(w *modelWaiter) bool { return w.session == session })
	}
}

// falling is something that falls due.
type falling struct {
	until, id uint64
	happen    func()
}

// due lets everything happen that is due now.
func (m *model) due() []sent {
	m.out = nil
	for {
		var all []falling
		for _, q := range m.queues {
			for _, y := range q.aside {
				all = append(all, falling{y.Until, y.ID << 2, func() { m.over(y) }})
			}
			for _, k := range q.keys {
				all = append(all, falling{k.until, k.id<<2 | 1, func() {
					q.keys = slices.DeleteFunc(q.keys, func(x modelKey) bool { return x == k })
				}})
			}
			for _, w := range q.waiters {
				all = append(all, falling{w.until, w.id<<2 | 2, func() {
					q.waiters = slices.DeleteFunc(q.waiters, func(x *modelWaiter) bool { return x == w })
					m.respond(w.session, queue.Response{
						Kind: queue.Leased, Request: w.Request.Request, Queue: []byte(q.name), Dropped: w.dropped,
					})
				}})
			}
		}
		if len(all) == 0 {
			return m.out
		}
		first := slices.MinFunc(all, func(a, b falling) int {
			return cmp.Or(cmp.Compare(a.until, b.until), cmp.Compare(a.id, b.id))
		})
		if first.until > m.now {
			return m.out
		}
		first.happen()
	}
}

// over ends the delay or the lease of a message.
func (m *model) over(y *modelMessage) {
	x := y.queue
	x.remove(y)
	if y.State == fb.StateLeased {
		x.seen.Expired++
		if x.attempts > 0 && y.Attempts >= x.attempts {
			m.die(y)
			return
		}
	}
	m.offer(y, 0)
}
