package client

import "lockstep/wire"

// message is one kept message.
type message struct {
	bornNs  int64 // when it was given to Send
	sentNs  int64 // when it was last put into a datagram; 0: it is to be sent
	length  uint32
	service uint16
	kind    wire.MessageKind
	waiting wire.Levels // acknowledgements asked for that have not come
	sent    bool        // it was sent at least once
	refused bool        // for good, and the handler knows
}

// window keeps the open messages: those numbered oldest .. next-1. A message is open until its record is committed and
// every acknowledgement asked for has come. Payloads lie in memory of fixed places.
type window struct {
	slots     []message
	memory    []byte
	stride    int
	mask      uint64
	limit     uint64 // messages open at once, at most
	oldest    uint64
	next      uint64
	committed uint64
}

func newWindow(limit uint32, maxMessage int) window {
	n := 1
	for n < int(limit) {
		n *= 2
	}
	stride := (maxMessage + 7) &^ 7
	return window{
		slots: make([]message, n), memory: make([]byte, n*stride), stride: stride, mask: uint64(n - 1),
		limit: uint64(limit), oldest: 1, next: 1,
	}
}

func (w *window) full() bool { return w.next-w.oldest >= w.limit }

// push keeps a message and returns its correlation.
func (w *window) push(nowNs int64, service uint16, levels wire.Levels, payload []byte) uint64 {
	c := w.next
	i := c & w.mask
	w.slots[i] = message{
		bornNs: nowNs, length: uint32(len(payload)), service: service, kind: wire.MessageData, waiting: levels,
	}
	copy(w.memory[int(i)*w.stride:], payload)
	w.next++
	return c
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

func (w *window) payload(correlation uint64, m *message) []byte {
	from := int(correlation&w.mask) * w.stride
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
	for c := max(from, w.oldest); c < until; c++ {
		w.slots[c&w.mask].sentNs = 0
	}
}
