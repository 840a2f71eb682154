package kv

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"lockstep/service"
	"lockstep/service/slab"
)

// Layout of a snapshot, little-endian. Keys ascend, so that equal stores give equal bytes.
//
//	magic u64 | max keys u64 | max bytes u64 | max watches u64 | keys u64
//	keys times: key length u16 | value length u32 | version u64 | key | value
//	watches, as internal/watch writes them
//	hash u64 (of the store, as Hash has it)
const snapshotMagic = 0x31303030_2056_4b2e // ".KV 0001"

// ErrSnapshot says that a snapshot cannot be restored.
var ErrSnapshot = errors.New("kv: unusable snapshot")

// head is what a snapshot must have in common with the store.
func (s *Store) head() [3]uint64 {
	return [3]uint64{uint64(s.options.MaxKeys), s.options.MaxBytes, uint64(s.options.MaxWatches)}
}

// Snapshot implements service.Service.
func (s *Store) Snapshot(to io.Writer) error {
	w := slab.NewWriter(to)
	w.Uint64(snapshotMagic)
	for _, n := range s.head() {
		w.Uint64(n)
	}
	w.Uint64(uint64(s.tree.Len()))
	for c := s.tree.Seek(nil); !w.Failed(); c.Next() {
		id, ok := c.ID()
		if !ok {
			break
		}
		e := &s.entries[id]
		w.Uint16(uint16(e.keyLen))
		w.Uint32(uint32(len(e.value())))
		w.Uint64(e.version)
		w.Bytes(e.block)
	}
	err := s.watches.Snapshot(w)
	w.Uint64(s.Hash())
	if err = cmp.Or(err, w.Flush()); err != nil {
		return fmt.Errorf("kv: snapshot: %w", err)
	}
	return nil
}

// Restore implements service.Service.
func (s *Store) Restore(from io.Reader) error {
	s.clear()
	r := slab.NewReader(from)
	if magic := r.Uint64(); r.Err == nil && magic != snapshotMagic {
		return fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	}
	if head := [...]uint64{r.Uint64(), r.Uint64(), r.Uint64()}; r.Err == nil && head != s.head() {
		return fmt.Errorf("%w: %w: it is not one of a store with these options (%+v)", ErrSnapshot, service.ErrUnsuited,
			s.options)
	}
	s.readEntries(r)
	if r.Err == nil {
		r.Fail(s.watches.Restore(r))
	}
	if hash := r.Uint64(); r.Err == nil && hash != s.Hash() {
		r.Fail(fmt.Errorf("hash %016x after restoring, %016x when it was written", s.Hash(), hash))
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return nil
}

// readEntries puts the keys in, each of which is above the one before.
func (s *Store) readEntries(r *slab.Reader) {
	var b [MaxKey + MaxValue]byte
	var last [MaxKey]byte
	before := last[:0]
	keys := r.Uint64()
	for n := uint64(0); n < keys && r.Err == nil; n++ {
		keyLen, valueLen, version := int(r.Uint16()), r.Uint32(), r.Uint64()
		if r.Err == nil && (keyLen == 0 || keyLen > MaxKey || valueLen > MaxValue || version == 0) {
			r.Fail(fmt.Errorf("key %d has %d bytes, its value %d, and its version is %d", n, keyLen, valueLen, version))
		}
		if r.Err != nil {
			return
		}
		both := r.Bytes(b[:keyLen+int(valueLen)])
		key, value := both[:keyLen], both[keyLen:]
		if n > 0 && bytes.Compare(before, key) >= 0 {
			r.Fail(fmt.Errorf("key %d is not above the one before", n))
		}
		if reason := s.fits(nil, key, value); reason != ReasonNone {
			r.Fail(fmt.Errorf("key %d would be refused: %v", n, reason))
		}
		if r.Err != nil {
			return
		}
		s.set(nil, key, value, version)
		before = append(last[:0], key...)
	}
}

var (
	_ service.Checker = (*Store)(nil)
	_ service.Sized   = (*Store)(nil)
)
