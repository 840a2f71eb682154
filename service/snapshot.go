package service

import (
	"errors"
	"io"

	"lockstep/wire"
)

// ErrSnapshot says that a snapshot is damaged: no node could restore it.
var ErrSnapshot = errors.New("service: unusable snapshot")

// ErrUnsuited says that a snapshot is one of other services or limits, or of behaviour that this build does not have. It
// may be whole, and good elsewhere. A service's Restore returns it when what it is given is one of other options.
var ErrUnsuited = errors.New("service: a snapshot of other services, limits or behaviour than this node's")

// What of the log a snapshot tells at most.
const (
	MaxTerms   = 1 << 16 // newest entries of the term index
	MaxConfigs = 8       // newest config records
)

// SnapshotHead is what a snapshot says of itself before the state follows: where in the log it was taken, and what of
// the log before it is needed to go on.
type SnapshotHead struct {
	Chain   wire.Chain // end of the log that is in it; its position is the snapshot's
	Hash    uint64     // the chained hash there
	Digest  uint64     // of the whole state there
	Version uint32     // behaviour version in force there
	// Verified is the newest position that a majority has verified, as the log before says; 0: none.
	Verified       wire.Position
	VerifiedDigest uint64
	Terms          []wire.TermStart    // term index of the log before, oldest first, at most MaxTerms
	Configs        []wire.ConfigAt     // the newest config records before, oldest first, at most MaxConfigs
	MoreConfigs    bool                // there were older ones
	Passed         []wire.Position     // records that apply has passed over, ascending
	Limits         Limits              // in force: a driver with others cannot restore it. HashEvery is not told
	Services       [MaxServices]string // names, by number; "": none
}

// Sink takes snapshots to where they are kept.
type Sink interface {
	// Begin opens a writer for a snapshot; nil and no error: none is wanted now, as one is under way. h is good during
	// the call only. Driver's thread.
	Begin(h *SnapshotHead) (SnapshotWriter, error)
}

// SnapshotWriter takes the bytes of one snapshot. Driver's thread. Either Commit or Abort is called, once and last.
type SnapshotWriter interface {
	io.Writer
	// Commit says that the snapshot is complete. It is still to be synced and published, by another thread. After an
	// error it is as after Abort.
	Commit() error
	// Abort drops it.
	Abort()
}

// ReadSnapshotHead reads the head of a snapshot, and no byte more than that from r. ErrSnapshot when there is none.
func ReadSnapshotHead(r io.Reader) (*SnapshotHead, error) {
	h := &SnapshotHead{}
	if err := newChunkReader(r).head(h); err != nil {
		return nil, err
	}
	return h, nil
}
