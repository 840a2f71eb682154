package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"lockstep/internal/vfs"
	"lockstep/journal"
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
	sumPrefix      = "sha256 "
)

// Manifest says what an archive holds.
type Manifest struct {
	Format       string      `json:"format"`
	Cluster      string      `json:"cluster"` // hexadecimal
	Node         wire.NodeID `json:"node"`    // that shipped last
	SegmentBytes int64       `json:"segment_bytes"`
	End          Place       `json:"end"`
	Segments     []Entry     `json:"segments"`
}

// Entry is a segment: its log from First to End, the last one's as far as the archive goes.
type Entry struct {
	Name   string        `json:"name"`
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
	at := bytes.LastIndex(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) + 1
	if string(text[at:]) != sumLine(text[:at]) {
		return nil, fmt.Errorf("%w: %s: the checksum in its last line does not fit", ErrDamaged, name)
	}
	m := &Manifest{}
	if err := json.Unmarshal(text[:at], m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("archive: %s has format %q: this build reads %q", name, m.Format, manifestFormat)
	}
	return m, m.check(name)
}

// check looks whether the manifest can be: segments without a gap, each in its place.
func (m *Manifest) check(name string) error {
	at := wire.Position(0)
	for i := range m.Segments {
		e := &m.Segments[i]
		if e.First != at || e.End <= e.First || e.Name != journal.SegmentName(e.First) ||
			e.End != e.First+wire.Position(m.SegmentBytes) && i < len(m.Segments)-1 {
			return fmt.Errorf("%w: %s: segment %q does not follow the one before", ErrDamaged, name, e.Name)
		}
		at = e.End
	}
	if _, err := m.cluster(); err != nil || at != m.End.Position {
		return fmt.Errorf("%w: %s: it ends at %d and its segments at %d (%v)", ErrDamaged, name, m.End.Position, at, err)
	}
	return nil
}

// publish makes the manifest the archive's: aside, synced, renamed, directory synced; then the watermark follows.
func (m *Manifest) publish(fs vfs.FS, dir string) error {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	text = append(text, sumLine(text)...)
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
	return journal.StoreWatermark(fs, dir, m.End.Position)
}

func sumLine(text []byte) string {
	sum := sha256.Sum256(text)
	return sumPrefix + hex.EncodeToString(sum[:]) + "\n"
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

// Summary is one line for people.
func (m *Manifest) Summary() string {
	return fmt.Sprintf("archive of cluster %s: %d records up to position %d, term %d, in %d segments",
		m.Cluster, m.End.Sequence, m.End.Position, m.End.Term, len(m.Segments))
}
