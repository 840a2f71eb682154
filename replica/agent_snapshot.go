package replica

import (
	"errors"
	"fmt"

	"lockstep/wire"
)

// Snapshot records: what the core wants appended, and what an operator asks for.

// ErrDiverged says that this node's services have come to something else than a majority's: what it has kept of their
// state is not to be relied upon.
var ErrDiverged = errors.New("diverged from a majority")

// snapshotWatch is what was last said of snapshots.
type snapshotWatch struct{ verified, disputed wire.Position }

// watchSnapshots says what a majority has verified, and where none agrees.
func (a *Agent) watchSnapshots() {
	w := &a.snapshots
	if at := a.core.Verified(); at != w.verified {
		w.verified = at
		a.o.Log("a majority has the same state at position %d: snapshots taken there are verified", at)
	}
	at := a.core.SnapshotDisputed()
	if at == w.disputed {
		return
	}
	if at != 0 {
		a.m.snapshotDisputes.Inc()
		a.o.Log("the nodes disagree about the state of their services at position %d, and no majority agrees: no snapshot is "+
			"verified there, and no log goes", at)
	}
	w.disputed = at
}

// appendOwing appends what the core has asked for. A snapshot record waits behind the others.
func (a *Agent) appendOwing() {
	if a.owed.kind != 0 {
		a.appendOwed()
	}
	if a.owedSnap != (wire.SnapshotRecord{}) && a.owed.kind == 0 {
		a.appendSnapshot()
	}
}

// oweSnapshot notes a snapshot record that is to be appended. One that is owed already says both then.
func (a *Agent) oweSnapshot(x *wire.SnapshotRecord) {
	owed := &a.owedSnap
	owed.Take, owed.Leader = owed.Take || x.Take, owed.Leader || x.Leader
	if x.Verified > owed.Verified {
		owed.Verified, owed.Digest = x.Verified, x.Digest
	}
}

// appendSnapshot appends the snapshot record owed, or leaves it owed while the ring has no room.
func (a *Agent) appendSnapshot() {
	x := a.owedSnap
	if a.leading {
		if !a.o.Leading.AppendSnapshot(a.nowNs, x) {
			return
		}
		if x.Take {
			a.askedAt = a.o.Leading.Chain().Position
			a.m.snapshotsAsked.Inc()
		}
	}
	a.owedSnap = wire.SnapshotRecord{} // before any Step: that may owe the next
	a.publishAppended()
}

// operateSnapshot has a snapshot record appended, and answers when it is committed: every node that is up to take a
// snapshot then does, at its end.
func (a *Agent) operateSnapshot(call *OperatorCall, first bool) bool {
	switch {
	case first && !a.leading:
		return a.answer(call, ErrNotLeading, "")
	case first:
		if obstacle, _ := a.core.snapshotObstacle(); obstacle != "" {
			return a.answer(call, fmt.Errorf("%w: %s", ErrRefused, obstacle), "")
		}
		a.askedAt = 0
		a.tell(event{kind: InSnapshot, flag: call.request.Leader})
		return false
	case !a.leading || a.ledTerm != call.term:
		return a.answer(call, fmt.Errorf("%w: this node lost its leadership before the snapshot record was committed",
			ErrOperatorLate), "")
	case call.end == 0:
		call.end = a.askedAt
		return false
	case a.core.Commit() < call.end:
		return false
	}
	return a.answer(call, nil, fmt.Sprintf("a snapshot is asked for at position %d", call.end))
}
