package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// FormatVersion of everything this package stores.
const FormatVersion = 1

// headerBytes is the size of a segment's header: file offset = headerBytes + (position - first).
const headerBytes = vfs.BlockBytes

// Every file but identity and clean is made of blocks of 4096 bytes that begin with
//
//	off size
//	  0    8 magic
//	  8    4 format version
//	 12    4 CRC-32C of bytes [8, 12) and [16, 4096)
//
// All of a block's content is in its first sector; the rest is zero.
const (
	magicSegment   = "LOCKSEGM"
	magicVote      = "LOCKVOTE"
	magicWatermark = "LOCKMARK"

	blockContent = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockState says what a block of a file is.
type blockState uint8

const (
	blockZero  blockState = iota // never written
	blockValid                   // magic, version and checksum fit
	blockOther                   // written by another format version, whole
	blockBad                     // anything else
)

// sealBlock writes magic, version and checksum around the content of the 4096-byte block b.
func sealBlock(b []byte, magic string) {
	copy(b[:8], magic)
	binary.LittleEndian.PutUint32(b[8:], FormatVersion)
	binary.LittleEndian.PutUint32(b[12:], blockSum(b))
}

// blockSum is over the version, too: one of which a bit has flipped is no other version's.
func blockSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[8:12], castagnoli), castagnoli, b[blockContent:vfs.BlockBytes])
}

// checkBlock says what the 4096-byte block b is.
func checkBlock(b []byte, magic string) blockState {
	if allZero(b[:vfs.BlockBytes]) {
		return blockZero
	}
	sum := binary.LittleEndian.Uint32(b[12:])
	if string(b[:8]) != magic || blockSum(b) != sum {
		return blockBad
	}
	if binary.LittleEndian.Uint32(b[8:]) != FormatVersion {
		return blockOther
	}
	return blockValid
}

// segmentHeader is the content of a segment's header block:
//
//	off size
//	 16    8 cluster id
//	 24    8 first position: of the segment's first byte in the stream, a multiple of 4096
//	 32    8 how many bytes of the stream the segment holds, a multiple of 4096
//	 40    8 generation
//	 48    8 first record start: position of the first record that begins in the segment (its end when none does)
//	 56    8 sequence    }
//	 64    8 timestamp   } of the record before that one: what it chains from
//	 72    4 checksum    }
//	 76    4 term        }
type segmentHeader struct {
	cluster    uint64
	first      wire.Position
	bytes      int64
	generation uint64
	chain      wire.Chain // chain.Position is the first record start
}

func (h *segmentHeader) put(b []byte) {
	clear(b[:headerBytes])
	le := binary.LittleEndian
	le.PutUint64(b[16:], h.cluster)
	le.PutUint64(b[24:], uint64(h.first))
	le.PutUint64(b[32:], uint64(h.bytes))
	le.PutUint64(b[40:], h.generation)
	le.PutUint64(b[48:], uint64(h.chain.Position))
	le.PutUint64(b[56:], h.chain.Sequence)
	le.PutUint64(b[64:], h.chain.Timestamp)
	le.PutUint32(b[72:], h.chain.Checksum)
	le.PutUint32(b[76:], uint32(h.chain.Term))
	sealBlock(b, magicSegment)
}

func (h *segmentHeader) decode(b []byte) blockState {
	state := checkBlock(b, magicSegment)
	if state != blockValid {
		return state
	}
	le := binary.LittleEndian
	h.cluster = le.Uint64(b[16:])
	h.first = wire.Position(le.Uint64(b[24:]))
	h.bytes = int64(le.Uint64(b[32:]))
	h.generation = le.Uint64(b[40:])
	h.chain = wire.Chain{
		Position:  wire.Position(le.Uint64(b[48:])),
		Sequence:  le.Uint64(b[56:]),
		Timestamp: le.Uint64(b[64:]),
		Checksum:  le.Uint32(b[72:]),
		Term:      wire.Term(le.Uint32(b[76:])),
	}
	return blockValid
}

// segmentName is the file name of the segment that begins at first.
func segmentName(first wire.Position) string { return fmt.Sprintf("%020d.seg", uint64(first)) }

// parseSegmentName reads a segment's first position from its file name. Other names are none of ours.
func parseSegmentName(name string) (first wire.Position, ok bool) {
	if len(name) != 24 || name[20:] != ".seg" {
		return 0, false
	}
	for _, c := range []byte(name[:20]) {
		if c < '0' || c > '9' || uint64(first) > (1<<63)/10 {
			return 0, false
		}
		first = first*10 + wire.Position(c-'0')
	}
	return first, first%vfs.BlockBytes == 0
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// alignedBlock is a block for direct I/O. Cold: it allocates.
func alignedBlock() []byte { return vfs.AlignedBytes(headerBytes) }
