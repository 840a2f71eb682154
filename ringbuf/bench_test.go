package ringbuf

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Two questions: what does an element cost when there are many (stream), and how long is one on its way when there is
// one at a time (there and back, so two hops an operation). The floor is two threads handing each other a word, with
// nothing around it; a Go channel is what one would use instead.

// onOtherThread runs the far end on a thread of its own, and waits for it.
func onOtherThread(b *testing.B, near, far func()) {
	if runtime.GOMAXPROCS(0) < 2 {
		b.Skip("needs two threads at once")
	}
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		far()
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ResetTimer()
	near()
	<-done
}

type element [4]uint64

// spinner gives the core to other processes now and then, so that on a shared machine the two ends of a round trip
// do not wait for each other's time slice.
type spinner struct{ spins int }

func (s *spinner) spin() {
	if s.spins++; s.spins%1024 == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

func BenchmarkStream(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		var sent Cursor
		n := uint64(b.N)
		onOtherThread(b, func() {
			for i := uint64(1); i <= n; i++ {
				sent.Store(i)
			}
		}, func() {
			var s spinner
			for sent.Load() < n {
				s.spin()
			}
		})
	})
	for _, batch := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("spsc/batch=%d", batch), func(b *testing.B) { benchmarkStreamSPSC(b, batch) })
	}
	b.Run("messages/batch=16", benchmarkStreamMessages)
	b.Run("log/batch=16", benchmarkStreamLog)
	b.Run("channel", func(b *testing.B) {
		c := make(chan element, 1024)
		onOtherThread(b, func() {
			for i := range b.N {
				c <- element{uint64(i)}
			}
		}, func() {
			for range b.N {
				<-c
			}
		})
	})
}

func benchmarkStreamSPSC(b *testing.B, batch int) {
	r := NewSPSC(make([]element, 1024))
	onOtherThread(b, func() {
		var w waiter
		var v element
		for i := 0; i < b.N; {
			for range batch {
				if i == b.N || !r.Offer(&v) {
					w.wait()
					break
				}
				v[0]++
				i++
			}
			r.Publish()
		}
	}, func() {
		var w waiter
		out := make([]element, batch)
		for got := 0; got < b.N; {
			n := r.Poll(out)
			if n == 0 {
				w.wait()
			}
			got += n
		}
	})
}

func benchmarkStreamMessages(b *testing.B) {
	r := NewMessageRing(make([]byte, 1<<16))
	b.SetBytes(200)
	onOtherThread(b, func() {
		var w waiter
		for i := 0; i < b.N; {
			for range 16 {
				m := r.Claim(200)
				if m == nil || i == b.N {
					w.wait()
					break
				}
				m[0] = byte(i)
				r.Commit()
				i++
			}
			r.Publish()
		}
	}, func() {
		var w waiter
		for got := 0; got < b.N; {
			if r.Next() == nil {
				r.Release()
				w.wait()
				continue
			}
			got++
		}
		r.Release()
	})
}

func benchmarkStreamLog(b *testing.B) {
	m, err := MapLog(1 << 20)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	r := NewLogRing(m.Bytes(), 1<<20, true)
	gate := r.Gate("reader")
	r.Start(0, 0)
	const record = 264
	end := uint64(b.N) * record
	b.SetBytes(record)
	onOtherThread(b, func() {
		var w waiter
		for at := uint64(0); at < end; {
			batch := min(at+16*record, end)
			if !r.Fits(batch) {
				w.wait()
				continue
			}
			for ; at < batch; at += record {
				r.Prepare(at + record)
				r.View(at, at+record)[0] = byte(at)
			}
			r.Publish(at)
		}
	}, func() {
		var w waiter
		for at := uint64(0); at < end; {
			append := r.Append()
			if append == at {
				w.wait()
				continue
			}
			at = append
			gate.Store(at)
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		var there, back Cursor
		n := uint64(b.N)
		onOtherThread(b, func() {
			var s spinner
			for i := uint64(1); i <= n; i++ {
				there.Store(i)
				for back.Load() != i {
					s.spin()
				}
			}
		}, func() {
			var s spinner
			for i := uint64(1); i <= n; i++ {
				for there.Load() != i {
					s.spin()
				}
				back.Store(i)
			}
		})
	})
	b.Run("spsc", func(b *testing.B) {
		there, back := NewSPSC(make([]element, 64)), NewSPSC(make([]element, 64))
		send := func(r *SPSC[element], v *element) {
			r.Offer(v)
			r.Publish()
		}
		receive := func(r *SPSC[element], s *spinner) (v element) {
			for r.Peek() == nil {
				s.spin()
			}
			v = *r.Peek()
			r.Advance()
			r.Release()
			return v
		}
		onOtherThread(b, func() {
			var s spinner
			var v element
			for range b.N {
				send(there, &v)
				v = receive(back, &s)
			}
		}, func() {
			var s spinner
			for range b.N {
				v := receive(there, &s)
				send(back, &v)
			}
		})
	})
	b.Run("channel", func(b *testing.B) {
		there, back := make(chan element, 64), make(chan element, 64)
		onOtherThread(b, func() {
			for i := range b.N {
				there <- element{uint64(i)}
				<-back
			}
		}, func() {
			for range b.N {
				back <- <-there
			}
		})
	})
}
