package service

import "encoding/binary"

// HashEvery is the default distance of the points at which the chained hash is reported: the first record end at or past
// each multiple of it, in bytes of log.
const HashEvery = 1 << 20

// The hash is for comparing nodes, not for keeping out an adversary: for every 8-byte word w, h becomes
// (h ^ w) * 0x9E3779B97F4A7C15, with its upper half folded into the lower one. Each step is a bijection of h and of
// w, so that states which differ in one word never meet in that step. Bytes enter with their length first, as
// little-endian words, the last one filled up with zeros.

// Mix takes one word into a hash. Services may use it for their own.
func Mix(h, word uint64) uint64 {
	h = (h ^ word) * 0x9E3779B97F4A7C15
	return h ^ h>>32
}

// MixBytes takes bytes into a hash.
func MixBytes(h uint64, b []byte) uint64 {
	h = Mix(h, uint64(len(b)))
	for len(b) >= 8 {
		h = Mix(h, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		h = Mix(h, binary.LittleEndian.Uint64(tail[:]))
	}
	return h
}

// mixItem takes one output into the chain.
func mixItem(h uint64, e *Egress, payload []byte) uint64 {
	word := uint64(e.Kind) | uint64(e.Code)<<16 | uint64(e.Service)<<32
	if e.Last {
		word |= 1 << 8
	}
	h = Mix(h, word)
	h = Mix(h, uint64(e.Session))
	h = Mix(h, e.Correlation)
	h = Mix(h, e.Response)
	return MixBytes(h, payload)
}
