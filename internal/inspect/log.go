package inspect

import (
	"errors"
	"fmt"
	"io"
	"time"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// ErrCut says that the node cut its log below what had been read: records of an uncommitted tail were taken back.
var ErrCut = errors.New("the node cut its log while it was read: what was shown last is no longer there; run the command again")

// ErrDropped says that the node dropped log that was about to be read, as it does with what it no longer keeps.
var ErrDropped = errors.New("the node dropped log that was about to be read; run the command again")

// Log is the log in a directory, open for reading.
type Log struct {
	fs     vfs.FS
	dir    string
	reader *journal.Reader
}

// Open opens the log in a node's directory or an archive.
func Open(fs vfs.FS, dir string) (*Log, error) {
	r, err := journal.NewReader(fs, dir)
	if err != nil {
		return nil, err
	}
	r.SetLimit(^wire.Position(0)) // as far as there are good records
	return &Log{fs: fs, dir: dir, reader: r}, nil
}

// Close closes the files.
func (l *Log) Close() error { return l.reader.Close() }

// Ended says where a walk ended.
type Ended struct {
	Chain    wire.Chain         // behind the last record read
	Selected uint64             // records that were visited
	Log      *journal.Recovered // how the log ends, if the walk came to its end; nil if it was satisfied before
}

// Walk visits the selected records in order. It ends behind the range, after Count records, or where the log ends; with
// ErrCorrupt if that is because of damage. The payload is good until visit returns.
func (l *Log) Walk(s *Selection, visit func(r *wire.Record, payload []byte) error) (Ended, error) {
	var e Ended
	if err := s.From.Seek(l.reader); err != nil {
		return e, err
	}
	for {
		r, payload, err := l.reader.Next()
		e.Chain = l.reader.Chain()
		if least := l.reader.Least(); err != nil && !s.To.Covers(&least) {
			return e, nil // whatever follows is not asked for
		}
		if errors.Is(err, journal.ErrNotHeld) {
			return e, fmt.Errorf("%w: %w", ErrDropped, err)
		}
		if errors.Is(err, journal.ErrCorrupt) || errors.Is(err, io.EOF) {
			e.Log, err = l.Ending(e.Chain)
			return e, err
		}
		if err != nil || !s.To.Covers(&r) {
			return e, err
		}
		if s.Matches(&r, payload) {
			e.Selected++
			if err := visit(&r, payload); err != nil || e.Selected == s.Count {
				return e, err
			}
		}
	}
}

// A node that cuts its log looks damaged for a moment: the watermark was read before it was lowered, the log after it was
// cut. Damage stays: it counts when it was found so often with the same watermark, so far apart.
const (
	damageSeen  = 3
	damagePause = 20 * time.Millisecond
)

// Ending says how the log ends, for who has come to chain: ErrCorrupt when that is because of damage, ErrCut when the log has
// been cut below it.
func (l *Log) Ending(chain wire.Chain) (*journal.Recovered, error) {
	watermark := ^wire.Position(0)
	for seen := 0; ; time.Sleep(damagePause) {
		end, err := journal.Ending(l.fs, l.dir, chain)
		if err != nil {
			return nil, err
		}
		switch {
		case !end.Outcome.Forgot():
			return end, nil
		case l.dropped(chain):
			return end, fmt.Errorf("%w (position %d)", ErrDropped, l.reader.Position())
		case !l.holds(chain):
			return end, ErrCut
		case end.Watermark != watermark:
			watermark, seen = end.Watermark, 0
		}
		if seen++; seen == damageSeen {
			return end, fmt.Errorf("%w: %s from position %d at %s offset %d: %s", journal.ErrCorrupt, end.Outcome,
				end.Chain.Position, end.Segment, end.Offset, end.Cause)
		}
	}
}

// dropped says whether the log now begins behind chain. It moves the reader.
func (l *Log) dropped(chain wire.Chain) bool {
	return l.reader.SeekFirst() == nil && l.reader.Position() > chain.Position
}

// holds says whether the log still holds the record that ends at chain. It moves the reader.
func (l *Log) holds(chain wire.Chain) bool {
	return l.reader.Seek(chain.Position) == nil && l.reader.Chain() == chain
}

// First is where the log that is held begins: the zero chain, or the record before which is gone.
func (l *Log) First() (wire.Chain, error) {
	if err := l.reader.SeekFirst(); err != nil {
		return wire.Chain{}, err
	}
	return l.reader.Chain(), nil
}

// End finds the end of the good log without walking it all.
func (l *Log) End() (wire.Chain, error) {
	if err := l.reader.SeekTime(^uint64(0)); err != nil {
		return wire.Chain{}, err
	}
	return l.reader.Chain(), nil
}
