package service

import "lockstep/wire"

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
// rings of fixed size, one of descriptions and one of payload bytes (which wrap). Whenever everything is
// acknowledged both start again at 0, so that a client that keeps up uses a few cache lines only.
type kept struct {
	list  []keptResponse
	bytes []byte
	acked uint64
	last  uint64
	first uint64 // slot of number acked+1
	from  uint64 // bytes in use: [from, to), growing
	to    uint64
}

// push keeps the next response under the number last+1. It reports false, and keeps nothing, when there is no room.
func (k *kept) push(head *Egress, payload []byte) bool {
	count := k.last - k.acked
	if count == uint64(len(k.list)) || k.to-k.from+uint64(len(payload)) > uint64(len(k.bytes)) {
		return false
	}
	k.last++
	head.Response, head.Acked = k.last, k.acked
	slot := &k.list[(k.first+count)&uint64(len(k.list)-1)]
	*slot = keptResponse{
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
