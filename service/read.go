package service

import (
	"encoding/binary"
	"errors"
	"fmt"

	"lockstep/wire"
)

// readBytes is how much of the log is copied out at a time: several of the longest records.
const readBytes = 256 << 10

// ErrLog says that the log this node holds is impossible: records do not fit one another. The node must stop.
var ErrLog = errors.New("service: the log is broken")

// reader holds a copy of some log bytes. What is committed never changes, so the copy stays good.
type reader struct {
	buf    []byte
	off    int  // of the next record
	end    int  // of the bytes held
	source bool // they came from the journal and are not verified yet
}

// next decodes the next record up to commit into d.record, and the chain behind it into d.after. ok is false when
// there is none yet.
func (d *Driver) next(commit wire.Position) (payload []byte, ok bool, err error) {
	r := &d.reader
	at := d.chain.Position
	if at >= commit {
		return nil, false, nil
	}
	if !r.whole() {
		if err := d.fill(at, commit); err != nil || !r.whole() {
			return nil, false, err
		}
	}
	b := r.buf[r.off:r.end]
	n := 0
	if r.source {
		var v wire.Verdict
		d.after = d.chain
		if n, v = d.after.Verify(b, &d.record); v != wire.VerdictOK {
			return nil, false, fmt.Errorf("%w: journal record at position %d: %v", ErrLog, at, v)
		}
	} else {
		wire.DecodeRecord(b, &d.record)
		if rec := &d.record; rec.Position != at || rec.Sequence != d.chain.Sequence+1 ||
			rec.Length < wire.RecordHeaderSize || rec.Length > wire.MaxRecord {
			return nil, false, fmt.Errorf("%w: the ring has record %d at position %d, length %d, where record %d "+
				"at position %d must be", ErrLog, rec.Sequence, rec.Position, rec.Length, d.chain.Sequence+1, at)
		}
		n = int(wire.Padded(d.record.Length))
		d.after = wire.Chain{
			Position: d.record.End(), Sequence: d.record.Sequence, Timestamp: d.record.Timestamp,
			Checksum: d.record.Checksum, Term: d.record.Term,
		}
	}
	r.off += n
	return wire.Payload(b, &d.record), true, nil
}

// whole tells whether a whole record lies at off, or what can be none.
func (r *reader) whole() bool {
	held := r.end - r.off
	if held < wire.RecordHeaderSize {
		return false
	}
	length := binary.LittleEndian.Uint32(r.buf[r.off:])
	return length < wire.RecordHeaderSize || length > wire.MaxRecord || int(wire.Padded(length)) <= held
}

// fill copies log bytes from position at on: from the ring when it still has them, else from the journal. The copy
// is good when the ring still had its beginning afterwards.
func (d *Driver) fill(at, commit wire.Position) error {
	r := &d.reader
	r.off, r.end = 0, 0
	if until := min(commit, wire.Position(d.ring.Append())); at < until {
		n := int(min(until-at, readBytes))
		if d.ring.Copy(r.buf[:n], uint64(at)) {
			r.end, r.source = n, false
			return nil
		}
	}
	if at >= wire.Position(d.ring.Floor()) {
		return nil
	}
	if d.o.Source == nil {
		return fmt.Errorf("%w: position %d has left the ring and there is no journal to read it from", ErrLog, at)
	}
	n, err := d.o.Source.ReadRange(at, r.buf[:min(commit-at, readBytes)])
	if err != nil {
		return fmt.Errorf("service: read the journal at position %d: %w", at, err)
	}
	d.meters.journalReads.Inc()
	r.end, r.source = n, true
	return nil
}
