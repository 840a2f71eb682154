package kv

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/kv/fb"
	"lockstep/wire/flat"
)

// The encoders below reset and reuse the builder, so what they return is good until its next use.

func encodeFound(b *flatbuffers.Builder, value []byte, version uint64) []byte {
	b.Reset()
	v := b.CreateByteVector(value)
	fb.FoundStart(b)
	fb.FoundAddVersion(b, version)
	fb.FoundAddValue(b, v)
	return flat.Finish(b, byte(Found), fb.FoundEnd(b))
}

func encodeAbsent(b *flatbuffers.Builder) []byte {
	b.Reset()
	fb.AbsentStart(b)
	return flat.Finish(b, byte(Absent), fb.AbsentEnd(b))
}

func encodeStored(b *flatbuffers.Builder, version, previous uint64) []byte {
	b.Reset()
	fb.StoredStart(b)
	fb.StoredAddVersion(b, version)
	fb.StoredAddPrevious(b, previous)
	return flat.Finish(b, byte(Stored), fb.StoredEnd(b))
}

func encodeDeleted(b *flatbuffers.Builder, previous uint64) []byte {
	b.Reset()
	fb.DeletedStart(b)
	fb.DeletedAddPrevious(b, previous)
	return flat.Finish(b, byte(Deleted), fb.DeletedEnd(b))
}

func encodeWatching(b *flatbuffers.Builder, on bool, sequence uint64) []byte {
	b.Reset()
	fb.WatchingStart(b)
	fb.WatchingAddSequence(b, sequence)
	fb.WatchingAddOn(b, on)
	return flat.Finish(b, byte(Watching), fb.WatchingEnd(b))
}

func encodeConflict(b *flatbuffers.Builder, value []byte, version uint64) []byte {
	b.Reset()
	v := b.CreateByteVector(value)
	fb.ConflictStart(b)
	fb.ConflictAddVersion(b, version)
	fb.ConflictAddValue(b, v)
	return flat.Finish(b, byte(Conflict), fb.ConflictEnd(b))
}

func encodeRefused(b *flatbuffers.Builder, reason Reason) []byte {
	b.Reset()
	fb.RefusedStart(b)
	fb.RefusedAddReason(b, reason)
	return flat.Finish(b, byte(Refused), fb.RefusedEnd(b))
}

// encodeChanged encodes what watchers hear of a change; of a value that is left out they hear that.
func encodeChanged(b *flatbuffers.Builder, e *Entry, deleted, leftOut bool) []byte {
	b.Reset()
	value := flatbuffers.UOffsetT(0)
	if !deleted && !leftOut {
		value = b.CreateByteVector(e.Value)
	}
	key := b.CreateByteVector(e.Key)
	fb.ChangedStart(b)
	fb.ChangedAddVersion(b, e.Version)
	fb.ChangedAddKey(b, key)
	fb.ChangedAddValue(b, value)
	fb.ChangedAddDeleted(b, deleted)
	fb.ChangedAddLeftOut(b, leftOut)
	return flat.Finish(b, byte(Changed), fb.ChangedEnd(b))
}

// appendEntry encodes one entry of a list; endEntries the list of them. The builder was reset before the first.
func appendEntry(b *flatbuffers.Builder, list []flatbuffers.UOffsetT, e *Entry, keyOnly bool) []flatbuffers.UOffsetT {
	value := flatbuffers.UOffsetT(0)
	if !keyOnly {
		value = b.CreateByteVector(e.Value)
	}
	key := b.CreateByteVector(e.Key)
	fb.EntryStart(b)
	fb.EntryAddVersion(b, e.Version)
	fb.EntryAddKey(b, key)
	fb.EntryAddValue(b, value)
	return append(list, fb.EntryEnd(b))
}

func endEntries(b *flatbuffers.Builder, list []flatbuffers.UOffsetT, more bool) []byte {
	entries := flat.PutVector(b, list)
	fb.EntriesStart(b)
	fb.EntriesAddEntries(b, entries)
	fb.EntriesAddMore(b, more)
	return flat.Finish(b, byte(Entries), fb.EntriesEnd(b))
}
