package lock

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"lockstep/service"
	"lockstep/service/slab"
	"lockstep/wire"
)

// Layout of a snapshot, little-endian. Holds ascend by number, so that equal tables give equal bytes.
//
//	magic u64 | max holds u32 | of a session u32 | waiting u32 | announced u32 | subscriptions u32
//	holds u32 | numbers u64
//	holds times: number u64 | token u64 | session u64 | ttl u64 | expires u64
//	             | kind u8 | flags u8 (1: keep, 2: ended) | name length u16 | value length u16 | 0 u16 | name | value
//	subscriptions, as internal/watch writes them
//	hash u64 (of the table, as Hash has it)
const snapshotMagic = 0x31303030_4b434f4c // "LOCK0001"

// ErrSnapshot says that a snapshot cannot be restored.
var ErrSnapshot = errors.New("lock: unusable snapshot")

// head is what a snapshot must have in common with the table.
func (t *Table) head() [5]uint32 {
	o := &t.options
	return [5]uint32{uint32(o.MaxHolds), uint32(o.MaxSession), uint32(o.MaxWaiting), uint32(o.MaxAnnounced),
		uint32(o.MaxSubscriptions)}
}

// Snapshot implements service.Service.
func (t *Table) Snapshot(to io.Writer) error {
	w := slab.NewWriter(to)
	w.Uint64(snapshotMagic)
	for _, n := range t.head() {
		w.Uint32(n)
	}
	w.Uint32(uint32(t.all.count))
	w.Uint64(t.numbers)
	for i := t.all.head; i != 0 && !w.Failed(); i = t.holds[i].next[ofAll] {
		h := &t.holds[i]
		h.write(w, t.locks[h.lock].name)
	}
	err := t.watches.Snapshot(w)
	w.Uint64(t.Hash())
	if err = cmp.Or(err, w.Flush()); err != nil {
		return fmt.Errorf("lock: snapshot: %w", err)
	}
	return nil
}

func (h *hold) write(w *slab.Writer, name []byte) {
	for _, n := range [...]uint64{h.number, h.token, uint64(h.session), h.ttl, h.expires} {
		w.Uint64(n)
	}
	flags := uint8(0)
	if h.keep {
		flags |= 1
	}
	if h.ended {
		flags |= 2
	}
	w.Uint8(uint8(h.kind))
	w.Uint8(flags)
	w.Uint16(uint16(len(name)))
	w.Uint16(uint16(len(h.value)))
	w.Uint16(0)
	w.Bytes(name)
	w.Bytes(h.value)
}

// Restore implements service.Service.
func (t *Table) Restore(from io.Reader) error {
	t.clear()
	r := slab.NewReader(from)
	if magic := r.Uint64(); r.Err == nil && magic != snapshotMagic {
		return fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	}
	head := [...]uint32{r.Uint32(), r.Uint32(), r.Uint32(), r.Uint32(), r.Uint32()}
	if r.Err == nil && head != t.head() {
		return fmt.Errorf("%w: %w: it is not one of a table with these options (%+v)", ErrSnapshot, service.ErrUnsuited,
			t.options)
	}
	t.readHolds(r)
	if r.Err == nil {
		r.Fail(t.watches.Restore(r))
	}
	if hash := r.Uint64(); r.Err == nil && hash != t.Hash() {
		r.Fail(fmt.Errorf("hash %016x after restoring, %016x when it was written", t.Hash(), hash))
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return nil
}

func (t *Table) readHolds(r *slab.Reader) {
	count := r.Uint32()
	if count > uint32(t.options.MaxHolds) {
		r.Fail(fmt.Errorf("%d holds, of %d at most", count, t.options.MaxHolds))
	}
	t.numbers = r.Uint64()
	before := uint64(0)
	for n := uint32(0); n < count && r.Err == nil; n++ {
		before = t.readHold(r, n, before)
	}
	if before > t.numbers {
		r.Fail(fmt.Errorf("a hold has the number %d, of %d given out", before, t.numbers))
	}
	if r.Err == nil {
		r.Fail(t.checkHeld())
	}
}

// readHold puts the next hold in, whose number is above the one before, and returns that.
func (t *Table) readHold(r *slab.Reader, n uint32, before uint64) (number uint64) {
	var bytes [MaxName + MaxValue]byte
	x := hold{number: r.Uint64(), token: r.Uint64(), session: wire.SessionID(r.Uint64()), ttl: r.Uint64(),
		expires: r.Uint64(), kind: kind(r.Uint8())}
	flags, nameLen, valueLen, rest := r.Uint8(), int(r.Uint16()), int(r.Uint16()), r.Uint16()
	x.keep, x.ended = flags&1 != 0, flags&2 != 0
	if r.Err == nil && (nameLen == 0 || nameLen > MaxName || valueLen > MaxValue || flags > 3 || rest != 0) {
		r.Fail(fmt.Errorf("hold %d has a name of %d bytes, a value of %d, flags %d", n, nameLen, valueLen, flags))
	}
	if r.Err != nil {
		return 0
	}
	both := r.Bytes(bytes[:nameLen+valueLen])
	if x.number <= before {
		r.Fail(fmt.Errorf("hold %d has the number %d behind %d", n, x.number, before))
	}
	if r.Err != nil {
		return 0
	}
	x.lock = t.lockOf(both[:nameLen])
	if problem := t.unfit(&x); problem != "" {
		r.Fail(fmt.Errorf("hold %d %s", n, problem))
		return 0
	}
	t.add(nil, x, both[nameLen:])
	return x.number
}

// unfit says what is wrong with a hold in a snapshot.
func (t *Table) unfit(x *hold) string {
	l := &t.locks[x.lock]
	own := t.owned(x.session)
	switch {
	case x.kind < holder || x.kind > announcement || x.number >= 1<<(64-indexBits):
		return "is of no kind, or has no number that can be"
	case x.token == 0 || x.session == 0 || x.ttl > MaxTimeMs*nsPerMs || x.ttl%nsPerMs != 0:
		return "has no token, no session, or a time to live that cannot be"
	case x.ended && (x.keep || x.kind == waiter || x.expires == 0) || x.keep && x.ttl == 0:
		return "is kept, or waits, and has ended; or is kept for ever"
	case (x.expires == 0) != (x.ttl == 0) && !x.ended && x.kind != waiter || x.kind == waiter && x.expires == 0:
		return "does not run out, and should, or does, and should not"
	case x.kind == holder && l.holder != 0:
		return "is the second holder of its lock"
	case x.kind == waiter && l.waiting.count >= t.options.MaxWaiting,
		x.kind == announcement && l.announced.count >= t.options.MaxAnnounced:
		return "is one more than there may be under its name"
	case x.kind == waiter && l.waiting.count > 0 && t.holds[l.waiting.tail].token >= x.token,
		x.kind == announcement && l.announced.count > 0 && t.holds[l.announced.tail].token >= x.token:
		return "stands behind one with a later token"
	case own != nil && own.count >= t.options.MaxSession && (!x.keep && !x.ended || x.kind == waiter):
		return "is one more than its session may have"
	}
	return ""
}

// checkHeld sees to what release relies on: nobody waits for a lock that is free.
func (t *Table) checkHeld() error {
	for i := t.all.head; i != 0; i = t.holds[i].next[ofAll] {
		if h := &t.holds[i]; h.kind == waiter && t.locks[h.lock].holder == 0 {
			return fmt.Errorf("hold %d waits for a lock that is free", h.number)
		}
	}
	return nil
}

var (
	_ service.Timed   = (*Table)(nil)
	_ service.Checker = (*Table)(nil)
	_ service.Sized   = (*Table)(nil)
)
