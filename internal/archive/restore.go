package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// RestoreOptions say what is built from what.
type RestoreOptions struct {
	FS   vfs.FS
	From string // the archive
	To   string // the directory of the node to make: not there, empty, or left by an interrupted Restore
	Node wire.NodeID
	// Cluster is the id of the cluster that the node will be of: a new one, not the archived one's. All nodes that are
	// restored to form one cluster get the same.
	Cluster uint64
	// Incarnation is for a node that the archived log does not list, and then random.
	Incarnation uint64
	// Covers says whether a record, and so all before it, is to be restored; nil: all are.
	Covers func(*wire.Record) bool
	// SegmentBytes is how much of the log a segment holds; 0: 64 MiB.
	SegmentBytes int64
}

// Restored is what Restore built.
type Restored struct {
	End      wire.Chain // of the log that was restored
	Archived wire.Chain // of the archive
	Identity journal.Identity
	Config   wire.Config // in force at the end
	Listed   bool        // the config lists the node; else it starts as recovering
}

// Errors of a restore.
var (
	// ErrOccupied says that something is in the directory already.
	ErrOccupied = errors.New("archive: the directory is in use; restore into a new one")
	// ErrSameCluster says that the restored node would be taken for one of the archived cluster.
	ErrSameCluster = errors.New("archive: a restored node must not be of the archived cluster: that goes on elsewhere, perhaps")
	// ErrTooEarly says that at the place asked for the cluster had no config yet.
	ErrTooEarly = errors.New("archive: there is no config record so early in the log: no cluster can start from there")
)

// restoring is the mark of a directory that is being restored.
const restoring = "restoring"

// Restore builds a node's directory from an archive. The log is copied record by record, verified in the chain, and the
// archive's files against the manifest. The directory is a node once Restore has returned.
func Restore(o RestoreOptions) (*Restored, error) {
	m, err := Load(o.FS, o.From)
	if err != nil {
		return nil, err
	}
	if cluster, _ := m.cluster(); cluster == o.Cluster {
		return nil, fmt.Errorf("%w (%s)", ErrSameCluster, m.Cluster)
	}
	if err := occupy(o.FS, o.To); err != nil {
		return nil, err
	}
	r := &Restored{Archived: m.End.chain()}
	if err := r.copy(&o, m); err != nil {
		return r, err
	}
	if r.Config.Members == 0 {
		return r, fmt.Errorf("%w: position %d", ErrTooEarly, r.End.Position)
	}
	return r, r.finish(&o)
}

// occupy takes the directory: it marks it, and clears away what an interrupted restore left.
func occupy(fs vfs.FS, dir string) error {
	segments := path.Join(dir, "journal")
	if err := fs.MkdirAll(segments); err != nil {
		return fmt.Errorf("archive: restore: %w", err)
	}
	if _, err := fs.Stat(path.Join(dir, "identity")); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrOccupied, dir)
	}
	names, err := fs.ReadDir(segments)
	if err != nil {
		return fmt.Errorf("archive: restore: %w", err)
	}
	if _, err := fs.Stat(path.Join(dir, restoring)); err != nil && len(names) > 0 {
		return fmt.Errorf("%w: there are files in %s", ErrOccupied, segments)
	}
	f, err := fs.OpenFile(path.Join(dir, restoring), vfs.Create)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), fs.SyncDir(dir))
	}
	for i := len(names) - 1; i >= 0 && err == nil; i-- {
		err = fs.Remove(path.Join(segments, names[i]))
	}
	if err != nil {
		return fmt.Errorf("archive: restore: %w", err)
	}
	return nil
}

// copy builds the log, up to the end of the range or of the archive.
func (r *Restored) copy(o *RestoreOptions, m *Manifest) error {
	reader, err := journal.NewReader(o.FS, o.From)
	if err != nil {
		return err
	}
	defer reader.Close()
	reader.SetLimit(m.End.Position)
	if err := reader.Seek(0); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	b, err := journal.NewBuilder(journal.BuilderOptions{FS: o.FS, Dir: o.To, Cluster: o.Cluster, SegmentBytes: o.SegmentBytes,
		Reserve: true}, wire.Chain{})
	if err != nil {
		return err
	}
	defer b.Close()
	sums := newSums(m.SegmentBytes, 0, m.compare)
	for {
		record, err := reader.NextRaw()
		if errors.Is(err, io.EOF) {
			err = m.compareLast(sums)
			return errors.Join(err, b.Sync())
		}
		if least := reader.Least(); err != nil && o.Covers != nil && !o.Covers(&least) {
			return b.Sync() // what is damaged is not asked for
		}
		if err != nil {
			return fmt.Errorf("%w; everything up to position %d, sequence %d is sound and can be restored: %w",
				ErrDamaged, r.End.Position, r.End.Sequence, err)
		}
		var rec wire.Record
		wire.DecodeRecord(record, &rec)
		if o.Covers != nil && !o.Covers(&rec) {
			return b.Sync()
		}
		if err := sums.add(record); err != nil {
			return err
		}
		if err := b.Append(record, reader.Chain()); err != nil {
			return err
		}
		r.End = reader.Chain()
		r.note(&rec, record)
	}
}

// note remembers the config in force.
func (r *Restored) note(rec *wire.Record, record []byte) {
	var c wire.Config
	if rec.Kind == wire.RecordConfig && rec.Flags == 0 && c.Decode(wire.Payload(record, rec)) {
		r.Config = c
	}
}

// compare holds the sum of a whole segment against the manifest.
func (m *Manifest) compare(first wire.Position, sum string) error {
	if e := &m.Segments[first/wire.Position(m.SegmentBytes)]; e.SHA256 != sum {
		return fmt.Errorf("%w: %s: SHA-256 of its log is %s, the manifest says %s", ErrDamaged, e.Name, sum, e.SHA256)
	}
	return nil
}

// compareLast holds the sum of the segment that the archive ends in against the manifest, and the end.
func (m *Manifest) compareLast(s *sums) error {
	if s.at != m.End.Position {
		return fmt.Errorf("%w: its records end at position %d, the manifest says %d", ErrDamaged, s.at, m.End.Position)
	}
	if s.at%s.bytes == 0 {
		return nil
	}
	return m.compare(s.at/s.bytes*s.bytes, s.sum())
}

// finish makes the directory a node's. It is of a new cluster, so that no datagram of it is taken for one of the archived
// cluster, nor the other way round. Within that it is who the log says: the incarnation that the config lists, so that
// it votes. It ended in order: nothing above the end was ever promised to the new cluster.
func (r *Restored) finish(o *RestoreOptions) error {
	r.Identity = journal.Identity{Cluster: o.Cluster, Node: o.Node, Incarnation: o.Incarnation}
	for _, member := range r.Config.Member[:r.Config.Members] {
		if member.Node == o.Node && member.Incarnation != 0 {
			r.Identity.Incarnation, r.Identity.Run, r.Listed = member.Incarnation, member.Run, true
		}
	}
	if !r.Listed {
		const why = "restored from an archive whose log does not list this node"
		if err := journal.MarkRecovering(o.FS, o.To, why); err != nil {
			return err
		}
	}
	if err := journal.WriteClean(o.FS, o.To, r.Identity.Run, r.End.Position); err != nil {
		return err
	}
	if err := journal.FinishDirectory(o.FS, o.To, r.Identity, r.End); err != nil {
		return err
	}
	if err := o.FS.Remove(path.Join(o.To, restoring)); err != nil {
		return fmt.Errorf("archive: restore: %w", err)
	}
	return nil
}
