package timer_test

import (
	"fmt"
	"testing"

	"lockstep/service/timer"
	"lockstep/wire"
)

// ticker starts timers, cancels some, and has others fire.
type ticker struct {
	*rig
	n     int
	names [256][]byte
}

func newTicker(t testing.TB) *ticker {
	k := &ticker{rig: newRig(t, timer.Options{})}
	for i := range k.names {
		k.names[i] = fmt.Appendf(nil, "timers.%03d", i*37%256)
	}
	for session := range wire.SessionID(4) {
		k.subscribe(session, "timers.", true)
	}
	k.Discard = true
	return k
}

var benchPayload = make([]byte, 100)

func (k *ticker) step() {
	k.n++
	name := k.names[k.n%len(k.names)]
	q := timer.Request{Kind: timer.Start, Name: name, AfterMs: 50, Payload: benchPayload, Replace: true,
		Kept: k.n%3 == 0}
	switch k.n % 4 {
	case 0:
		q.IntervalMs = 20
	case 1:
		q = timer.Request{Kind: timer.Cancel, Name: name}
	}
	k.do(1, q)
	if k.n%50 == 0 {
		k.do(1, timer.Request{Kind: timer.List, Name: []byte("timers.")})
	}
	k.Record.Timestamp += ms
	for more := true; more; {
		_, more = k.Fire()
	}
}

// Timers that are started, replaced and cancelled, that fire and are heard: nothing of it allocates.
func TestNothingAllocates(t *testing.T) {
	k := newTicker(t)
	for range 2000 {
		k.step()
	}
	if n := testing.AllocsPerRun(5000, k.step); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

// Start and cancel among ten thousand timers.
func BenchmarkStartCancel(b *testing.B) {
	k := newTicker(b)
	for i := range 10_000 {
		k.do(1, timer.Request{Kind: timer.Start, Name: fmt.Appendf(nil, "%05d", i), AfterMs: 1_000_000 + uint64(i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		k.n++
		name := k.names[k.n%len(k.names)]
		k.do(1, timer.Request{Kind: timer.Start, Name: name, AfterMs: 1000, Payload: benchPayload})
		k.do(1, timer.Request{Kind: timer.Cancel, Name: name})
	}
}

// A periodic timer that fires, and one subscriber hears.
func BenchmarkFire(b *testing.B) {
	k := &ticker{rig: newRig(b, timer.Options{})}
	k.subscribe(1, "", true)
	k.Discard = true
	for i := range 1000 {
		k.do(1, timer.Request{Kind: timer.Start, Name: fmt.Appendf(nil, "%05d", i), IntervalMs: 1000,
			AfterMs: uint64(i) + 1, Kept: true})
	}
	b.ReportAllocs()
	for b.Loop() {
		k.Record.Timestamp += ms
		k.Fire()
	}
}
