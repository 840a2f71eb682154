package queue

import (
	"bytes"
	"slices"

	"lockstep/service"
	"lockstep/service/queue/fb"
	"lockstep/service/slab"
	"lockstep/wire"
)

// queue is one queue. Its messages are in one of two lists, each in the order in which they came there (message.place).
type queue struct {
	name    [MaxName]byte
	length  uint8
	sum     uint64 // hash of the name
	changed bool   // its hash is not in Service.sum

	maxAttempts      uint32
	dead             uint32 // its dead-letter queue, 0: none
	leaseMs, dedupMs uint64

	ready   slab.List // of messages
	aside   slab.List // of messages that are delayed or leased
	waiters slab.List
	keys    slab.List

	leased    uint64 // messages aside that are
	feeds     uint32 // queues whose dead-letter queue it is
	elsewhere uint32 // messages in dead-letter queues that died here
	seen      Counts // what has been; what is now is not filled in
}

func (q *queue) text() []byte { return q.name[:q.length] }

// message is one message. While it is ready, until and token are 0.
type message struct {
	id       uint64 // sequence of the record that put it
	token    uint64 // sequence of the record that leased it, 0: none did
	place    uint64 // the higher, the later in its list
	put      uint64 // stamps
	until    uint64
	deadline uint64
	sum      uint64 // hash of the payload
	length   uint32 // of the payload
	attempts uint32
	queue    uint32
	origin   uint32 // queue where it died, 0: it did not
	blocks   slab.List
	state    fb.State
}

// key is a dedup key that is remembered.
type key struct {
	id     uint64 // of the message that was put with it
	until  uint64
	hash   uint64 // of queue and text
	queue  uint32
	length uint8
	text   [MaxKey]byte
}

// waiter is a request that waits for a message; id is the sequence of its record.
type waiter struct {
	claim
	id    uint64
	until uint64
	queue uint32
}

// claim is what a consumer asks for.
type claim struct {
	session  wire.SessionID
	request  uint64
	leaseMs  uint64
	max      uint32
	dropped  uint32 // messages that were dropped for it
	mode     fb.Mode
	dropLate bool
}

// state is all that the service holds. Places of arrays are numbered from 1.
type state struct {
	queues    []queue
	queuePool slab.Pool
	byName    slab.Table
	ordered   []uint32 // queues by name

	messages    []message
	messagePool slab.Pool
	byID        slab.Table
	blocks      []byte
	blockPool   slab.Pool

	keys    []key
	keyPool slab.Pool
	byKey   slab.Table
	keyByID slab.Table

	waiters    []waiter
	waiterPool slab.Pool
	waiterByID slab.Table

	places  uint64   // given out last
	sum     uint64   // of the hashes of messages, keys, waiters, and of the queues that are not in changed
	changed []uint32 // queues that the record has changed
}

func newState(o *Options) state {
	return state{
		queues: make([]queue, o.Queues+1), queuePool: slab.NewPool(o.Queues), byName: slab.NewTable(o.Queues),
		ordered: make([]uint32, 0, o.Queues), changed: make([]uint32, 0, o.Queues),
		messages: make([]message, o.Messages+1), messagePool: slab.NewPool(o.Messages), byID: slab.NewTable(o.Messages),
		blocks: make([]byte, (o.Blocks+1)*blockBytes), blockPool: slab.NewPool(o.Blocks),
		keys: make([]key, o.Keys+1), keyPool: slab.NewPool(o.Keys), byKey: slab.NewTable(o.Keys),
		keyByID: slab.NewTable(o.Keys),
		waiters: make([]waiter, o.Waiters+1), waiterPool: slab.NewPool(o.Waiters), waiterByID: slab.NewTable(o.Waiters),
	}
}

// hashNumber is a bijection: whoever finds a number's hash in a table has found the number.
func hashNumber(n uint64) uint64 { return service.Mix(0, n) }

// find is the queue of a name, 0 if there is none.
func (s *state) find(name []byte) uint32 {
	hash := service.MixBytes(0, name)
	at := s.byName.Begin(hash)
	for {
		i := s.byName.Next(hash, &at)
		if i == 0 || bytes.Equal(s.queues[i].text(), name) {
			return i
		}
	}
}

// rank is where a name is, or would be, among all names.
func (s *state) rank(name []byte) (rank int, there bool) {
	low, high := 0, len(s.ordered)
	for low < high {
		mid := (low + high) / 2
		if bytes.Compare(s.queues[s.ordered[mid]].text(), name) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(s.ordered) && bytes.Equal(s.queues[s.ordered[low]].text(), name)
}

// open is the queue of a name, made if it is not there; there is room for it.
func (s *state) open(name []byte) uint32 {
	i := s.find(name)
	if i != 0 {
		return i
	}
	i = s.queuePool.Take()
	q := &s.queues[i]
	*q = queue{sum: service.MixBytes(0, name), leaseMs: DefaultLeaseMs, dedupMs: DefaultDedupMs}
	q.length = uint8(copy(q.name[:], name))
	s.byName.Add(q.sum, i)
	rank, _ := s.rank(name)
	s.ordered = slices.Insert(s.ordered, rank, i) // within its capacity
	s.sum += s.queueHash(q)
	return i
}

// close removes a queue, which holds nothing.
func (s *state) close(i uint32) {
	q := &s.queues[i]
	s.touch(i)
	if q.dead != 0 {
		s.touch(q.dead)
		s.queues[q.dead].feeds--
	}
	s.settle()
	s.sum -= s.queueHash(q)
	s.byName.Remove(q.sum, i)
	rank, _ := s.rank(q.text())
	s.ordered = slices.Delete(s.ordered, rank, rank+1)
	s.queuePool.Give(i)
}

// touch announces a change of a queue.
func (s *state) touch(i uint32) *queue {
	q := &s.queues[i]
	if !q.changed {
		q.changed = true
		s.sum -= s.queueHash(q)
		s.changed = append(s.changed, i)
	}
	return q
}

// settle has sum tell the queues as they are now.
func (s *state) settle() {
	for _, i := range s.changed {
		q := &s.queues[i]
		q.changed = false
		s.sum += s.queueHash(q)
	}
	s.changed = s.changed[:0]
}

// queueHash tells what a queue is, and has seen. What it holds is told by messages, keys and waiters.
func (s *state) queueHash(q *queue) uint64 {
	h := service.Mix(q.sum, uint64(q.maxAttempts))
	if q.dead != 0 {
		h = service.Mix(h, s.queues[q.dead].sum)
	}
	h = service.Mix(service.Mix(h, q.leaseMs), q.dedupMs)
	c := &q.seen
	h = service.Mix(service.Mix(service.Mix(h, c.Put), c.Duplicates), c.Delivered)
	h = service.Mix(service.Mix(service.Mix(h, c.Deleted), c.Released), c.Expired)
	return service.Mix(service.Mix(h, c.Dead), c.Late)
}

func (s *state) messageHash(m *message) uint64 {
	h := service.Mix(service.Mix(hashNumber(m.id), m.token), m.place)
	h = service.Mix(service.Mix(service.Mix(h, m.put), m.until), m.deadline)
	h = service.Mix(service.Mix(h, m.sum), uint64(m.length)<<32|uint64(m.attempts))
	h = service.Mix(h, s.queues[m.queue].sum)
	if m.origin != 0 {
		h = service.Mix(h, s.queues[m.origin].sum)
	}
	return service.Mix(h, uint64(m.state))
}

func (s *state) keyHash(k *key) uint64 {
	return service.Mix(service.Mix(service.Mix(k.hash, k.id), k.until), s.queues[k.queue].sum)
}

func (s *state) waiterHash(w *waiter) uint64 {
	h := service.Mix(service.Mix(service.Mix(hashNumber(w.id), w.until), s.queues[w.queue].sum), uint64(w.session))
	h = service.Mix(service.Mix(h, w.request), w.leaseMs)
	h = service.Mix(h, uint64(w.max)<<32|uint64(w.dropped))
	flags := uint64(w.mode)
	if w.dropLate {
		flags |= 1 << 8
	}
	return service.Mix(h, flags)
}

// Hash implements service.Service.
func (s *state) hash() uint64 {
	h := service.Mix(hashNumber(s.places), uint64(s.queuePool.Used()))
	h = service.Mix(service.Mix(h, uint64(s.messagePool.Used())), uint64(s.keyPool.Used()))
	return service.Mix(service.Mix(h, uint64(s.waiterPool.Used())), s.sum)
}

// enter puts a message in a list of its queue, at the end.
func (s *state) enter(i uint32, st fb.State, until uint64) {
	m := &s.messages[i]
	q := s.touch(m.queue)
	s.places++
	m.state, m.until, m.place = st, until, s.places
	s.list(q, m).Push(&s.messagePool, i)
	if st == fb.StateLeased {
		q.leased++
	}
	s.sum += s.messageHash(m)
}

// leave takes a message out of the list that it is in.
func (s *state) leave(i uint32) {
	m := &s.messages[i]
	q := s.touch(m.queue)
	s.sum -= s.messageHash(m)
	s.list(q, m).Remove(&s.messagePool, i)
	if m.state == fb.StateLeased {
		q.leased--
	}
}

func (s *state) list(q *queue, m *message) *slab.List {
	if m.state == fb.StateReady {
		return &q.ready
	}
	return &q.aside
}

// store keeps a payload, for which there is room.
func (s *state) store(m *message, payload []byte) {
	m.length, m.sum = uint32(len(payload)), service.MixBytes(0, payload)
	m.blocks = slab.List{}
	for len(payload) > 0 {
		i := s.blockPool.Take()
		m.blocks.Push(&s.blockPool, i)
		payload = payload[copy(s.block(i), payload):]
	}
}

func (s *state) block(i uint32) []byte { return s.blocks[int(i)*blockBytes : (int(i)+1)*blockBytes] }

// payload appends a message's payload to b.
func (s *state) payload(b []byte, m *message) []byte {
	left := int(m.length)
	for i := m.blocks.Head; i != 0; i = s.blockPool.Next(i) {
		n := min(left, blockBytes)
		b = append(b, s.block(i)[:n]...)
		left -= n
	}
	return b
}

// discard forgets a message, which is in no list.
func (s *state) discard(i uint32) {
	m := &s.messages[i]
	if m.origin != 0 {
		s.queues[m.origin].elsewhere--
	}
	s.byID.Remove(hashNumber(m.id), i)
	m.blocks.GiveAll(&s.blockPool)
	s.messagePool.Give(i)
}

// keyOf is the hash of a dedup key of a queue.
func (s *state) keyOf(queue uint32, text []byte) uint64 {
	return service.MixBytes(s.queues[queue].sum, text)
}

// findKey is a dedup key that is remembered, 0 if it is not.
func (s *state) findKey(queue uint32, text []byte) uint32 {
	hash := s.keyOf(queue, text)
	at := s.byKey.Begin(hash)
	for {
		i := s.byKey.Next(hash, &at)
		if i == 0 || s.keys[i].queue == queue && bytes.Equal(s.keys[i].text[:s.keys[i].length], text) {
			return i
		}
	}
}

// remember takes a dedup key in, for which there is room.
func (s *state) remember(queue uint32, text []byte, id, until uint64) {
	i := s.keyPool.Take()
	k := &s.keys[i]
	*k = key{id: id, until: until, hash: s.keyOf(queue, text), queue: queue}
	k.length = uint8(copy(k.text[:], text))
	s.byKey.Add(k.hash, i)
	s.keyByID.Add(hashNumber(id), i)
	s.queues[queue].keys.Push(&s.keyPool, i)
	s.sum += s.keyHash(k)
}

func (s *state) forget(i uint32) {
	k := &s.keys[i]
	s.sum -= s.keyHash(k)
	s.queues[k.queue].keys.Remove(&s.keyPool, i)
	s.byKey.Remove(k.hash, i)
	s.keyByID.Remove(hashNumber(k.id), i)
	s.keyPool.Give(i)
}

// park takes a waiter in, for which there is room.
func (s *state) park(w *waiter) {
	i := s.waiterPool.Take()
	s.waiters[i] = *w
	s.waiterByID.Add(hashNumber(w.id), i)
	s.queues[w.queue].waiters.Push(&s.waiterPool, i)
	s.sum += s.waiterHash(w)
}

func (s *state) unpark(i uint32) {
	w := &s.waiters[i]
	s.sum -= s.waiterHash(w)
	s.queues[w.queue].waiters.Remove(&s.waiterPool, i)
	s.waiterByID.Remove(hashNumber(w.id), i)
	w.id = 0
	s.waiterPool.Give(i)
}
