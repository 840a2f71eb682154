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

// cursor goes through the committed log record by record.
type cursor struct {
	reader
	chain  wire.Chain // of the last record done
	record wire.Record
	after  wire.Chain // the chain once the record at hand is done
}

// restart goes to a place of the log.
func (c *cursor) restart(at wire.Chain) { c.chain, c.off, c.end = at, 0, 0 }

// next decodes the next record up to commit into c.record, and the chain behind it into c.after. ok is false when
// there is none yet.
func (d *Driver) next(c *cursor, commit wire.Position) (payload []byte, ok bool, err error) {
	at := c.chain.Position
	if at >= commit {
		return nil, false, nil
	}
	if !c.whole() {
		if err := d.fill(&c.reader, at, commit); err != nil || !c.whole() {
			return nil, false, err
		}
	}
	b := c.buf[c.off:c.end]
	n := 0
	if c.source {
		var v wire.Verdict
		c.after = c.chain
		if n, v = c.after.Verify(b, &c.record); v != wire.VerdictOK {
			return nil, false, fmt.Errorf("%w: journal record at position %d: %v", ErrLog, at, v)
		}
	} else {
		wire.DecodeRecord(b, &c.record)
		if rec := &c.record; rec.Position != at || rec.Sequence != c.chain.Sequence+1 ||
			rec.PrevChecksum != c.chain.Checksum || rec.Length < wire.RecordHeaderSize || rec.Length > wire.MaxRecord {
			return nil, false, fmt.Errorf("%w: the ring has record %d at position %d, length %d, where record %d "+
				"at position %d must be", ErrLog, rec.Sequence, rec.Position, rec.Length, c.chain.Sequence+1, at)
		}
		n = int(wire.Padded(c.record.Length))
		c.after = wire.Chain{
			Position: c.record.End(), Sequence: c.record.Sequence, Timestamp: c.record.Timestamp,
			Checksum: c.record.Checksum, Term: c.record.Term,
		}
	}
	c.off += n
	return wire.Payload(b, &c.record), true, nil
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
func (d *Driver) fill(r *reader, at, commit wire.Position) error {
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
