package ringbuf

import (
	"encoding/binary"
	"fmt"
)

// A message in the ring: an 8-byte header (length, or lengthPad for the unused end of the ring), the bytes, and
// room up to a multiple of 8. A message never wraps.
const (
	messageHeader = 8
	lengthPad     = ^uint32(0)
)

// MessageRing is a ring of byte messages of any length between one producing and one consuming thread.
type MessageRing struct {
	mem  []byte
	size uint64
	mask uint64
	_    [pad]byte

	// The producer's own: what it has filled, what the message being claimed takes, and how far it last saw the
	// consumer.
	filled   uint64
	claimed  uint64
	seenHead uint64
	_        [pad - 24]byte

	tail Cursor // published by the producer

	// The consumer's own.
	read     uint64
	seenTail uint64
	_        [pad - 16]byte

	head Cursor // published by the consumer
}

// NewMessageRing makes a ring in mem, whose length must be a power of two and at least 16. The caller must not
// touch it afterwards.
func NewMessageRing(mem []byte) *MessageRing { return newMessageRingAt(mem, 0) }

// newMessageRingAt starts the indices elsewhere, so that tests reach their ends. start is a multiple of 8.
func newMessageRingAt(mem []byte, start uint64) *MessageRing {
	if !powerOfTwo(len(mem)) || len(mem) < 2*messageHeader || len(mem) > 1<<31 {
		panic(fmt.Sprintf("ringbuf: a message ring of %d bytes: want a power of two from 16 to 2^31", len(mem)))
	}
	r := &MessageRing{mem: mem, size: uint64(len(mem)), mask: uint64(len(mem) - 1)}
	r.filled, r.seenHead, r.read, r.seenTail = start, start, start, start
	r.tail.Store(start)
	r.head.Store(start)
	return r
}

// MaxMessage is the length of the longest message that fits, whatever the state of the ring when it is drained.
// Any thread.
func (r *MessageRing) MaxMessage() int { return len(r.mem)/2 - messageHeader }

// Claim returns room for a message of n bytes, or nil when the ring is too full now. The room holds what was there
// before; Commit makes it the next message, another Claim in its stead takes it back. n above MaxMessage could
// never fit and panics. Producer only.
func (r *MessageRing) Claim(n int) []byte {
	if uint(n) > uint(r.MaxMessage()) {
		panic(fmt.Sprintf("ringbuf: a message of %d bytes in a ring that takes %d at most", n, r.MaxMessage()))
	}
	need := messageHeader + (uint64(n)+7)&^7
	at := r.filled & r.mask
	skip := uint64(0)
	if at+need > r.size {
		skip = r.size - at
	}
	if r.filled+skip+need-r.seenHead > r.size {
		r.seenHead = r.head.Load()
		if r.filled+skip+need-r.seenHead > r.size {
			r.claimed = 0
			return nil
		}
	}
	if skip > 0 {
		binary.LittleEndian.PutUint32(r.mem[at:], lengthPad)
		at = 0
	}
	binary.LittleEndian.PutUint32(r.mem[at:], uint32(n))
	r.claimed = skip + need
	start := at + messageHeader
	end := start + uint64(n)
	return r.mem[start:end:end]
}

// Commit makes the room last claimed the next message. The consumer sees it after Publish. Producer only.
func (r *MessageRing) Commit() {
	r.filled += r.claimed
	r.claimed = 0
}

// Publish shows the consumer everything committed so far. Once a batch. Producer only.
func (r *MessageRing) Publish() { r.tail.Store(r.filled) }

// Next returns the next message, or nil when there is none (a message without bytes is empty, not nil). It may be
// read and written until the next Release. Consumer only.
func (r *MessageRing) Next() []byte {
	if r.read == r.seenTail {
		r.seenTail = r.tail.Load()
		if r.read == r.seenTail {
			return nil
		}
	}
	at := r.read & r.mask
	n := binary.LittleEndian.Uint32(r.mem[at:])
	if n == lengthPad {
		// A pad is never the last thing published: the message that did not fit follows it.
		r.read += r.size - at
		at = 0
		n = binary.LittleEndian.Uint32(r.mem)
	}
	start := at + messageHeader
	end := start + uint64(n)
	r.read += messageHeader + (uint64(n)+7)&^7
	return r.mem[start:end:end]
}

// Release gives the room of every message that Next returned back to the producer. Once a batch. Consumer only.
func (r *MessageRing) Release() { r.head.Store(r.read) }
