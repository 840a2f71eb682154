package client

import "lockstep/wire"

// message is one kept message.
type message struct {
	bornNs  int64  // when it was given to Send
	sentNs  int64  // when it was last put into a datagram, all of it; 0: it is to be sent
	at      uint64 // where its payload begins, in the count of all bytes placed
	length  uint32
	service uint16
	kind    wire.MessageKind
	waiting wire.Levels // acknowledgements asked for that have not come
	sent    bool        // it was sent at least once
	refused bool        // for good, and the handler knows
}

// window keeps the open messages: those numbered oldest .. next-1. A message is open until its record is committed and
// every acknowledgement asked for has come. Payloads lie in a ring of bytes, each in one piece; the ring grows with what
// is kept, twice as much each time.
type window struct {
	slots     []message
	memory    []byte
	most      int    // bytes that memory may have
	tail      uint64 // where the next payload may begin, in the count of all bytes placed
	mask      uint64
	limit     uint64 // messages open at once, at most
	oldest    uint64
	next      uint64
	committed uint64
}

// leastMemory is what a window's ring begins with, in bytes, if it may have so many.
const leastMemory = 4096

func newWindow(limit uint32, bytes int) window {
	n := 1
	for n < int(limit) {
		n *= 2
	}
	return window{
		slots: make([]message, n), memory: make([]byte, min(bytes, leastMemory)), most: bytes, mask: uint64(n - 1),
		limit: uint64(limit), oldest: 1, next: 1,
	}
}

// push keeps a message and returns its correlation; ok is false, and nothing is kept, when the window is full.
func (w *window) push(nowNs int64, service uint16, levels wire.Levels, payload []byte) (correlation uint64, ok bool) {
	if w.next-w.oldest >= w.limit {
		return 0, false
	}
	at, ok := w.room(len(payload))
	for !ok && w.grow(len(payload)) {
		at, ok = w.room(len(payload))
	}
	if !ok {
		return 0, false
	}
	c := w.next
	m := &w.slots[c&w.mask]
	*m = message{
		bornNs: nowNs, at: at, length: uint32(len(payload)), service: service, kind: wire.MessageData, waiting: levels,
	}
	copy(w.payload(m), payload)
	w.tail = at + uint64(len(payload))
	w.next++
	return c, true
}

// room finds room for so many bytes in one piece.
func (w *window) room(n int) (at uint64, ok bool) {
	size := uint64(len(w.memory))
	if w.oldest == w.next {
		return 0, uint64(n) <= size
	}
	at = w.tail
	if left := size - at%size; uint64(n) > left {
		at += left // from the ring's beginning on
	}
	return at, at+uint64(n)-w.slots[w.oldest&w.mask].at <= size
}

// grow makes the ring larger, for a payload of so many bytes; false when it is as large as it may be.
func (w *window) grow(n int) bool {
	size := min(max(2*len(w.memory), n), w.most)
	if size <= len(w.memory) {
		return false
	}
	memory := make([]byte, size)
	w.tail = 0
	for c := w.oldest; c < w.next; c++ {
		m := &w.slots[c&w.mask]
		copy(memory[w.tail:], w.payload(m))
		m.at = w.tail
		w.tail += uint64(m.length)
	}
	w.memory = memory
	return true
}

// at returns a message from oldest to next-1.
func (w *window) at(correlation uint64) *message { return &w.slots[correlation&w.mask] }

// open returns an open message, or nil.
func (w *window) open(correlation uint64) *message {
	if correlation < w.oldest || correlation >= w.next {
		return nil
	}
	m := w.at(correlation)
	if correlation <= w.committed && m.waiting == 0 {
		return nil
	}
	return m
}

func (w *window) payload(m *message) []byte {
	from := int(m.at % uint64(len(w.memory)))
	return w.memory[from : from+int(m.length)]
}

// commit notes that every record up to a correlation is committed.
func (w *window) commit(correlation uint64) { w.committed = max(w.committed, correlation) }

// advance lets go of the oldest messages that are no longer open, and says whether there were any.
func (w *window) advance() bool {
	before := w.oldest
	for w.oldest < w.next && w.oldest <= w.committed && w.slots[w.oldest&w.mask].waiting == 0 {
		w.oldest++
	}
	return w.oldest != before
}

// again has the messages from .. until-1 sent once more, without regard to when they last were.
func (w *window) again(from, until uint64) {
	for c := max(from, w.oldest); c < min(until, w.next); c++ {
		w.slots[c&w.mask].sentNs = 0
	}
}
