package journal

import (
	"encoding/binary"
	"fmt"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// batch is a run of whole records.
type batch struct {
	bytes   int
	last    wire.Chain // behind the last record
	crossed bool       // a record reaches the end of the segment
	cross   wire.Chain // behind the first record that does
}

// walkBatch finds the whole records in view, which is the log from position on. segmentEnd is where the next segment
// begins.
func walkBatch(view []byte, position, segmentEnd wire.Position) (batch, error) {
	var b batch
	lastAt := -1
	for len(view)-b.bytes >= wire.RecordHeaderSize {
		length := binary.LittleEndian.Uint32(view[b.bytes:])
		if length < wire.RecordHeaderSize || length > wire.MaxRecord {
			return b, badRecord(position+wire.Position(b.bytes), length)
		}
		n := int(wire.Padded(length))
		if b.bytes+n > len(view) {
			break
		}
		lastAt = b.bytes
		b.bytes += n
		if !b.crossed && position < segmentEnd && position+wire.Position(b.bytes) >= segmentEnd {
			b.crossed = true
			b.cross = chainBehind(view[lastAt:])
		}
	}
	if lastAt >= 0 {
		b.last = chainBehind(view[lastAt:])
	}
	return b, nil
}

func badRecord(position wire.Position, length uint32) error {
	return fmt.Errorf("%w: the log ring holds a record of length %d at position %d", ErrInvariant, length, position)
}

// chainBehind is the chain behind the record at the start of b.
func chainBehind(b []byte) wire.Chain {
	var r wire.Record
	wire.DecodeRecord(b, &r)
	return wire.Chain{Position: r.End(), Sequence: r.Sequence, Timestamp: r.Timestamp, Checksum: r.Checksum, Term: r.Term}
}

// store writes the records of a batch durably and moves written behind them.
func (j *Journal) store(records []byte, b *batch) error {
	for len(records) > 0 {
		if j.written == j.current.end() {
			if err := j.activateNext(b); err != nil {
				return err
			}
		}
		n := min(len(records), int(j.current.end()-j.written))
		if err := j.storePiece(records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	j.chain, j.chainKnown = b.last, true
	return nil
}

// copyBelow is how long a write may be for its records to be copied behind the last block: less than a write of its own
// memory would cost.
const copyBelow = 32 << 10

// storePiece writes bytes that end in the current segment: whole blocks, the first from its beginning, the rest of the
// last one zero.
func (j *Journal) storePiece(piece []byte) error {
	head := (vfs.BlockBytes - j.fill) % vfs.BlockBytes // what fills up the block that the log ends in
	if len(piece) >= copyBelow && vfs.Aligned(piece[head:]) {
		return j.storeInPlace(piece, head)
	}
	filled := j.fill + len(piece)
	blocks := (filled + vfs.BlockBytes - 1) &^ (vfs.BlockBytes - 1)
	copy(j.staging[j.fill:], piece)
	clear(j.staging[filled:blocks])
	if err := j.current.write(j.staging[:blocks], j.written-wire.Position(j.fill)); err != nil {
		return err
	}
	j.written += wire.Position(len(piece))
	if rest := filled % vfs.BlockBytes; rest > 0 {
		copy(j.staging[:vfs.BlockBytes], j.staging[blocks-vfs.BlockBytes:blocks])
	}
	j.fill = filled % vfs.BlockBytes
	return nil
}

// storeInPlace writes a long piece without copying it: the first and the last block from the staging buffer, as they are
// shared with other records, and those between straight from the ring. All of their bytes are below append, so nobody
// writes them until they are durable.
func (j *Journal) storeInPlace(piece []byte, head int) error {
	const block = vfs.BlockBytes
	first, last := j.staging[:block], j.staging[block:2*block]
	pieces, total := j.vector[:0], 0
	if j.fill > 0 {
		copy(first[j.fill:], piece[:head])
		pieces, total = append(pieces, first), block
	}
	body := (len(piece) - head) &^ (block - 1)
	pieces, total = append(pieces, piece[head:head+body]), total+body
	rest := copy(last, piece[head+body:])
	if rest > 0 {
		clear(last[rest:])
		pieces, total = append(pieces, last), total+block
	}
	if err := j.current.writeVec(pieces, total, j.written-wire.Position(j.fill)); err != nil {
		return err
	}
	j.written += wire.Position(len(piece))
	if j.fill = rest; rest > 0 {
		copy(first, last)
	}
	return nil
}

// activateNext takes the prepared segment into use: its header is durable before its first record is written.
func (j *Journal) activateNext(b *batch) error {
	if j.next == nil || j.next.first != j.written {
		return fmt.Errorf("%w: the log goes on at %d without a segment for it", ErrInvariant, j.written)
	}
	chain := j.chain
	if b.crossed {
		chain = b.cross
	} else if !j.chainKnown {
		return fmt.Errorf("%w: no chain at the start of segment %d", ErrInvariant, j.next.first)
	}
	next, err := j.openSegment(j.next.first, j.next.bytes)
	if err != nil {
		return err
	}
	j.next = nil
	j.segments = append(j.segments, segmentInfo{first: j.current.first, bytes: j.current.bytes})
	err = j.current.close()
	j.current = next
	if err != nil {
		return fmt.Errorf("journal: close a full segment: %w", err)
	}
	j.header = segmentHeader{j.options.Cluster, next.first, next.bytes, j.generation, chain}
	block := alignedBlock()
	j.count.segments.Inc()
	return j.current.writeHeader(&j.header, block)
}
