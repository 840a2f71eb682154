package xdp

import (
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkEcho is one datagram of 200 bytes there and back over a veth pair, both sides spinning: AF_XDP in both modes
// and kernel UDP beside it. Where there are fewer than two idle CPUs it measures the scheduler as well.
func BenchmarkEcho(b *testing.B) {
	for _, mode := range []Mode{ModeGeneric, ModeNative} {
		b.Run("xdp-"+mode.String(), func(b *testing.B) { benchmarkXDP(b, mode, 1) })
	}
	b.Run("udp", benchmarkUDP)
}

// BenchmarkEchoBatch is the same with 32 datagrams on their way at once; the time is that of one.
func BenchmarkEchoBatch(b *testing.B) {
	for _, mode := range []Mode{ModeGeneric, ModeNative} {
		b.Run("xdp-"+mode.String(), func(b *testing.B) { benchmarkXDP(b, mode, 32) })
	}
}

func benchmarkXDP(b *testing.B, mode Mode, batch int) {
	one, two := newPair(b)
	ea := one.open(Config{Mode: mode, RxFrames: 1024, TxFrames: 1024})
	eb := two.open(Config{Mode: mode, RxFrames: 1024, TxFrames: 1024})
	meet(b, ea, eb)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		for !stop.Load() {
			if echo(eb, 64) == 0 {
				runtime.Gosched()
			}
		}
	}()
	defer func() { // before the end points close, also after a failure
		stop.Store(true)
		<-done
	}()
	deadline := time.Now().Add(10 * time.Second)
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += batch {
		for range ea.Reclaim(batch) {
			frame, _ := ea.Take()
			ea.Send(frame, 200, eb.Local())
		}
		ea.Flush()
		for back := 0; back < batch; {
			n := ea.Receive(batch)
			ea.Release()
			if back += n; n == 0 {
				runtime.Gosched()
				if time.Now().After(deadline) {
					b.Fatalf("a datagram was lost: %v, %v", ea.Err(), eb.Err())
				}
			}
		}
	}
	b.StopTimer()
}

func benchmarkUDP(b *testing.B) {
	one, two := newPair(b)
	ca, cb := one.udp(7500), two.udp(7500)
	from, to := netip.AddrPortFrom(one.ip, 7500), netip.AddrPortFrom(two.ip, 7500)
	go func() {
		buf := make([]byte, 2048)
		for {
			n, ok := spin(cb, buf)
			if !ok {
				return
			}
			if _, err := cb.WriteToUDPAddrPort(buf[:n], from); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 2048)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := ca.WriteToUDPAddrPort(buf[:200], to); err != nil {
			b.Fatal(err)
		}
		if _, ok := spin(ca, buf); !ok {
			b.Fatal("closed")
		}
	}
	b.StopTimer()
	cb.Close()
}

// BenchmarkEchoInline is one datagram there and back with both sides on one thread: what the work costs, whatever else
// runs on the machine.
func BenchmarkEchoInline(b *testing.B) {
	for _, mode := range []Mode{ModeGeneric, ModeNative} {
		b.Run("xdp-"+mode.String(), func(b *testing.B) {
			one, two := newPair(b)
			ea, eb := one.open(Config{Mode: mode}), two.open(Config{Mode: mode})
			meet(b, ea, eb)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				ea.Reclaim(1)
				frame, _ := ea.Take()
				ea.Send(frame, 200, eb.Local())
				ea.Flush()
				for echo(eb, 1) == 0 {
				}
				for ea.Receive(1) == 0 {
				}
				ea.Release()
			}
		})
	}
	b.Run("udp", func(b *testing.B) {
		one, two := newPair(b)
		ca, cb := one.udp(7500), two.udp(7500)
		from, to := netip.AddrPortFrom(one.ip, 7500), netip.AddrPortFrom(two.ip, 7500)
		buf := make([]byte, 2048)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			_, err := ca.WriteToUDPAddrPort(buf[:200], to)
			must(b, err)
			n, _ := spin(cb, buf)
			_, err = cb.WriteToUDPAddrPort(buf[:n], from)
			must(b, err)
			spin(ca, buf)
		}
	})
}
