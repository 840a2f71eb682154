package sequencer

import (
	"encoding/binary"
	"math/bits"

	"lockstep/transport"
)

// challengeSlotNs is the step of the time in a nonce. A nonce is good for the slot it was made in and the next one.
const challengeSlotNs = int64(10e9)

// challenger makes and checks the nonces of CHALLENGE. It keeps nothing about clients.
type challenger struct{ k0, k1 uint64 }

func newChallenger(key [16]byte) challenger {
	return challenger{binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])}
}

// nonce is what a client at from that named token has to bring back.
func (c *challenger) nonce(nowNs int64, from transport.Addr, token uint64) uint64 {
	return c.hash(uint64(nowNs/challengeSlotNs), from, token)
}

// check says whether nonce was made for from and token not long ago.
func (c *challenger) check(nowNs int64, from transport.Addr, token, nonce uint64) bool {
	slot := uint64(nowNs / challengeSlotNs)
	return nonce == c.hash(slot, from, token) || nonce == c.hash(slot-1, from, token)
}

// hash is SipHash-2-4 of the 24 bytes (slot, token, address): a keyed hash that nobody can guess without the key.
func (c *challenger) hash(slot uint64, from transport.Addr, token uint64) uint64 {
	s := sip{c.k0 ^ 0x736f6d6570736575, c.k1 ^ 0x646f72616e646f6d, c.k0 ^ 0x6c7967656e657261, c.k1 ^ 0x7465646279746573}
	s.word(slot)
	s.word(token)
	s.word(uint64(binary.LittleEndian.Uint32(from.IP[:])) | uint64(from.Port)<<32)
	s.word(24 << 56)
	s[2] ^= 0xff
	for range 4 {
		s.round()
	}
	return s[0] ^ s[1] ^ s[2] ^ s[3]
}

// sip is the state of SipHash.
type sip [4]uint64

func (s *sip) word(m uint64) {
	s[3] ^= m
	s.round()
	s.round()
	s[0] ^= m
}

func (s *sip) round() {
	s[0] += s[1]
	s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
	s[0] = bits.RotateLeft64(s[0], 32)
	s[2] += s[3]
	s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
	s[0] += s[3]
	s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
	s[2] += s[1]
	s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
	s[2] = bits.RotateLeft64(s[2], 32)
}
