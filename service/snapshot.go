package service

import (
	"errors"
	"io"

	"lockstep/wire"
)

// ErrSnapshot says that a snapshot cannot be restored: it is damaged, or not one of this cluster's services and limits.
var ErrSnapshot = errors.New("service: unusable snapshot")

// SnapshotHead is what a snapshot says of itself before the state follows: where in the log it was taken, and what of
// the log before it is needed to go on.
type SnapshotHead struct {
	Chain   wire.Chain // end of the log that is in it; its position is the snapshot's
	Hash    uint64     // the chained hash there
	Digest  uint64     // of the whole state there
	Version uint32     // behaviour version in force there
	// Verified is the newest position below that a majority has verified, as the log before says; 0: none.
	Verified       wire.Position
	VerifiedDigest uint64
	Terms          []wire.TermStart // of the log before, oldest first
	Configs        []wire.ConfigAt  // the newest config records before, oldest first
	MoreConfigs    bool             // there were older ones
	Passed         []wire.Position  // records that were passed over, ascending
}

// Sink takes snapshots to where they are kept.
type Sink interface {
	// Begin opens a writer for a snapshot; nil and no error: none is wanted now, as one is under way. h is good during
	// the call only. Driver's thread.
	Begin(h *SnapshotHead) (SnapshotWriter, error)
}

// SnapshotWriter takes the bytes of one snapshot. Driver's thread. Commit or Abort is called once, and nothing after it.
type SnapshotWriter interface {
	io.Writer
	// Commit says that the snapshot is complete. It is still to be synced and published, by another thread.
	Commit() error
	// Abort drops it.
	Abort()
}

// ReadSnapshotHead reads the head of a snapshot and no more than that. ErrSnapshot when it is none.
func ReadSnapshotHead(r io.Reader) (*SnapshotHead, error) {
	return nil, ErrSnapshot
}
