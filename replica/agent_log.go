package replica

import (
	"bytes"

	"lockstep/wire"
)

// store takes bytes of the LOG at hand into the ring. They may lie beyond a hole: readers see nothing past Append.
func (a *Agent) store(from, until wire.Position) {
	a.o.Ring.Prepare(uint64(until))
	copy(a.o.Ring.View(uint64(from), uint64(until)), a.bytes[from-a.bytesAt:until-a.bytesAt])
	a.o.Ring.Mirror(uint64(from), uint64(until))
	a.verify = true
}

// compare holds bytes that came again against those held: in one term they cannot differ.
func (a *Agent) compare(from, until wire.Position) {
	from = max(from, wire.Position(a.o.Ring.Floor()))
	if from >= until {
		return
	}
	held := a.o.Ring.View(uint64(from), uint64(until))
	if !bytes.Equal(held, a.bytes[from-a.bytesAt:until-a.bytesAt]) {
		if from < a.fetched && a.chain.Position < a.fetched {
			a.spoilt = true
			return
		}
		a.fail("stopping: the leader of term %d sent other bytes for [%d, %d) than before: "+
			"two leaders in one term, or broken memory", a.core.Term(), from, until)
	}
}

// verifyStored verifies the complete records of what has become contiguous and reports them to the core, the whole
// batch with one InAppended.
func (a *Agent) verifyStored() {
	received := a.core.Received()
	before := a.chain
	for a.chain.Position < received && a.err == nil {
		var r wire.Record
		prior := a.chain
		view := a.o.Ring.View(uint64(a.chain.Position), uint64(received))
		_, verdict := a.chain.Verify(view, &r)
		if verdict == wire.VerdictShort {
			break
		}
		if verdict != wire.VerdictOK && prior.Position < a.fetched {
			a.spoilt = true
			break
		}
		if verdict != wire.VerdictOK {
			a.fail("stopping: record at position %d from the leader of term %d: %s", prior.Position, a.core.Term(), verdict)
			return
		}
		a.onRecord(&prior, &r, view)
	}
	if a.chain == before || a.err != nil {
		return
	}
	a.o.Ring.Publish(uint64(a.chain.Position))
	a.checkpoints.add(a.chain)
	a.stepAppended()
}

// onRecord reports what the core must know of a verified record before it hears of its end.
func (a *Agent) onRecord(prior *wire.Chain, r *wire.Record, view []byte) {
	if r.Term != prior.Term {
		a.tell(event{kind: InTermStart, position: prior.Position, lastTerm: r.Term})
	}
	if r.Kind == wire.RecordConfig {
		var config wire.Config
		if !config.Decode(wire.Payload(view, r)) {
			a.fail("stopping: config record at position %d does not decode", r.Position)
			return
		}
		a.tell(event{kind: InConfig, position: a.chain.Position, config: &config})
	}
}

// checkpoints remembers the chain at some places of the ring, so that a cut finds its chain without the disk.
type checkpoints struct {
	chains [64]wire.Chain
	next   int
	stride wire.Position // least distance between two
	last   wire.Position
}

func (c *checkpoints) reset(at wire.Chain, ringBytes wire.Position) {
	*c = checkpoints{stride: ringBytes / wire.Position(len(c.chains)), last: at.Position, next: 1}
	c.chains[0] = at
}

func (c *checkpoints) add(at wire.Chain) {
	if at.Position-c.last < c.stride {
		return
	}
	c.chains[c.next%len(c.chains)] = at
	c.next++
	c.last = at.Position
}

// before returns the newest remembered chain at or before p and not below floor.
func (c *checkpoints) before(p, floor wire.Position) (best wire.Chain, ok bool) {
	for i := range min(c.next, len(c.chains)) {
		at := c.chains[i]
		if at.Position <= p && at.Position >= floor && (!ok || at.Position > best.Position) {
			best, ok = at, true
		}
	}
	return best, ok
}

// cut asks the journal to forget everything from p on. Until it has (onCut), nothing is stored or appended.
func (a *Agent) cut(p wire.Position, generation uint64) {
	a.cutting = true
	a.o.Log("cut at %d, generation %d (the log ended at %d)", p, generation, a.chain.Position)
	a.m.cuts.Inc()
	a.o.Journal.Cut(p, generation)
}

// onCut ends the handshake: the chain goes back, the ring goes back, then the core hears of it.
func (a *Agent) onCut(p wire.Position, generation uint64) {
	chain, err := a.chainAt(p)
	if err != nil {
		a.fail("cut at %d: %w", p, err)
		return
	}
	a.chain = chain
	a.o.Ring.Reset(uint64(p))
	a.checkpoints.reset(chain, a.o.RingBytes)
	a.cutting = false
	a.tell(event{kind: InCutDone, position: p, generation: generation, checksum: chain.Checksum})
}

// chainAt finds the chain at a record boundary: from the nearest place remembered, through the ring; else, for what
// was written before this run or left the ring, from the journal.
func (a *Agent) chainAt(p wire.Position) (wire.Chain, error) {
	if p == a.chain.Position {
		return a.chain, nil
	}
	if p == 0 {
		return wire.Chain{}, nil
	}
	at, ok := a.checkpoints.before(p, wire.Position(a.o.Ring.Floor()))
	if !ok {
		return a.o.ChainAt(p)
	}
	for at.Position < p {
		var r wire.Record
		if _, verdict := at.Verify(a.o.Ring.View(uint64(at.Position), uint64(p)), &r); verdict != wire.VerdictOK {
			return wire.Chain{}, errCutInRecord
		}
	}
	return at, nil
}
