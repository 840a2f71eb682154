package sequencer

import (
	"bytes"
	"testing"

	"lockstep/ringbuf"
	"lockstep/wire"
)

// What a leader appended and never published is gone when it resigns: nothing of it shows in what is written there next,
// however the ring's halves are kept the same.
func TestDiscardedBytesDoNotComeBack(t *testing.T) {
	const size = 1 << 12
	ring := ringbuf.NewLogRing(make([]byte, 2*size), size, false)
	a := &Appender{ring: ring}
	a.start(1e9, 1, 1, wire.Chain{})
	appendBytes := func(n int) {
		if _, ok := a.Append(1e9, wire.RecordMessage, 1, 1, 1, 0, bytes.Repeat([]byte{0xff}, n)); !ok {
			t.Fatal("no room")
		}
	}
	appendBytes(size - wire.RecordHeaderSize - 64)
	at := uint64(a.Publish().Position) // 64 bytes before the wrap
	appendBytes(300)
	a.discard()
	next := append(bytes.Repeat([]byte{1}, 128), make([]byte, 256)...)
	for from, until := at, at+uint64(len(next)); from < until; from += 96 { // as a follower stores datagrams
		end := min(from+96, until)
		ring.Prepare(end)
		copy(ring.View(from, end), next[from-at:end-at])
		ring.Mirror(from, end)
	}
	if got := ring.View(at, at+uint64(len(next))); !bytes.Equal(got, next) {
		t.Errorf("the ring holds % x", got)
	}
}
