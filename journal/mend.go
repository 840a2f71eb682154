package journal

import (
	"errors"
	"fmt"
	"path"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// MaxMend is the longest range that is mended, in bytes: it is held in memory. What is longer comes by catching up.
const MaxMend = 16 << 20

// ErrMend says that bytes from another node are not those that are missing here.
var ErrMend = errors.New("journal: these bytes do not mend the log")

// Gap is a range of the log whose bytes are damaged or gone here while good records stand on both of its sides. Both
// ends are where a record begins. Whatever node they come from, bytes that fit the chain from the one side to the other
// are those that stood there: the record behind says which ones it follows.
type Gap struct {
	From, Until wire.Position
}

// Bytes is how long the gap is.
func (g Gap) Bytes() int { return int(g.Until - g.From) }

// Gap returns the range that Mend wants, if the damage that Open found can be mended.
func (r *Recovered) Gap() (Gap, bool) {
	g := Gap{r.Chain.Position, r.Resumes}
	return g, r.Outcome == OutcomeDamaged && g.From < g.Until && g.Until-g.From <= MaxMend
}

// verifyGap checks bytes for a gap between the chain before it and the record behind it, which begins next.
func verifyGap(g Gap, before wire.Chain, b, next []byte) error {
	if len(b) != g.Bytes() {
		return fmt.Errorf("%w: %d bytes for [%d, %d)", ErrMend, len(b), g.From, g.Until)
	}
	var r wire.Record
	for chain := before; ; {
		at := int(chain.Position - g.From)
		if at == len(b) {
			if _, v := chain.Verify(next, &r); v != wire.VerdictOK {
				return fmt.Errorf("%w: the record behind them at position %d does not follow them: %s", ErrMend, g.Until, v)
			}
			return nil
		}
		if _, v := chain.Verify(b[at:], &r); v != wire.VerdictOK {
			return fmt.Errorf("%w: record check at position %d: %s", ErrMend, g.From+wire.Position(at), v)
		}
	}
}

// Mend fills the gap that Recovered has (Recovered.Gap) with bytes of another node, and looks at the log again: Recovered
// then says what stands now, which may be damage further on. With OutcomeIntact and OutcomeTorn the journal is ready.
// ErrMend: the bytes are others than those that are missing, or what stands around them cannot be read; the log is as
// damaged as before. Any other error is final.
func (j *Journal) Mend(b []byte) error {
	g, ok := j.recovered.Gap()
	if j.ready || !ok {
		return fmt.Errorf("%w: there is no gap that could be mended", ErrMend)
	}
	w := newWindow(j.options.FS, j.options.Dir, j.scanned.segments, !j.direct)
	defer w.tape.close()
	next, _ := w.view(g.Until, wire.MaxRecord)
	if err := verifyGap(g, j.scanned.chain, b, next); err != nil {
		return err
	}
	// From here on the damage stays damage, even if the power fails in between: nothing of what is half mended may look
	// like the torn end of a log.
	if err := j.watermark.raise(g.Until); err != nil {
		return err
	}
	if err := j.fillHoles(g); err != nil {
		return err
	}
	if err := j.patch(g, b); err != nil {
		return err
	}
	return j.lookAgainBehind(g)
}

// fillHoles makes the segments of a gap that are gone or shorter than they were.
func (j *Journal) fillHoles(g Gap) error {
	list := j.scanned.segments
	for i := range list {
		s := &list[i]
		if i > 0 && list[i-1].end() < s.first && list[i-1].end() < g.Until && s.first > g.From {
			p := j.preparer()
			p.start(list[i-1].end(), int64(s.first-list[i-1].end()))
			if err := p.all(); err != nil {
				return err
			}
		}
		if s.short && s.first < g.Until && s.end() > g.From {
			seg, err := j.openSegment(s.first, s.bytes)
			if err == nil {
				err = errors.Join(j.fillUp(&seg), seg.close())
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// patch writes the bytes of a gap back.
func (j *Journal) patch(g Gap, b []byte) error {
	list, err := listSegments(j.options.FS, j.options.Dir)
	if err == nil {
		list, err = inspect(j.options.FS, j.options.Dir, list, j.options.Cluster)
	}
	if err != nil {
		return err
	}
	p := patcher{fs: j.options.FS, dir: j.options.Dir, segments: list, direct: j.direct, floor: max(j.recovered.Floor, j.scanned.basePosition())}
	return p.patch(g.From, b)
}

// lookAgainBehind goes on with the scan where the gap was.
func (j *Journal) lookAgainBehind(g Gap) error {
	o := &j.options
	if err := j.scanned.again(o.FS, o.Dir, o.Cluster, !j.direct); err != nil {
		return err
	}
	before := *j.recovered
	now, err := j.scanned.recovered(j.watermark.Load())
	if err != nil {
		return err
	}
	*j.recovered = *now
	j.recovered.Marked, j.recovered.MendedHeaders = before.Marked, before.MendedHeaders
	j.recovered.MendedBytes = before.MendedBytes + uint64(g.Bytes())
	if j.recovered.Chain.Position < g.Until {
		return fmt.Errorf("journal: the log was mended in [%d, %d), and is bad again at %s offset %d: %s: the disk does not "+
			"keep what is written", g.From, g.Until, j.recovered.Segment, j.recovered.Offset, j.recovered.Cause)
	}
	j.count.mended.Add(uint64(g.Bytes()))
	o.Log(fmt.Sprintf("journal: mended [%d, %d): %s", g.From, g.Until, j.recovered))
	if j.recovered.Outcome.Forgot() {
		return nil
	}
	return j.putInOrder(j.scanned.generation)
}

// patcher writes verified bytes into segments that exist, whole blocks, each piece durable before the next: what shares
// a block with them is read and written back. Cold, any thread.
type patcher struct {
	fs       vfs.FS
	dir      string
	segments []segmentInfo
	direct   bool
	floor    wire.Position // where the log begins, or the snapshot that it was opened from
}

// patchBytes is how much of a patch one write carries.
const patchBytes = 256 << 10

func (p *patcher) patch(from wire.Position, b []byte) error {
	until := from + wire.Position(len(b))
	t := tape{fs: p.fs, dir: p.dir, segments: p.segments, buffered: !p.direct}
	defer t.close()
	block := vfs.AlignedBytes(patchBytes)
	for at := floorTo(from); at < until; {
		s := t.find(at)
		if s == nil {
			return fmt.Errorf("journal: mend position %d: %w", at, errGap)
		}
		end := min(ceilTo(until), s.end(), at+patchBytes)
		piece := block[:end-at]
		if err := p.edges(&t, piece, at, from, until); err != nil {
			return err
		}
		copy(piece[max(at, from)-at:], b[max(at, from)-from:min(end, until)-from])
		if err := p.write(s, piece, at); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// edges reads the first and the last block of a piece if they hold more than what is patched.
func (p *patcher) edges(t *tape, piece []byte, at, from, until wire.Position) error {
	read := func(offset int) error {
		n, err := t.readAt(piece[offset:offset+vfs.BlockBytes], at+wire.Position(offset))
		if err == nil && n < vfs.BlockBytes {
			err = errGap
		}
		if err != nil {
			return fmt.Errorf("%w: read the block at position %d: %w", ErrMend, at+wire.Position(offset), err)
		}
		return nil
	}
	if at < from {
		err := read(0)
		if err != nil && from > p.floor {
			return err
		}
		if err != nil { // what is below that in this block is lost, and not needed
			clear(piece[:vfs.BlockBytes])
		}
	}
	last := len(piece) - vfs.BlockBytes
	if at+wire.Position(len(piece)) > until && (last > 0 || at >= from) {
		return read(last)
	}
	return nil
}

func (p *patcher) write(s *segmentInfo, piece []byte, at wire.Position) error {
	return p.with(s, func(seg *segment) error { return seg.write(piece, at) })
}

// writeHeader writes the header of a segment anew.
func (p *patcher) writeHeader(s *segmentInfo, h *segmentHeader) error {
	return p.with(s, func(seg *segment) error { return seg.writeHeader(h, alignedBlock()) })
}

// with opens a segment for a write.
func (p *patcher) with(s *segmentInfo, write func(seg *segment) error) error {
	seg := segment{first: s.first, bytes: s.bytes, dsync: p.direct, timer: &timer{},
		name: path.Join(segmentDir(p.dir), segmentName(s.first))}
	flags := vfs.Write
	if p.direct {
		flags |= vfs.Direct | vfs.Dsync
	}
	var err error
	if seg.file, err = p.fs.OpenFile(seg.name, flags); err != nil {
		return fmt.Errorf("journal: open segment %s to mend it: %w", seg.name, err)
	}
	return errors.Join(write(&seg), seg.close())
}
