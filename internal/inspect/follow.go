package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"time"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// followPast is how many of the last records Follow remembers at least, shown or not, to find its way back when the log
// is cut.
const followPast = 4096

// follower shows a log while it grows.
type follower struct {
	*Log
	selection  *Selection
	visit      func(*wire.Record, []byte) error
	notice     func(string)
	past       []wire.Chain // the ends of the last records, oldest first
	generation uint64
	shown      uint64
	idle       int // looks since the last record
}

// idleBeforeDoubt is how many looks in a row may find no record where some are synced before the log is examined: the
// watermark is read after the log, and may be ahead of what was seen.
const idleBeforeDoubt = 3

// Follow visits the selected ones of the last records of the log in dir, then those that are written, until ctx ends,
// the range does, or Count is reached. It looks every interval. What the node cuts off has been shown already: notice
// says so, and the log goes on from where it was cut.
func Follow(ctx context.Context, fs vfs.FS, dir string, last uint64, s *Selection, interval time.Duration,
	visit func(*wire.Record, []byte) error, notice func(string)) error {
	l, err := Open(fs, dir)
	if err != nil {
		return err
	}
	defer l.Close()
	f := &follower{Log: l, selection: s, visit: visit, notice: notice}
	if err := f.start(last); err != nil {
		return err
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if done, err := f.drain(ctx); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := f.doubt(); err != nil {
			return err
		}
		if err := f.again(); err != nil {
			return err
		}
	}
}

// start goes to where showing begins: the last records, or where the selection says.
func (f *follower) start(last uint64) error {
	end, err := f.End()
	if err != nil {
		return err
	}
	if f.selection.From.IsSet() {
		err = f.selection.From.Seek(f.reader)
	} else {
		err = f.reader.SeekSequence(end.Sequence + 1 - min(last, end.Sequence))
	}
	if err == nil {
		err = f.lookBack(f.reader.Chain())
	}
	f.generation, _ = f.reader.Generation()
	return err
}

// lookBack comes to where showing begins once more, from some records before: the log may be cut further back than what
// is shown first.
func (f *follower) lookBack(begin wire.Chain) error {
	if err := f.reader.SeekSequence(begin.Sequence + 1 - min(followPast, begin.Sequence)); err != nil {
		return err
	}
	f.remember(f.reader.Chain())
	for f.reader.Position() < begin.Position {
		if _, _, err := f.reader.Next(); err != nil {
			return nil // cut or dropped meanwhile: showing begins where the log ended, and the next look tells
		}
		f.remember(f.reader.Chain())
	}
	return nil
}

func (f *follower) remember(c wire.Chain) {
	if len(f.past) == 2*followPast {
		f.past = append(f.past[:0], f.past[followPast:]...)
	}
	f.past = append(f.past, c)
}

// drain shows what is there.
func (f *follower) drain(ctx context.Context) (done bool, err error) {
	for ctx.Err() == nil {
		r, payload, err := f.reader.Next()
		if errors.Is(err, journal.ErrCorrupt) || errors.Is(err, io.EOF) || errors.Is(err, journal.ErrNotHeld) {
			return false, nil // nothing more yet, or dropped: the next look tells
		}
		if err != nil || !f.selection.To.Covers(&r) {
			return err == nil, err
		}
		f.remember(f.reader.Chain())
		f.idle = 0
		if f.selection.Matches(&r, payload) {
			if err := f.visit(&r, payload); err != nil {
				return false, err
			}
			if f.shown++; f.shown == f.selection.Count {
				return true, nil
			}
		}
	}
	return true, nil
}

// again has the reader look anew, and goes back if the log was cut. While it is being cut neither need work: then once
// more, a little later.
func (f *follower) again() error {
	for attempt := 0; ; attempt++ {
		err := f.look()
		if err == nil || attempt == lookAttempts ||
			!errors.Is(err, journal.ErrCorrupt) && !errors.Is(err, journal.ErrNotHeld) {
			return err
		}
		time.Sleep(damagePause)
	}
}

// lookAttempts is how often a look may fail in a row before the log counts as damaged.
const lookAttempts = 50

func (f *follower) look() error {
	if err := f.reader.Again(); err != nil {
		return err
	}
	at := f.past[len(f.past)-1]
	generation, ok := f.reader.Generation()
	if ok && generation == f.generation && f.reader.Position() == at.Position {
		return nil
	}
	if !f.holds(at) {
		return f.goBack()
	}
	f.generation = generation
	return nil
}

// doubt looks whether the log ends for good where the reader waits: because of damage.
func (f *follower) doubt() error {
	at := f.past[len(f.past)-1]
	if f.idle++; f.idle < idleBeforeDoubt {
		return nil
	}
	f.idle = 0
	watermark, known, err := journal.LoadWatermark(f.fs, f.dir)
	if err != nil || !known || watermark <= at.Position {
		return err
	}
	_, err = f.Ending(at)
	f.generation = noGeneration // the reader is elsewhere: the next look brings it back
	if errors.Is(err, ErrCut) || errors.Is(err, ErrDropped) {
		return nil
	}
	return err
}

// noGeneration is none that a log has.
const noGeneration = ^uint64(0)

// goBack finds the newest record shown that the log still holds.
func (f *follower) goBack() error {
	if last := f.past[len(f.past)-1]; f.dropped(last) {
		f.past = append(f.past[:0], f.reader.Chain())
		f.notice(fmt.Sprintf("the node dropped its log up to position %d before all of it was shown: records %d to %d are missing",
			f.reader.Position(), last.Sequence+1, f.reader.Chain().Sequence))
		return nil
	}
	n := sort.Search(len(f.past), func(i int) bool { return !f.holds(f.past[i]) })
	if n == 0 {
		return fmt.Errorf("%w (it was cut further back than the last %d records)", ErrCut, len(f.past))
	}
	at := f.past[n-1]
	f.notice(fmt.Sprintf("the node cut its log at position %d, sequence %d: what was shown behind it was never committed "+
		"and is no longer there", at.Position, at.Sequence))
	f.past = f.past[:n]
	f.generation = noGeneration // the next look may find that it was cut again meanwhile
	return f.reader.Seek(at.Position)
}
