package node

import (
	"errors"
	"io"

	"lockstep/internal/counters"
	"lockstep/journal"
	"lockstep/wire"
)

// source is the journal as the service driver reads it (service.Source): up to what is synced here.
type source struct {
	reader  *journal.Reader
	durable *counters.Counter
}

func (n *Node) newSource() (*source, error) {
	reader, err := n.Reader()
	if err != nil {
		return nil, err
	}
	n.closers = append(n.closers, reader.Close)
	return &source{reader: reader, durable: n.durable}, nil
}

// ReadRange copies log bytes from a position on; 0 when they are not on disk yet. The reader looks no further than is
// asked for, which is committed: what lies beyond may be cut and written again, and it must not keep the old bytes.
func (s *source) ReadRange(from wire.Position, b []byte) (int, error) {
	s.reader.SetLimit(min(wire.Position(s.durable.Load()), from+wire.Position(len(b))))
	got, err := s.reader.ReadRange(from, b)
	if errors.Is(err, io.EOF) {
		return got, nil
	}
	return got, err
}

// chainAt finds the chain at a record boundary that is on disk. It blocks: only a cut asks, and nothing else goes on. What
// lies before the snapshot that this run began from was not verified at start: damage there is no reason to end.
func (n *Node) chainAt(p wire.Position) (wire.Chain, error) {
	reader, err := n.Reader()
	if err != nil {
		return wire.Chain{}, err
	}
	defer reader.Close()
	reader.SetLimit(p)
	err = reader.Seek(p)
	if err == nil || n.base == 0 || p < n.base {
		return reader.Chain(), err
	}
	if err := reader.SeekChain(n.baseChain); err != nil {
		return wire.Chain{}, err
	}
	for reader.Position() < p {
		if _, _, err := reader.Next(); err != nil {
			return wire.Chain{}, err
		}
	}
	return reader.Chain(), nil
}
