package journal

import (
	"encoding/binary"
	"errors"
	"io"
	"path"
	"sort"

	"lockstep/wire"
)

// seekSpan is how much of the log a seek walks record by record at its end: when so little is left to search,
// bisecting saves nothing.
const seekSpan = 512 << 10

// SeekFirst has Next begin with the first record that is held.
func (r *Reader) SeekFirst() error {
	r.begin()
	if err := r.refresh(); err != nil {
		return err
	}
	first := wire.Position(0)
	if s := r.window.tape.segments; len(s) > 0 {
		if start, ok := s[0].start(); ok {
			first = start.Position
		}
	}
	chain, err := r.startBefore(first)
	r.chain, r.seeked = chain, err == nil
	return err
}

// SeekChain has Next begin with the record behind a chain that is known from elsewhere. Nothing before it is read.
func (r *Reader) SeekChain(chain wire.Chain) error {
	r.begin()
	err := r.refresh()
	r.chain, r.seeked = chain, err == nil
	return err
}

// SeekFrom has Next begin with the first record that begins at position or behind it.
//
// This and the two below bisect: over the headers of the segments, then inside one. Record boundaries inside a segment
// are found by looking at what stands there: a record carries its own position, so a good one that does, and that good
// ones follow for longer than any record is, cannot be bytes of a payload. Only what lies below the watermark is
// searched so; the rest is walked. They cost the same however long the log is, but for a header for each segment, and
// verify what they read, not all that lies before.
func (r *Reader) SeekFrom(position wire.Position) error {
	return r.seekTo(func(c *wire.Chain) bool { return c.Position <= position },
		func(rec *wire.Record) bool { return rec.Position >= position })
}

// SeekSequence has Next begin with the record of that number, or the first one held if that is later.
func (r *Reader) SeekSequence(sequence uint64) error {
	return r.seekTo(func(c *wire.Chain) bool { return c.Sequence < sequence },
		func(rec *wire.Record) bool { return rec.Sequence >= sequence })
}

// SeekTime has Next begin with the first record whose stamp is timestamp or later, in ns since the Unix epoch.
func (r *Reader) SeekTime(timestamp uint64) error {
	return r.seekTo(func(c *wire.Chain) bool { return c.Timestamp < timestamp },
		func(rec *wire.Record) bool { return rec.Timestamp >= timestamp })
}

// Again has Next look anew at bytes that it read before: where it found no record one may have been written since.
func (r *Reader) Again() error {
	r.window.forget()
	r.window.tape.close() // a cut may have removed the file, and another have taken its name
	if r.window.tape.find(r.chain.Position) != nil {
		return nil
	}
	return r.refresh()
}

// Generation reads the generation in the header of the segment that the last record read ends in: it rises when the
// log is cut there. ok is false when that header cannot be read, or the segment is gone.
func (r *Reader) Generation() (generation uint64, ok bool) {
	t := &r.window.tape
	s := t.find(r.chain.Position - min(1, r.chain.Position))
	if s == nil {
		return 0, false
	}
	block := alignedBlock()
	var h segmentHeader
	if err := readHeader(t.fs, path.Join(segmentDir(t.dir), segmentName(s.first)), block); err != nil {
		return 0, false
	}
	ok = h.decode(block) == blockValid
	return h.generation, ok
}

// begin drops where the reader was.
func (r *Reader) begin() {
	r.seeked = false
	r.window.forget()
}

// seekTo has Next begin with the first record that is found. before says that the record sought does not end at the
// chain or earlier. Where the log ends before there is such a record, Next says so.
func (r *Reader) seekTo(before func(*wire.Chain) bool, found func(*wire.Record) bool) error {
	if err := r.SeekFirst(); err != nil {
		return err
	}
	r.startNear(before)
	if err := r.bisect(before); err != nil {
		return err
	}
	var rec wire.Record
	for {
		at := r.chain
		_, err := r.next(&rec)
		if err == nil && !found(&rec) {
			continue
		}
		r.chain = at // to be read again by Next, or to say again why it cannot be
		if err == nil || errors.Is(err, io.EOF) || errors.Is(err, ErrCorrupt) {
			return nil
		}
		return err
	}
}

// startNear goes to the last segment header that stands before what is sought. A damaged one tells nothing.
func (r *Reader) startNear(before func(*wire.Chain) bool) {
	var sound []*wire.Chain
	for i := range r.window.tape.segments {
		if s := &r.window.tape.segments[i]; s.state == blockValid && s.holds(s.header.chain.Position) {
			sound = append(sound, &s.header.chain)
		}
	}
	n := sort.Search(len(sound), func(i int) bool { return !before(sound[i]) })
	if n > 0 && sound[n-1].Position > r.chain.Position {
		r.chain = *sound[n-1]
	}
}

// bisect goes on from the reader's chain to a record boundary close before what is sought.
func (r *Reader) bisect(before func(*wire.Chain) bool) error {
	watermark, known, err := readWatermark(r.window.tape.fs, r.window.tape.dir)
	s := r.window.tape.find(r.chain.Position)
	if err != nil || !known || s == nil {
		return err
	}
	end := min(s.end(), watermark, r.window.limit)
	for low, high := r.chain.Position, end; high > low && high-low > seekSpan; {
		middle := (low + (high-low)/2) &^ (wire.Alignment - 1)
		chain, ok := r.boundary(middle, high, end)
		if !ok || !before(&chain) {
			high = middle
			continue
		}
		r.chain, low = chain, chain.Position
	}
	return nil
}

// boundary finds the end of a record that certainly is one and begins in [from, until). The search ends at end.
func (r *Reader) boundary(from, until, end wire.Position) (wire.Chain, bool) {
	for at := from; at < until; at += wire.Alignment {
		b, _ := r.window.view(at, wire.RecordHeaderSize)
		if len(b) < wire.RecordHeaderSize {
			return wire.Chain{}, false
		}
		if binary.LittleEndian.Uint64(b[8:]) != uint64(at) {
			continue
		}
		if chain, ok := r.certain(at, end); ok {
			return chain, true
		}
	}
	return wire.Chain{}, false
}

// certain says whether a record begins at position at: it and those that follow it are good and fit one another for
// longer than a record can be. The chain is the one behind the first.
func (r *Reader) certain(at, end wire.Position) (first wire.Chain, ok bool) {
	var rec wire.Record
	b, _ := r.window.view(at, wire.MaxRecord)
	if _, v := wire.VerifyAlone(b, &rec); v != wire.VerdictOK || rec.Position != at {
		return first, false
	}
	first = wire.Chain{Position: rec.End(), Sequence: rec.Sequence, Timestamp: rec.Timestamp, Checksum: rec.Checksum,
		Term: rec.Term}
	for chain := first; chain.Position < at+2*wire.MaxRecord; {
		if chain.Position >= end {
			return first, false
		}
		b, _ := r.window.view(chain.Position, wire.MaxRecord)
		if _, v := chain.Verify(b, &rec); v != wire.VerdictOK {
			return first, false
		}
	}
	return first, true
}
