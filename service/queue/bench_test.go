package queue_test

import (
	"testing"

	"lockstep/service/queue"
	"lockstep/service/queue/fb"
	"lockstep/wire"
)

// worker does what producers and consumers do, message by message.
type worker struct {
	*rig
	n    uint64
	keys [64][]byte
	held queue.Response
	get  func(to wire.SessionID, payload []byte)
}

func newWorker(t testing.TB) *worker {
	w := &worker{rig: newRig(t, queue.Options{})}
	for i := range w.keys {
		w.keys[i] = []byte{'k', byte('0' + i/8), byte('0' + i%8)}
	}
	w.get = func(_ wire.SessionID, payload []byte) { queue.DecodeResponse(payload, &w.held) }
	w.Discard = true
	return w
}

var (
	benchQueue   = []byte("jobs")
	benchPayload = make([]byte, 200)
)

// step puts a message and leases, then extends, releases or deletes one, and lets a millisecond pass.
func (w *worker) step() {
	w.n++
	put := queue.Request{Kind: queue.Put, Queue: benchQueue, Payload: benchPayload}
	switch w.n % 8 {
	case 0:
		put.Key = w.keys[w.n/8%64]
	case 1:
		put.DelayMs = 5
	}
	w.do(1, put)
	w.do(2, queue.Request{Kind: queue.Lease, Queue: benchQueue, LeaseMs: 20, Max: 2, WaitMs: 10, DropLate: w.n%2 == 0})
	w.Ctx.Responses(w.get)
	for i := range w.held.Messages {
		m := &w.held.Messages[i]
		q := queue.Request{Kind: queue.Delete, Queue: benchQueue, ID: m.ID, Token: m.Token}
		switch w.n % 16 {
		case 3:
			q.Kind = queue.Extend
		case 5:
			q.Kind = queue.Release
		case 7:
			continue // it comes back when its lease is over
		}
		w.do(2, q)
	}
	w.Record.Timestamp += ms
	for more := true; more; {
		more = w.fired()
	}
}

// fired has the first timer fire if it is due.
func (w *worker) fired() bool {
	_, ok := w.Fire()
	return ok
}

// Puts, leases, extensions, releases, deletes, delays, dedup keys, and leases that are over: nothing of it allocates.
func TestNothingAllocates(t *testing.T) {
	w := newWorker(t)
	for range 2000 {
		w.step()
	}
	if n := testing.AllocsPerRun(5000, w.step); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
	w.Discard = false
	if c := w.counts("jobs"); c.Delivered < 5000 || c.Expired == 0 || c.Released == 0 || c.Duplicates == 0 {
		t.Errorf("not all of it happened: %+v", c)
	}
}

// A message that is put, leased and deleted: three records.
func BenchmarkPutLeaseDelete(b *testing.B) {
	w := newWorker(b)
	put := queue.Request{Kind: queue.Put, Queue: benchQueue, Payload: benchPayload}
	lease := queue.Request{Kind: queue.Lease, Queue: benchQueue, LeaseMs: 1000}
	for range 10_000 { // that wait
		w.do(1, put)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.do(1, put)
		w.do(2, lease)
		w.Ctx.Responses(w.get)
		m := &w.held.Messages[0]
		w.do(2, queue.Request{Kind: queue.Delete, Queue: benchQueue, ID: m.ID, Token: m.Token})
	}
}

// A message that is put and taken at most once: two records.
func BenchmarkPutTake(b *testing.B) {
	w := newWorker(b)
	put := queue.Request{Kind: queue.Put, Queue: benchQueue, Payload: benchPayload}
	take := queue.Request{Kind: queue.Lease, Queue: benchQueue, Mode: fb.ModeAtMostOnce}
	b.ReportAllocs()
	for b.Loop() {
		w.do(1, put)
		w.do(2, take)
	}
}
