package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// Dir is where, in a node's directory, snapshots are.
const Dir = "snapshot"

// What a directory's name ends with that holds no published snapshot.
const (
	asideSuffix = ".tmp"
	partSuffix  = ".part"
	badSuffix   = ".bad"
)

// Store is the snapshots of one node. Any thread.
type Store struct {
	fs      vfs.FS
	dir     string // of the snapshots
	cluster uint64
	look    bool // nothing may be changed
	reserve atomic.Int64

	mu     sync.Mutex
	held   []Manifest // ascending by position
	damage []string
}

// Open finds the snapshots in the node directory dir, and makes the directory for them if there is none. What an
// interrupted run left is removed; a snapshot whose manifest is damaged, or whose data is not as long as it says, is set
// aside (Damage says so). ErrForeign: one is of another cluster or format; nothing was changed.
func Open(fs vfs.FS, dir string, cluster uint64) (*Store, error) {
	s := &Store{fs: fs, dir: path.Join(dir, Dir), cluster: cluster}
	if err := fs.MkdirAll(s.dir); err != nil {
		return nil, fmt.Errorf("snapshot: open %s: %w", s.dir, err)
	}
	bad, err := s.load()
	if err != nil {
		return nil, err
	}
	for _, position := range bad {
		if err := s.rename(position, badSuffix); err != nil {
			return nil, err
		}
	}
	return s, s.clean()
}

// Look is Open for a tool: it changes nothing, and takes any cluster. A directory without snapshots has none.
func Look(fs vfs.FS, dir string) (*Store, error) {
	s := &Store{fs: fs, dir: path.Join(dir, Dir), look: true}
	_, err := s.load()
	return s, err
}

// Reserve has snapshots leave so many bytes of the disk free: a write that would not is refused with syscall.ENOSPC. It is
// for who writes what matters more, the log.
func (s *Store) Reserve(bytes int64) { s.reserve.Store(bytes) }

// load reads every published snapshot's manifest, and returns the positions of those that are damaged.
func (s *Store) load() (bad []wire.Position, err error) {
	names, err := s.fs.ReadDir(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot: list %s: %w", s.dir, err)
	}
	for _, name := range names {
		position, ok := parseName(name)
		if !ok {
			continue
		}
		m, err := s.inspect(position)
		switch {
		case errors.Is(err, ErrForeign):
			return nil, fmt.Errorf("%s: %w", path.Join(s.dir, name), err)
		case err != nil:
			s.damage = append(s.damage, fmt.Sprintf("%s: %v", path.Join(Dir, name), err))
			bad = append(bad, position)
		default:
			s.held = append(s.held, m)
		}
	}
	return bad, nil
}

// inspect reads a published snapshot's manifest and looks at its data from outside.
func (s *Store) inspect(position wire.Position) (Manifest, error) {
	m, err := readManifest(s.fs, path.Join(s.path(position), manifestName))
	if err != nil {
		return m, err
	}
	size, err := s.fs.Stat(path.Join(s.path(position), dataName))
	switch {
	case s.cluster != 0 && m.Cluster != s.cluster:
		return m, fmt.Errorf("%w: it belongs to cluster %016x, not %016x", ErrForeign, m.Cluster, s.cluster)
	case m.Position() != position:
		return m, fmt.Errorf("%w: its manifest is of position %d", ErrDamaged, m.Position())
	case err != nil:
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	case size != m.Bytes:
		return m, fmt.Errorf("%w: its data is %d bytes long, its manifest says %d", ErrDamaged, size, m.Bytes)
	}
	return m, nil
}

// clean removes what an interrupted run left: but for a download of what is newer than all that is here.
func (s *Store) clean() error {
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("snapshot: list %s: %w", s.dir, err)
	}
	for _, name := range names {
		base, stale := strings.CutSuffix(name, asideSuffix)
		if part, ok := strings.CutSuffix(name, partSuffix); ok {
			position, _ := parseName(part)
			base, stale = part, len(s.held) > 0 && position <= s.held[len(s.held)-1].Position()
		}
		if stale && isName(base) {
			if err := s.discard(path.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Damage says which snapshots were found damaged when the store was opened, and why.
func (s *Store) Damage() []string { return slices.Clone(s.damage) }

// List returns the manifests of the published snapshots, oldest first.
func (s *Store) List() []Manifest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.held)
}

// Get returns the manifest of the snapshot at a position. ErrNotHeld.
func (s *Store) Get(position wire.Position) (Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.find(position); ok {
		return s.held[i], nil
	}
	return Manifest{}, fmt.Errorf("%w: %d", ErrNotHeld, position)
}

// find looks a position up. The caller holds the lock.
func (s *Store) find(position wire.Position) (int, bool) {
	return slices.BinarySearchFunc(s.held, position, func(m Manifest, p wire.Position) int {
		switch {
		case m.Position() < p:
			return -1
		case m.Position() > p:
			return 1
		}
		return 0
	})
}

// Publish makes a complete snapshot (Writer.Close) the store's: data, manifest and directory synced, renamed, and that
// synced. Only when the log is durable up to its position. On an error it is not published, and has been aborted as far
// as the disk allows.
func (s *Store) Publish(w *Writer) (Manifest, error) {
	m, err := w.publish()
	if err != nil {
		return m, fmt.Errorf("snapshot: publish %s: %w", s.path(w.at), errors.Join(err, w.Abort()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := s.find(m.Position())
	s.held = slices.Insert(s.held, i, m)
	return m, nil
}

// Remove takes a snapshot out of the store and off the disk. Who reads it goes on reading.
func (s *Store) Remove(position wire.Position) error {
	if err := s.take(position); err != nil {
		return err
	}
	if err := s.rename(position, asideSuffix); err != nil {
		return err
	}
	return s.discard(s.path(position) + asideSuffix)
}

// SetAside takes a snapshot that is not what it says out of the store, and keeps it as <position>.bad for whoever wants to
// look at it, the newest one only.
func (s *Store) SetAside(position wire.Position) error {
	if err := s.take(position); err != nil {
		return err
	}
	return s.rename(position, badSuffix)
}

// take forgets a published snapshot.
func (s *Store) take(position wire.Position) error {
	if s.look {
		return ErrReadOnly
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.find(position)
	if !ok {
		return fmt.Errorf("%w: %d", ErrNotHeld, position)
	}
	s.held = slices.Delete(s.held, i, i+1)
	return nil
}

// rename gives a published snapshot's directory another end of its name, durably.
func (s *Store) rename(position wire.Position, suffix string) error {
	to := s.path(position) + suffix
	if err := s.discard(to); err != nil {
		return err
	}
	if suffix == badSuffix {
		if err := s.discardAll(badSuffix); err != nil {
			return err
		}
	}
	err := s.fs.Rename(s.path(position), to)
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("snapshot: rename %s to %s: %w", s.path(position), to, err)
	}
	return nil
}

// discardAll removes every directory whose name ends so.
func (s *Store) discardAll(suffix string) error {
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("snapshot: list %s: %w", s.dir, err)
	}
	for _, name := range names {
		if base, ok := strings.CutSuffix(name, suffix); ok && isName(base) {
			if err := s.discard(path.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// discard removes a directory that is not published, if it is there.
func (s *Store) discard(dir string) error {
	names, err := s.fs.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if errors.Is(err, syscall.ENOTDIR) {
		err = nil
	}
	for _, name := range names {
		err = errors.Join(err, s.fs.Remove(path.Join(dir, name)))
	}
	if err == nil {
		err = s.fs.Remove(dir)
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("snapshot: remove %s: %w", dir, err)
	}
	return nil
}

// path is the directory of the published snapshot at position.
func (s *Store) path(position wire.Position) string { return path.Join(s.dir, name(position)) }

func name(position wire.Position) string { return fmt.Sprintf("%020d", uint64(position)) }

func isName(name string) bool {
	_, ok := parseName(name)
	return ok
}

// parseName reads the position of a published snapshot from its directory's name. Other names are none of ours.
func parseName(name string) (position wire.Position, ok bool) {
	if len(name) != 20 {
		return 0, false
	}
	for _, c := range []byte(name) {
		if c < '0' || c > '9' || uint64(position) > (1<<63)/10 {
			return 0, false
		}
		position = position*10 + wire.Position(c-'0')
	}
	return position, true
}
