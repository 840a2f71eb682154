package transport

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// trio is three transports on one network, all in one group, and what has to run for datagrams to move.
type trio struct {
	all   [3]Transport
	group Addr
	pump  func() // nil: nothing
}

func (r *trio) turn() {
	if r.pump != nil {
		r.pump()
	}
}

const patience = 2 * time.Minute

// collect receives n datagrams at t and returns copies of them.
func (r *trio) collect(t *testing.T, at Transport, n int) []Received {
	t.Helper()
	var got []Received
	rx := make([]Received, 16)
	for deadline := time.Now().Add(patience); len(got) < n; {
		r.turn()
		count := at.Receive(rx)
		for _, d := range rx[:count] {
			d.Payload = append([]byte(nil), d.Payload...)
			got = append(got, d)
		}
		at.Release()
		if time.Now().After(deadline) {
			t.Fatalf("%s received %d datagrams in %v, want %d", at.Describe(), len(got), patience, n)
		}
	}
	if len(got) > n {
		t.Fatalf("%s received %d datagrams, want %d", at.Describe(), len(got), n)
	}
	return got
}

// nothing checks that what was sent so far has left nothing at a transport: a marker sent last arrives first.
func (r *trio) nothing(t *testing.T, at, from Transport) {
	t.Helper()
	transmit(t, from, at.Local(), "marker")
	if got := r.collect(t, at, 1); string(got[0].Payload) != "marker" {
		t.Fatalf("%s received %q from %s, want nothing", at.Describe(), got[0].Payload, got[0].From)
	}
}

// transmit sends one datagram.
func transmit(t *testing.T, from Transport, to Addr, text string) {
	t.Helper()
	tx := make([]Frame, 1)
	if from.Acquire(tx) != 1 {
		t.Fatalf("%s has no frame", from.Describe())
	}
	tx[0].Length, tx[0].To = copy(tx[0].Buf, text), to
	from.Submit(tx)
}

func number(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }

// transports are the ways to make a trio that the tests of the contract run over.
var transports = map[string]func(t *testing.T) *trio{
	"udp":            udpTrio,
	"memory":         memoryTrio,
	"relayed udp":    func(t *testing.T) *trio { return relayTrio(t, udpTrio(t)) },
	"relayed memory": func(t *testing.T) *trio { return relayTrio(t, memoryTrio(t)) },
}

func udpTrio(t *testing.T) *trio {
	t.Helper()
	r := &trio{group: Addr{IP: [4]byte{239, 77, 0, 1}, Port: freePort(t)}}
	for i := range r.all {
		r.all[i] = openUDP(t, UDPOptions{Local: loopback(0), Group: r.group})
	}
	return r
}

func memoryTrio(t *testing.T) *trio {
	t.Helper()
	network := NewMemory(MemoryOptions{})
	r := &trio{group: Addr{IP: [4]byte{239, 77, 0, 1}, Port: 7400}}
	for i := range r.all {
		m, err := network.Join(Addr{IP: [4]byte{10, 77, 0, byte(i + 1)}, Port: 7400}, r.group)
		if err != nil {
			t.Fatal(err)
		}
		r.all[i] = m
	}
	return r
}

// relayTrio puts a relay in front of each transport; the network threads' turns are taken by the pump.
func relayTrio(t *testing.T, below *trio) *trio {
	t.Helper()
	r := &trio{group: below.group}
	var agents []*RelayNetwork
	for i, transport := range below.all {
		core, network, err := NewRelay(transport, RelayOptions{ReceiveBytes: 1 << 20, Frames: 256})
		if err != nil {
			t.Fatal(err)
		}
		r.all[i] = core
		agents = append(agents, network)
		if err := network.OnStart(0); err != nil {
			t.Fatal(err)
		}
	}
	r.pump = func() {
		for _, a := range agents {
			if _, err := a.DoWork(0); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// eachTransport runs a test over every implementation.
func eachTransport(t *testing.T, test func(t *testing.T, r *trio)) {
	for name, open := range transports {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func TestUnicastNamesBothEnds(t *testing.T) {
	eachTransport(t, func(t *testing.T, r *trio) {
		a, b, c := r.all[0], r.all[1], r.all[2]
		transmit(t, a, b.Local(), "hello")
		got := r.collect(t, b, 1)[0]
		if string(got.Payload) != "hello" || got.From != a.Local() || got.To != b.Local() {
			t.Errorf("received %q from %s to %s", got.Payload, got.From, got.To)
		}
		r.nothing(t, c, a)
	})
}

func TestMulticastReachesAllButTheSender(t *testing.T) {
	eachTransport(t, func(t *testing.T, r *trio) {
		for _, from := range r.all {
			transmit(t, from, r.group, "to all")
			for _, at := range r.all {
				if at == from {
					continue
				}
				got := r.collect(t, at, 1)[0]
				if string(got.Payload) != "to all" || got.From != from.Local() || got.To != r.group {
					t.Errorf("received %q from %s to %s", got.Payload, got.From, got.To)
				}
			}
			r.nothing(t, from, r.all[0])
		}
	})
}

func TestBatchesArriveWholeAndInOrder(t *testing.T) {
	const count, batch = 200, 64
	eachTransport(t, func(t *testing.T, r *trio) {
		a, b := r.all[0], r.all[1]
		s := NewSender(a, batch)
		for i := range count {
			buf := s.Next()
			if buf == nil {
				t.Fatalf("no room for datagram %d", i)
			}
			length := 4 + i*7%(len(buf)-4)
			if i == count-1 {
				length = len(buf)
			}
			for j := range length {
				buf[j] = byte(i)
			}
			binary.LittleEndian.PutUint32(buf, uint32(i))
			s.Commit(length, b.Local())
		}
		s.Flush()
		for i, d := range r.collect(t, b, count) {
			want := 4 + i*7%(a.MaxPayload()-4)
			if i == count-1 {
				want = a.MaxPayload()
			}
			if number(d.Payload) != i || len(d.Payload) != want || want > 4 && d.Payload[want-1] != byte(i) {
				t.Fatalf("datagram %d: number %d, %d bytes, want %d bytes", i, number(d.Payload), len(d.Payload), want)
			}
		}
	})
}

func TestFramesOfLengthZeroAreGivenBackUnsent(t *testing.T) {
	eachTransport(t, func(t *testing.T, r *trio) {
		a, b := r.all[0], r.all[1]
		tx := make([]Frame, 32)
		for range 200 {
			r.turn()
			if n := a.Acquire(tx); n != len(tx) {
				t.Fatalf("got %d frames, want %d", n, len(tx))
			}
			for i := range tx {
				tx[i].Length, tx[i].To = 0, b.Local()
			}
			a.Submit(tx)
		}
		r.nothing(t, b, a)
	})
}

func TestAcquireIsBounded(t *testing.T) {
	eachTransport(t, func(t *testing.T, r *trio) {
		a := r.all[0]
		r.turn()
		tx := make([]Frame, 1<<16)
		n := a.Acquire(tx)
		if n == 0 || n == len(tx) {
			t.Fatalf("acquired %d of %d frames, want some, not all", n, len(tx))
		}
		if more := a.Acquire(make([]Frame, 1)); more != 0 {
			t.Errorf("acquired %d more", more)
		}
		s := NewSender(a, 4)
		if s.Next() != nil {
			t.Error("a sender found a frame where there is none")
		}
		a.Submit(tx[:n])
		r.turn()
		if s.Next() == nil {
			t.Error("a sender finds no frame after all were given back")
		}
	})
}

func TestNoAllocationPerDatagram(t *testing.T) {
	eachTransport(t, func(t *testing.T, r *trio) {
		sender, a, b := NewSender(r.all[0], 8), r.all[0], r.all[1]
		rx := make([]Received, 64)
		cycle := func() {
			for i := range 10 {
				buf := sender.Next()
				if buf == nil {
					break
				}
				to := b.Local()
				if i == 0 {
					to = r.group
				}
				sender.Commit(100+copy(buf, "datagram"), to)
			}
			sender.Flush()
			r.turn()
			for _, at := range r.all {
				at.Receive(rx)
				at.Release()
			}
		}
		if n := testing.AllocsPerRun(2*overrunEvery, cycle); n != 0 {
			t.Errorf("%v allocations a cycle of ten datagrams, want none", n)
		}
		if a.Err() != nil {
			t.Error(a.Err())
		}
	})
}

func TestSenderKeepsTheOpenFrame(t *testing.T) {
	r := memoryTrio(t)
	a, b := r.all[0], r.all[1]
	s := NewSender(a, 4)
	first := s.Next()
	copy(first, "one")
	if again := s.Next(); &again[0] != &first[0] {
		t.Error("Next without Commit gave another buffer")
	}
	s.Commit(0, b.Local())
	if again := s.Next(); &again[0] != &first[0] {
		t.Error("Commit of nothing used the buffer up")
	}
	s.Commit(3, b.Local())
	open := s.Next()
	copy(open, "two")
	s.Commit(3, b.Local())
	open = s.Next()
	copy(open, "three")
	s.Flush() // with a buffer still open
	if again := s.Next(); &again[0] != &open[0] {
		t.Error("Flush lost the open buffer")
	}
	s.Commit(5, b.Local())
	s.Commit(5, b.Local()) // without a Next: nothing
	s.Flush()
	for i, d := range r.collect(t, b, 3) {
		if want := []string{"one", "two", "three"}[i]; string(d.Payload) != want {
			t.Errorf("datagram %d is %q, want %q", i, d.Payload, want)
		}
	}
}

func TestAddr(t *testing.T) {
	a, err := ParseAddr("10.0.0.1:7400")
	if want := (Addr{IP: [4]byte{10, 0, 0, 1}, Port: 7400}); err != nil || a != want || a.String() != "10.0.0.1:7400" {
		t.Errorf("got %s, %v", a, err)
	}
	for _, bad := range []string{"", "10.0.0.1", "[::1]:7400", "host:7400", "10.0.0.1:70000"} {
		if a, err := ParseAddr(bad); err == nil {
			t.Errorf("%q was read as %s", bad, a)
		}
	}
	for text, want := range map[string]bool{
		"224.0.0.1:1": true, "239.255.0.1:1": true, "240.0.0.1:1": false, "10.0.0.1:1": false,
	} {
		if a, err := ParseAddr(text); err != nil || a.IsMulticast() != want {
			t.Errorf("%s: multicast %v, %v, want %v", text, a.IsMulticast(), err, want)
		}
	}
}

func BenchmarkUnicastBatch(b *testing.B) {
	for _, batch := range []int{1, 20} {
		b.Run(fmt.Sprintf("udp loopback batch %d", batch), func(b *testing.B) {
			from, err := OpenUDP(UDPOptions{Local: loopback(0)})
			if err != nil {
				b.Fatal(err)
			}
			defer from.Close()
			to, err := OpenUDP(UDPOptions{Local: loopback(0)})
			if err != nil {
				b.Fatal(err)
			}
			defer to.Close()
			s := NewSender(from, batch)
			rx := make([]Received, batch)
			b.ReportAllocs()
			for b.Loop() {
				for range batch {
					s.Next()
					s.Commit(1400, to.Local())
				}
				s.Flush()
				for got := 0; got < batch; {
					got += to.Receive(rx)
					to.Release()
				}
			}
		})
	}
}
