package sequencer

import (
	"lockstep/ringbuf"
	"lockstep/wire"
)

// Appender is the single writer of the log ring while this node leads: it holds the end of the chain and the stamps.
// What it appends shows to others with Publish.
type Appender struct {
	ring     *ringbuf.LogRing
	stamper  Stamper
	chain    wire.Chain
	term     wire.Term
	record   wire.Record   // the last one appended
	commit   wire.Position // as last told
	prepared wire.Position // the ring takes bytes up to here
	held     wire.Refusal  // why clients' records are not taken now; RefusalNone: they are
	diskBad  bool          // the own disk is full or hangs
}

// start takes over behind chain, the verified end of the log.
func (a *Appender) start(nowNs, wallNs int64, term wire.Term, chain wire.Chain) {
	a.chain, a.term = chain, term
	a.commit, a.prepared, a.held = 0, chain.Position, wire.RefusalNone
	a.stamper.Start(nowNs, wallNs, chain.Timestamp)
}

// longestAdmitted is the longest payload of a client's record that may ever be appended, in bytes: see Admits.
func longestAdmitted(ring *ringbuf.LogRing) int {
	return max(0, int(ring.Size()/4)&^(wire.Alignment-1)-wire.RecordHeaderSize)
}

// Admits says whether a client's record with a payload of so many bytes may be appended, RefusalNone, or why not:
// clients may have a quarter of the ring beyond what is committed, and what the disk has not taken yet stays in the ring.
func (a *Appender) Admits(payload int) wire.Refusal {
	end := a.chain.Position + wire.Position(wire.Padded(uint32(wire.RecordHeaderSize+payload)))
	switch {
	case a.held != wire.RefusalNone:
		return a.held
	case !a.ring.Fits(uint64(end)):
		return wire.RefusalBusyDisk
	case end > a.commit+wire.Position(a.ring.Size()/4):
		if a.diskBad {
			return wire.RefusalBusyDisk
		}
		return wire.RefusalBusyLog
	}
	return wire.RefusalNone
}

// Append stamps and encodes the next record into the ring, and returns where it ends; ok is false, and nothing
// changed, when a gate of the ring leaves no room. The payload is copied. The cluster's own records have session 0.
func (a *Appender) Append(nowNs int64, kind wire.RecordKind, session wire.SessionID, correlation uint64,
	service uint16, acked uint32, payload []byte) (end wire.Position, ok bool) {
	at := a.chain.Position
	end = at + wire.Position(wire.Padded(uint32(wire.RecordHeaderSize+len(payload))))
	if end > a.prepared && !a.prepare(end) {
		return at, false
	}
	r := &a.record
	r.Kind, r.Flags, r.Service = kind, 0, service
	r.Session, r.Correlation, r.Acked = session, correlation, acked
	r.Term, r.Timestamp = a.term, a.stamper.Stamp(nowNs)
	a.chain.Append(a.ring.View(uint64(at), uint64(end)), r, payload)
	return end, true
}

// prepare makes room up to end, and some more while there is, so that the ring's floor is not published per record.
func (a *Appender) prepare(end wire.Position) bool {
	ahead := end + wire.Position(a.ring.Size()/64)
	if !a.ring.Fits(uint64(ahead)) {
		ahead = end
		if !a.ring.Fits(uint64(end)) {
			return false
		}
	}
	a.ring.Prepare(uint64(ahead))
	a.prepared = ahead
	return true
}

// discard leaves what was appended and not published to whoever writes the ring next.
func (a *Appender) discard() {
	if from, until := a.ring.Append(), uint64(a.chain.Position); from < until {
		a.ring.Mirror(from, until)
	}
}

// Publish makes everything appended visible to the readers of the ring, once a duty cycle, and returns its end.
func (a *Appender) Publish() wire.Chain {
	if at := uint64(a.chain.Position); at != a.ring.Append() {
		a.ring.Publish(at)
	}
	return a.chain
}
