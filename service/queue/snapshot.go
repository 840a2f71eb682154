package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"lockstep/internal/simbug"
	"lockstep/service"
	"lockstep/service/queue/fb"
	"lockstep/service/slab"
	"lockstep/wire"
)

// Layout of a snapshot, little-endian. Queues are in the order of their names and are referred to by their numbers in
// it, from 1; what they hold is in the order of their lists, so that equal states give equal bytes.
//
//	magic u64 | queues, messages, blocks, keys, waiters, payload u32 (options) | places u64 | count u32
//	count times: name u8, bytes | max attempts u32 | lease ms, dedup ms u64 | what it has seen 8 * u64 | dead letter u32
//	count times: ready u32, messages | aside u32, messages | waiters u32, waiters | keys u32, keys
//	hash u64 (as Hash has it)
//
//	message: id, token, place, put, until, deadline u64 | attempts, origin u32 | state u8 | length u32, payload
//	waiter:  id, until, session, request, lease ms u64 | max, dropped u32 | mode, drops u8
//	key:     id, until u64 | length u8, text
const snapshotMagic = 0x31303045_55455551 // "QUEUE001"

// ErrSnapshot says that a snapshot cannot be restored.
var ErrSnapshot = errors.New("queue: unusable snapshot")

func (o *Options) each(f func(n int)) {
	for _, n := range [...]int{o.Queues, o.Messages, o.Blocks, o.Keys, o.Waiters, o.Payload} {
		f(n)
	}
}

// Snapshot implements service.Service.
func (s *Service) Snapshot(to io.Writer) error {
	w := slab.NewWriter(to)
	w.Uint64(snapshotMagic)
	s.options.each(func(n int) { w.Uint32(uint32(n)) })
	w.Uint64(s.places)
	w.Uint32(uint32(len(s.ordered)))
	rank := make([]uint32, len(s.queues)) // of a queue, from 1
	for n, i := range s.ordered {
		rank[i] = uint32(n + 1)
	}
	for _, i := range s.ordered {
		q := &s.queues[i]
		w.Uint8(q.length)
		w.Bytes(q.text())
		w.Uint32(q.maxAttempts)
		w.Uint64(q.leaseMs)
		w.Uint64(q.dedupMs)
		for _, n := range q.seen.since() {
			w.Uint64(*n)
		}
		w.Uint32(rank[q.dead])
	}
	for _, i := range s.ordered {
		if w.Failed() {
			break
		}
		q := &s.queues[i]
		s.writeMessages(w, &q.ready, rank)
		s.writeMessages(w, &q.aside, rank)
		s.writeWaiters(w, q)
		s.writeKeys(w, q)
	}
	w.Uint64(s.Hash())
	if err := w.Flush(); err != nil {
		return fmt.Errorf("queue: snapshot: %w", err)
	}
	return nil
}

// since are the numbers of what a queue has seen.
func (c *Counts) since() [8]*uint64 {
	return [8]*uint64{&c.Put, &c.Duplicates, &c.Delivered, &c.Deleted, &c.Released, &c.Expired, &c.Dead, &c.Late}
}

func (s *Service) writeMessages(w *slab.Writer, l *slab.List, rank []uint32) {
	w.Uint32(uint32(l.Len))
	for i := l.Head; i != 0 && !w.Failed(); i = s.messagePool.Next(i) {
		m := &s.messages[i]
		for _, n := range [...]uint64{m.id, m.token, m.place, m.put, m.until, m.deadline} {
			w.Uint64(n)
		}
		w.Uint32(m.attempts)
		w.Uint32(rank[m.origin])
		w.Uint8(uint8(m.state))
		w.Uint32(m.length)
		w.Bytes(s.payload(s.scratch[:0], m))
	}
}

func (s *Service) writeWaiters(w *slab.Writer, q *queue) {
	w.Uint32(uint32(q.waiters.Len))
	for i := q.waiters.Head; i != 0; i = s.waiterPool.Next(i) {
		x := &s.waiters[i]
		for _, n := range [...]uint64{x.id, x.until, uint64(x.session), x.request, x.leaseMs} {
			w.Uint64(n)
		}
		w.Uint32(x.max)
		w.Uint32(x.dropped)
		w.Uint8(uint8(x.mode))
		drops := uint8(0)
		if x.dropLate {
			drops = 1
		}
		w.Uint8(drops)
	}
}

func (s *Service) writeKeys(w *slab.Writer, q *queue) {
	w.Uint32(uint32(q.keys.Len))
	for i := q.keys.Head; i != 0; i = s.keyPool.Next(i) {
		k := &s.keys[i]
		w.Uint64(k.id)
		w.Uint64(k.until)
		w.Uint8(k.length)
		w.Bytes(k.text[:k.length])
	}
}

// reset forgets everything.
func (s *Service) reset() {
	s.queuePool.Reset()
	s.byName.Reset()
	s.ordered = s.ordered[:0]
	s.messagePool.Reset()
	s.byID.Reset()
	s.blockPool.Reset()
	s.keyPool.Reset()
	s.byKey.Reset()
	s.keyByID.Reset()
	clear(s.waiters)
	s.waiterPool.Reset()
	s.waiterByID.Reset()
	s.places, s.sum, s.changed = 0, 0, s.changed[:0]
	s.due.Reset()
}

// Restore implements service.Service.
func (s *Service) Restore(from io.Reader) error {
	s.reset()
	r := slab.NewReader(from)
	if magic := r.Uint64(); r.Err == nil && magic != snapshotMagic {
		return fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	}
	suited := true
	s.options.each(func(n int) { suited = r.Uint32() == uint32(n) && suited })
	if r.Err == nil && !suited {
		return fmt.Errorf("%w: %w: it is not one of queues with these options (%+v)", ErrSnapshot,
			service.ErrUnsuited, s.options)
	}
	s.places = r.Uint64()
	s.readQueues(r)
	for _, i := range s.ordered {
		s.readMessages(r, i, true)
		s.readMessages(r, i, false)
		s.readWaiters(r, i)
		s.readKeys(r, i)
	}
	if hash := r.Uint64(); r.Err == nil && hash != s.Hash() && !simbug.On(simbug.ForgetKeys) {
		r.Fail(fmt.Errorf("hash %016x after restoring, %016x when it was written", s.Hash(), hash))
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return nil
}

// readQueues reads what queues there are. A queue's number is its place then.
func (s *Service) readQueues(r *slab.Reader) {
	n := r.Uint32()
	if n > uint32(s.options.Queues) {
		r.Fail(fmt.Errorf("%d queues", n))
	}
	var before, name [MaxName]byte
	length := 0
	for i := uint32(1); i <= n && r.Err == nil; i++ {
		text := r.Bytes(name[:min(r.Uint8(), MaxName)])
		if !validName(text) || bytes.Compare(text, before[:length]) <= 0 {
			r.Fail(fmt.Errorf("queue %q behind %q", text, before[:length]))
			return
		}
		length = copy(before[:], text)
		x := s.touch(s.open(text))
		x.maxAttempts, x.leaseMs, x.dedupMs = r.Uint32(), r.Uint64(), r.Uint64()
		for _, of := range x.seen.since() {
			*of = r.Uint64()
		}
		x.dead = r.Uint32()
		if x.leaseMs < 1 || x.leaseMs > MaxLeaseMs || x.dedupMs < 1 || x.dedupMs > MaxTimeMs || x.dead > n ||
			x.dead == i {
			r.Fail(fmt.Errorf("queue %q: lease %d, dedup %d, dead letter %d", text, x.leaseMs, x.dedupMs, x.dead))
		}
	}
	if r.Err != nil {
		return
	}
	for _, i := range s.ordered {
		s.queues[s.queues[i].dead].feeds++ // place 0 is of no use
	}
	s.settle()
}

// readMessages reads one of the two lists of a queue.
func (s *Service) readMessages(r *slab.Reader, queue uint32, ready bool) {
	before := uint64(0)
	for n := r.Uint32(); n > 0 && r.Err == nil; n-- {
		m := message{
			id: r.Uint64(), token: r.Uint64(), place: r.Uint64(), put: r.Uint64(), until: r.Uint64(),
			deadline: r.Uint64(),
			attempts: r.Uint32(), origin: r.Uint32(), state: fb.State(r.Uint8()), queue: queue,
		}
		payload := s.readPayload(r)
		waits := m.token == 0 && m.until == 0
		if !ready {
			waits = m.until != 0 &&
				(m.state == fb.StateDelayed && m.token == 0 || m.state == fb.StateLeased && m.token != 0)
		}
		known := m.id == 0 || m.id > 1<<(64-dueBits)-1 || s.byID.Find(hashNumber(m.id)) != 0
		if known || !waits || ready != (m.state == fb.StateReady) || m.place <= before || m.place > s.places ||
			m.origin > uint32(len(s.ordered)) {
			r.Fail(fmt.Errorf("message %d of queue %q", m.id, s.queues[queue].text()))
		}
		if r.Err != nil {
			return
		}
		before = m.place
		s.admit(&m, payload)
	}
}

// readPayload reads a payload, for which there must be room.
func (s *Service) readPayload(r *slab.Reader) []byte {
	n := int(r.Uint32())
	if n > s.options.Payload || (n+blockBytes-1)/blockBytes > s.blockPool.Free() || s.messagePool.Free() == 0 {
		r.Fail(errors.New("more messages or payload than there may be"))
		return nil
	}
	return r.Bytes(s.scratch[:n])
}

// admit takes a message in that was read.
func (s *Service) admit(m *message, payload []byte) {
	at := s.messagePool.Take()
	s.store(m, payload)
	s.messages[at] = *m
	q := s.touch(m.queue)
	s.list(q, m).Push(&s.messagePool, at)
	s.byID.Add(hashNumber(m.id), at)
	if m.state == fb.StateLeased {
		q.leased++
	}
	if m.origin != 0 {
		s.queues[m.origin].elsewhere++
	}
	if m.state != fb.StateReady && !simbug.On(simbug.ForgetLeases) {
		s.due.Put(m.id<<dueBits|dueMessage, m.until)
	}
	s.sum += s.messageHash(m)
	s.settle()
}

func (s *Service) readWaiters(r *slab.Reader, queue uint32) {
	before := uint64(0)
	for n := r.Uint32(); n > 0 && r.Err == nil; n-- {
		w := waiter{queue: queue, id: r.Uint64(), until: r.Uint64()}
		w.session, w.request, w.leaseMs = wire.SessionID(r.Uint64()), r.Uint64(), r.Uint64()
		w.max, w.dropped, w.mode = r.Uint32(), r.Uint32(), fb.Mode(r.Uint8())
		drops := r.Uint8()
		w.dropLate = drops == 1
		if w.id <= before || w.id > 1<<(64-dueBits)-1 || s.waiterByID.Find(hashNumber(w.id)) != 0 || drops > 1 ||
			w.max < 1 || w.max > MaxBatch || w.mode > fb.ModeAtMostOnce || w.leaseMs > MaxLeaseMs ||
			s.waiterPool.Free() == 0 || s.queues[queue].ready.Len > 0 {
			r.Fail(fmt.Errorf("request %d waits for queue %q", w.id, s.queues[queue].text()))
		}
		if r.Err != nil {
			return
		}
		before = w.id
		s.park(&w)
		s.due.Put(w.id<<dueBits|dueWaiter, w.until)
	}
}

func (s *Service) readKeys(r *slab.Reader, queue uint32) {
	before := uint64(0)
	for n := r.Uint32(); n > 0 && r.Err == nil; n-- {
		id, until := r.Uint64(), r.Uint64()
		length := int(r.Uint8())
		if length < 1 || length > MaxKey {
			r.Fail(fmt.Errorf("a dedup key of %d bytes", length))
			return
		}
		text := r.Bytes(s.scratch[:length])
		if id <= before || id > 1<<(64-dueBits)-1 || s.keyByID.Find(hashNumber(id)) != 0 || s.keyPool.Free() == 0 ||
			s.findKey(queue, text) != 0 {
			r.Fail(fmt.Errorf("dedup key %q of message %d of queue %q", text, id, s.queues[queue].text()))
		}
		if r.Err != nil {
			return
		}
		before = id
		if simbug.On(simbug.ForgetKeys) {
			continue
		}
		s.remember(queue, text, id, until)
		s.due.Put(id<<dueBits|dueKey, until)
	}
}
