package kv

import (
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/blocks"
	"lockstep/internal/btree"
	"lockstep/internal/watch"
	"lockstep/service"
)

// Limits on what one request may say, and on what one response holds.
const (
	// MaxKey is the longest key, in bytes.
	MaxKey = 256
	// MaxValue is the longest value, in bytes.
	MaxValue = 32 << 10
	// MaxRange is how many keys one response lists.
	MaxRange = 1000

	maxRangeBytes = 40 << 10 // of keys and values, and entryBytes for each, that one response lists
	maxEventBytes = 96 << 10 // of the events that one change causes, if they are to have the value
	entryBytes    = 64       // what an entry takes besides key and value, in memory and in messages
)

// Options are the limits of a store. They change what is answered, so they must be the same on every node. Zero fields
// take the default.
type Options struct {
	MaxKeys    int    // default 2^20
	MaxBytes   uint64 // of keys and values, and 64 for each key; default 256 MiB
	MaxWatches int    // of all sessions together; default 256, which is the most
}

// ErrOptions says that the options cannot work.
var ErrOptions = errors.New("kv: unusable options")

func (o *Options) defaults() error {
	if o.MaxKeys == 0 {
		o.MaxKeys = 1 << 20
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MaxWatches == 0 {
		o.MaxWatches = 256
	}
	switch {
	case o.MaxKeys < 1 || o.MaxKeys > 1<<28:
		return fmt.Errorf("%w: %d keys: must be 1 .. 2^28", ErrOptions, o.MaxKeys)
	case o.MaxWatches < 1 || o.MaxWatches > 256:
		return fmt.Errorf("%w: %d watches: must be 1 .. 256", ErrOptions, o.MaxWatches)
	}
	return nil
}

// entry is a key and what it holds.
type entry struct {
	block   []byte // key, then value
	keyLen  int
	version uint64
	hash    uint64
}

func (e *entry) key() []byte   { return e.block[:e.keyLen] }
func (e *entry) value() []byte { return e.block[e.keyLen:] }
func (e *entry) view() Entry   { return Entry{Key: e.key(), Value: e.value(), Version: e.version} }
func (e *entry) size() uint64  { return uint64(len(e.block) + entryBytes) }

// rehash is the entry's share in the hash of the store.
func (e *entry) rehash() {
	e.hash = service.MixBytes(service.MixBytes(service.Mix(1, e.version), e.key()), e.value())
}

// Store is the key/value service.
type Store struct {
	options Options
	entries []entry // [0] is not used
	free    []uint32
	tree    *btree.Tree
	blocks  blocks.Pool
	bytes   uint64 // as MaxBytes counts them
	sum     uint64 // of the hashes of entries
	watches *watch.List

	request Request
	list    []flatbuffers.UOffsetT
	builder *flatbuffers.Builder
}

// New returns an empty store.
func New(o Options) (*Store, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	s := &Store{options: o, list: make([]flatbuffers.UOffsetT, 0, MaxRange), builder: flatbuffers.NewBuilder(1024)}
	s.blocks.Keep = int(o.MaxBytes / 4)
	s.tree = btree.New(func(id uint32) []byte { return s.entries[id].key() })
	s.watches = watch.New(o.MaxWatches)
	s.clear()
	return s, nil
}

func (s *Store) clear() {
	clear(s.entries) // nothing of what was is to be kept
	s.entries, s.free = append(s.entries[:0], entry{}), s.free[:0]
	s.tree.Reset()
	s.watches.Reset()
	s.bytes, s.sum = 0, 0
}

// Len is how many keys there are. Driver's thread.
func (s *Store) Len() int { return s.tree.Len() }

// find returns the entry of a key, or nil. It is good until the next set.
func (s *Store) find(key []byte) *entry {
	id, ok := s.tree.Get(key)
	if !ok {
		return nil
	}
	return &s.entries[id]
}

// fits says why there is no room for a value, or ReasonNone. e is the entry of its key, nil if there is none.
func (s *Store) fits(e *entry, key, value []byte) Reason {
	before := uint64(0)
	if e != nil {
		before = e.size()
	} else if s.tree.Len() >= s.options.MaxKeys {
		return ReasonTooManyKeys
	}
	if s.bytes-before+uint64(len(key)+len(value)+entryBytes) > s.options.MaxBytes {
		return ReasonTooManyBytes
	}
	return ReasonNone
}

// set gives a key a value. It fits.
func (s *Store) set(e *entry, key, value []byte, version uint64) *entry {
	if e == nil {
		e = s.add(key, len(value))
	} else {
		s.bytes -= e.size()
		s.sum -= e.hash
		if n := e.keyLen + len(value); !s.blocks.Holds(e.block, n) {
			block := s.blocks.Take(n)
			copy(block, e.key())
			s.blocks.Give(e.block)
			e.block = block
		} else {
			e.block = e.block[:n]
		}
	}
	copy(e.block[e.keyLen:], value)
	e.version = version
	e.rehash()
	s.bytes += e.size()
	s.sum += e.hash
	return e
}

// add makes an entry for a key that has none, with room for a value of n bytes.
func (s *Store) add(key []byte, n int) *entry {
	id := uint32(len(s.entries))
	if last := len(s.free) - 1; last >= 0 {
		id = s.free[last]
		s.free = s.free[:last]
	} else {
		s.entries = append(s.entries, entry{})
	}
	e := &s.entries[id]
	e.block, e.keyLen = s.blocks.Take(len(key)+n), len(key)
	copy(e.block, key)
	s.tree.Insert(id)
	return e
}

// remove takes an entry out. Its key and value must not be used any more.
func (s *Store) remove(e *entry) {
	id, _ := s.tree.Delete(e.key())
	s.bytes -= e.size()
	s.sum -= e.hash
	s.blocks.Give(e.block)
	*e = entry{}
	s.free = append(s.free, id)
}
