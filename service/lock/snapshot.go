package lock

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lockstep/service"
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
const (
	snapshotMagic = 0x31303030_4b434f4c // "LOCK0001"
	snapshotHead  = 40
	snapshotOwn   = 28 // of the head, what must be the same
	holdHead      = 48
)

// ErrSnapshot says that a snapshot cannot be restored.
var ErrSnapshot = errors.New("lock: unusable snapshot")

func (t *Table) snapshotHead() (h [snapshotHead]byte) {
	le, o := binary.LittleEndian, &t.options
	le.PutUint64(h[0:], snapshotMagic)
	le.PutUint32(h[8:], uint32(o.MaxHolds))
	le.PutUint32(h[12:], uint32(o.MaxSession))
	le.PutUint32(h[16:], uint32(o.MaxWaiting))
	le.PutUint32(h[20:], uint32(o.MaxAnnounced))
	le.PutUint32(h[24:], uint32(o.MaxSubscriptions))
	le.PutUint32(h[28:], uint32(t.all.count))
	le.PutUint64(h[32:], t.numbers)
	return h
}

// Snapshot implements service.Service.
func (t *Table) Snapshot(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10) // keeps the first error
	head := t.snapshotHead()
	_, err := out.Write(head[:])
	for i := t.all.head; i != 0 && err == nil; i = t.holds[i].next[ofAll] {
		h := &t.holds[i]
		b := h.encode(t.locks[h.lock].name)
		out.Write(b[:])
		out.Write(t.locks[h.lock].name)
		_, err = out.Write(h.value)
	}
	if err == nil {
		err = t.watches.Snapshot(out)
	}
	binary.LittleEndian.PutUint64(head[:], t.Hash())
	out.Write(head[:8])
	if err := errors.Join(err, out.Flush()); err != nil {
		return fmt.Errorf("lock: snapshot: %w", err)
	}
	return nil
}

func (h *hold) encode(name []byte) (b [holdHead]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], h.number)
	le.PutUint64(b[8:], h.token)
	le.PutUint64(b[16:], uint64(h.session))
	le.PutUint64(b[24:], h.ttl)
	le.PutUint64(b[32:], h.expires)
	b[40] = byte(h.kind)
	if h.keep {
		b[41] |= 1
	}
	if h.ended {
		b[41] |= 2
	}
	le.PutUint16(b[42:], uint16(len(name)))
	le.PutUint16(b[44:], uint16(len(h.value)))
	return b
}

// Restore implements service.Service.
func (t *Table) Restore(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	t.clear()
	var head [snapshotHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return fmt.Errorf("%w: its head: %w", ErrSnapshot, err)
	}
	le := binary.LittleEndian
	switch own := t.snapshotHead(); {
	case string(own[:8]) != string(head[:8]):
		return fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	case string(own[:snapshotOwn]) != string(head[:snapshotOwn]):
		return fmt.Errorf("%w: %w: it is not one of a table with these options (%+v)", ErrSnapshot, service.ErrUnsuited,
			t.options)
	}
	count := le.Uint32(head[28:])
	if count > uint32(t.options.MaxHolds) {
		return fmt.Errorf("%w: %d holds, of %d at most", ErrSnapshot, count, t.options.MaxHolds)
	}
	t.numbers = le.Uint64(head[32:])
	before := uint64(0)
	for n := range count {
		number, err := t.restoreHold(in, n, before)
		if err != nil {
			return err
		}
		before = number
	}
	if before > t.numbers {
		return fmt.Errorf("%w: a hold has the number %d, of %d given out", ErrSnapshot, before, t.numbers)
	}
	if err := t.checkHeld(); err != nil {
		return err
	}
	if err := t.watches.Restore(in); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if _, err := io.ReadFull(in, head[:8]); err != nil {
		return fmt.Errorf("%w: its hash: %w", ErrSnapshot, err)
	}
	if want := le.Uint64(head[:8]); t.Hash() != want {
		return fmt.Errorf("%w: hash %016x after restoring, %016x when it was written", ErrSnapshot, t.Hash(), want)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it goes on behind its end (%v)", ErrSnapshot, err)
	}
	return nil
}

// restoreHold puts the next hold in, whose number is above the one before, and returns that.
func (t *Table) restoreHold(r io.Reader, n uint32, before uint64) (number uint64, err error) {
	var b [holdHead]byte
	var bytes [MaxName + MaxValue]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("%w: hold %d: %w", ErrSnapshot, n, err)
	}
	le := binary.LittleEndian
	x := hold{
		number: le.Uint64(b[0:]), token: le.Uint64(b[8:]), session: wire.SessionID(le.Uint64(b[16:])),
		ttl: le.Uint64(b[24:]), expires: le.Uint64(b[32:]), kind: kind(b[40]), keep: b[41]&1 != 0, ended: b[41]&2 != 0,
	}
	nameLen, valueLen := int(le.Uint16(b[42:])), int(le.Uint16(b[44:]))
	if nameLen == 0 || nameLen > MaxName || valueLen > MaxValue || b[41] > 3 || le.Uint16(b[46:]) != 0 {
		return 0, fmt.Errorf("%w: hold %d has a name of %d bytes, a value of %d, flags %d", ErrSnapshot, n, nameLen,
			valueLen, b[41])
	}
	both := bytes[:nameLen+valueLen]
	if _, err := io.ReadFull(r, both); err != nil {
		return 0, fmt.Errorf("%w: hold %d: %w", ErrSnapshot, n, err)
	}
	if x.number <= before {
		return 0, fmt.Errorf("%w: hold %d has the number %d behind %d", ErrSnapshot, n, x.number, before)
	}
	x.lock = t.lockOf(both[:nameLen])
	if problem := t.unfit(&x); problem != "" {
		return 0, fmt.Errorf("%w: hold %d %s", ErrSnapshot, n, problem)
	}
	t.add(nil, x, both[nameLen:])
	return x.number, nil
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
			return fmt.Errorf("%w: hold %d waits for a lock that is free", ErrSnapshot, h.number)
		}
	}
	return nil
}

var (
	_ service.Timed   = (*Table)(nil)
	_ service.Checker = (*Table)(nil)
	_ service.Sized   = (*Table)(nil)
)
