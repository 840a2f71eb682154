package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// Errors of an archive.
var (
	// ErrNoArchive says that there is no manifest.
	ErrNoArchive = errors.New("archive: there is no archive in this directory (no file MANIFEST)")
	// ErrDamaged says that a file of the archive is missing, or not what the manifest says.
	ErrDamaged = errors.New("archive: damaged archive")
	// ErrHistory says that node and archive hold different logs.
	ErrHistory = errors.New("archive: the archive holds another history than this node")
)

const (
	manifestName   = "MANIFEST"
	manifestFormat = "lockstep archive 1"
)

// Manifest says what an archive holds.
type Manifest struct {
	Format       string      `json:"format"`
	Cluster      string      `json:"cluster"` // hexadecimal
	Node         wire.NodeID `json:"node"`    // that shipped last
	SegmentBytes int64       `json:"segment_bytes"`
	End          Place       `json:"end"`
	Stretches    []Stretch   `json:"stretches"`
}

// Stretch is a part of the log without a gap, in a directory that looks like a node's. An archive has one, and another
// for each time that nodes had dropped log before it was shipped.
type Stretch struct {
	Dir       string     `json:"dir"` // in the archive; empty for one that begins at position 0
	Start     Place      `json:"start"`
	End       Place      `json:"end"`
	Segments  []Entry    `json:"segments"`
	Snapshots []Snapshot `json:"snapshots"` // oldest first
}

// Entry is a segment: its log from First to End, the last one's as far as the archive goes.
type Entry struct {
	Name   string        `json:"name"` // in the stretch's directory
	First  wire.Position `json:"first"`
	End    wire.Position `json:"end"`
	Start  Place         `json:"start"`  // of its first record
	SHA256 string        `json:"sha256"` // of the log in it: End - First bytes behind the header block
}

// Place is a place between two records.
type Place struct {
	Position  wire.Position `json:"position"`
	Sequence  uint64        `json:"sequence"`  // of the record before, as the rest
	Timestamp uint64        `json:"timestamp"` //
	Checksum  uint32        `json:"checksum"`
	Term      wire.Term     `json:"term"`
}

func placeOf(c wire.Chain) Place { return Place(c) }

func (p Place) chain() wire.Chain { return wire.Chain(p) }

// cluster is the cluster's id.
func (m *Manifest) cluster() (uint64, error) { return strconv.ParseUint(m.Cluster, 16, 64) }

// Load reads the manifest of the archive in dir.
func Load(fs vfs.FS, dir string) (*Manifest, error) {
	name := path.Join(dir, manifestName)
	text, err := readFile(fs, name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoArchive, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("archive: read the manifest: %w", err)
	}
	lines, ok := snapshot.CutSum(text)
	if !ok {
		return nil, fmt.Errorf("%w: %s: the checksum in its last line does not fit", ErrDamaged, name)
	}
	m := &Manifest{}
	if err := json.Unmarshal(lines, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("archive: %s has format %q: this build reads %q", name, m.Format, manifestFormat)
	}
	return m, m.check(name)
}

// check looks whether the manifest can be: segments without a gap, each in its place, stretches one behind the other.
func (m *Manifest) check(name string) error {
	if _, err := m.cluster(); err != nil {
		return fmt.Errorf("%w: %s: cluster %q", ErrDamaged, name, m.Cluster)
	}
	before := wire.Position(0)
	for i := range m.Stretches {
		t := &m.Stretches[i]
		if err := t.check(m.SegmentBytes); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
		}
		if i > 0 && t.Start.Position <= before {
			return fmt.Errorf("%w: %s: the log from position %d on does not follow what comes before", ErrDamaged, name,
				t.Start.Position)
		}
		before = t.End.Position
	}
	if before != m.End.Position {
		return fmt.Errorf("%w: %s: it ends at %d and its segments at %d", ErrDamaged, name, m.End.Position, before)
	}
	return nil
}

func (t *Stretch) check(segment int64) error {
	if t.Dir != stretchDir(t.Start.Position) {
		return fmt.Errorf("the log from position %d on is in %q", t.Start.Position, t.Dir)
	}
	at := t.origin()
	for i := range t.Segments {
		e := &t.Segments[i]
		if e.First != at || e.End <= e.First || e.Name != journal.SegmentName(e.First) ||
			e.End != e.First+wire.Position(segment) && i < len(t.Segments)-1 {
			return fmt.Errorf("segment %q does not follow the one before", e.Name)
		}
		at = e.End
	}
	if len(t.Segments) > 0 && at != t.End.Position {
		return fmt.Errorf("the log from position %d on ends at %d and its segments at %d", t.Start.Position, t.End.Position, at)
	}
	return nil
}

// stretchDir is the directory of the stretch that begins at start.
func stretchDir(start wire.Position) string {
	if start == 0 {
		return ""
	}
	return fmt.Sprintf("%020d", uint64(start))
}

// origin is where the first segment begins: at the first record or up to a block before it.
func (t *Stretch) origin() wire.Position { return t.Start.Position &^ (vfs.BlockBytes - 1) }

// Dirs are the directories of the stretches of the archive in dir, oldest first: each reads as a node's.
func (m *Manifest) Dirs(dir string) []string {
	list := make([]string, len(m.Stretches))
	for i := range m.Stretches {
		list[i] = path.Join(dir, m.Stretches[i].Dir)
	}
	return list
}

// newest is the stretch that grows; nil when nothing was shipped yet.
func (m *Manifest) newest() *Stretch {
	if n := len(m.Stretches); n > 0 {
		return &m.Stretches[n-1]
	}
	return nil
}

// publish makes the manifest the archive's: aside, synced, renamed, directory synced; then the watermark follows.
func (m *Manifest) publish(fs vfs.FS, dir string) error {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	text = snapshot.AppendSum(append(text, '\n'))
	name := path.Join(dir, manifestName)
	aside := name + ".tmp"
	if err := fs.Remove(aside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("archive: publish: %w", err)
	}
	f, err := fs.OpenFile(aside, vfs.Create)
	if err != nil {
		return fmt.Errorf("archive: publish: %w", err)
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(aside, name)
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("archive: publish: %w", err)
	}
	return journal.StoreWatermark(fs, path.Join(dir, m.newest().Dir), m.End.Position)
}

// readFile reads a whole small file.
func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.OpenFile(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	text := make([]byte, size)
	_, err = f.ReadAt(text, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return text, err
}

// Summary is a few words for people, a line for each stretch of the log.
func (m *Manifest) Summary() string {
	text := fmt.Sprintf("archive of cluster %s", m.Cluster)
	for i := range m.Stretches {
		t := &m.Stretches[i]
		text += fmt.Sprintf("\n%d records from position %d to %d, term %d, in %d segments; %d snapshots",
			t.End.Sequence-t.Start.Sequence, t.Start.Position, t.End.Position, t.End.Term, len(t.Segments), len(t.Snapshots))
	}
	return text
}
