package transport

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// pair makes a network with two end points.
func pair(t *testing.T, o MemoryOptions) (*Network, Transport, Transport) {
	t.Helper()
	n := NewMemory(o)
	var ends [2]Transport
	for i := range ends {
		var err error
		if ends[i], err = n.Join(Addr{IP: [4]byte{10, 77, 0, byte(i + 1)}, Port: 7400}); err != nil {
			t.Fatal(err)
		}
	}
	return n, ends[0], ends[1]
}

// stream sends count numbered datagrams in one batch.
func stream(t *testing.T, from, to Transport, count int) {
	t.Helper()
	s := NewSender(from, count)
	for i := range count {
		buf := s.Next()
		if buf == nil {
			t.Fatal("no frame")
		}
		binary.LittleEndian.PutUint32(buf, uint32(i))
		s.Commit(4, to.Local())
	}
	s.Flush()
}

// drain receives the numbers of all that has arrived.
func drain(at Transport) (numbers []int) {
	rx := make([]Received, 7)
	for {
		n := at.Receive(rx)
		if n == 0 {
			return numbers
		}
		for _, d := range rx[:n] {
			numbers = append(numbers, number(d.Payload))
		}
		at.Release()
	}
}

func TestMemoryRepeatsItselfBySeed(t *testing.T) {
	const count = 500
	faults := Faults{Loss: 0.1, Duplicate: 0.1, Reorder: 0.2, DelayMinNs: 10, DelayMaxNs: 100}
	run := func(seed uint64) ([]int, MemoryStats) {
		n, a, b := pair(t, MemoryOptions{Seed: seed, Faults: faults})
		stream(t, a, b, count)
		var numbers []int
		for now := range int64(101) {
			n.SetNow(now)
			numbers = append(numbers, drain(b)...)
		}
		return numbers, n.Stats()
	}
	first, stats := run(1)
	again, _ := run(1)
	other, _ := run(2)
	if !slices.Equal(first, again) {
		t.Error("the same seed gave two different runs")
	}
	if slices.Equal(first, other) {
		t.Error("two seeds gave the same run")
	}
	if stats.Lost == 0 || stats.Duplicated == 0 || stats.Reordered == 0 {
		t.Errorf("%+v: some fault never happened", stats)
	}
	if want := count - int(stats.Lost) + int(stats.Duplicated); len(first) != want || stats.Delivered != uint64(want) {
		t.Errorf("%d arrived, %+v, want %d", len(first), stats, want)
	}
}

func TestMemoryReorderLosesNothing(t *testing.T) {
	const count = 300
	_, a, b := pair(t, MemoryOptions{Faults: Faults{Reorder: 0.5}})
	stream(t, a, b, count)
	got := drain(b)
	if slices.IsSorted(got) {
		t.Error("nothing was overtaken")
	}
	for at, v := range got {
		if v > at+2*reorderSpan || v < at-2*reorderSpan {
			t.Errorf("datagram %d arrived as number %d", v, at)
		}
	}
	slices.Sort(got)
	for i := range count {
		if got[i] != i {
			t.Fatalf("datagram %d is missing or there twice", i)
		}
	}
}

func TestMemoryDelaysByItsOwnTime(t *testing.T) {
	n, a, b := pair(t, MemoryOptions{Faults: Faults{DelayMinNs: 1000, DelayMaxNs: 1000}})
	stream(t, a, b, 3)
	n.SetNow(999)
	if got := drain(b); len(got) != 0 {
		t.Errorf("%d arrived early", len(got))
	}
	n.SetNow(1000)
	n.SetNow(0) // does not go back
	if got := drain(b); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("received %v when due, want 0 1 2", got)
	}
}

func TestMemoryFilterCutsOneWay(t *testing.T) {
	n, a, b := pair(t, MemoryOptions{})
	n.SetFilter(func(from, to Addr, _ []byte) bool { return from != a.Local() || to != b.Local() })
	stream(t, a, b, 2)
	stream(t, b, a, 2)
	if got := drain(b); len(got) != 0 {
		t.Errorf("%v came through the cut", got)
	}
	if got := drain(a); len(got) != 2 {
		t.Errorf("%v came the other way, want 0 1", got)
	}
	n.SetFilter(nil)
	n.SetFaults(Faults{Loss: 1})
	stream(t, a, b, 2)
	n.SetFaults(Faults{})
	stream(t, a, b, 1)
	if got := drain(b); len(got) != 1 {
		t.Errorf("%v came through, want only what was sent after the faults ended", got)
	}
	if s := n.Stats(); s.Filtered != 2 || s.Lost != 2 {
		t.Errorf("%+v, want 2 filtered, 2 lost", s)
	}
}

func TestMemoryQueueIsBounded(t *testing.T) {
	n, a, b := pair(t, MemoryOptions{Slots: 8})
	stream(t, a, b, 8)
	stream(t, a, b, 3)
	if got := drain(b); len(got) != 8 {
		t.Errorf("%d arrived, want 8", len(got))
	}
	if s := n.Stats(); s.Overrun != 3 {
		t.Errorf("%d overruns counted, want 3", s.Overrun)
	}
	stream(t, a, b, 8)
	if got := drain(b); len(got) != 8 {
		t.Errorf("%d arrived after the queue was emptied, want 8", len(got))
	}
}

func TestMemoryAddresses(t *testing.T) {
	n, a, b := pair(t, MemoryOptions{})
	if _, err := n.Join(a.Local()); !errors.Is(err, ErrPortInUse) {
		t.Errorf("joining twice gives %v, want %v", err, ErrPortInUse)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	stream(t, a, b, 1)
	if s := n.Stats(); s.Unreachable != 1 {
		t.Errorf("%d counted as unreachable, want 1", s.Unreachable)
	}
	if b.Err() != ErrClosed || b.Receive(make([]Received, 1)) != 0 {
		t.Error("a closed end point still works")
	}
	restarted, err := n.Join(b.Local())
	if err != nil {
		t.Fatal(err)
	}
	if got := drain(restarted); len(got) != 0 {
		t.Errorf("received %v, which was sent before it was there", got)
	}
}
