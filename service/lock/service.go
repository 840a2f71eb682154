package lock

import (
	"bytes"

	"lockstep/internal/simbug"
	"lockstep/internal/watch"
	"lockstep/service"
	"lockstep/wire"
)

const nsPerMs = 1e6

// Name implements service.Service.
func (t *Table) Name() string { return "lock" }

// Hash implements service.Service.
func (t *Table) Hash() uint64 {
	h := service.Mix(service.Mix(0, t.numbers), uint64(t.all.count))
	return service.Mix(service.Mix(h, t.watches.Hash()), t.sum)
}

// Memory is how many holds there are, of how many.
func (t *Table) Memory() (used, limit uint64) { return uint64(t.all.count), uint64(t.options.MaxHolds) }

// Apply implements service.Service.
func (t *Table) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	q := &t.request
	t.spent = 0
	t.deadlines.Rearm(ctx) // the record of its timer may have been passed over
	i, refusal := t.judge(ctx, r, payload, false)
	if refusal != nil {
		t.respond(ctx, r.Session, refusal)
		return
	}
	switch q.Command {
	case Acquire, Announce:
		t.enter(ctx, r.Session, q)
	case Renew:
		h := &t.holds[i]
		if q.TTLMs != 0 {
			h.ttl = q.TTLMs * nsPerMs
		}
		if !simbug.On(simbug.RenewInVain) {
			t.expire(ctx, i, h.end(ctx))
		}
		t.rehash(h)
		t.respond(ctx, r.Session, encodeRenewed(t.builder, h.end(ctx)))
	case SetValue:
		t.setValue(ctx, r.Session, i, q.Value)
	case Release:
		t.respond(ctx, r.Session, encodeDone(t.builder))
		if t.holds[i].kind == waiter {
			t.remove(ctx, i)
		} else {
			t.release(ctx, i, ChangeReleased)
		}
	case Get:
		t.respond(ctx, r.Session, t.state(ctx, q))
	case List:
		t.respond(ctx, r.Session, t.listNames(ctx, q))
	case Subscribe:
		if w := (watch.Watch{Session: r.Session, Exact: !q.Prefix, Key: q.Name}); q.On {
			t.watches.Add(w)
		} else {
			t.watches.Remove(w)
		}
		t.respond(ctx, r.Session, encodeSubscribed(t.builder, q.On, r.Sequence))
	}
}

// Check implements service.Checker. A lock that is held is refused even to who would wait for it: nothing is done
// while it is not his.
func (t *Table) Check(ctx *service.Context, r *wire.Record, payload []byte) (refusal []byte) {
	_, refusal = t.judge(ctx, r, payload, true)
	return refusal
}

// judge reads a request, and returns why it is refused, or nil and the hold that it is about, if it is about one.
func (t *Table) judge(ctx *service.Context, r *wire.Record, payload []byte, now bool) (i uint32, refusal []byte) {
	q := &t.request
	ctx.Count(1)
	if !DecodeRequest(payload, q) {
		return 0, encodeRefused(t.builder, ReasonMalformed, nil, 0, nil)
	}
	if reason := t.sound(r.Session, q); reason != ReasonNone {
		return 0, encodeRefused(t.builder, reason, nil, 0, nil)
	}
	l := t.find(q.Name)
	reason := ReasonNone
	switch q.Command {
	case Acquire:
		reason = t.mayAcquire(r.Session, q, l, now)
	case Announce:
		if !t.room(r.Session, q.Keep) || l != nil && l.announced.count >= t.options.MaxAnnounced {
			reason = ReasonTooManyHolds
		}
	case Renew, SetValue, Release:
		if i = t.byToken(ctx, l, q); i == 0 {
			reason = ReasonUnknownToken
		}
	}
	if reason == ReasonNone {
		return i, nil
	}
	return 0, encodeRefused(t.builder, reason, q.Name, 0, t.holderOf(l))
}

// sound says what is wrong with a request, whatever locks there are.
func (t *Table) sound(session wire.SessionID, q *Request) Reason {
	prefix := q.Command == List || q.Command == Subscribe && q.Prefix
	kept := q.Command == Acquire || q.Command == Announce
	switch {
	case len(q.Name) > MaxName || len(q.Name) == 0 && !prefix || len(q.After) > MaxName:
		return ReasonBadName
	case len(q.Value) > MaxValue:
		return ReasonValueTooLong
	case q.TTLMs > MaxTimeMs || q.WaitMs > MaxTimeMs || kept && q.Keep && q.TTLMs == 0:
		return ReasonBadTime
	case q.Command == Subscribe && q.On && !t.watches.Fits(watch.Watch{Session: session, Exact: !q.Prefix, Key: q.Name}):
		return ReasonTooManySubscriptions
	}
	return ReasonNone
}

// mayAcquire says why a lock is refused; now: also if it had to be waited for.
func (t *Table) mayAcquire(session wire.SessionID, q *Request, l *lock, now bool) Reason {
	held := l != nil && l.holder != 0 && !simbug.On(simbug.GrantTwice)
	switch {
	case held && (q.WaitMs == 0 || now):
		return ReasonHeld
	case held && l.waiting.count >= t.options.MaxWaiting:
		return ReasonTooManyWaiting
	case !t.room(session, q.Keep && !held):
		return ReasonTooManyHolds
	}
	return ReasonNone
}

// room says whether there may be one more hold, which is kept beyond its session or not.
func (t *Table) room(session wire.SessionID, kept bool) bool {
	if t.all.count >= t.options.MaxHolds {
		return false
	}
	own := t.owned(session)
	return kept || own == nil || own.count < t.options.MaxSession
}

// holderOf is who holds a lock, or nil.
func (t *Table) holderOf(l *lock) *hold {
	if l == nil || l.holder == 0 {
		return nil
	}
	return &t.holds[l.holder]
}

// byToken finds the hold that a request names, of those that are not to be released anyway; 0: there is none.
func (t *Table) byToken(ctx *service.Context, l *lock, q *Request) uint32 {
	if l == nil {
		return 0
	}
	if h := t.holderOf(l); h != nil && h.token == q.Token && !h.ended {
		return l.holder
	}
	if i := t.byTokenIn(ctx, &l.announced, q.Token); i != 0 {
		return i
	}
	if q.Command != Release {
		return 0
	}
	return t.byTokenIn(ctx, &l.waiting, q.Token)
}

func (t *Table) byTokenIn(ctx *service.Context, l *list, token uint64) uint32 {
	ctx.Count(l.count)
	for i := l.head; i != 0; i = t.holds[i].next[ofLock] {
		if h := &t.holds[i]; h.token == token && !h.ended {
			return i
		}
	}
	return 0
}

// respond answers, or tells, and counts it.
func (t *Table) respond(ctx *service.Context, session wire.SessionID, payload []byte) {
	t.spent += len(payload) + holdBytes
	ctx.Respond(session, payload)
}

// end is when a hold that is granted or renewed now runs out; 0: never.
func (h *hold) end(ctx *service.Context) uint64 {
	if h.ttl == 0 {
		return 0
	}
	return ctx.Timestamp() + h.ttl
}

// enter grants a lock, or has the session wait for it, or makes an announcement.
func (t *Table) enter(ctx *service.Context, session wire.SessionID, q *Request) {
	t.numbers++
	x := hold{
		kind: holder, keep: q.Keep, lock: t.lockOf(q.Name), number: t.numbers, token: ctx.Sequence(),
		session: session, ttl: q.TTLMs * nsPerMs,
	}
	x.expires = x.end(ctx)
	l := &t.locks[x.lock]
	switch {
	case q.Command == Announce:
		x.kind = announcement
	case l.holder != 0 && !simbug.On(simbug.GrantTwice):
		x.kind = waiter
		x.expires = ctx.Timestamp() + q.WaitMs*nsPerMs
		t.respond(ctx, session, encodeWaiting(t.builder, x.token, l.waiting.count, &t.holds[l.holder]))
		t.add(ctx, x, q.Value)
		return
	}
	i := t.add(ctx, x, q.Value)
	t.respond(ctx, session, encodeGranted(t.builder, q.Name, &t.holds[i], 0))
	t.tell(ctx, i, ChangeGranted)
}

func (t *Table) setValue(ctx *service.Context, session wire.SessionID, i uint32, value []byte) {
	h := &t.holds[i]
	if !t.blocks.Holds(h.value, len(value)) {
		t.blocks.Give(h.value)
		h.value = t.blocks.Take(len(value))
	}
	h.value = h.value[:copy(h.value[:len(value)], value)]
	t.rehash(h)
	t.respond(ctx, session, encodeDone(t.builder))
	t.tell(ctx, i, ChangeValueSet)
}

// release ends a hold that is not one that waits. Who waits longest for the lock has it then.
func (t *Table) release(ctx *service.Context, i uint32, change Change) {
	t.tell(ctx, i, change)
	l, held := t.holds[i].lock, t.holds[i].kind == holder
	t.remove(ctx, i)
	if held && t.locks[l].waiting.count > 0 {
		t.promote(ctx, t.locks[l].waiting.head)
	}
}

// promote grants a lock to who waits for it.
func (t *Table) promote(ctx *service.Context, i uint32) {
	h := &t.holds[i]
	l := &t.locks[h.lock]
	t.pull(&l.waiting, ofLock, i)
	if h.keep {
		t.disown(i)
	}
	waited := h.token
	l.holder, h.kind = i, holder
	if !simbug.On(simbug.ReuseToken) {
		h.token = ctx.Sequence()
	}
	t.expire(ctx, i, h.end(ctx))
	t.rehash(h)
	t.respond(ctx, h.session, encodeGranted(t.builder, l.name, h, waited))
	t.tell(ctx, i, ChangeGranted)
}

// tell tells all who subscribed of a change.
func (t *Table) tell(ctx *service.Context, i uint32, change Change) {
	h := &t.holds[i]
	name := t.locks[h.lock].name
	ctx.Count(1 + t.watches.Len())
	t.spent += 8 * (1 + t.watches.Len())
	concerned := t.watches.Concerned(name)
	if concerned == 0 {
		return
	}
	value := concerned*(len(name)+len(h.value)+holdBytes) <= maxEventBytes
	event := encodeChanged(t.builder, name, change, h, value)
	for session := t.watches.After(0, name); session != 0; session = t.watches.After(session, name) {
		t.respond(ctx, session, event)
	}
}

// state says what a name stands for, with the announcements above a token.
func (t *Table) state(ctx *service.Context, q *Request) []byte {
	l := t.find(q.Name)
	t.builder.Reset()
	t.list = t.list[:0]
	if l == nil {
		return encodeState(t.builder, &lock{}, nil, t.list, false)
	}
	ctx.Count(l.announced.count)
	size, more := 0, false
	for i := l.announced.head; i != 0; i = t.holds[i].next[ofLock] {
		h := &t.holds[i]
		if h.token <= q.Token {
			continue
		}
		if size += len(h.value) + holdBytes; len(t.list) == maxListed || size > maxListBytes {
			more = true
			break
		}
		t.list = append(t.list, encodeHolder(t.builder, h, true))
	}
	return encodeState(t.builder, l, t.holderOf(l), t.list, more)
}

// listNames lists the names that a List asks for.
func (t *Table) listNames(ctx *service.Context, q *Request) []byte {
	t.builder.Reset()
	t.list = t.list[:0]
	limit, size, more := maxListed, 0, false
	if q.Limit != 0 && q.Limit < maxListed {
		limit = int(q.Limit)
	}
	from := q.Name
	if bytes.Compare(q.After, from) > 0 {
		from = q.After
	}
	for c := t.names.Seek(from); ; c.Next() {
		id, ok := c.ID()
		if !ok || !bytes.HasPrefix(t.locks[id].name, q.Name) {
			break
		}
		ctx.Count(1)
		l := &t.locks[id]
		if len(q.After) > 0 && bytes.Equal(l.name, q.After) {
			continue
		}
		h := t.holderOf(l)
		if size += len(l.name) + holdBytes; h != nil {
			size += len(h.value) + holdBytes
		}
		if len(t.list) == limit || size > maxListBytes {
			more = true
			break
		}
		t.list = append(t.list, encodeName(t.builder, l, h))
	}
	return encodeNames(t.builder, t.list, more)
}
