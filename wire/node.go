package wire

import "lockstep/wire/fb"

// Sizes of the bodies between nodes, in bytes; of Log and Align without what follows.
const (
	LogHeaderSize    = 48
	StatusSize       = 96
	NakSize          = 16
	AlignSize        = 32
	TermStartSize    = 16
	AlignAnswerSize  = 24
	BallotSize       = 24
	BallotAnswerSize = 8
	TransferSize     = 8
	DivergedSize     = 32
)

// Every Put writes the whole body into the start of b, which must be long enough (it panics if not), and returns how
// many bytes that was. Every Decode takes any bytes and says whether they are such a body: long enough, every flag 0
// or 1, every reserved field zero. It reads no further than the body and keeps no part of it.

// Log is the fixed part of LOG; bytes of the log follow (none: a heartbeat).
type Log struct {
	Position     Position // of the first byte that follows; Append if none does
	Append       Position // the leader's
	Commit       Position
	SyncTo       Position // somebody waits for durability up to here
	Floor        Position // lowest position that the leader's ring still holds
	ConfigDigest uint32   // Config.Digest of the config record; 0 before the first
	Clock        uint32   // the cluster's clock as the leader reckons it, ms since the Unix epoch, low 32 bits; 0 unknown
}

// Put writes the fixed part.
func (x *Log) Put(b []byte) int {
	var w fb.LogHeader
	w.Init(b[:LogHeaderSize], 0)
	w.MutatePosition(uint64(x.Position))
	w.MutateAppend(uint64(x.Append))
	w.MutateCommit(uint64(x.Commit))
	w.MutateSyncTo(uint64(x.SyncTo))
	w.MutateFloor(uint64(x.Floor))
	w.MutateConfigDigest(x.ConfigDigest)
	w.MutateClock(x.Clock)
	return LogHeaderSize
}

// Decode reads the fixed part; the log's bytes are b[LogHeaderSize:].
func (x *Log) Decode(b []byte) bool {
	if len(b) < LogHeaderSize {
		return false
	}
	var w fb.LogHeader
	w.Init(b, 0)
	x.Position = Position(w.Position())
	x.Append = Position(w.Append())
	x.Commit = Position(w.Commit())
	x.SyncTo = Position(w.SyncTo())
	x.Floor = Position(w.Floor())
	x.ConfigDigest = w.ConfigDigest()
	x.Clock = w.Clock()
	return true
}

// Status is what a follower reports to the leader.
type Status struct {
	Aligned      uint64   // nonce of the alignment in force; 0 while not aligned
	Append       Position //
	Durable      Position //
	Generation   uint64   // of the durable report
	Applied      Position //
	Hash         uint64   // divergence hash at HashPosition
	HashPosition Position //
	Window       uint64   // bytes it can take beyond Append
	Wall         int64    // its wall clock, ns since the Unix epoch
	Recovering   bool     // it may have forgotten
	Unfit        bool     // it must not lead: its disk is full or hangs, its clock is off
	Version      uint32   // highest behaviour version that its build has

	SnapshotPosition Position // end of the newest snapshot record that asks for one, as it applied it; 0: none
	SnapshotDigest   uint64   // of the state of its services there
}

// Put writes the body.
func (x *Status) Put(b []byte) int {
	var w fb.Status
	w.Init(b[:StatusSize], 0)
	w.MutateAligned(x.Aligned)
	w.MutateAppend(uint64(x.Append))
	w.MutateDurable(uint64(x.Durable))
	w.MutateGeneration(x.Generation)
	w.MutateApplied(uint64(x.Applied))
	w.MutateHash(x.Hash)
	w.MutateHashPosition(uint64(x.HashPosition))
	w.MutateWindow(x.Window)
	w.MutateWall(uint64(x.Wall))
	w.MutateRecovering(flag(x.Recovering))
	w.MutateUnfit(flag(x.Unfit))
	w.MutateReserved0(0)
	w.MutateVersion(x.Version)
	w.MutateSnapshotPosition(uint64(x.SnapshotPosition))
	w.MutateSnapshotDigest(x.SnapshotDigest)
	return StatusSize
}

// Decode reads the body.
func (x *Status) Decode(b []byte) bool {
	if len(b) < StatusSize {
		return false
	}
	var w fb.Status
	w.Init(b, 0)
	x.Aligned = w.Aligned()
	x.Append = Position(w.Append())
	x.Durable = Position(w.Durable())
	x.Generation = w.Generation()
	x.Applied = Position(w.Applied())
	x.Hash = w.Hash()
	x.HashPosition = Position(w.HashPosition())
	x.Window = w.Window()
	x.Wall = int64(w.Wall())
	x.Recovering = w.Recovering() == 1
	x.Unfit = w.Unfit() == 1
	x.Version = w.Version()
	x.SnapshotPosition = Position(w.SnapshotPosition())
	x.SnapshotDigest = w.SnapshotDigest()
	return w.Recovering() <= 1 && w.Unfit() <= 1 && w.Reserved0() == 0
}

// Nak asks for the log's bytes [From, To) again.
type Nak struct{ From, To Position }

// Put writes the body.
func (x *Nak) Put(b []byte) int {
	var w fb.Nak
	w.Init(b[:NakSize], 0)
	w.MutateFrom(uint64(x.From))
	w.MutateTo(uint64(x.To))
	return NakSize
}

// Decode reads the body; a range that is empty or runs backwards is malformed.
func (x *Nak) Decode(b []byte) bool {
	if len(b) < NakSize {
		return false
	}
	var w fb.Nak
	w.Init(b, 0)
	x.From = Position(w.From())
	x.To = Position(w.To())
	return x.From < x.To
}

// Transfer tells a follower to lead now.
type Transfer struct {
	Append Position // the leader's, which the target holds
}

// Put writes the body.
func (x *Transfer) Put(b []byte) int {
	var w fb.Transfer
	w.Init(b[:TransferSize], 0)
	w.MutateAppend(uint64(x.Append))
	return TransferSize
}

// Decode reads the body.
func (x *Transfer) Decode(b []byte) bool {
	if len(b) < TransferSize {
		return false
	}
	var w fb.Transfer
	w.Init(b, 0)
	x.Append = Position(w.Append())
	return true
}

// Diverged tells a follower that a majority has another hash at a fixed point, or another digest of the state at the end
// of a snapshot record, than it reported.
type Diverged struct {
	Position Position // of the point
	Hash     uint64   // that the follower reported
	Majority uint64   // that a majority has
	State    bool     // they are digests of the state; false: hashes of outputs
}

// Put writes the body.
func (x *Diverged) Put(b []byte) int {
	var w fb.Diverged
	w.Init(b[:DivergedSize], 0)
	w.MutatePosition(uint64(x.Position))
	w.MutateHash(x.Hash)
	w.MutateMajority(x.Majority)
	w.MutateState(flag(x.State))
	w.MutateReserved0(0)
	w.MutateReserved1(0)
	w.MutateReserved2(0)
	return DivergedSize
}

// Decode reads the body.
func (x *Diverged) Decode(b []byte) bool {
	if len(b) < DivergedSize {
		return false
	}
	var w fb.Diverged
	w.Init(b, 0)
	x.Position, x.Hash, x.Majority = Position(w.Position()), w.Hash(), w.Majority()
	x.State = w.State() == 1
	return w.State() <= 1 && w.Reserved0() == 0 && w.Reserved1() == 0 && w.Reserved2() == 0
}

// flag is a bool as the wire has it.
func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
