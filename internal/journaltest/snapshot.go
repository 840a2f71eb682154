package journaltest

import (
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// Ask has every node take a snapshot, and returns where: at the end of the record that asks.
func (l *Log) Ask() wire.Chain {
	var b [wire.SnapshotRecordSize]byte
	ask := wire.SnapshotRecord{Take: true, Leader: true}
	l.Append(wire.Record{Kind: wire.RecordSnapshot}, b[:ask.Put(b[:])])
	return l.Chain
}

// Verify says that a majority has a digest at an earlier position.
func (l *Log) Verify(at wire.Position, digest uint64) {
	var b [wire.SnapshotRecordSize]byte
	verified := wire.SnapshotRecord{Verified: at, Digest: digest}
	l.Append(wire.Record{Kind: wire.RecordSnapshot}, b[:verified.Put(b[:])])
}

// Publish puts a snapshot into the directory.
func (l *Log) Publish(m snapshot.Manifest, data []byte) {
	l.t.Helper()
	store, err := snapshot.Open(l.fs, l.Dir, l.id.Cluster)
	l.do(err)
	w, err := store.Create(m.Position())
	l.do(err)
	_, err = w.Write(data)
	l.do(err)
	l.do(w.Close(m))
	_, err = store.Publish(w)
	l.do(err)
}

// Drop removes the segments that lie wholly below a position, as retention does, and returns where the log begins then.
func (l *Log) Drop(below wire.Position) wire.Position {
	l.t.Helper()
	floor, _, err := journal.DropBelow(l.fs, l.Dir, below)
	l.do(err)
	return floor
}
