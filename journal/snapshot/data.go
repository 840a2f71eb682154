package snapshot

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// checkBytes is how much Check reads at once.
const checkBytes = 256 << 10

// OpenData reads the data of a snapshot from its beginning, and verifies it on the way: instead of the last bytes comes
// ErrDamaged if the whole is not what the manifest says. Whoever has got all bytes has got the right ones.
func (s *Store) OpenData(position wire.Position) (io.ReadCloser, error) {
	d, err := s.OpenAt(position)
	if err != nil {
		return nil, err
	}
	return &verified{data: d, hash: sha256.New()}, nil
}

// Check reads a snapshot again: ErrDamaged when it is not what its manifest says.
func (s *Store) Check(position wire.Position) error {
	r, err := s.OpenData(position)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(onlyWriter{io.Discard}, r, make([]byte, checkBytes))
	return errors.Join(err, r.Close())
}

// onlyWriter hides that io.Discard brings a small buffer of its own.
type onlyWriter struct{ io.Writer }

// Data is the data of a snapshot for whoever wants pieces of it, unverified: to hand it to another node, which verifies
// it. It stays readable after Remove. One thread at a time.
type Data struct {
	file vfs.File
	m    Manifest
}

// OpenAt opens the data of a snapshot. ErrNotHeld.
func (s *Store) OpenAt(position wire.Position) (*Data, error) {
	m, err := s.Get(position)
	if err != nil {
		return nil, err
	}
	f, err := s.fs.OpenFile(path.Join(s.path(position), dataName), vfs.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &Data{f, m}, nil
}

// Manifest says what it is.
func (d *Data) Manifest() Manifest { return d.m }

// ReadAt implements io.ReaderAt.
func (d *Data) ReadAt(b []byte, offset int64) (int, error) { return d.file.ReadAt(b, offset) }

// Close closes the file.
func (d *Data) Close() error { return d.file.Close() }

// verified reads data and sums it.
type verified struct {
	data   *Data
	hash   hash.Hash
	offset int64
	err    error
}

func (v *verified) Read(b []byte) (int, error) {
	m := &v.data.m
	rest := m.Bytes - v.offset
	if v.err == nil && rest == 0 {
		v.err = v.end()
	}
	if v.err != nil || len(b) == 0 {
		return 0, v.err
	}
	b = b[:min(int64(len(b)), rest)]
	n, err := v.data.file.ReadAt(b, v.offset)
	if n < len(b) {
		v.err = fmt.Errorf("%w: position %d, offset %d of %d: %w", ErrDamaged, m.Position(), v.offset+int64(n), m.Bytes, err)
		return 0, v.err
	}
	v.hash.Write(b)
	v.offset += int64(n)
	if v.offset == m.Bytes {
		if v.err = v.end(); v.err != io.EOF {
			return 0, v.err
		}
	}
	return n, nil
}

// end is io.EOF when the sum is right.
func (v *verified) end() error {
	var sum [sha256.Size]byte
	if v.hash.Sum(sum[:0]); sum != v.data.m.SHA256 {
		return fmt.Errorf("%w: position %d: SHA-256 of its data is %x, the manifest says %x", ErrDamaged,
			v.data.m.Position(), sum, v.data.m.SHA256)
	}
	return io.EOF
}

func (v *verified) Close() error { return v.data.Close() }
