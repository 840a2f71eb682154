package service

import (
	"bytes"
	"testing"
)

// TestNumbersLieInTwoChunks: whatever is written is read, wherever a chunk ends in it.
func TestNumbersLieInTwoChunks(t *testing.T) {
	for shift := range 16 {
		var data bytes.Buffer
		w := &chunkWriter{}
		w.begin(&data)
		w.enter(sectionSessions, None)
		w.Write(make([]byte, shift))
		const rounds = 3 * chunkBytes / 15
		for i := range uint64(rounds) {
			w.uint64(i * 0x0101010101010101)
			w.uint32(uint32(i) * 0x01010101)
			w.uint16(uint16(i))
			w.uint8(uint8(i))
		}
		w.end()
		r := newChunkReader(&data)
		r.enter(sectionSessions, None)
		r.bytes(make([]byte, shift))
		for i := range uint64(rounds) {
			a, b, c, d := r.uint64(), r.uint32(), r.uint16(), r.uint8()
			if a != i*0x0101010101010101 || b != uint32(i)*0x01010101 || c != uint16(i) || d != uint8(i) {
				t.Fatalf("shifted by %d, round %d of %d: %x, %x, %x, %x", shift, i, rounds, a, b, c, d)
			}
		}
		if r.leave(); r.finish() != nil {
			t.Fatal(r.err)
		}
	}
}
