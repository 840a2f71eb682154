package service_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/wire"
)

// largeState is a driver of default limits in whose state every section is many chunks long.
func largeState(t testing.TB, s *shelf) *rig {
	r := newRig(t, rigOptions{ringBytes: 4 << 20, rich: true, book: largeBook, sink: s})
	for id := range wire.SessionID(12) {
		r.open(id + 1)
	}
	for n := range uint64(10000) {
		r.message(1, n+1, alarmID, setting(n*7919%10007, 1e9-n, 1))
		if n%50 == 49 {
			r.do()
		}
	}
	flow := orderflow.New(orderflow.Options{Seed: 3, Instruments: 4, Open: 4000})
	for n := range uint64(4000) {
		b, _ := flow.Next()
		r.message(wire.SessionID(3+n%10), n/10+1, service.OrderBook, b)
		r.message(2, n+1, service.Echo, bytes.Repeat([]byte{byte(n)}, int(n%200)))
		if n%50 == 49 {
			r.do()
		}
	}
	return r
}

// An agent's share of memory for a snapshot is a few buffers, whatever the size of the state; what it writes restores; and a
// flipped bit is found wherever it is.
func TestLargeStateIsWrittenAndRestored(t *testing.T) {
	s := newShelf()
	r := largeState(t, s)
	at := r.snapshot(take)
	r.do()
	whole := s.done[at]
	if len(whole) < 1<<20 {
		t.Fatalf("the snapshot has %d bytes", len(whole))
	}
	n := testing.AllocsPerRun(3, func() {
		if err := r.driver.WriteSnapshot(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
	if n > 100 {
		t.Errorf("%v allocations for a snapshot of %d bytes", n, len(whole))
	}
	restored := func(b []byte) (*rig, error) {
		return begin(t, b, func(o *rigOptions) { o.limits, o.book = service.Limits{}, largeBook })
	}
	again, err := restored(whole)
	if err != nil {
		t.Fatal(err)
	}
	var second bytes.Buffer
	if err := again.driver.WriteSnapshot(&second); err != nil || !bytes.Equal(second.Bytes(), whole) {
		t.Errorf("restored, it writes %d bytes where there were %d (%v)", second.Len(), len(whole), err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		i, bit := rng.IntN(len(whole)), byte(1)<<rng.IntN(8)
		whole[i] ^= bit
		if _, err := restored(whole); !errors.Is(err, service.ErrSnapshot) {
			t.Errorf("byte %d of %d: %v", i, len(whole), err)
		}
		whole[i] ^= bit
	}
}

// BenchmarkSnapshot is how long apply stands still for a snapshot when the way to the disk takes no time.
func BenchmarkSnapshot(b *testing.B) {
	s := newShelf()
	r := largeState(b, s)
	at := r.snapshot(take)
	r.do()
	b.SetBytes(int64(len(s.done[at])))
	for b.Loop() {
		if err := r.driver.WriteSnapshot(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
