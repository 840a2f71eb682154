package journal

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// TestLayouts holds the blocks to the tables of docs/journal-format.md.
func TestLayouts(t *testing.T) {
	b := make([]byte, vfs.BlockBytes)
	field := func(what string, offset, size int, want uint64) {
		t.Helper()
		var word [8]byte
		copy(word[:], b[offset:offset+size])
		if got := binary.LittleEndian.Uint64(word[:]); got != want {
			t.Errorf("%s at %d: %#x, want %#x", what, offset, got, want)
		}
	}
	common := func(magic string) {
		t.Helper()
		if string(b[:8]) != magic {
			t.Errorf("magic %q, want %q", b[:8], magic)
		}
		field("version", 8, 4, 1)
		field("checksum", 12, 4, uint64(crc32.Checksum(slices.Concat(b[8:12], b[16:4096]), crc32.MakeTable(crc32.Castagnoli))))
	}
	h := segmentHeader{cluster: 11, first: 8192, bytes: 1 << 20, generation: 13,
		chain: wire.Chain{Position: 8200, Sequence: 14, Timestamp: 15, Checksum: 16, Term: 17}}
	h.put(b)
	common("LOCKSEGM")
	for i, want := range []uint64{11, 8192, 1 << 20, 13, 8200, 14, 15} {
		field("segment header", 16+8*i, 8, want)
	}
	field("segment header", 72, 4, 16)
	field("segment header", 76, 4, 17)
	var back segmentHeader
	if back.decode(b) != blockValid || back != h {
		t.Errorf("read back %+v", back)
	}
	b[8] = 2
	if back.decode(b) != blockBad {
		t.Error("a flipped bit of the format version is taken for another version")
	}
	binary.LittleEndian.PutUint32(b[12:], blockSum(b))
	if back.decode(b) != blockOther {
		t.Error("another format version is not told from damage")
	}
	putVote(b, 21, 3)
	common("LOCKVOTE")
	field("term", 16, 4, 21)
	field("vote", 20, 4, 3)
	putWatermark(b, 31, 4096)
	common("LOCKMARK")
	field("writes", 16, 8, 31)
	field("position", 24, 8, 4096)
	for name, first := range map[string]wire.Position{"00000000000000000000.seg": 0, "00000000000000131072.seg": 131072} {
		if got, ok := parseSegmentName(name); !ok || got != first || segmentName(first) != name {
			t.Errorf("%s: %d, %v", name, got, ok)
		}
	}
	for _, name := range []string{"next.tmp", "0.seg", "00000000000000000001.seg", "99999999999999999999.seg",
		"0000000000000000000x.seg", "00000000000000000000.bak"} {
		if _, ok := parseSegmentName(name); ok {
			t.Errorf("%s is taken for a segment", name)
		}
	}
}
