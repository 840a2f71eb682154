package inspect

import (
	"errors"
	"time"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// statTerms is how many of the newest terms a Stat names.
const statTerms = 16

// Stat is what there is to say of a log as a whole.
type Stat struct {
	Dir         string           `json:"dir"`
	Cluster     string           `json:"cluster,omitempty"`
	Node        wire.NodeID      `json:"node,omitempty"` // who wrote it; 0 for an archive
	Incarnation string           `json:"incarnation,omitempty"`
	Run         uint32           `json:"run,omitempty"`
	Recovering  string           `json:"recovering,omitempty"` // why, if the node is marked as such
	Segments    int              `json:"segments"`             // with the prepared one
	Prepared    int              `json:"segments_prepared"`
	Bytes       int64            `json:"segment_bytes"` // of the log that they can hold
	Generation  uint64           `json:"generation"`
	Floor       wire.Position    `json:"floor"`
	End         wire.Position    `json:"end"`
	Watermark   wire.Position    `json:"watermark"`          // everything below it was synced
	Archived    *wire.Position   `json:"archived,omitempty"` // an archive has everything below it
	Snapshots   int              `json:"snapshots"`
	Snapshot    wire.Position    `json:"snapshot"`       // the newest one's
	SnapBytes   int64            `json:"snapshot_bytes"` // of all
	Outcome     string           `json:"outcome"`        // how the log ends
	Cause       string           `json:"cause,omitempty"`
	Records     uint64           `json:"records"`
	Kinds       map[string]Count `json:"kinds"`
	Services    map[string]Count `json:"services"` // messages, by service number
	Opened      uint64           `json:"sessions_opened"`
	Closed      uint64           `json:"sessions_closed"`
	First       *Edge            `json:"first,omitempty"`
	Last        *Edge            `json:"last,omitempty"`
	Seconds     float64          `json:"seconds"`            // between the two
	PerSecond   float64          `json:"records_per_second"` // on average
	Terms       uint64           `json:"terms"`
	Newest      []TermAt         `json:"newest_terms"` // oldest of them first
}

// Count is how many records of a sort there are, and their bytes in the log.
type Count struct {
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
}

// Edge is the first or last record.
type Edge struct {
	Position wire.Position `json:"position"`
	Sequence uint64        `json:"sequence"`
	Time     string        `json:"time"`

	timestamp uint64
}

// TermAt is a leadership: its first record, and who led.
type TermAt struct {
	Term     wire.Term     `json:"term"`
	Leader   wire.NodeID   `json:"leader"`
	Position wire.Position `json:"position"`
	Sequence uint64        `json:"sequence"`
	Time     string        `json:"time"`
}

// maxKinds bounds the kinds and services that are counted apart.
const maxKinds = 32

// tally counts records of a sort by a small number; what is beyond its end shares the last place.
type tally [maxKinds]Count

func (t *tally) add(i int, r *wire.Record) {
	c := &t[min(i, maxKinds-1)]
	c.Records++
	c.Bytes += uint64(wire.Padded(r.Length))
}

// named is the tally with names, without what did not come up.
func (t *tally) named(name func(i int) string) map[string]Count {
	m := map[string]Count{}
	for i, c := range t {
		if c.Records > 0 {
			m[name(i)] = c
		}
	}
	return m
}

// gatherAttempts is how often Gather begins anew because the node drops the log's beginning.
const gatherAttempts = 4

// Gather reads the whole log in dir. On damage it tells of what is before, together with the error.
func Gather(fs vfs.FS, dir string) (s *Stat, err error) {
	for range gatherAttempts {
		if s, err = gather(fs, dir); !errors.Is(err, ErrDropped) {
			break
		}
	}
	return s, err
}

func gather(fs vfs.FS, dir string) (*Stat, error) {
	s := &Stat{Dir: dir}
	if err := s.directory(fs, dir); err != nil {
		return nil, err
	}
	l, err := Open(fs, dir)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var kinds, services tally
	e, walkErr := l.Walk(&Selection{}, func(r *wire.Record, payload []byte) error {
		kinds.add(int(r.Kind), r)
		if r.Kind == wire.RecordMessage {
			services.add(int(r.Service), r)
		}
		s.note(r, payload)
		return nil
	})
	if e.Log == nil {
		return nil, walkErr
	}
	s.End, s.Watermark = e.Chain.Position, e.Log.Watermark
	s.Outcome, s.Cause, s.Recovering = e.Log.Outcome.String(), e.Log.Cause, e.Log.Marked
	s.Kinds = kinds.named(func(i int) string { return wire.RecordKind(i).String() })
	s.Services = services.named(ServiceName)
	s.Opened = s.Kinds[wire.RecordSessionOpen.String()].Records
	s.Closed = s.Kinds[wire.RecordSessionClose.String()].Records
	if s.Records > 0 {
		s.First.Time, s.Last.Time = Stamp(s.First.timestamp), Stamp(s.Last.timestamp)
	}
	if s.Records == 0 {
		s.Floor = s.End
	}
	if s.Records > 1 {
		s.Seconds = time.Duration(s.Last.timestamp - s.First.timestamp).Seconds()
		s.PerSecond = float64(s.Records-1) / s.Seconds
	}
	return s, walkErr
}

// directory notes what stands beside the records.
func (s *Stat) directory(fs vfs.FS, dir string) error {
	id, err := journal.LoadIdentity(fs, dir)
	switch {
	case err == nil:
		s.Cluster, s.Node, s.Incarnation, s.Run = Hex(id.Cluster), id.Node, Hex(id.Incarnation), id.Run
	case !errors.Is(err, journal.ErrNotFormatted) && !errors.Is(err, journal.ErrDamagedFile):
		return err
	}
	if at, known, err := journal.LoadArchived(fs, dir); err == nil && known {
		s.Archived = &at
	}
	store, err := snapshot.Look(fs, dir)
	if err != nil {
		return err
	}
	for _, m := range store.List() {
		s.Snapshots++
		s.Snapshot = m.Position()
		s.SnapBytes += m.Bytes
	}
	segments, err := journal.Segments(fs, dir)
	for i := range segments {
		g := &segments[i]
		s.Segments++
		s.Bytes += g.Bytes
		switch g.State {
		case journal.SegmentPrepared:
			s.Prepared++
		case journal.SegmentUsed:
			s.Generation = max(s.Generation, g.Generation)
			s.Cluster = Hex(g.Cluster)
		}
	}
	return err
}

// note takes one more record.
func (s *Stat) note(r *wire.Record, payload []byte) {
	edge := Edge{Position: r.Position, Sequence: r.Sequence, timestamp: r.Timestamp}
	if s.Records++; s.First == nil {
		s.Floor = r.Position
		first := edge
		s.First, s.Last = &first, &Edge{}
	}
	*s.Last = edge
	var term wire.TermRecord
	if r.Kind != wire.RecordTerm || !term.Decode(payload) {
		return
	}
	s.Terms++
	if len(s.Newest) == statTerms {
		s.Newest = append(s.Newest[:0], s.Newest[1:]...)
	}
	s.Newest = append(s.Newest, TermAt{Term: r.Term, Leader: term.Leader, Position: r.Position, Sequence: r.Sequence,
		Time: Stamp(r.Timestamp)})
}
