package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
	sum := Summary{Recovered: *s.recovered(position, known), Segments: len(s.segments), BadHeader: len(s.badHeaders())}
	for i := range s.segments {
		if s.segments[i].state == blockValid {
			sum.Cluster = s.segments[i].header.cluster
		}
	}
	sum.Marked, _, err = IsRecovering(fs, dir)
	return sum, err
}

// dumped is a record as Dump prints it.
type dumped struct {
	Position    wire.Position    `json:"position"`
	Sequence    uint64           `json:"sequence"`
	Timestamp   uint64           `json:"timestamp"`
	Term        wire.Term        `json:"term"`
	Kind        string           `json:"kind"`
	Service     uint16           `json:"service,omitempty"`
	Session     wire.SessionID   `json:"session,omitempty"`
	Correlation uint64           `json:"correlation,omitempty"`
	Acked       uint32           `json:"acked,omitempty"`
	Flags       uint8            `json:"flags,omitempty"`
	Length      uint32           `json:"length"`
	Checksum    uint32           `json:"checksum"`
	Leader      *wire.TermRecord `json:"leader,omitempty"`
	Config      *wire.Config     `json:"config,omitempty"`
	Payload     []byte           `json:"payload,omitempty"` // base64
}

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// Dump writes the good records of the log in dir that begin at from or later, as JSON, one a line; at most count of
// them, all if count is 0. If the log is damaged behind the last one, the error says so.
func Dump(fs vfs.FS, dir string, w io.Writer, from wire.Position, count uint64) error {
	position, known, err := readWatermark(fs, dir)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(w)
	written := uint64(0)
	s, err := scan(fs, dir, 0, false, func(r *wire.Record, b []byte) error {
		if r.Position < from {
			return nil
		}
		if count > 0 && written == count {
			return errEnough
		}
		written++
		return encoder.Encode(dump(r, wire.Payload(b, r)))
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil {
		return err
	}
	if r := s.recovered(position, known); r.Outcome.Forgot() {
		return fmt.Errorf("%w: %s", ErrCorrupt, r)
	}
	return nil
}

func dump(r *wire.Record, payload []byte) *dumped {
	d := &dumped{
		Position: r.Position, Sequence: r.Sequence, Timestamp: r.Timestamp, Term: r.Term, Kind: r.Kind.String(),
		Service: r.Service, Session: r.Session, Correlation: r.Correlation, Acked: r.Acked, Flags: r.Flags,
		Length: r.Length, Checksum: r.Checksum,
	}
	var term wire.TermRecord
	var config wire.Config
	switch {
	case r.Kind == wire.RecordTerm && term.Decode(payload):
		d.Leader = &term
	case r.Kind == wire.RecordConfig && config.Decode(payload):
		d.Config = &config
	default:
		d.Payload = payload
	}
	return d
}

// Difference is what Diff found.
type Difference struct {
	Differs  bool
	Position wire.Position // the first position where the logs differ, if they do; else where the shorter one ends
	Sequence uint64        // of the record there
	A, B     wire.Record   // the records there, if they differ
	EndA     wire.Position // where the good logs end
	EndB     wire.Position
}

// Diff compares the good records of two logs where both have any.
func Diff(fs vfs.FS, dirA, dirB string) (Difference, error) {
	var d Difference
	a, endA, err := openForDiff(fs, dirA)
	if err != nil {
		return d, err
	}
	defer a.Close()
	b, endB, err := openForDiff(fs, dirB)
	if err != nil {
		return d, err
	}
	defer b.Close()
	d.EndA, d.EndB = endA, endB
	start := max(a.Floor(), b.Floor())
	d.Position = start
	if start > min(endA, endB) {
		return d, nil
	}
	if err := errors.Join(a.Seek(start), b.Seek(start)); err != nil {
		return d, err
	}
	for {
		bytesA, errA := a.next(&d.A)
		bytesB, errB := b.next(&d.B)
		if errors.Is(errA, io.EOF) || errors.Is(errB, io.EOF) {
			d.A, d.B = wire.Record{}, wire.Record{}
			return d, nil
		}
		if err := errors.Join(errA, errB); err != nil {
			return d, err
		}
		d.Sequence = d.A.Sequence
		if !bytes.Equal(bytesA[:d.A.Length], bytesB[:min(len(bytesB), int(d.A.Length))]) {
			d.Differs = true
			return d, nil
		}
		d.Position = d.A.End()
	}
}

func openForDiff(fs vfs.FS, dir string) (*Reader, wire.Position, error) {
	s, err := scan(fs, dir, 0, false, nil)
	if err != nil {
		return nil, 0, err
	}
	r, err := NewReader(fs, dir)
	if err != nil {
		return nil, 0, err
	}
	r.SetLimit(s.chain.Position)
	return r, s.chain.Position, nil
}
