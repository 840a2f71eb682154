package service_test

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"testing"

	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/wire"
)

// shelf keeps snapshots in memory: a Sink, and where drivers begin from.
type shelf struct {
	done   map[wire.Position][]byte
	heads  map[wire.Position]service.SnapshotHead
	opened int // Begin calls
	open   int // writers that are neither committed nor aborted

	busy      bool  // Begin wants none
	beginErr  error // what goes wrong
	commitErr error
	writeErr  error
	room      int    // bytes until writeErr; with onWrite called each time
	onWrite   func() // may be nil
	baseErr   error
	closed    int // bodies given out and closed
}

func newShelf() *shelf {
	return &shelf{done: map[wire.Position][]byte{}, heads: map[wire.Position]service.SnapshotHead{}}
}

func (s *shelf) Begin(h *service.SnapshotHead) (service.SnapshotWriter, error) {
	s.opened++
	if s.busy || s.beginErr != nil {
		return nil, s.beginErr
	}
	s.open++
	s.heads[h.Chain.Position] = *h
	return &shelfWriter{shelf: s, at: h.Chain.Position}, nil
}

type shelfWriter struct {
	shelf *shelf
	at    wire.Position
	b     []byte
}

func (w *shelfWriter) Write(p []byte) (int, error) {
	if w.shelf.onWrite != nil {
		w.shelf.onWrite()
	}
	if w.shelf.writeErr != nil && len(w.b)+len(p) > w.shelf.room {
		return 0, w.shelf.writeErr
	}
	w.b = append(w.b, p...)
	return len(p), nil
}

func (w *shelfWriter) Commit() error {
	w.shelf.open--
	if w.shelf.commitErr != nil {
		return w.shelf.commitErr
	}
	w.shelf.done[w.at] = w.b
	return nil
}

func (w *shelfWriter) Abort() { w.shelf.open-- }

type body struct {
	io.Reader
	shelf *shelf
}

func (b *body) Close() error { b.shelf.closed++; return nil }

// base opens the newest snapshot at or below limit.
func (s *shelf) base(limit wire.Position) (io.ReadCloser, error) {
	at := wire.Position(0)
	for p := range s.done {
		if p <= limit {
			at = max(at, p)
		}
	}
	if at == 0 {
		return nil, s.baseErr
	}
	return &body{bytes.NewReader(s.done[at]), s}, nil
}

// upTo is a shelf with the snapshots up to a position only.
func (s *shelf) upTo(at wire.Position) *shelf {
	other := newShelf()
	for p, b := range s.done {
		if p <= at {
			other.done[p] = b
		}
	}
	return other
}

// positions are those of the snapshots, ascending.
func (s *shelf) positions() []wire.Position { return slices.Sorted(maps.Keys(s.done)) }

// snapshot appends a snapshot record and returns where it ends.
func (r *rig) snapshot(x wire.SnapshotRecord) wire.Position {
	b := make([]byte, wire.SnapshotRecordSize)
	return r.append(wire.Record{Kind: wire.RecordSnapshot}, b[:x.Put(b)])
}

func (r *rig) acks(id wire.SessionID, acked uint32) {
	r.append(wire.Record{Kind: wire.RecordAcks, Session: id, Acked: acked}, nil)
}

func (r *rig) close(id wire.SessionID) {
	r.append(wire.Record{Kind: wire.RecordSessionClose, Session: id}, nil)
}

// config appends a config record.
func (r *rig) config(version uint32) {
	b := make([]byte, wire.MaxConfigSize)
	c := wire.Config{Rule: wire.RuleDurable, Version: version, Members: 1}
	c.Member[0].Node = 1
	r.append(wire.Record{Kind: wire.RecordConfig}, b[:c.Put(b)])
}

// smallBook is an order book that is full soon, or one of the options given.
func smallBook(t testing.TB, o orderbook.Options) *orderbook.Book {
	if o == (orderbook.Options{}) {
		o = orderbook.Options{Instruments: 2, PriceLimit: 80, MaxOrders: 64, MaxFills: 8}
	}
	book, err := orderbook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return book
}

var largeBook = orderbook.Options{Instruments: 4, MaxOrders: 1 << 13}
