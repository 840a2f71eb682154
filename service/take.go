package service

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"lockstep/wire"
)

// ErrVerified says that this node's state is another than the one that a majority of the voters has verified.
var ErrVerified = errors.New("service: this node's state is not the verified one")

// errLead ends a snapshot that is under way: a node that is to lead has better things to do.
var errLead = errors.New("this node is to lead")

// ownPoints is how many points at which a digest was taken are remembered, for comparing.
const ownPoints = 64

// point is a place in the log and the digest of the state there.
type point struct {
	at     wire.Position
	digest uint64
}

// history is what a snapshot says of the log before it.
type history struct {
	terms       []wire.TermStart
	configs     []wire.ConfigAt
	moreConfigs bool
	passed      []wire.Position
	verified    point
}

// taking is what a driver does about snapshots.
type taking struct {
	asked    wire.SnapshotRecord // by the record being applied
	own      [ownPoints]point    // a ring
	owned    int                 // points taken, in all
	due      bool                // a snapshot is to be written before anything else is applied: of the newest point
	byLeader bool                // even when this node leads
	out      chunkWriter
	head     SnapshotHead
	paused   bool // since pausedNs
	pausedNs int64
	writing
}

// writing is a snapshot being written: by a coroutine that a call of DoWork lets go on for one chunk. The driver shares its
// thread with the replica in one layout, and that must not stand still; apply does, so that the state stays as it is.
type writing struct {
	to      SnapshotWriter // nil: none is being written
	resume  func() (struct{}, bool)
	cancel  func()
	outcome error // once it is through
}

// noteTerm takes a record into the term index. It grows with the leaderships, not with the records.
func (h *history) noteTerm(r *wire.Record, before wire.Term) {
	if r.Term == before {
		return
	}
	if len(h.terms) >= MaxTerms {
		h.terms = slices.Delete(h.terms, 0, len(h.terms)-MaxTerms+1)
	}
	h.terms = append(h.terms, wire.TermStart{Start: r.Position, Term: r.Term})
}

func (h *history) noteConfig(r *wire.Record, c *wire.Config) {
	if len(h.configs) == MaxConfigs {
		h.configs, h.moreConfigs = slices.Delete(h.configs, 0, 1), true
	}
	h.configs = append(h.configs, wire.ConfigAt{End: r.End(), Config: *c})
}

// applySnapshot comes to a snapshot record: what it says is verified is compared, and what it asks for is noted, to be
// done at its end. false: apply has halted.
func (d *Driver) applySnapshot(r *wire.Record, payload []byte) (bool, error) {
	x := &d.asked
	if !x.Decode(payload) {
		d.asked = wire.SnapshotRecord{}
		return false, d.haltUnknown(r)
	}
	switch {
	case x.Verified == 0:
		return true, nil
	case x.Verified > r.Position:
		d.meters.strays.Inc()
		return true, nil
	}
	if own, ok := d.ownDigest(x.Verified); ok && own != x.Digest {
		return false, fmt.Errorf("%w: at position %d it has digest %016x, and the record at position %d says %016x: this node "+
			"applied the log otherwise than the others, or its log or memory is damaged: `lockstep reseed`", ErrVerified,
			x.Verified, own, r.Position, x.Digest)
	}
	if x.Verified > d.verified.at {
		d.verified = point{x.Verified, x.Digest}
		d.tellVerified()
	}
	return true, nil
}

func (d *Driver) tellVerified() {
	if at, _ := d.progress.Verified(); d.verified.at > at {
		d.progress.verified.set(d.verified.at, d.verified.digest)
	}
}

// ownDigest is the digest that this node had at a position, if it remembers.
func (d *Driver) ownDigest(at wire.Position) (digest uint64, ok bool) {
	for _, p := range d.own[:min(d.owned, ownPoints)] {
		if p.at == at {
			return p.digest, true
		}
	}
	return 0, false
}

func (d *Driver) ownPoint(at wire.Position, digest uint64) {
	d.own[d.owned%ownPoints] = point{at, digest}
	d.owned++
	if before, _ := d.progress.Snapshot(); at > before {
		d.progress.snapshot.set(at, digest)
	}
}

// takePoint (a snapshot record that asks is applied) takes the digest, which every node does, and has a snapshot written
// next. One that leads does not stop for that unless it is told to.
func (d *Driver) takePoint() {
	leader := d.asked.Leader
	d.asked = wire.SnapshotRecord{}
	if d.chain.Position <= d.quiet {
		return
	}
	d.ownPoint(d.chain.Position, d.digest())
	d.due = d.o.Sink != nil && (leader || d.term == 0)
	d.byLeader = leader
}

// takeSnapshot writes the snapshot that is due. Whatever goes wrong ends the snapshot only: the state is as it was.
func (d *Driver) takeSnapshot(nowNs int64) {
	d.due = false
	if d.term != 0 && !d.byLeader {
		d.aborted(errLead)
		return
	}
	d.describe(&d.head, d.own[(d.owned-1)%ownPoints].digest)
	to, err := d.o.Sink.Begin(&d.head)
	if err != nil {
		d.aborted(err)
		return
	}
	if to == nil {
		return
	}
	d.paused, d.pausedNs = true, nowNs
	d.out.begin(to)
	d.to = to
	d.resume, d.cancel = iter.Pull(func(yield func(struct{}) bool) {
		d.out.pause = func() error {
			if yield(struct{}{}) {
				return nil
			}
			return errLead
		}
		d.outcome = d.write(&d.out, &d.head)
	})
	d.writeOn()
}

// writeOn writes the next chunk of the snapshot that is being written.
func (d *Driver) writeOn() {
	if _, more := d.resume(); !more {
		d.endSnapshot()
	}
}

// leaveSnapshot ends a snapshot that is being written before it is whole.
func (d *Driver) leaveSnapshot() {
	d.cancel()
	d.endSnapshot()
}

// endSnapshot hands over what was written.
func (d *Driver) endSnapshot() {
	to := d.to
	d.to, d.out.pause = nil, nil
	if err := d.outcome; err != nil {
		to.Abort()
		d.aborted(err)
		return
	}
	if err := to.Commit(); err != nil {
		d.aborted(err)
		return
	}
	d.meters.snapshots.Inc()
	d.meters.snapshotBytes.Set(d.out.bytes)
}

// aborted notes that a snapshot came to nothing, and tells why.
func (d *Driver) aborted(err error) {
	d.meters.snapshotsAborted.Inc()
	if d.o.OnAbort != nil {
		d.o.OnAbort(d.chain.Position, fmt.Errorf("service: snapshot at position %d: %w", d.chain.Position, err))
	}
}

// mustStop says why a snapshot is not to be written on: the ingress has something to say about leading.
func (d *Driver) mustStop() error {
	if c := d.commands.Peek(); c != nil && c.Kind != CommandReplay {
		return errLead
	}
	return nil
}

// measurePause notes how long the call before stood still for a snapshot.
func (d *Driver) measurePause(nowNs int64) {
	d.paused = false
	pause := uint64(max(0, nowNs-d.pausedNs))
	d.meters.pauseLast.Set(pause)
	d.meters.pauseMax.Set(max(pause, d.meters.pauseMax.Load()))
}
