package journaltest

import (
	"bytes"
	"errors"
	"io"

	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/wire"
)

// Taker applies a Log as a node does, and takes snapshots.
type Taker struct {
	l        *Log
	reader   *journal.Reader
	progress service.Progress
	driver   *service.Driver
	head     service.SnapshotHead
	data     bytes.Buffer
	digests  map[wire.Position]uint64
}

// NewTaker makes a taker for a log that was begun with Config: limits are the log's.
func NewTaker(l *Log, services func() ([service.MaxServices]service.Service, error)) *Taker {
	l.t.Helper()
	x := &Taker{l: l, digests: map[wire.Position]uint64{}}
	var err error
	x.reader, err = journal.NewReader(l.fs, l.Dir)
	l.do(err)
	list, err := services()
	l.do(err)
	const ringBytes = 4096 // it holds nothing: everything is read from the journal
	ring := ringbuf.NewLogRing(make([]byte, 2*ringBytes), ringBytes, false)
	ring.Start(1<<40, 1<<40)
	limits := service.Limits{Sessions: int(l.Limits.Sessions), KeptResponses: int(l.Limits.KeptResponses),
		KeptBytes: int(l.Limits.KeptBytes)}
	x.driver, err = service.NewDriver(service.Options{
		Ring: ring, Source: x, Progress: &x.progress, Services: list, Sink: x, Limits: limits,
		Commands: ringbuf.NewSPSC(make([]service.Command, 2)), Egress: ringbuf.NewMessageRing(make([]byte, 256<<10)),
	})
	l.do(err)
	l.t.Cleanup(func() { x.reader.Close() })
	return x
}

// Take has the log ask for a snapshot, takes it, publishes it, and has the log say that it is verified.
func (x *Taker) Take() wire.Chain {
	x.l.t.Helper()
	at := x.TakeUnverified()
	x.l.Verify(at.Position, x.digests[at.Position])
	return at
}

// TakeUnverified is Take without a word of the log about it.
func (x *Taker) TakeUnverified() wire.Chain {
	x.l.t.Helper()
	at := x.l.Ask()
	x.l.Sync()
	x.reader.SetLimit(at.Position)
	x.progress.SetCommit(at.Position)
	for x.digests[at.Position] == 0 {
		work, err := x.driver.DoWork(0)
		x.l.do(err)
		if work == 0 && x.progress.Applied() == at.Position && x.digests[at.Position] == 0 {
			x.l.t.Fatalf("no snapshot at position %d: %+v", at.Position, x.driver.Status())
		}
	}
	return at
}

// ReadRange implements service.Source.
func (x *Taker) ReadRange(from wire.Position, b []byte) (int, error) {
	n, err := x.reader.ReadRange(from, b)
	if errors.Is(err, io.EOF) {
		return n, nil
	}
	return n, err
}

// Begin implements service.Sink.
func (x *Taker) Begin(h *service.SnapshotHead) (service.SnapshotWriter, error) {
	x.head = *h
	x.data.Reset()
	return x, nil
}

// Write implements service.SnapshotWriter.
func (x *Taker) Write(b []byte) (int, error) { return x.data.Write(b) }

// Commit implements service.SnapshotWriter.
func (x *Taker) Commit() error {
	h := &x.head
	x.l.Publish(snapshot.Manifest{Chain: h.Chain, Digest: h.Digest, Version: h.Version}, x.data.Bytes())
	x.digests[h.Chain.Position] = h.Digest
	return nil
}

// Abort implements service.SnapshotWriter.
func (x *Taker) Abort() {}
