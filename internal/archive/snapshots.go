package archive

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"lockstep/internal/inspect"
	"lockstep/internal/vfs"
	"lockstep/journal/snapshot"
	"lockstep/service"
	"lockstep/wire"
)

// Snapshot is the state at a position, verified by a majority: snapshot/<position> in the stretch's directory, as a node
// has it.
type Snapshot struct {
	Place
	Digest string `json:"digest"` // of the state, hexadecimal
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of its data
}

func snapshotOf(m *snapshot.Manifest) Snapshot {
	return Snapshot{Place: placeOf(m.Chain), Digest: inspect.Hex(m.Digest), Bytes: m.Bytes,
		SHA256: hex.EncodeToString(m.SHA256[:])}
}

// name is the snapshot's directory in its stretch.
func (p *Snapshot) name() string {
	return path.Join(snapshot.Dir, fmt.Sprintf("%020d", uint64(p.Position)))
}

// check reads a snapshot of a stretch and compares.
func (p *Snapshot) check(store *snapshot.Store) error {
	m, err := store.Get(p.Position)
	if err == nil && snapshotOf(&m) != *p {
		err = fmt.Errorf("its manifest speaks of record %d, %d bytes with SHA-256 %x; the archive's of record %d, %d bytes with %s",
			m.Chain.Sequence, m.Bytes, m.SHA256, p.Sequence, p.Bytes, p.SHA256)
	}
	if err == nil {
		err = store.Check(p.Position)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, p.name(), err)
	}
	return nil
}

// snapshotHead is what a sound snapshot says of the log before it.
func snapshotHead(store *snapshot.Store, at wire.Position) (*service.SnapshotHead, error) {
	m, err := store.Get(at)
	if err != nil {
		return nil, err
	}
	r, err := store.OpenData(at)
	if err != nil {
		return nil, err
	}
	head, err := service.ReadSnapshotHead(r)
	err = errors.Join(err, r.Close())
	if err == nil && head.Chain != m.Chain {
		err = fmt.Errorf("%w: the snapshot at position %d holds one of position %d, record %d", ErrDamaged, at,
			head.Chain.Position, head.Chain.Sequence)
	}
	return head, err
}

// shippable lists the snapshots of the node that the log which may be shipped holds, and says are verified, and that the
// newest stretch lacks.
func (s *shipment) shippable() ([]snapshot.Manifest, error) {
	store, err := snapshot.Look(s.o.FS, s.o.From)
	if err != nil {
		return nil, err
	}
	if err := s.reader.SeekFirst(); err != nil {
		return nil, err
	}
	floor := s.reader.Position()
	var list []snapshot.Manifest
	for _, m := range store.List() {
		if at := m.Position(); at >= floor && at <= s.report.Bound && m.Cluster == s.cluster && !s.ships(at) {
			list = append(list, m)
		}
	}
	verified, err := inspect.Verified(s.o.FS, s.o.From, list, s.report.Bound)
	if err != nil {
		return nil, s.whyEnded(err, floor)
	}
	s.differing = nil
	return slices.DeleteFunc(list, func(m snapshot.Manifest) bool {
		digest, ok := verified[m.Position()]
		if ok && digest != m.Digest {
			s.differing = append(s.differing, fmt.Errorf("archive: the node's snapshot at position %d is not shipped: its digest is "+
				"%016x, and the log says that a majority has %016x there", m.Position(), m.Digest, digest))
		}
		return !ok || digest != m.Digest
	}), nil
}

// ships says whether the newest stretch has a snapshot already.
func (s *shipment) ships(at wire.Position) bool {
	t := s.manifest.newest()
	return t != nil && slices.ContainsFunc(t.Snapshots, func(p Snapshot) bool { return p.Position == at })
}

// shipSnapshots copies the snapshots that the newest stretch lacks. One that is damaged on the node is told of, and is in
// the way of no other.
func (s *shipment) shipSnapshots() error {
	list, err := s.shippable()
	if err != nil {
		return err
	}
	t := s.manifest.newest()
	for i := range list {
		m := &list[i]
		if t == nil || m.Position() < t.Start.Position || m.Position() > t.End.Position {
			continue
		}
		err := s.fits(m)
		if err == nil {
			err = s.copySnapshot(t, m)
		}
		switch {
		case errors.Is(err, os.ErrNotExist) || errors.Is(err, snapshot.ErrNotHeld):
			continue // the node has removed it meanwhile
		case errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, ErrHistory):
			s.unsound = append(s.unsound, fmt.Errorf("archive: the node's snapshot at position %d: %w", m.Position(), err))
			continue
		case err != nil:
			return err
		}
		k, _ := slices.BinarySearchFunc(t.Snapshots, m.Position(), func(p Snapshot, at wire.Position) int {
			return int(int64(p.Position - at))
		})
		t.Snapshots = slices.Insert(t.Snapshots, k, snapshotOf(m))
		if err := s.manifest.publish(s.o.FS, s.o.To); err != nil {
			return err
		}
		s.report.Snapshots = append(s.report.Snapshots, m.Position())
	}
	return nil
}

// fits says whether a snapshot of the node is one of its log.
func (s *shipment) fits(m *snapshot.Manifest) error {
	if err := s.reader.Seek(m.Position()); err != nil {
		return s.whyEnded(err, m.Position())
	}
	if c := s.reader.Chain(); c != m.Chain {
		return fmt.Errorf("%w: it follows record %d, checksum %08x, and the log has record %d, checksum %08x there", ErrHistory,
			m.Chain.Sequence, m.Chain.Checksum, c.Sequence, c.Checksum)
	}
	return nil
}

// copySnapshot copies one of the node's snapshots to a stretch.
func (s *shipment) copySnapshot(t *Stretch, m *snapshot.Manifest) error {
	from, err := snapshot.Look(s.o.FS, s.o.From)
	if err != nil {
		return err
	}
	to, err := snapshot.Open(s.o.FS, path.Join(s.o.To, t.Dir), s.cluster)
	if err != nil {
		return err
	}
	if held, err := to.Get(m.Position()); err == nil { // no manifest of the archive speaks of it, or it is damaged
		if held == *m && to.Check(m.Position()) == nil {
			return nil
		}
		if err := to.Remove(m.Position()); err != nil {
			return err
		}
	}
	return transfer(from, to, *m)
}

// transfer copies a snapshot from one store to another, which has it as of its own cluster.
func transfer(from, to *snapshot.Store, m snapshot.Manifest) error {
	r, err := from.OpenData(m.Position())
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := to.Create(m.Position())
	if err != nil {
		return err
	}
	if _, err = io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, copyBytes)); err == nil {
		err = w.Close(m)
	}
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	_, err = to.Publish(w)
	return err
}

// copyBytes is how much of a snapshot is copied at once.
const copyBytes = 1 << 20

// mendSnapshots ships again what is damaged of the archive's snapshots, if the node still has it.
func (s *shipment) mendSnapshots() error {
	if !s.o.Check {
		return nil
	}
	for i := range s.manifest.Stretches {
		t := &s.manifest.Stretches[i]
		store, err := snapshot.Look(s.o.FS, path.Join(s.o.To, t.Dir))
		if err != nil {
			return err
		}
		for k := range t.Snapshots {
			p := &t.Snapshots[k]
			why := p.check(store)
			if why == nil {
				continue
			}
			if err := s.shipSnapshotAgain(t, p); err != nil {
				s.unsound = append(s.unsound, fmt.Errorf("%w; and the node in %s does not have it: %w", why, s.o.From, err))
				continue
			}
			s.report.Mended = append(s.report.Mended, path.Join(t.Dir, p.name()))
		}
	}
	return nil
}

func (s *shipment) shipSnapshotAgain(t *Stretch, p *Snapshot) error {
	from, err := snapshot.Look(s.o.FS, s.o.From)
	if err != nil {
		return err
	}
	m, err := from.Get(p.Position)
	if err == nil && snapshotOf(&m) != *p {
		err = fmt.Errorf("%w: its snapshot there is another", ErrHistory)
	}
	if err != nil {
		return err
	}
	return s.copySnapshot(t, &m)
}

// copySnapshots gives the restored node the snapshots that it starts from, oldest first.
func (r *Restored) copySnapshots(o *RestoreOptions, p *plan) error {
	to, err := snapshot.Open(o.FS, o.To, o.Cluster)
	if err != nil {
		return err
	}
	for i := len(p.snapshots) - 1; i >= 0; i-- {
		at := p.snapshots[i].Position
		m, err := p.store.Get(at)
		if err == nil {
			err = transfer(p.store, to, m)
		}
		if err != nil {
			return fmt.Errorf("archive: restore: %w", err)
		}
		r.Snapshots = append([]wire.Position{at}, r.Snapshots...)
	}
	return nil
}

// removeSnapshots clears away what an interrupted restore left of snapshots.
func removeSnapshots(fs vfs.FS, dir string) error {
	dir = path.Join(dir, snapshot.Dir)
	names, err := fs.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		files, filesErr := fs.ReadDir(path.Join(dir, name))
		err = errors.Join(err, filesErr)
		for _, file := range files {
			err = errors.Join(err, fs.Remove(path.Join(dir, name, file)))
		}
		err = errors.Join(err, fs.Remove(path.Join(dir, name)))
	}
	return err
}
