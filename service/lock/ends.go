package lock

import (
	"lockstep/service"
	"lockstep/wire"
)

// OnTimer releases what has run out, as far as it fits into one record.
func (t *Table) OnTimer(ctx *service.Context, timer, _ uint64) {
	if !t.deadlines.Owns(timer) {
		return
	}
	for t.spent = 0; t.spent < maxEventBytes; {
		id, _, ok := t.deadlines.Next(ctx)
		if !ok {
			break
		}
		i := uint32(id & (1<<indexBits - 1))
		h := &t.holds[i]
		switch {
		case h.kind == waiter:
			l := &t.locks[h.lock]
			t.respond(ctx, h.session, encodeRefused(t.builder, ReasonTimedOut, l.name, h.token, t.holderOf(l)))
			t.remove(ctx, i)
		case h.ended:
			t.release(ctx, i, ChangeSessionEnded)
		default:
			t.release(ctx, i, ChangeExpired)
		}
	}
	t.deadlines.Rearm(ctx)
}

// OnSession ends what a session has that ends: it waits no longer and hears of nothing, and its holds are released, as
// far as what that causes fits into the record. Timers release the rest at once.
func (t *Table) OnSession(ctx *service.Context, session wire.SessionID, opened bool) {
	own := t.owned(session)
	if opened {
		return
	}
	t.watches.Forget(session)
	if own == nil {
		return
	}
	ctx.Count(own.count)
	next := uint32(0)
	for i := own.head; i != 0; i = next {
		next = t.holds[i].next[ofSession]
		if t.holds[i].kind == waiter {
			t.remove(ctx, i)
		}
	}
	t.spent = 0
	for own = t.owned(session); own != nil; own = t.owned(session) {
		i := own.head
		if t.spent < maxEventBytes {
			t.release(ctx, i, ChangeSessionEnded)
			continue
		}
		t.disown(i)
		h := &t.holds[i]
		h.ended = true
		t.expire(ctx, i, ctx.Timestamp())
		t.rehash(h)
	}
}
