// Package kv is the key/value store: keys in order, each with a version, and sessions that watch them.
//
// # Purpose
//
// A message is a Request of kv.fbs: get, put, compare-and-set, delete, range, watch. The first response answers it;
// sessions that watch a prefix are told of every change below it, in order. A key's version is the number of the
// record that changed it last, so that versions grow over all keys, and a compare-and-set on one cannot be fooled by a
// value that came back. Version 0 stands for a key that is not there.
//
// # Layout
//
//	tree (internal/btree) ── key ──> entry: block [ key | value ], version, hash
//	watches (internal/watch) ── key ──> sessions
//
// Key and value lie in one block (internal/blocks), which is used again when the value changes.
//
// # Thread ownership
//
// A Store belongs to the driver's thread. Encoders and decoders belong to whoever owns the builder they are given.
//
// # Failure behaviour
//
// Every message is answered; nothing that a client sends makes it fail. A refusal, or a conflict, changes nothing.
// Snapshots that do not restore to the store they were written from are refused.
//
// # Limits
//
// Those of Options, and MaxKey, MaxValue, MaxRange, maxRangeBytes, maxEventBytes. One record causes one answer, of
// less than 64 KiB, and one event for each session that watches: with the value if that is no more than 96 KiB for all
// of them, else without. Memory is allocated when the store holds more than ever before, or blocks of a size of which
// none is left over; in a steady state none is.
package kv
