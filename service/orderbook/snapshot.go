package orderbook

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lockstep/service"
	"lockstep/service/orderbook/match"
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

// writer writes numbers and keeps the first error.
type writer struct {
	w   *bufio.Writer
	err error
}

func (w *writer) put(values ...uint64) {
	var b [8]byte
	for _, v := range values {
		binary.LittleEndian.PutUint64(b[:], v)
		if w.err == nil {
			_, w.err = w.w.Write(b[:])
		}
	}
}

// Snapshot implements service.Service.
func (b *Book) Snapshot(out io.Writer) error {
	w := writer{w: bufio.NewWriterSize(out, 64<<10)}
	w.put(snapshotMagic)
	if w.err == nil {
		w.err = b.engine.Snapshot(w.w)
	}
	w.put(uint64(b.parties.count()))
	for _, p := range b.parties.sorted() {
		flags := uint64(0)
		if p.stay {
			flags = 1
		}
		if p.bound {
			flags |= 2
		}
		w.put(uint64(p.session), uint64(p.account), flags)
	}
	b.subscribers.snapshot(&w)
	if w.err == nil {
		w.err = b.deadlines.Snapshot(w.w)
	}
	w.put(b.Hash())
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if w.err != nil {
		return fmt.Errorf("orderbook: snapshot: %w", w.err)
	}
	return nil
}

func (t *subscribers) snapshot(w *writer) {
	w.put(uint64(t.some))
	for i := range t.list {
		s := &t.list[i]
		if s.session == 0 {
			continue
		}
		all := uint64(0)
		if s.all {
			all = 1
		}
		w.put(uint64(i), uint64(s.session), all, uint64(s.some))
		for id := range match.Instrument(len(s.wanted) * 64) {
			if s.wanted[id/64]>>(id%64)&1 != 0 {
				w.put(uint64(id))
			}
		}
	}
}

// reader reads numbers and keeps the first error: from then on they are 0.
type reader struct {
	r   io.Reader
	err error
}

func (r *reader) get() uint64 {
	var b [8]byte
	if r.err == nil {
		if _, err := io.ReadFull(r.r, b[:]); err != nil {
			r.err, b = fmt.Errorf("%w: it is cut off: %w", ErrSnapshot, err), [8]byte{}
		}
	}
	return binary.LittleEndian.Uint64(b[:])
}

// want notes an error unless something holds.
func (r *reader) want(holds bool, format string, args ...any) bool {
	if r.err == nil && !holds {
		r.err = fmt.Errorf("%w: %s", ErrSnapshot, fmt.Sprintf(format, args...))
	}
	return r.err == nil
}

// Restore implements service.Service.
func (b *Book) Restore(in io.Reader) error {
	b.clear()
	r := reader{r: in}
	if magic := r.get(); !r.want(magic == snapshotMagic, "magic %#x", magic) {
		return r.err
	}
	if err := b.engine.Restore(in); err != nil {
		why := ErrSnapshot
		if errors.Is(err, match.ErrUnsuited) {
			why = service.ErrUnsuited
		}
		return fmt.Errorf("%w: %w", why, err)
	}
	b.parties.restore(&r)
	b.subscribers.restore(&r, b)
	if r.err != nil {
		return r.err
	}
	if err := b.deadlines.Restore(in); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	b.checkDeadlines(&r)
	hash := r.get()
	r.want(hash == b.Hash(), "hash %#x, the book that it makes has %#x", hash, b.Hash())
	return r.err
}

func (t *parties) restore(r *reader) {
	n := r.get()
	r.want(n <= maxParties, "%d sessions", n)
	last := wire.SessionID(0)
	for i := uint64(0); i < n && r.err == nil; i++ {
		session, account, flags := wire.SessionID(r.get()), match.Account(r.get()), r.get()
		p := party{session: session, account: account, stay: flags&1 != 0, bound: flags&2 != 0}
		_, taken := t.byAccount.get(uint64(account))
		r.want(session > last, "session %x behind %x", uint64(session), uint64(last))
		r.want(flags <= 3, "flags %#x of session %x", flags, uint64(session))
		r.want(p.bound == (account != 0) && (p.bound || !p.stay), "session %x is bound to %d, flags %d", uint64(session),
			account, flags)
		r.want(account < ownAccount || account == OwnAccount(session) && !p.stay, "session %x is bound to %x", uint64(session),
			uint64(account))
		if r.want(!p.bound || !taken, "two sessions are bound to %x", uint64(account)) {
			t.add(p)
		}
		last = session
	}
}

func (t *subscribers) restore(r *reader, b *Book) {
	n := r.get()
	r.want(n <= MaxSubscribers, "%d subscribers", n)
	above := uint64(0)
	for i := uint64(0); i < n && r.err == nil; i++ {
		place, session, all, some := r.get(), wire.SessionID(r.get()), r.get(), r.get()
		_, known := b.parties.bySession.get(uint64(session))
		r.want(place >= above && place < MaxSubscribers, "subscriber at place %d", place)
		r.want(session != 0 && known && t.find(session) == nil, "session %x is subscribed", uint64(session))
		if !r.want(all <= 1 && all+some > 0 && some <= uint64(b.options.MaxInstruments), "%d, %d subscriptions", all, some) {
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
			id := r.get()
			if !r.want(id > last && id <= uint64(b.options.MaxInstruments), "subscription to %d behind %d", id, last) {
				return
			}
			t.on(session, match.Instrument(id))
			last = id
		}
	}
}

// checkDeadlines wants the deadlines that the engine's state asks for, and no others.
func (b *Book) checkDeadlines(r *reader) {
	_, goesOn := b.deadlines.Deadline(deadlineContinue)
	expiry, expires := b.deadlines.Deadline(deadlineExpiry)
	at, some := b.engine.NextExpiry()
	n := 0
	for _, set := range []bool{goesOn, expires} {
		if set {
			n++
		}
	}
	r.want(goesOn == b.engine.Pending() && expires == some && (!some || expiry == at) && n == b.deadlines.Len(),
		"deadlines: %d of them, to go on %v, expiry %d %v; the engine wants %v, %d %v", b.deadlines.Len(), goesOn, expiry,
		expires,
		b.engine.Pending(), at, some)
}
