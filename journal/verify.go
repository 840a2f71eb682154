package journal

import (
	"bytes"
	"errors"
	"io"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// Summary is what Verify found.
type Summary struct {
	Recovered
	Segments  int
	Cluster   uint64 // of the newest sound segment
	BadHeader int    // segments whose header is damaged although their records are good
}

// Verify walks the whole log in dir, checks every record, and says what Open would find. It changes nothing. A node
// that runs on dir writes meanwhile: what it has not synced yet may look torn.
func Verify(fs vfs.FS, dir string) (Summary, error) {
	position, known, err := readWatermark(fs, dir) // before the log is read: both grow meanwhile
	if err != nil {
		return Summary{}, err
	}
	s, err := scan(fs, dir, 0, false, nil)
	if err != nil {
		return Summary{}, err
	}
	return s.summary(fs, dir, position, known)
}

// VerifyFrom is Verify of what follows a snapshot, as Open with Options.Base would find it. ErrBase.
func VerifyFrom(fs vfs.FS, dir string, base *Base) (Summary, error) {
	position, known, err := readWatermark(fs, dir) // before the log is read: both grow meanwhile
	if err != nil {
		return Summary{}, err
	}
	s, err := scanFrom(fs, dir, 0, false, base, false)
	if err != nil {
		return Summary{}, err
	}
	return s.summary(fs, dir, position, known)
}

func (s *scanned) summary(fs vfs.FS, dir string, watermark wire.Position, known bool) (Summary, error) {
	r, err := s.recovered(watermark, known)
	if err != nil {
		return Summary{}, err
	}
	sum := Summary{Recovered: *r, Segments: len(s.segments), BadHeader: len(s.badHeaders())}
	for i := range s.segments {
		if s.segments[i].state == blockValid {
			sum.Cluster = s.segments[i].header.cluster
		}
	}
	sum.Marked, _, err = IsRecovering(fs, dir)
	return sum, err
}

// Difference is what Diff found.
type Difference struct {
	From     wire.Position // where comparing began: where the log that begins later does
	Differs  bool
	Position wire.Position // the first position where the logs differ, if they do; else where the shorter one ends
	Sequence uint64        // of the record there
	A, B     wire.Record   // the records there, if they differ
	EndA     wire.Position // where the good logs end, if they do not differ
	EndB     wire.Position
}

// Diff compares the good records of two logs where both have any, until the first difference or the end of one.
func Diff(fs vfs.FS, dirA, dirB string) (Difference, error) {
	var d Difference
	a, err := openForDiff(fs, dirA)
	if err != nil {
		return d, err
	}
	defer a.Close()
	b, err := openForDiff(fs, dirB)
	if err != nil {
		return d, err
	}
	defer b.Close()
	start := max(a.Position(), b.Position())
	if err := errors.Join(a.SeekFrom(start), b.SeekFrom(start)); err != nil {
		return d, err
	}
	d.From, d.Position = start, start
	if a.Position() == start && b.Position() == start {
		if err := d.compare(a, b); err != nil {
			return d, err
		}
	}
	if !d.Differs {
		endA, errA := Ending(fs, dirA, a.Chain())
		endB, errB := Ending(fs, dirB, b.Chain())
		if err := errors.Join(errA, errB); err != nil {
			return d, err
		}
		d.EndA, d.EndB = endA.Chain.Position, endB.Chain.Position
	}
	return d, nil
}

// compare goes on until the logs differ or one of them ends.
func (d *Difference) compare(a, b *Reader) error {
	for {
		bytesA, errA := a.next(&d.A)
		bytesB, errB := b.next(&d.B)
		if ended(errA) || ended(errB) {
			d.A, d.B = wire.Record{}, wire.Record{}
			return nil
		}
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		d.Sequence = d.A.Sequence
		if !bytes.Equal(bytesA[:d.A.Length], bytesB[:min(len(bytesB), int(d.A.Length))]) {
			d.Differs = true
			return nil
		}
		d.Position = d.A.End()
	}
}

// ended says whether an error of a reader without a limit is that no good record follows.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, ErrCorrupt) }

func openForDiff(fs vfs.FS, dir string) (*Reader, error) {
	r, err := NewReader(fs, dir)
	if err != nil {
		return nil, err
	}
	r.SetLimit(^wire.Position(0))
	if err := r.SeekFirst(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}
