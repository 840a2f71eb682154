package kv

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lockstep/service"
)

// Layout of a snapshot, little-endian. Keys ascend, so that equal stores give equal bytes.
//
//	magic u64 | max keys u64 | max bytes u64 | max watches u64 | keys u64
//	keys times: key length u16 | value length u32 | version u64 | key | value
//	watches, as internal/watch writes them
//	hash u64 (of the store, as Hash has it)
const (
	snapshotMagic = 0x31303030_2056_4b2e // ".KV 0001"
	snapshotHead  = 40
	snapshotOwn   = 32 // of the head, what must be the same
	entryHead     = 14
)

// ErrSnapshot says that a snapshot cannot be restored.
var ErrSnapshot = errors.New("kv: unusable snapshot")

func (s *Store) snapshotHead() (h [snapshotHead]byte) {
	le, o := binary.LittleEndian, &s.options
	le.PutUint64(h[0:], snapshotMagic)
	le.PutUint64(h[8:], uint64(o.MaxKeys))
	le.PutUint64(h[16:], o.MaxBytes)
	le.PutUint64(h[24:], uint64(o.MaxWatches))
	le.PutUint64(h[32:], uint64(s.tree.Len()))
	return h
}

// Snapshot implements service.Service.
func (s *Store) Snapshot(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10) // keeps the first error
	head := s.snapshotHead()
	_, err := out.Write(head[:])
	le := binary.LittleEndian
	for c := s.tree.Seek(nil); err == nil; c.Next() {
		id, ok := c.ID()
		if !ok {
			break
		}
		e := &s.entries[id]
		var h [entryHead]byte
		le.PutUint16(h[0:], uint16(e.keyLen))
		le.PutUint32(h[2:], uint32(len(e.value())))
		le.PutUint64(h[6:], e.version)
		out.Write(h[:])
		_, err = out.Write(e.block)
	}
	if err == nil {
		err = s.watches.Snapshot(out)
	}
	var tail [8]byte
	le.PutUint64(tail[:], s.Hash())
	out.Write(tail[:])
	if err := errors.Join(err, out.Flush()); err != nil {
		return fmt.Errorf("kv: snapshot: %w", err)
	}
	return nil
}

// Restore implements service.Service.
func (s *Store) Restore(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	s.clear()
	var head [snapshotHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return fmt.Errorf("%w: its head: %w", ErrSnapshot, err)
	}
	le := binary.LittleEndian
	switch own := s.snapshotHead(); {
	case string(own[:8]) != string(head[:8]):
		return fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	case string(own[:snapshotOwn]) != string(head[:snapshotOwn]):
		return fmt.Errorf("%w: %w: it is not one of a store with these options (%+v)", ErrSnapshot, service.ErrUnsuited,
			s.options)
	}
	keys := le.Uint64(head[32:])
	var b [MaxKey + MaxValue]byte
	var last [MaxKey]byte
	before := last[:0]
	for n := range keys {
		key, err := s.restoreEntry(in, n, b[:], before)
		if err != nil {
			return err
		}
		before = append(last[:0], key...)
	}
	if err := s.watches.Restore(in); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if _, err := io.ReadFull(in, head[:8]); err != nil {
		return fmt.Errorf("%w: its hash: %w", ErrSnapshot, err)
	}
	if want := le.Uint64(head[:8]); s.Hash() != want {
		return fmt.Errorf("%w: hash %016x after restoring, %016x when it was written", ErrSnapshot, s.Hash(), want)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it goes on behind its end (%v)", ErrSnapshot, err)
	}
	return nil
}

// restoreEntry puts the next key in, which follows another; it returns it, in b.
func (s *Store) restoreEntry(r io.Reader, n uint64, b, before []byte) (key []byte, err error) {
	var h [entryHead]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, fmt.Errorf("%w: key %d: %w", ErrSnapshot, n, err)
	}
	le := binary.LittleEndian
	keyLen, valueLen, version := int(le.Uint16(h[0:])), le.Uint32(h[2:]), le.Uint64(h[6:])
	if keyLen == 0 || keyLen > MaxKey || valueLen > MaxValue || version == 0 {
		return nil, fmt.Errorf("%w: key %d has %d bytes, its value %d, and its version is %d", ErrSnapshot, n, keyLen,
			valueLen, version)
	}
	b = b[:keyLen+int(valueLen)]
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("%w: key %d: %w", ErrSnapshot, n, err)
	}
	key, value := b[:keyLen], b[keyLen:]
	if n > 0 && bytes.Compare(before, key) >= 0 {
		return nil, fmt.Errorf("%w: key %d is not above the one before", ErrSnapshot, n)
	}
	if reason := s.fits(nil, key, value); reason != ReasonNone {
		return nil, fmt.Errorf("%w: key %d would be refused: %v", ErrSnapshot, n, reason)
	}
	s.set(nil, key, value, version)
	return key, nil
}

var (
	_ service.Checker = (*Store)(nil)
	_ service.Sized   = (*Store)(nil)
)
