package journal

import (
	"errors"
	"fmt"
	"path"

	"lockstep/internal/counters"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// Limits and defaults.
const (
	// MaxBatch is the most that one write carries, in bytes. It is part of the format: a valid record further than
	// this behind a broken one was written by a later batch, so the broken one had been synced.
	MaxBatch = 1 << 20
	// MinSegmentBytes keeps a record from straddling more than two segments.
	MinSegmentBytes = 128 << 10
	// MaxSegmentBytes bounds what a header may claim.
	MaxSegmentBytes = 4 << 30
	// MinBatchBytes lets any record fit a batch.
	MinBatchBytes = 128 << 10

	defaultSegmentBytes = 64 << 20
	defaultBatchBytes   = MaxBatch
	defaultSyncBytes    = MaxBatch
	defaultIntervalNs   = 10_000_000
	defaultRetryNs      = 1_000_000_000
)

// ErrOptions says that an option is outside its range.
var ErrOptions = errors.New("journal: bad option")

// Options say where a journal is and how it writes. Zero values take the defaults.
type Options struct {
	FS      vfs.FS // where files live; nil: the real file system
	Dir     string // the node's directory; the segments are in its subdirectory "journal"
	Cluster uint64 // cluster id that every segment must carry

	// Base is the newest snapshot that is to be relied upon; nil: none, the log is read from its first record on.
	Base *Base
	// Install says that the snapshot came from another node because the log here ended before it (WriteInstall): a log
	// that does not reach it, or holds other records there, is dropped, and begins there.
	Install bool

	// SegmentBytes is how much of the stream new segments hold: a multiple of 4096 in [MinSegmentBytes, MaxSegmentBytes].
	// Segments that exist keep their size. Default 64 MiB.
	SegmentBytes int64
	// BatchBytes is the most that one write carries: a multiple of 4096 in [MinBatchBytes, MaxBatch]. Default 1 MiB.
	BatchBytes int
	// SyncBytes and SyncIntervalNs say when bytes that nobody waits for are written: when there are so many, or when
	// the oldest has waited so long. Defaults 1 MiB and 10 ms.
	SyncBytes      int64
	SyncIntervalNs int64
	// WatermarkIntervalNs is how far the watermark trails the syncs. Default 10 ms.
	WatermarkIntervalNs int64
	// RetryNs is how often space is asked for again on a full disk. Default 1 s.
	RetryNs int64

	// Buffered has the journal write through the page cache and fdatasync even where direct I/O works.
	Buffered bool
	// Inline keeps the journal's agents from starting goroutines and from blocking: the next segment is prepared in
	// small steps within DoWork, and DoWork returns when there is nothing to do. For one thread driving many agents.
	Inline bool

	// Memory is where the buffer of a batch comes from, aligned to a page; nil: the Go heap. It is asked for once.
	Memory func(bytes int) ([]byte, error)

	Counters *counters.File   // where the journal counts; nil: nowhere
	NowNs    func() int64     // monotonic clock, for timing writes and syncs; nil: they are not timed
	Log      func(msg string) // cold: what an operator should read; nil: nowhere
}

// withDefaults checks the options and fills in what is zero.
func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = vfs.Real{}
	}
	orDefault(&o.SegmentBytes, defaultSegmentBytes)
	orDefault(&o.BatchBytes, defaultBatchBytes)
	orDefault(&o.SyncBytes, defaultSyncBytes)
	orDefault(&o.SyncIntervalNs, defaultIntervalNs)
	orDefault(&o.WatermarkIntervalNs, defaultIntervalNs)
	orDefault(&o.RetryNs, defaultRetryNs)
	if o.Memory == nil {
		o.Memory = func(bytes int) ([]byte, error) { return vfs.AlignedBytes(bytes), nil }
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	switch {
	case o.Dir == "":
		return o, fmt.Errorf("%w: Dir is empty", ErrOptions)
	case o.SegmentBytes < MinSegmentBytes || o.SegmentBytes > MaxSegmentBytes || o.SegmentBytes%vfs.BlockBytes != 0:
		return o, fmt.Errorf("%w: SegmentBytes %d: want a multiple of %d in [%d, %d]",
			ErrOptions, o.SegmentBytes, vfs.BlockBytes, MinSegmentBytes, int64(MaxSegmentBytes))
	case o.BatchBytes < MinBatchBytes || o.BatchBytes > MaxBatch || o.BatchBytes%vfs.BlockBytes != 0:
		return o, fmt.Errorf("%w: BatchBytes %d: want a multiple of %d in [%d, %d]",
			ErrOptions, o.BatchBytes, vfs.BlockBytes, MinBatchBytes, MaxBatch)
	case o.Install && o.Base == nil:
		return o, fmt.Errorf("%w: Install without a Base", ErrOptions)
	case o.Base != nil && (o.Base.Chain.Position == 0 || o.Base.Chain.Position%wire.Alignment != 0):
		return o, fmt.Errorf("%w: Base at position %d", ErrOptions, o.Base.Chain.Position)
	case o.SyncBytes < 0 || o.SyncIntervalNs < 0 || o.WatermarkIntervalNs < 0 || o.RetryNs < 0:
		return o, fmt.Errorf("%w: SyncBytes and the intervals must not be negative", ErrOptions)
	}
	return o, nil
}

func orDefault[T int | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// segmentDir is where the segments of the node directory dir are.
func segmentDir(dir string) string { return path.Join(dir, "journal") }

// floorTo rounds a position down to a block.
func floorTo(p wire.Position) wire.Position { return p &^ (vfs.BlockBytes - 1) }

// ceilTo rounds a position up to a block.
func ceilTo(p wire.Position) wire.Position { return (p + vfs.BlockBytes - 1) &^ (vfs.BlockBytes - 1) }
