package snapshot

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"syscall"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// Writer writes one snapshot: Write until all is there, Close, Store.Publish; or Abort at any time before. It belongs to
// one thread at a time.
type Writer struct {
	s      *Store
	at     wire.Position
	dir    string
	file   vfs.File
	hash   hash.Hash
	offset int64
	synced int64 // of a download: what was synced on the way
	looked int64 // how far there was room when it was last looked
	part   bool
	closed bool
	m      Manifest
	err    error // the first one
}

// roomEvery is how much is written between two looks at how full the disk is.
const roomEvery = 1 << 20

// downloadSync is how much of a download is written between two syncs: the page cache holds no more of it.
const downloadSync = 8 << 20

// Create begins a snapshot of the state at a position. ErrHeld when there is one.
func (s *Store) Create(at wire.Position) (*Writer, error) {
	w := &Writer{s: s, at: at, dir: s.path(at) + asideSuffix, hash: sha256.New()}
	if err := s.mayWrite(at); err != nil {
		return nil, err
	}
	if err := s.discard(w.dir); err != nil {
		return nil, err
	}
	return w, w.create()
}

// Download begins a copy of the snapshot that m describes, or goes on with one that an earlier run began: Offset says
// where. There is one at a time; that of another snapshot is removed. ErrHeld when the snapshot is here.
func (s *Store) Download(m Manifest) (*Writer, error) {
	w := &Writer{s: s, at: m.Position(), dir: s.path(m.Position()) + partSuffix, hash: sha256.New(), part: true}
	if err := s.mayWrite(w.at); err != nil {
		return nil, err
	}
	if s.cluster != 0 && m.Cluster != s.cluster {
		return nil, fmt.Errorf("%w: it belongs to cluster %016x, not %016x", ErrForeign, m.Cluster, s.cluster)
	}
	if begun, err := readManifest(s.fs, path.Join(w.dir, manifestName)); err == nil && begun == m {
		if w.resume(m.Bytes) {
			return w, nil
		}
	}
	if err := s.discardAll(partSuffix); err != nil {
		return nil, err
	}
	if err := w.create(); err != nil {
		return nil, err
	}
	if err := writeManifest(s.fs, path.Join(w.dir, manifestName), &m); err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot: begin %s: %w", w.dir, err), w.Abort())
	}
	return w, nil
}

func (s *Store) mayWrite(at wire.Position) error {
	if s.look {
		return ErrReadOnly
	}
	if _, err := s.Get(at); err == nil {
		return fmt.Errorf("%w: %d", ErrHeld, at)
	}
	return nil
}

func (w *Writer) create() error {
	err := w.s.fs.MkdirAll(w.dir)
	if err == nil {
		w.file, err = w.s.fs.OpenFile(path.Join(w.dir, dataName), vfs.Create)
	}
	if err != nil {
		return fmt.Errorf("snapshot: begin %s: %w", w.dir, err)
	}
	return nil
}

// resume reads what an earlier run has written. False: it is of no use.
func (w *Writer) resume(limit int64) bool {
	f, err := w.s.fs.OpenFile(path.Join(w.dir, dataName), vfs.Write)
	if err != nil {
		return false
	}
	n, err := io.Copy(w.hash, io.NewSectionReader(f, 0, limit))
	if err != nil {
		f.Close() // it will be made anew
		return false
	}
	w.file, w.offset, w.synced = f, n, n
	return true
}

// Offset is how many bytes there are.
func (w *Writer) Offset() int64 { return w.offset }

// Write implements io.Writer: it appends to the data. After an error the snapshot is of no use.
func (w *Writer) Write(b []byte) (int, error) {
	if w.err == nil && (w.closed || w.file == nil) {
		w.err = errors.New("snapshot: write to a snapshot that is complete or aborted")
	}
	if w.err == nil && w.offset+int64(len(b)) > w.looked {
		w.err = w.lookForRoom(int64(len(b)))
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.file.WriteAt(b, w.offset)
	w.hash.Write(b[:n])
	w.offset += int64(n)
	if err == nil && w.part && w.offset-w.synced >= downloadSync {
		if err = w.file.Sync(); err == nil {
			w.synced = w.offset
		}
	}
	if err != nil {
		w.err = fmt.Errorf("snapshot: write %s: %w", path.Join(w.dir, dataName), err)
	}
	return n, w.err
}

// lookForRoom says whether there is room for so many bytes, and some more, without the reserve.
func (w *Writer) lookForRoom(bytes int64) error {
	reserve := w.s.reserve.Load()
	if reserve == 0 {
		return nil
	}
	w.looked = w.offset + bytes + roomEvery
	if free, err := w.s.fs.Free(w.s.dir); err == nil && free < reserve+bytes+roomEvery {
		return fmt.Errorf("snapshot: write %s: %d bytes free, %d of them reserved for the log: %w",
			path.Join(w.dir, dataName), free, reserve, syscall.ENOSPC)
	}
	return nil
}

// Close says that all data is there, and what it is: Chain, Digest and Version. Length and sum of m are held against what
// was written, if it has any (of a download); ErrDamaged. It waits for nothing.
func (w *Writer) Close(m Manifest) error {
	if w.err != nil {
		return w.err
	}
	var sum, none [sha256.Size]byte
	w.hash.Sum(sum[:0])
	switch {
	case m.Position() != w.at:
		w.err = fmt.Errorf("snapshot: a manifest of position %d for the snapshot at %d", m.Position(), w.at)
	case m.SHA256 != none && (m.Bytes != w.offset || m.SHA256 != sum):
		w.err = fmt.Errorf("%w: %d bytes with SHA-256 %x at position %d, the manifest says %d with %x", ErrDamaged,
			w.offset, sum, w.at, m.Bytes, m.SHA256)
	}
	if w.err != nil {
		return w.err
	}
	m.Bytes, m.SHA256 = w.offset, sum
	if w.s.cluster != 0 {
		m.Cluster = w.s.cluster
	}
	w.m, w.closed = m, true
	return nil
}

// publish is Store.Publish without the list.
func (w *Writer) publish() (Manifest, error) {
	if w.err != nil || !w.closed {
		return w.m, errors.Join(w.err, errors.New("it is not complete"))
	}
	if err := w.s.mayWrite(w.at); err != nil {
		return w.m, err
	}
	fs := w.s.fs
	err := w.file.Sync()
	err = errors.Join(err, w.file.Close())
	w.file = nil
	if err == nil {
		err = writeManifest(fs, path.Join(w.dir, manifestName), &w.m)
	}
	if err == nil {
		err = fs.SyncDir(w.dir)
	}
	if err == nil {
		err = w.s.discard(w.s.path(w.at)) // of a try whose last sync failed
	}
	if err == nil {
		err = fs.Rename(w.dir, w.s.path(w.at))
	}
	if err == nil {
		err = fs.SyncDir(w.s.dir)
	}
	return w.m, err
}

// Pause closes a download so that a later Download of the same snapshot goes on where it was.
func (w *Writer) Pause() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.file.Sync(), w.file.Close())
	w.file = nil
	return err
}

// Abort removes what was written. After Publish has succeeded it does nothing.
func (w *Writer) Abort() error {
	if w.file != nil {
		w.file.Close() // what is lost is to go
		w.file = nil
	}
	return w.s.discard(w.dir)
}
