package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
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
	From, End wire.Chain // of the log that was restored
	Archived  wire.Chain // of the archive
	Identity  journal.Identity
	Config    wire.Config // in force at the end
	Listed    bool        // the config lists the node; else it starts as recovering
	// Snapshots are those that the node starts from, newest first; without any it starts from position 0.
	Snapshots  []wire.Position
	PassedOver []error // snapshots that were not taken because they are damaged
}

// Errors of a restore.
var (
	// ErrOccupied says that something is in the directory already.
	ErrOccupied = errors.New("archive: the directory is in use; restore into a new one")
	// ErrSameCluster says that the restored node would be taken for one of the archived cluster.
	ErrSameCluster = errors.New("archive: a restored node must not be of the archived cluster: that goes on elsewhere, perhaps")
	// ErrTooEarly says that at the place asked for the cluster had no config yet.
	ErrTooEarly = errors.New("archive: there is no config record so early in the log: no cluster can start from there")
	// ErrMissing says that the place asked for lies in log that the archive lacks.
	ErrMissing = errors.New("archive: the place asked for lies in log that was never archived")
	// ErrNoState says that there is log, but no snapshot to begin it from.
	ErrNoState = errors.New("archive: nothing tells the state where the log begins")
	// ErrBefore says that the archive begins behind the place asked for.
	ErrBefore = errors.New("archive: it begins behind the place asked for")
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
	p, err := r.plan(&o, m)
	if err != nil {
		return r, err
	}
	err = r.copy(&o, p)
	for errors.Is(err, ErrDamaged) && p.withoutOlder(r) {
		r.PassedOver = append(r.PassedOver, fmt.Errorf("the log from position %d to the snapshot at %d: %w", r.From.Position,
			p.base.Position, err))
		if err = occupy(o.FS, o.To); err == nil {
			err = r.copy(&o, p)
		}
	}
	if err != nil {
		return r, err
	}
	if r.Config.Members == 0 {
		return r, fmt.Errorf("%w: position %d", ErrTooEarly, r.End.Position)
	}
	return r, r.finish(&o, p)
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
	snapshots, err := fs.ReadDir(path.Join(dir, snapshot.Dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("archive: restore: %w", err)
	}
	if _, err := fs.Stat(path.Join(dir, restoring)); err != nil && len(names)+len(snapshots) > 0 {
		return fmt.Errorf("%w: there are segments or snapshots in %s", ErrOccupied, dir)
	}
	f, err := fs.OpenFile(path.Join(dir, restoring), vfs.Create)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), fs.SyncDir(dir))
	}
	if err == nil {
		err = removeSnapshots(fs, dir)
	}
	for i := len(names) - 1; i >= 0 && err == nil; i-- {
		err = fs.Remove(path.Join(segments, names[i]))
	}
	if err != nil {
		return fmt.Errorf("archive: restore: %w", err)
	}
	return nil
}

// copy builds the log, from where the plan has it begin up to the end of the range or of the stretch.
func (r *Restored) copy(o *RestoreOptions, p *plan) error {
	reader, err := journal.NewReader(o.FS, p.dir)
	if err != nil {
		return err
	}
	defer reader.Close()
	reader.SetLimit(p.stretch.End.Position)
	if err := reader.SeekChain(p.base); err != nil {
		return err
	}
	sums := p.sums()
	b, err := journal.NewBuilder(journal.BuilderOptions{FS: o.FS, Dir: o.To, Cluster: o.Cluster, SegmentBytes: o.SegmentBytes,
		Reserve: true}, p.base)
	if err != nil {
		return err
	}
	defer b.Close()
	r.From, r.End, r.Config = p.base, p.base, p.config
	for {
		record, err := reader.NextRaw()
		if errors.Is(err, io.EOF) {
			if p.next != nil && covers(o, reader.Least()) {
				return p.gap()
			}
			return errors.Join(p.compareLast(sums), b.Sync())
		}
		if err != nil && !covers(o, reader.Least()) {
			return b.Sync() // what is damaged is not asked for
		}
		if err != nil {
			return fmt.Errorf("%w; everything up to position %d, sequence %d is sound and can be restored: %w",
				ErrDamaged, r.End.Position, r.End.Sequence, err)
		}
		var rec wire.Record
		wire.DecodeRecord(record, &rec)
		if !covers(o, rec) {
			return b.Sync()
		}
		if err := sums.add(record); err != nil {
			return err
		}
		if err := b.Append(record, reader.Chain()); err != nil {
			return err
		}
		r.End = reader.Chain()
		if err := p.fits(r.End); err != nil {
			return err
		}
		r.note(&rec, record)
	}
}

// covers says whether a record is asked for.
func covers(o *RestoreOptions, r wire.Record) bool { return o.Covers == nil || o.Covers(&r) }

// note remembers the config in force.
func (r *Restored) note(rec *wire.Record, record []byte) {
	var c wire.Config
	if rec.Kind == wire.RecordConfig && rec.Flags == 0 && c.Decode(wire.Payload(record, rec)) {
		r.Config = c
	}
}

// finish makes the directory a node's. It is of a new cluster, so that no datagram of it is taken for one of the archived
// cluster, nor the other way round. Within that it is who the log says: the incarnation that the config lists, so that
// it votes. It ended in order: nothing above the end was ever promised to the new cluster.
func (r *Restored) finish(o *RestoreOptions, p *plan) error {
	if err := r.copySnapshots(o, p); err != nil {
		return err
	}
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
