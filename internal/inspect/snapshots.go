package inspect

import (
	"errors"
	"fmt"
	"time"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// Snapshot is a snapshot as people and JSON see it.
type Snapshot struct {
	Position  wire.Position `json:"position"`
	Sequence  uint64        `json:"sequence"` // of the last record in it
	Time      string        `json:"time"`     // of that record
	Timestamp uint64        `json:"timestamp"`
	Term      wire.Term     `json:"term"`
	Version   uint32        `json:"version"` // behaviour version in force
	Bytes     int64         `json:"bytes"`
	Digest    string        `json:"digest"` // of the state
	SHA256    string        `json:"sha256"` // of its data
	// Verified says that a record of the log says that a majority had this digest there.
	Verified bool `json:"verified"`
	// Problem says what is wrong with it.
	Problem string `json:"problem,omitempty"`

	manifest snapshot.Manifest
}

// errFound ends a walk that has found all it looked for.
var errFound = errors.New("found")

// Verified looks in the log in dir, as far as until, for the records that say of snapshots that a majority has verified
// them: the digest that they say, by position. It reads from the oldest of the list on, until all are found.
func Verified(fs vfs.FS, dir string, list []snapshot.Manifest, until wire.Position) (map[wire.Position]uint64, error) {
	found := map[wire.Position]uint64{}
	if len(list) == 0 {
		return found, nil
	}
	missing := map[wire.Position]bool{}
	from := list[0].Position()
	for i := range list {
		missing[list[i].Position()] = true
		from = min(from, list[i].Position())
	}
	l, err := Open(fs, dir)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	s := &Selection{From: At(from), To: At(until), Kinds: []wire.RecordKind{wire.RecordSnapshot}}
	_, err = l.Walk(s, func(_ *wire.Record, payload []byte) error {
		var r wire.SnapshotRecord
		if !r.Decode(payload) || !missing[r.Verified] {
			return nil
		}
		found[r.Verified] = r.Digest
		delete(missing, r.Verified)
		if len(missing) == 0 {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, err
}

// look finds the snapshots in dir. One that the node removes at that moment looks damaged: what is damaged stays so.
func look(fs vfs.FS, dir string) (*snapshot.Store, error) {
	store, err := snapshot.Look(fs, dir)
	if err == nil && len(store.Damage()) > 0 {
		time.Sleep(damagePause)
		store, err = snapshot.Look(fs, dir)
	}
	return store, err
}

// Snapshots lists the snapshots in dir, oldest first, and what is wrong with those whose manifests are damaged. Their data
// is not read, and the log from the oldest one on is, unless it says of all that they are verified. An error of the log
// comes together with the list.
func Snapshots(fs vfs.FS, dir string) (list []Snapshot, damage []string, err error) {
	store, err := look(fs, dir)
	if err != nil {
		return nil, nil, err
	}
	manifests := store.List()
	verified, err := Verified(fs, dir, manifests, ^wire.Position(0))
	for i := range manifests {
		m := &manifests[i]
		v := Snapshot{Position: m.Position(), Sequence: m.Chain.Sequence, Time: Stamp(m.Chain.Timestamp),
			Timestamp: m.Chain.Timestamp, Term: m.Chain.Term, Version: m.Version, Bytes: m.Bytes, Digest: Hex(m.Digest),
			SHA256: fmt.Sprintf("%x", m.SHA256), manifest: *m}
		if digest, ok := verified[m.Position()]; ok {
			if v.Verified = digest == m.Digest; !v.Verified {
				v.Problem = fmt.Sprintf("its digest is %016x, and the log says that a majority has %016x there", m.Digest, digest)
			}
		}
		list = append(list, v)
	}
	return list, store.Damage(), err
}

// CheckSnapshots is Snapshots that also reads all data, and looks whether each snapshot is one of this log. Where the
// log does not hold a snapshot's position, that is no problem of the snapshot.
func CheckSnapshots(fs vfs.FS, dir string) (list []Snapshot, damage []string, err error) {
	list, damage, err = Snapshots(fs, dir)
	if len(list) == 0 {
		return list, damage, err
	}
	store, lookErr := look(fs, dir)
	l, openErr := Open(fs, dir)
	if err := errors.Join(err, lookErr, openErr); err != nil {
		if openErr == nil {
			l.Close()
		}
		return list, damage, err
	}
	defer l.Close()
	kept := list[:0]
	for _, v := range list {
		if v.Problem == "" {
			if err := l.checkSnapshot(store, &v.manifest); err != nil {
				v.Problem = err.Error()
			}
		}
		if v.Problem == "" || l.hasSnapshot(v.Position) {
			kept = append(kept, v)
		}
	}
	return kept, damage, nil
}

// hasSnapshot says whether a snapshot is still there: the node may have removed it.
func (l *Log) hasSnapshot(at wire.Position) bool {
	store, err := snapshot.Look(l.fs, l.dir)
	if err != nil {
		return true
	}
	_, err = store.Get(at)
	return err == nil || len(store.Damage()) > 0
}

func (l *Log) checkSnapshot(store *snapshot.Store, m *snapshot.Manifest) error {
	if err := store.Check(m.Position()); err != nil {
		return err
	}
	if id, err := journal.LoadIdentity(l.fs, l.dir); err == nil && id.Cluster != m.Cluster {
		return fmt.Errorf("it is of cluster %016x, the node of %016x", m.Cluster, id.Cluster)
	}
	if l.reader.Seek(m.Position()) == nil && l.reader.Chain() != m.Chain {
		c := l.reader.Chain()
		return fmt.Errorf("it follows record %d, checksum %08x, and the log has record %d, checksum %08x there",
			m.Chain.Sequence, m.Chain.Checksum, c.Sequence, c.Checksum)
	}
	return nil
}
