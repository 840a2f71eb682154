package orderbook

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"lockstep/service"
	"lockstep/service/orderbook/match"
	"lockstep/service/slab"
	"lockstep/wire"
)

// Layout of a snapshot, little-endian; each list in an order that the state alone gives, so that equal books give equal
// bytes:
//
//	magic u64
//	the engine's own (package match)
//	parties u64, each, by ascending session: session u64 | account u64 | flags u64 (1: stay, 2: bound)
//	subscribers u64, each, by place: place u64 | session u64 | all u64 | instruments u64, each, ascending: number u64
//	the deadlines (service.Deadlines)
//	hash u64 (of the book, as Hash has it)
const snapshotMagic = 0x32303030_4b4f4f42 // "BOOK0002"

// maxParties is more sessions than there can ever be: a snapshot that says so is damaged.
const maxParties = 1 << 24

// ErrSnapshot says that a snapshot cannot be restored.
var ErrSnapshot = errors.New("orderbook: unusable snapshot")

func put(w *slab.Writer, values ...uint64) {
	for _, v := range values {
		w.Uint64(v)
	}
}

// Snapshot implements service.Service.
func (b *Book) Snapshot(to io.Writer) error {
	w := slab.NewWriter(to)
	w.Uint64(snapshotMagic)
	err := b.engine.Snapshot(w)
	w.Uint64(uint64(b.parties.count()))
	for _, p := range b.parties.sorted() {
		flags := uint64(0)
		if p.stay {
			flags = 1
		}
		if p.bound {
			flags |= 2
		}
		put(w, uint64(p.session), uint64(p.account), flags)
	}
	b.subscribers.snapshot(w)
	err = cmp.Or(err, b.deadlines.Snapshot(w))
	w.Uint64(b.Hash())
	if err = cmp.Or(err, w.Flush()); err != nil {
		return fmt.Errorf("orderbook: snapshot: %w", err)
	}
	return nil
}

func (t *subscribers) snapshot(w *slab.Writer) {
	w.Uint64(uint64(t.some))
	for i := range t.list {
		s := &t.list[i]
		if s.session == 0 {
			continue
		}
		all := uint64(0)
		if s.all {
			all = 1
		}
		put(w, uint64(i), uint64(s.session), all, uint64(s.some))
		for id := range match.Instrument(len(s.wanted) * 64) {
			if s.wanted[id/64]>>(id%64)&1 != 0 {
				w.Uint64(uint64(id))
			}
		}
	}
}

// want has a snapshot fail unless something holds.
func want(r *slab.Reader, holds bool, format string, args ...any) bool {
	if r.Err == nil && !holds {
		r.Fail(fmt.Errorf(format, args...))
	}
	return r.Err == nil
}

// Restore implements service.Service.
func (b *Book) Restore(from io.Reader) error {
	b.clear()
	r := slab.NewReader(from)
	if magic := r.Uint64(); want(r, magic == snapshotMagic, "magic %#x", magic) {
		err := b.engine.Restore(r)
		if errors.Is(err, match.ErrUnsuited) {
			return fmt.Errorf("%w: %w", service.ErrUnsuited, err)
		}
		r.Fail(err)
	}
	b.parties.restore(r)
	b.subscribers.restore(r, b)
	if r.Err == nil {
		r.Fail(b.deadlines.Restore(r))
	}
	if r.Err == nil {
		b.checkDeadlines(r)
	}
	if hash := r.Uint64(); r.Err == nil && hash != b.Hash() {
		r.Fail(fmt.Errorf("hash %#x, the book that it makes has %#x", hash, b.Hash()))
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return nil
}

func (t *parties) restore(r *slab.Reader) {
	n := r.Uint64()
	want(r, n <= maxParties, "%d sessions", n)
	last := wire.SessionID(0)
	for i := uint64(0); i < n && r.Err == nil; i++ {
		session, account, flags := wire.SessionID(r.Uint64()), match.Account(r.Uint64()), r.Uint64()
		p := party{session: session, account: account, stay: flags&1 != 0, bound: flags&2 != 0}
		_, taken := t.byAccount.get(uint64(account))
		want(r, session > last, "session %x behind %x", uint64(session), uint64(last))
		want(r, flags <= 3, "flags %#x of session %x", flags, uint64(session))
		want(r, p.bound == (account != 0) && (p.bound || !p.stay), "session %x is bound to %d, flags %d", uint64(session),
			account, flags)
		want(r, account < ownAccount || account == OwnAccount(session) && !p.stay, "session %x is bound to %x",
			uint64(session), uint64(account))
		if want(r, !p.bound || !taken, "two sessions are bound to %x", uint64(account)) {
			t.add(p)
		}
		last = session
	}
}

func (t *subscribers) restore(r *slab.Reader, b *Book) {
	n := r.Uint64()
	want(r, n <= MaxSubscribers, "%d subscribers", n)
	above := uint64(0)
	for i := uint64(0); i < n && r.Err == nil; i++ {
		place, session, all, some := r.Uint64(), wire.SessionID(r.Uint64()), r.Uint64(), r.Uint64()
		_, known := b.parties.bySession.get(uint64(session))
		want(r, place >= above && place < MaxSubscribers, "subscriber at place %d", place)
		want(r, session != 0 && known && t.find(session) == nil, "session %x is subscribed", uint64(session))
		if !want(r, all <= 1 && all+some > 0 && some <= uint64(b.options.MaxInstruments), "%d, %d subscriptions", all,
			some) {
			return
		}
		above = place + 1
		s := &t.list[place]
		s.session = session
		t.some++
		if all == 1 {
			t.on(session, 0)
		}
		last := uint64(0)
		for range some {
			id := r.Uint64()
			if !want(r, id > last && id <= uint64(b.options.MaxInstruments), "subscription to %d behind %d", id, last) {
				return
			}
			t.on(session, match.Instrument(id))
			last = id
		}
	}
}

// checkDeadlines wants the deadlines that the engine's state asks for, and no others.
func (b *Book) checkDeadlines(r *slab.Reader) {
	_, goesOn := b.deadlines.Deadline(deadlineContinue)
	expiry, expires := b.deadlines.Deadline(deadlineExpiry)
	at, some := b.engine.NextExpiry()
	n := 0
	for _, set := range []bool{goesOn, expires} {
		if set {
			n++
		}
	}
	want(r, goesOn == b.engine.Pending() && expires == some && (!some || expiry == at) && n == b.deadlines.Len(),
		"deadlines: %d of them, to go on %v, expiry %d %v; the engine wants %v, %d %v", b.deadlines.Len(), goesOn, expiry,
		expires,
		b.engine.Pending(), at, some)
}
