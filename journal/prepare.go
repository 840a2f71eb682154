package journal

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// prepareStep is how many bytes one step of preparing a segment zeroes, unless the preparer's piece is smaller: little enough
// not to hold up a batch for long.
const prepareStep = 1 << 20

// asideName is the file in which the next segment is prepared, before it gets its name.
const asideName = "next.tmp"

// preparer makes a segment ready for use, in bounded steps: a file of its full size, written with zeros, synced, under
// its own name. Its header stays zero until the log reaches it. One thread at a time.
type preparer struct {
	fs     vfs.FS
	dir    string // of the segments
	direct bool
	first  wire.Position
	bytes  int64
	piece  int64 // zeroed in one step; 0: prepareStep

	file vfs.File
	done int64 // bytes zeroed, header included
}

// start begins a new segment.
func (p *preparer) start(first wire.Position, bytes int64) {
	p.first, p.bytes, p.done = first, bytes, 0
}

// step does a bounded piece of the work and says whether the segment is ready. ENOSPC undoes what was done; a later
// step begins again. Any other error is final.
func (p *preparer) step() (ready bool, err error) {
	total := headerBytes + p.bytes
	switch {
	case p.file == nil:
		err = p.create(total)
	case p.done < total:
		n := min(cmp.Or(p.piece, prepareStep), total-p.done)
		if err = p.file.Allocate(p.done, n); err == nil {
			p.done += n
		}
	default:
		err = p.finish()
		ready = err == nil
	}
	if err == nil {
		return ready, nil
	}
	err = fmt.Errorf("journal: prepare segment %s at offset %d of %d: %w", segmentName(p.first), p.done, total, err)
	if !errors.Is(err, syscall.ENOSPC) {
		return false, err
	}
	if undo := p.abandon(); undo != nil {
		return false, errors.Join(undo, errors.New(err.Error())) // not ENOSPC any more: final
	}
	return false, err
}

func (p *preparer) create(total int64) error {
	if err := p.removeAside(); err != nil {
		return err
	}
	if free, err := p.fs.Free(p.dir); err == nil && free < total {
		return fmt.Errorf("%d bytes free: %w", free, syscall.ENOSPC)
	}
	name, flags := path.Join(p.dir, asideName), vfs.Create
	if p.direct {
		flags |= vfs.Direct
	}
	var err error
	p.file, err = p.fs.OpenFile(name, flags)
	return err
}

// finish gives the segment its name.
func (p *preparer) finish() error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	err := p.file.Close()
	p.file = nil
	if err != nil {
		return err
	}
	if err := p.fs.Rename(path.Join(p.dir, asideName), path.Join(p.dir, segmentName(p.first))); err != nil {
		return err
	}
	return p.fs.SyncDir(p.dir)
}

// abandon gives back what an unfinished segment holds.
func (p *preparer) abandon() error {
	p.done = 0
	var err error
	if p.file != nil {
		err = p.file.Close()
		p.file = nil
	}
	return errors.Join(err, p.removeAside())
}

func (p *preparer) removeAside() error {
	err := p.fs.Remove(path.Join(p.dir, asideName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// all does every step at once.
func (p *preparer) all() error {
	for {
		if ready, err := p.step(); ready || err != nil {
			return err
		}
	}
}
