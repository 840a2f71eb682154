package journal

import (
	"fmt"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// cut carries out the core's command, between two batches: nothing is under way then.
func (w *Writer) cut() error {
	c := *w.port.cuts.Peek()
	w.port.writing.Store(max(1, w.nowNs))
	if err := w.j.cut(c.position, c.generation, &w.worker); err != nil {
		return err
	}
	w.port.writing.Store(0)
	w.oldestNs, w.waiting = 0, false
	w.port.durable.Store(uint64(w.j.written))
	w.gate.Store(uint64(w.j.written))
	w.tell(Report{Kind: ReportCut, Position: c.position})
	w.reported = noPosition // durable is told anew, under the new generation
	w.port.cuts.Advance()
	w.port.cuts.Release()
	return nil
}

// cut makes the log end at position, if it is longer, and raises the generation. In this order, each step durable
// before the next: the watermark goes down; later segments go, last first; the rest is zeroed, from the back; the
// generation rises. A power cut in between leaves a log that has lost some of what it was to lose.
func (j *Journal) cut(position wire.Position, generation uint64, k *worker) error {
	floor := max(j.floor, j.base) // what is in a snapshot is committed
	if position < floor || position%wire.Alignment != 0 || generation <= j.generation {
		return fmt.Errorf("%w: cut at position %d, generation %d of a log that begins at %d, in generation %d",
			ErrInvariant, position, generation, floor, j.generation)
	}
	if position < j.written {
		if !simbug.On(simbug.KeepWatermark) {
			if err := j.watermark.lower(&j.durable, position); err != nil {
				return err
			}
		}
		if err := j.truncate(position, k); err != nil {
			return err
		}
	}
	j.generation = generation
	j.header.generation = generation
	j.count.generation.Set(generation)
	j.count.durable.Set(uint64(j.written))
	j.count.cuts.Inc()
	return j.current.writeHeader(&j.header, alignedBlock())
}

// truncate takes the log back to position, which is below written.
func (j *Journal) truncate(position wire.Position, k *worker) error {
	dirty := ceilTo(j.written)
	if position < j.current.first {
		if err := j.dropSegments(position, k); err != nil {
			return err
		}
		dirty = j.current.end()
	}
	if position < j.header.chain.Position && position > j.current.first {
		return fmt.Errorf("%w: cut at position %d, inside a record that ends at %d",
			ErrInvariant, position, j.header.chain.Position)
	}
	if !simbug.On(simbug.ResurrectCutTail) {
		if err := j.zeroBehind(&j.current, position, dirty); err != nil {
			return err
		}
	}
	j.written = position
	j.chain, j.chainKnown = j.header.chain, position == j.header.chain.Position
	return j.loadTail()
}

// dropSegments removes every segment that begins above position, the prepared one first, and opens the last that stays.
func (j *Journal) dropSegments(position wire.Position, k *worker) error {
	if err := k.quiesce(); err != nil {
		return err
	}
	// The segment that was being prepared may have got its name just before it was called off.
	if err := j.removeSegment(j.current.end()); err != nil {
		return err
	}
	j.next = nil
	first := j.current.first
	if err := j.current.close(); err != nil {
		return fmt.Errorf("journal: close segment %d for a cut: %w", first, err)
	}
	for first > position {
		if err := j.removeSegment(first); err != nil {
			return err
		}
		n := len(j.segments) - 1
		if n < 0 {
			return fmt.Errorf("%w: cut at position %d, before the first segment", ErrInvariant, position)
		}
		last := j.segments[n]
		j.segments = j.segments[:n]
		first = last.first
		if first > position {
			continue
		}
		var err error
		if j.current, err = j.openSegment(first, last.bytes); err != nil {
			return err
		}
	}
	block := alignedBlock()
	if _, err := j.current.file.ReadAt(block, 0); err != nil {
		return fmt.Errorf("journal: read %s at offset 0: %w", j.current.name, err)
	}
	if j.header.decode(block) != blockValid {
		return fmt.Errorf("journal: the header of %s is damaged", j.current.name)
	}
	return nil
}
