package transport

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"lockstep/internal/counters"
)

// relayed makes an end point of a network with a relay in front of it.
func relayed(t *testing.T, n *Network, last byte, o RelayOptions) (*RelayCore, *RelayNetwork) {
	t.Helper()
	member, err := n.Join(Addr{IP: [4]byte{10, 77, 0, last}, Port: 7400})
	if err != nil {
		t.Fatal(err)
	}
	core, network, err := NewRelay(member, o)
	if err != nil {
		t.Fatal(err)
	}
	return core, network
}

func TestRelayBetweenThreads(t *testing.T) {
	const rounds, batch = 300, 8
	n := NewMemory(MemoryOptions{})
	a, aNetwork := relayed(t, n, 1, RelayOptions{Frames: 16})
	b, bNetwork := relayed(t, n, 2, RelayOptions{Frames: 16})
	stop := make(chan struct{})
	done := make(chan error)
	for _, agent := range []*RelayNetwork{aNetwork, bNetwork} {
		go func() {
			err := agent.OnStart(0)
			for err == nil {
				select {
				case <-stop:
					done <- agent.OnClose()
					return
				default:
				}
				var work int
				if work, err = agent.DoWork(0); work == 0 {
					runtime.Gosched()
				}
			}
			done <- err
		}()
	}
	go func() { // b answers each datagram with the same
		s := NewSender(b, batch)
		rx := make([]Received, batch)
		for answered := 0; answered < rounds*batch; runtime.Gosched() {
			count := b.Receive(rx)
			for _, d := range rx[:count] {
				buf := s.Next()
				for buf == nil {
					runtime.Gosched()
					buf = s.Next()
				}
				s.Commit(copy(buf, d.Payload), d.From)
			}
			b.Release()
			s.Flush()
			answered += count
		}
		done <- nil
	}()
	s := NewSender(a, batch)
	rx := make([]Received, batch)
	deadline := time.Now().Add(patience)
	for sent, next := 0, 0; next < rounds*batch; runtime.Gosched() {
		for sent < rounds*batch && sent < next+2*batch {
			buf := s.Next()
			if buf == nil {
				break
			}
			binary.LittleEndian.PutUint32(buf, uint32(sent))
			s.Commit(1000, b.Local())
			sent++
		}
		s.Flush()
		for _, d := range rx[:a.Receive(rx)] {
			if number(d.Payload) != next {
				t.Fatalf("answer %d arrived, want %d", number(d.Payload), next)
			}
			next++
		}
		a.Release()
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d answers in %v", next, rounds*batch, patience)
		}
	}
	close(stop)
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// The ring of received datagrams is small and its reader slow: nothing may be lost on the way, and the network thread
// has to be told once there is room.
// TestRelaySaysWhenADatagramArrived: at the network thread, once a batch, unless the transport knows better.
func TestRelaySaysWhenADatagramArrived(t *testing.T) {
	n := NewMemory(MemoryOptions{})
	nowNs := int64(0)
	core, network := relayed(t, n, 1, RelayOptions{Frames: 16, StampNs: func() int64 { nowNs += 1000; return nowNs }})
	from, err := n.Join(Addr{IP: [4]byte{10, 77, 0, 2}, Port: 7400})
	if err != nil {
		t.Fatal(err)
	}
	s, rx := NewSender(from, 8), make([]Received, 8)
	for round := int64(1); round <= 2; round++ {
		for range 3 {
			s.Next()
			s.Commit(10, core.Local())
		}
		s.Flush()
		if _, err := network.DoWork(0); err != nil {
			t.Fatal(err)
		}
		nowNs += 500 // which the core thread does not see
		if got := core.Receive(rx); got != 3 {
			t.Fatalf("%d datagrams", got)
		}
		for i := range 3 {
			if want := round*1000 + (round-1)*500; rx[i].AtNs != want || len(rx[i].Payload) != 10 {
				t.Errorf("datagram %d of batch %d: %d bytes, arrived at %d, want %d", i, round, len(rx[i].Payload), rx[i].AtNs, want)
			}
		}
		core.Release()
	}
}

func TestRelayHoldsBackWhatDoesNotFit(t *testing.T) {
	const count = 100
	n := NewMemory(MemoryOptions{})
	woken := 0
	core, network := relayed(t, n, 1, RelayOptions{
		ReceiveBytes: 8192, Batch: 64, WakeNetwork: func() { woken++ },
	})
	sender, err := n.Join(Addr{IP: [4]byte{10, 77, 0, 2}, Port: 7400})
	if err != nil {
		t.Fatal(err)
	}
	s := NewSender(sender, count)
	for i := range count {
		binary.LittleEndian.PutUint32(s.Next(), uint32(i))
		s.Commit(1000, core.Local())
	}
	s.Flush()
	rx := make([]Received, 3)
	for next, idle := 0, 0; next < count; {
		if work, err := network.DoWork(0); err != nil {
			t.Fatal(err)
		} else if work == 0 {
			idle++
		}
		got := core.Receive(rx)
		for _, d := range rx[:got] {
			if number(d.Payload) != next {
				t.Fatalf("datagram %d arrived, want %d", number(d.Payload), next)
			}
			next++
		}
		woken = 0
		core.Release()
		if next < count-64 && woken == 0 {
			t.Fatal("the network thread waits for room and was not woken when there was some")
		}
		if idle > count {
			t.Fatalf("only %d datagrams arrived", next)
		}
	}
}

func TestRelayWakesTheCoreOnlyForDatagrams(t *testing.T) {
	n := NewMemory(MemoryOptions{})
	woken := 0
	core, network := relayed(t, n, 1, RelayOptions{WakeCore: func() { woken++ }})
	if _, err := network.DoWork(0); err != nil || woken != 0 {
		t.Errorf("woken %d times for nothing (%v)", woken, err)
	}
	sender, err := n.Join(Addr{IP: [4]byte{10, 77, 0, 2}, Port: 7400})
	if err != nil {
		t.Fatal(err)
	}
	transmit(t, sender, core.Local(), "one")
	transmit(t, sender, core.Local(), "two")
	if work, err := network.DoWork(0); work != 2 || err != nil || woken != 1 {
		t.Errorf("%d datagrams moved, woken %d times (%v), want 2, once a batch", work, woken, err)
	}
}

func TestRelayClosesInOrder(t *testing.T) {
	n := NewMemory(MemoryOptions{})
	core, network := relayed(t, n, 1, RelayOptions{})
	if err := network.OnStart(0); err != nil {
		t.Fatal(err)
	}
	receiver, err := n.Join(Addr{IP: [4]byte{10, 77, 0, 2}, Port: 7400})
	if err != nil {
		t.Fatal(err)
	}
	transmit(t, core, receiver.Local(), "last words")
	if err := core.Close(); err != nil {
		t.Fatal(err)
	}
	if err := network.OnClose(); err != nil {
		t.Fatal(err)
	}
	r := &trio{}
	if got := r.collect(t, receiver, 1); string(got[0].Payload) != "last words" {
		t.Errorf("received %q", got[0].Payload)
	}
	if core.Err() != ErrClosed || core.Acquire(make([]Frame, 1)) != 0 {
		t.Error("a closed relay still works")
	}
	if _, err := n.Join(core.Local()); err != nil {
		t.Errorf("the transport behind the relay was not closed: %v", err)
	}
}

func TestRelayPassesOnWhatBrokeTheTransport(t *testing.T) {
	n := NewMemory(MemoryOptions{})
	woken := 0
	core, network := relayed(t, n, 1, RelayOptions{WakeCore: func() { woken++ }})
	reason := errors.New("interface gone")
	network.transport.(*member).err = reason
	if _, err := network.DoWork(0); !errors.Is(err, reason) {
		t.Errorf("the network agent says %v, want %v", err, reason)
	}
	if !errors.Is(core.Err(), reason) || woken != 1 {
		t.Errorf("the core thread sees %v and was woken %d times, want %v, once", core.Err(), woken, reason)
	}
}

func TestRelayCountsWantOfFrames(t *testing.T) {
	file, err := counters.Create("", 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	core, network := relayed(t, NewMemory(MemoryOptions{}), 1, RelayOptions{Frames: 4, Counters: file})
	if err := network.OnStart(0); err != nil {
		t.Fatal(err)
	}
	if got := core.Acquire(make([]Frame, 5)); got != 4 {
		t.Errorf("acquired %d frames, want 4", got)
	}
	if got := file.Counter("lockstep_relay_full_total", "").Load(); got != 1 {
		t.Errorf("want of frames counted %d times, want once", got)
	}
}

func TestRelayRefusesBadSizes(t *testing.T) {
	m, err := NewMemory(MemoryOptions{}).Join(Addr{IP: [4]byte{10, 77, 0, 1}, Port: 7400})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []RelayOptions{
		{Frames: 3}, {Frames: -4}, {Batch: -1}, {ReceiveBytes: 4096}, {ReceiveBytes: 100000},
	} {
		if _, _, err := NewRelay(m, o); err == nil || !strings.HasPrefix(err.Error(), "transport: ") {
			t.Errorf("%+v gives %v", o, err)
		}
	}
}

func BenchmarkRelay(b *testing.B) {
	n := NewMemory(MemoryOptions{})
	m, err := n.Join(Addr{IP: [4]byte{10, 77, 0, 1}, Port: 7400})
	if err != nil {
		b.Fatal(err)
	}
	core, network, err := NewRelay(m, RelayOptions{})
	if err != nil {
		b.Fatal(err)
	}
	s := NewSender(core, 1)
	rx := make([]Received, 1)
	b.ReportAllocs()
	for b.Loop() { // both ways on one thread, to itself: the price of two hops without waiting
		if s.Next() != nil {
			s.Commit(1400, core.Local())
		}
		s.Flush()
		if _, err := network.DoWork(0); err != nil {
			b.Fatal(err)
		}
		core.Receive(rx)
		core.Release()
	}
}
