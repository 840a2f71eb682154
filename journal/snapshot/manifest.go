package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// Errors of a store.
var (
	// ErrDamaged says that a snapshot's manifest or data is not what was written.
	ErrDamaged = errors.New("snapshot: damaged snapshot")
	// ErrForeign says that a snapshot is of another cluster, or was written in another format.
	ErrForeign = errors.New("snapshot: foreign snapshot")
	// ErrNotHeld says that there is no snapshot at that position.
	ErrNotHeld = errors.New("snapshot: there is no snapshot at this position")
	// ErrHeld says that there is one already.
	ErrHeld = errors.New("snapshot: there is a snapshot at this position already")
	// ErrReadOnly says that the store was opened to look at only.
	ErrReadOnly = errors.New("snapshot: this store is open for reading only")
)

const (
	manifestName   = "manifest"
	manifestFormat = "lockstep snapshot 1"
	dataName       = "data"
	maxManifest    = 4096
)

// Manifest says what a snapshot is.
type Manifest struct {
	Cluster uint64     // of the log it belongs to
	Chain   wire.Chain // where it was taken: what the next record must fit
	Digest  uint64     // of the state
	Version uint32     // behaviour version in force there
	Bytes   int64      // length of the data
	SHA256  [sha256.Size]byte
}

// Position is where in the log the snapshot was taken: the end of the record that asked for it.
func (m *Manifest) Position() wire.Position { return m.Chain.Position }

// stored is a manifest as JSON. Numbers that may need 64 bits and are no counts are hexadecimal.
type stored struct {
	Format    string        `json:"format"`
	Cluster   string        `json:"cluster"`
	Position  wire.Position `json:"position"`
	Sequence  uint64        `json:"sequence"`
	Timestamp uint64        `json:"timestamp"`
	Term      wire.Term     `json:"term"`
	Checksum  uint32        `json:"checksum"`
	Digest    string        `json:"digest"`
	Version   uint32        `json:"version"`
	Bytes     int64         `json:"bytes"`
	SHA256    string        `json:"sha256"`
}

// Encode is the manifest as it stands on the disk and as nodes send it: JSON, and as the last line the SHA-256 of all
// lines before.
func (m *Manifest) Encode() []byte {
	text, err := json.MarshalIndent(stored{
		Format: manifestFormat, Cluster: hex64(m.Cluster),
		Position: m.Chain.Position, Sequence: m.Chain.Sequence, Timestamp: m.Chain.Timestamp, Term: m.Chain.Term,
		Checksum: m.Chain.Checksum, Digest: hex64(m.Digest), Version: m.Version, Bytes: m.Bytes,
		SHA256: hex.EncodeToString(m.SHA256[:]),
	}, "", " ")
	if err != nil {
		panic("snapshot: " + err.Error()) // numbers and strings
	}
	return AppendSum(append(text, '\n'))
}

// Decode reads what Encode made. ErrDamaged; ErrForeign for another format.
func (m *Manifest) Decode(text []byte) error {
	lines, ok := CutSum(text)
	if !ok {
		return fmt.Errorf("%w: the checksum in the manifest's last line does not fit", ErrDamaged)
	}
	var s stored
	if err := json.Unmarshal(lines, &s); err != nil {
		return fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	if s.Format != manifestFormat {
		return fmt.Errorf("%w: its format is %q, this build reads %q", ErrForeign, s.Format, manifestFormat)
	}
	cluster, errCluster := strconv.ParseUint(s.Cluster, 16, 64)
	digest, errDigest := strconv.ParseUint(s.Digest, 16, 64)
	sum, errSum := hex.DecodeString(s.SHA256)
	if err := errors.Join(errCluster, errDigest, errSum); err != nil {
		return fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	if len(sum) != sha256.Size || s.Bytes < 0 || s.Position%wire.Alignment != 0 {
		return fmt.Errorf("%w: manifest: position %d, %d bytes, a sum of %d bytes", ErrDamaged, s.Position, s.Bytes, len(sum))
	}
	*m = Manifest{Cluster: cluster, Digest: digest, Version: s.Version, Bytes: s.Bytes,
		Chain: wire.Chain{Position: s.Position, Sequence: s.Sequence, Timestamp: s.Timestamp, Checksum: s.Checksum,
			Term: s.Term}}
	copy(m.SHA256[:], sum)
	return nil
}

func hex64(v uint64) string { return fmt.Sprintf("%016x", v) }

// readManifest reads the manifest file name.
func readManifest(fs vfs.FS, name string) (m Manifest, err error) {
	f, err := fs.OpenFile(name, vfs.ReadOnly)
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	text := make([]byte, maxManifest)
	n, err := f.ReadAt(text, 0)
	f.Close() // only read from: nothing can be lost
	if err != nil && !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := m.Decode(text[:n]); err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// writeManifest writes and syncs it; the name is the caller's to sync.
func writeManifest(fs vfs.FS, name string, m *Manifest) error {
	f, err := fs.OpenFile(name, vfs.Create)
	if err != nil {
		return err
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(m.Encode(), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
