package service

import (
	"math/bits"

	"lockstep/wire"
)

// keptResponse is what a response needs to be sent again, but for its payload.
type keptResponse struct {
	correlation uint64
	sequence    uint64
	position    wire.Position
	timestamp   uint64
	from        uint64 // of the payload, in the byte ring
	length      uint32
	service     uint16
	last        bool
}

// kept holds the responses of one session that its client has not acknowledged: those numbered acked+1 .. last. Two
// rings, one of descriptions and one of payload bytes (which wrap). Each is as large as was needed so far, a power of
// two, and never larger than the limit. Whenever everything is acknowledged both start again at 0, so that a client that
// keeps up uses a few cache lines only.
type kept struct {
	list  []keptResponse
	bytes []byte
	acked uint64
	last  uint64
	first uint64 // slot of number acked+1
	from  uint64 // bytes in use: [from, to), growing
	to    uint64
	most  *Limits
}

// What a session has room for at first, and what it may keep when it ends.
const (
	firstResponses = 8
	firstBytes     = 1 << 10
)

// newKept is for a session that has kept nothing.
func newKept(l *Limits) kept {
	return kept{
		list:  make([]keptResponse, min(firstResponses, l.KeptResponses)),
		bytes: make([]byte, min(firstBytes, l.KeptBytes)),
		most:  l,
	}
}

// again is the same for another session, with as much of the memory as may be kept.
func (k *kept) again() kept {
	fresh := kept{list: k.list, bytes: k.bytes, most: k.most}
	if len(k.list) > firstResponses {
		fresh.list = make([]keptResponse, min(firstResponses, k.most.KeptResponses))
	}
	if len(k.bytes) > firstBytes {
		fresh.bytes = make([]byte, min(firstBytes, k.most.KeptBytes))
	}
	return fresh
}

// push keeps the next response under the number last+1. It reports false, and keeps nothing, when the limits do not
// admit it.
func (k *kept) push(head *Egress, payload []byte) bool {
	if !k.admits(len(payload)) {
		return false
	}
	head.Response, head.Acked = k.last+1, k.acked
	*k.add() = keptResponse{
		correlation: head.Correlation, sequence: head.Sequence, position: head.Position, timestamp: head.Timestamp,
		from: k.to, length: uint32(len(payload)), service: head.Service,
		last: head.Last,
	}
	at := k.to & uint64(len(k.bytes)-1)
	n := copy(k.bytes[at:], payload)
	copy(k.bytes, payload[n:])
	k.to += uint64(len(payload))
	return true
}

// admits says whether a response of so many bytes may be kept, and makes room for it.
func (k *kept) admits(length int) bool {
	count, used := k.last-k.acked, k.to-k.from+uint64(length)
	if count >= uint64(k.most.KeptResponses) || used > uint64(k.most.KeptBytes) {
		return false
	}
	if count == uint64(len(k.list)) {
		k.growList()
	}
	if used > uint64(len(k.bytes)) {
		k.growBytes(used)
	}
	return true
}

// add takes the slot of the response numbered last+1; there is one.
func (k *kept) add() *keptResponse {
	k.last++
	return k.at(k.last)
}

func (k *kept) growList() {
	list := make([]keptResponse, 2*len(k.list))
	at := k.first & uint64(len(k.list)-1)
	n := copy(list, k.list[at:])
	copy(list[n:], k.list[:at])
	k.list, k.first = list, 0
}

// growBytes makes room for so many bytes: what is there moves to the beginning.
func (k *kept) growBytes(need uint64) {
	b := make([]byte, 1<<bits.Len64(need-1))
	used := k.to - k.from
	at := k.from & uint64(len(k.bytes)-1)
	n := copy(b[:used], k.bytes[at:])
	copy(b[n:used], k.bytes)
	for number := k.acked + 1; number <= k.last; number++ {
		k.at(number).from -= k.from
	}
	k.bytes, k.from, k.to = b, 0, used
}

// used is how many bytes of payloads are kept.
func (k *kept) used() uint64 { return k.to - k.from }

// at returns response number n, acked < n <= last.
func (k *kept) at(n uint64) *keptResponse {
	return &k.list[(k.first+n-k.acked-1)&uint64(len(k.list)-1)]
}

// payload copies the payload of a response to dst, which is as long as it.
func (k *kept) payload(r *keptResponse, dst []byte) {
	at := r.from & uint64(len(k.bytes)-1)
	n := copy(dst, k.bytes[at:])
	copy(dst[n:], k.bytes)
}

// drop takes a cumulative acknowledgement, modulo 2^32. It reports false, and does nothing, when that acknowledges
// what was never sent, or less than before.
func (k *kept) drop(acked uint32) bool {
	ahead := uint64(acked - uint32(k.acked))
	if ahead == 0 {
		return true
	}
	if ahead > k.last-k.acked {
		return false
	}
	k.acked += ahead
	k.first += ahead
	if k.acked == k.last {
		k.first, k.from, k.to = 0, 0, 0
		return true
	}
	k.from = k.at(k.acked + 1).from
	return true
}
