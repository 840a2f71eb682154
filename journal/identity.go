package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// Errors of a node's directory.
var (
	// ErrFormatted says that the directory already belongs to a node.
	ErrFormatted = errors.New("journal: the directory is in use by a node already; format only an empty one")
	// ErrNotFormatted says that there is no node in the directory.
	ErrNotFormatted = errors.New("journal: no node in this directory; create one with `lockstep format`")
	// ErrDamagedFile says that a small file of the directory does not pass its checksum. Nothing is guessed.
	ErrDamagedFile = errors.New("journal: damaged file")
)

// Identity is who a node is. All of it is in every datagram between nodes.
type Identity struct {
	Cluster     uint64      // random, the same on every node of the cluster
	Node        wire.NodeID // 1..wire.MaxNodes
	Incarnation uint64      // random, made with the directory; not 0
	Run         uint32      // raised at each start; 0 before the first
}

const (
	identityFormat   = "lockstep identity 1\ncluster %016x\nnode %d\nincarnation %016x\nrun %d\n"
	cleanFormat      = "lockstep clean 1\nrun %d\nend %d\n"
	recoveringFormat = "lockstep recovering 1\ncause %q\n"
	checksumFormat   = "crc32c %08x\n"
)

// Format makes dir the directory of a new node, with an empty log: vote and watermark first, identity last, so that a
// directory with an identity is whole. It refuses one that has an identity or segments.
func Format(fs vfs.FS, dir string, id Identity) error {
	if !id.Node.Valid() || id.Incarnation == 0 {
		return fmt.Errorf("journal: format %s: node %d, incarnation %x: want a node id in [1, %d], and an incarnation",
			dir, id.Node, id.Incarnation, wire.MaxNodes)
	}
	if err := fs.MkdirAll(segmentDir(dir)); err != nil {
		return fmt.Errorf("journal: format %s: %w", dir, err)
	}
	if _, err := fs.Stat(path.Join(dir, "identity")); err == nil {
		return fmt.Errorf("%w: %s", ErrFormatted, dir)
	}
	segments, err := listSegments(fs, dir)
	if err != nil {
		return err
	}
	if len(segments) > 0 {
		return fmt.Errorf("%w: %s has segments without an identity", ErrFormatted, dir)
	}
	if err := createBlocks(fs, path.Join(dir, "vote"), voteBlocks()); err != nil {
		return fmt.Errorf("journal: format %s: %w", dir, err)
	}
	if err := createBlocks(fs, path.Join(dir, "watermark"), watermarkBlocks()); err != nil {
		return fmt.Errorf("journal: format %s: %w", dir, err)
	}
	if err := fs.SyncDir(dir); err != nil {
		return fmt.Errorf("journal: format %s: %w", dir, err)
	}
	return writeIdentity(fs, dir, id)
}

// createBlocks writes a file of whole blocks and syncs it; its name is the caller's to sync.
func createBlocks(fs vfs.FS, name string, blocks []byte) error {
	f, err := fs.OpenFile(name, vfs.Create)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(blocks, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// LoadIdentity reads who the node in dir is: ErrNotFormatted, ErrDamagedFile.
func LoadIdentity(fs vfs.FS, dir string) (Identity, error) {
	var id Identity
	body, err := readText(fs, path.Join(dir, "identity"))
	if errors.Is(err, os.ErrNotExist) {
		return id, fmt.Errorf("%w: %s", ErrNotFormatted, dir)
	}
	if err != nil {
		return id, err
	}
	if _, err := fmt.Sscanf(body, identityFormat, &id.Cluster, &id.Node, &id.Incarnation, &id.Run); err != nil {
		return Identity{}, fmt.Errorf("%w: %s/identity: %w", ErrDamagedFile, dir, err)
	}
	return id, nil
}

// BumpRun raises the run in dir durably, and returns the identity of the run that begins. Once at each start, before
// the first datagram leaves.
func BumpRun(fs vfs.FS, dir string) (Identity, error) {
	id, err := LoadIdentity(fs, dir)
	if err != nil {
		return id, err
	}
	id.Run++
	return id, writeIdentity(fs, dir, id)
}

func writeIdentity(fs vfs.FS, dir string, id Identity) error {
	body := fmt.Sprintf(identityFormat, id.Cluster, id.Node, id.Incarnation, id.Run)
	return writeText(fs, dir, "identity", body)
}

// Lock takes the directory for this process; vfs.ErrLocked when another has it. The lock ends with the process.
func Lock(fs vfs.FS, dir string) (io.Closer, error) {
	c, err := fs.Lock(path.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("journal: lock %s: %w", dir, err)
	}
	return c, nil
}

// writeText replaces a small text file durably: written aside, synced, renamed, directory synced.
func writeText(fs vfs.FS, dir, name, body string) error {
	sum := fmt.Sprintf(checksumFormat, crc32.Checksum([]byte(body), castagnoli))
	return replaceBlocks(fs, dir, name, []byte(body+sum))
}

// maxText bounds the small text files.
const maxText = 4096

// readText reads a file that writeText wrote, without the checksum line.
func readText(fs vfs.FS, name string) (string, error) {
	f, err := fs.OpenFile(name, vfs.ReadOnly)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, maxText)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	text := buf[:n]
	end := bytes.LastIndex(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) + 1
	want := fmt.Sprintf(checksumFormat, crc32.Checksum(text[:end], castagnoli))
	if string(text[end:]) != want {
		return "", fmt.Errorf("%w: %s: the last line is not %q", ErrDamagedFile, name, want)
	}
	return string(text[:end]), nil
}

// readPosition reads a file that writeText wrote with nothing but a position in it; known is false when there is none.
func readPosition(fs vfs.FS, dir, name, format string) (position wire.Position, known bool, err error) {
	name = path.Join(dir, name)
	body, err := readText(fs, name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if _, err := fmt.Sscanf(body, format, &position); err != nil {
		return 0, false, fmt.Errorf("%w: %s: %w", ErrDamagedFile, name, err)
	}
	return position, true, nil
}
