package ringbuf

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// The litmus tests run two or three threads against each other a great many times, sort what each observation was
// into a table of outcomes, and fail on a forbidden one. LOCKSTEP_LITMUS_N sets how many observations.

// litmusN is the number of elements each test hands over.
func litmusN(t testing.TB) int {
	n := 300_000
	if raceEnabled {
		n = 50_000
	}
	if text := os.Getenv("LOCKSTEP_LITMUS_N"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n <= 0 {
			t.Fatalf("LOCKSTEP_LITMUS_N=%q: want a number above 0", text)
		}
	}
	return n
}

// outcome is one row of a litmus table.
type outcome struct {
	name    string
	allowed bool
	count   int
}

// table is what one observing thread saw.
type table []outcome

func (o table) note(row int) { o[row].count++ }

// check prints the table and fails on forbidden outcomes.
func (o table) check(t *testing.T) {
	t.Helper()
	for _, row := range o {
		verdict := "allowed"
		if !row.allowed {
			verdict = "forbidden"
		}
		t.Logf("%-40s %-9s %d", row.name, verdict, row.count)
		if !row.allowed && row.count > 0 {
			t.Errorf("forbidden outcome %q seen %d times", row.name, row.count)
		}
	}
}

// underEachScheduler runs a test with one and with two threads of Go code at a time.
func underEachScheduler(t *testing.T, test func(t *testing.T)) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			test(t)
		})
	}
}

// starts are the index values from which the rings are run over their ends.
var starts = map[string]uint64{
	"from 0":        0,
	"over 2^32":     1<<32 - 64,
	"over the last": ^uint64(0) - 63, // 2^64 - 64
}

// waiter gives way when there is nothing to do, now and then when there is more than one processor.
type waiter struct{ spins int }

func (w *waiter) wait() {
	w.spins++
	if w.spins%64 == 0 || runtime.GOMAXPROCS(0) == 1 {
		runtime.Gosched()
	}
}

// memories are the kinds of memory a byte ring is tested on.
func memories(t *testing.T, bytes int, test func(t *testing.T, mem []byte)) {
	t.Run("heap", func(t *testing.T) { test(t, make([]byte, bytes)) })
	t.Run("mapped", func(t *testing.T) {
		if raceEnabled {
			t.Skip("the race detector does not see mapped memory")
		}
		m, err := Map(bytes)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		test(t, m.Bytes())
	})
}

func TestLitmusCursor(t *testing.T) {
	underEachScheduler(t, func(t *testing.T) {
		t.Run("message passing", func(t *testing.T) {
			const rowNothing, rowBoth, rowFlagOnly = 0, 1, 2
			seen := table{{"0, 0", true, 0}, {"1, 1", true, 0}, {"1, 0", false, 0}}
			type state struct {
				data uint64
				flag Cursor
			}
			for range litmusN(t)/1000 + 1 {
				states := make([]state, 1000)
				inParallel(func() {
					for i := range states {
						states[i].data = 1
						states[i].flag.Store(1)
					}
				}, func() {
					for i := range states {
						switch {
						case states[i].flag.Load() == 0:
							seen.note(rowNothing)
						case states[i].data == 1:
							seen.note(rowBoth)
						default:
							seen.note(rowFlagOnly)
						}
					}
				})
			}
			seen.check(t)
		})
		t.Run("store buffering", func(t *testing.T) {
			// What a parking thread and its waker rely on: of two threads that each store and then load what
			// the other stores, one sees the other.
			seen := table{{"0, 0", false, 0}, {"0, 1", true, 0}, {"1, 0", true, 0}, {"1, 1", true, 0}}
			type state struct {
				x, y Cursor
				sawX uint64
				_    [pad - 8]byte
				sawY uint64
				_    [pad - 8]byte
			}
			for range litmusN(t)/1000 + 1 {
				states := make([]state, 1000)
				inParallel(func() {
					for i := range states {
						states[i].x.Store(1)
						states[i].sawY = states[i].y.Load()
					}
				}, func() {
					for i := range states {
						states[i].y.Store(1)
						states[i].sawX = states[i].x.Load()
					}
				})
				for i := range states {
					seen.note(int(states[i].sawX<<1 | states[i].sawY))
				}
			}
			seen.check(t)
		})
	})
}

// inParallel runs the actors at once, as nearly as they can be started together.
func inParallel(actors ...func()) {
	var ready atomic.Int32
	var done sync.WaitGroup
	for _, actor := range actors {
		done.Go(func() {
			ready.Add(1)
			for int(ready.Load()) < len(actors) {
				runtime.Gosched()
			}
			actor()
		})
	}
	done.Wait()
}

func TestLitmusSPSC(t *testing.T) {
	underEachScheduler(t, func(t *testing.T) {
		for name, start := range starts {
			t.Run(name, func(t *testing.T) { litmusSPSC(t, start) })
		}
	})
}

func litmusSPSC(t *testing.T, start uint64) {
	const (
		rowEmpty = iota
		rowNext
		rowTorn
		rowOrder
		rowUnpublished
		rowReused
	)
	seen := table{
		{"nothing there", true, 0},
		{"the next value", true, 0},
		{"half of a value", false, 0},
		{"lost, repeated or out of order", false, 0},
		{"seen before it was published", false, 0},
		{"changed before it was released", false, 0},
	}
	type value struct{ a, b, c uint64 }
	n := uint64(litmusN(t))
	r := newSPSCAt(make([]value, 16), start)
	var published atomic.Uint64 // raised before the values up to it are published
	inParallel(func() {
		random := rand.New(rand.NewPCG(1, start))
		var w waiter
		for i := uint64(1); i <= n; {
			for range random.IntN(8) + 1 {
				if i > n || !r.Offer(&value{i, ^i, i * 3}) {
					break
				}
				i++
			}
			published.Store(i - 1)
			r.Publish()
			if r.Free() == 0 {
				w.wait()
			}
		}
	}, func() {
		random := rand.New(rand.NewPCG(2, start))
		var w waiter
		var out [5]value
		next := uint64(1)
		take := func(v value) {
			switch {
			case v.b != ^v.a || v.c != v.a*3:
				seen.note(rowTorn)
			case v.a != next:
				seen.note(rowOrder)
			case v.a > published.Load():
				seen.note(rowUnpublished)
			default:
				seen.note(rowNext)
			}
			next++
		}
		for next <= n {
			if random.IntN(2) == 0 {
				got := r.Poll(out[:random.IntN(len(out))+1])
				for _, v := range out[:got] {
					take(v)
				}
				continue
			}
			first := r.Peek()
			if first == nil {
				seen.note(rowEmpty)
				w.wait()
				continue
			}
			before := *first
			for v := first; v != nil; v = r.Peek() {
				take(*v)
				r.Advance()
			}
			if *first != before {
				seen.note(rowReused)
			}
			r.Release()
		}
	})
	if got := uint64(seen[rowNext].count); got != n {
		t.Errorf("%d of %d values came through", got, n)
	}
	seen.check(t)
}

func TestLitmusMessageRing(t *testing.T) {
	underEachScheduler(t, func(t *testing.T) {
		for name, start := range starts {
			t.Run(name, func(t *testing.T) {
				memories(t, 4096, func(t *testing.T, mem []byte) { litmusMessageRing(t, mem, start) })
			})
		}
	})
}

// messageLength and fillMessage: the length and content of message number i follow from the number.
func messageLength(i uint64) int { return int(i * 2654435761 >> 7 % 97) }

func fillMessage(b []byte, i uint64) {
	for j := range b {
		b[j] = byte(i) + byte(j)*7
	}
}

func litmusMessageRing(t *testing.T, mem []byte, start uint64) {
	const (
		rowEmpty = iota
		rowNext
		rowWrong
		rowReused
	)
	seen := table{
		{"nothing there", true, 0},
		{"the next message", true, 0},
		{"another length or content", false, 0},
		{"changed before it was released", false, 0},
	}
	n := uint64(litmusN(t))
	r := newMessageRingAt(mem, start)
	inParallel(func() {
		random := rand.New(rand.NewPCG(1, start))
		var w waiter
		for i := uint64(1); i <= n; {
			for range random.IntN(8) + 1 {
				if i > n {
					break
				}
				b := r.Claim(messageLength(i))
				if b == nil {
					w.wait()
					break
				}
				fillMessage(b, i)
				r.Commit()
				i++
			}
			r.Publish()
		}
	}, func() {
		var w waiter
		want := make([]byte, 128)
		for i := uint64(1); i <= n; {
			first := r.Next()
			if first == nil {
				seen.note(rowEmpty)
				w.wait()
				continue
			}
			firstOf := i
			for b := first; b != nil; b = r.Next() {
				want = want[:messageLength(i)]
				fillMessage(want, i)
				if string(b) != string(want) {
					seen.note(rowWrong)
				} else {
					seen.note(rowNext)
				}
				i++
			}
			want = want[:messageLength(firstOf)]
			fillMessage(want, firstOf)
			if string(first) != string(want) {
				seen.note(rowReused)
			}
			r.Release()
		}
	})
	if got := uint64(seen[rowNext].count); got != n {
		t.Errorf("%d of %d messages came through", got, n)
	}
	seen.check(t)
}

// logRings are a log ring on each kind of memory.
func logRings(t *testing.T, bytes int, test func(t *testing.T, r *LogRing)) {
	t.Run("heap", func(t *testing.T) { test(t, NewLogRing(make([]byte, 2*bytes), bytes, false)) })
	t.Run("mapped", func(t *testing.T) {
		if raceEnabled {
			t.Skip("the race detector does not see mapped memory")
		}
		m, err := MapLog(bytes)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		test(t, NewLogRing(m.Bytes(), bytes, true))
	})
}

// logWord is what the 8 bytes at a position (a multiple of 8) hold: nowhere the same.
func logWord(position uint64) uint64 { return (position + 8) * 0x9e3779b97f4a7c15 }

func fillLog(b []byte, from uint64) {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], logWord(from+uint64(i)))
	}
}

func logIs(b []byte, from uint64) bool {
	for i := 0; i < len(b); i += 8 {
		if binary.LittleEndian.Uint64(b[i:]) != logWord(from+uint64(i)) {
			return false
		}
	}
	return true
}

func TestLitmusLogRing(t *testing.T) {
	underEachScheduler(t, func(t *testing.T) {
		for name, start := range map[string]uint64{"from 0": 0, "over 2^32": 1<<32 - 4096} {
			t.Run(name, func(t *testing.T) {
				logRings(t, 4096, func(t *testing.T, r *LogRing) { litmusLogRing(t, r, start) })
			})
		}
	})
}

// litmusLogRing: one writer that stores in and out of order, one reader with a gate, one without.
func litmusLogRing(t *testing.T, r *LogRing, start uint64) {
	gate := r.Gate("reader")
	r.Start(start, start)
	end := start + 64*uint64(litmusN(t))
	gated := table{{"nothing there", true, 0}, {"the next bytes", true, 0}, {"other bytes", false, 0}}
	free := table{{"gone", true, 0}, {"held", true, 0}, {"other bytes", false, 0}}
	inParallel(
		func() { litmusLogWriter(r, start, end) },
		func() {
			var w waiter
			for at := start; at < end; {
				append := r.Append()
				switch {
				case append == at:
					gated.note(0)
					w.wait()
				case logIs(r.View(at, append), at):
					gated.note(1)
				default:
					gated.note(2)
				}
				at = append
				gate.Store(at)
			}
		},
		func() {
			random := rand.New(rand.NewPCG(3, start))
			var w waiter
			dst := make([]byte, 512)
			for r.Append() < end {
				// As near to the floor as can be, where the writer is about to overwrite.
				from, append := r.Floor()+8*random.Uint64N(8), r.Append()
				if append < from+8 {
					w.wait()
					continue
				}
				b := dst[:min(8+8*random.Uint64N(64), append-from)]
				switch {
				case !r.Copy(b, from):
					free.note(0)
				case logIs(b, from):
					free.note(1)
				default:
					free.note(2)
				}
				w.wait()
			}
		})
	gated.check(t)
	free.check(t)
	if gated[1].count == 0 {
		t.Error("the gated reader read nothing")
	}
}

func litmusLogWriter(r *LogRing, at, end uint64) {
	random := rand.New(rand.NewPCG(1, at))
	var w waiter
	for at < end {
		next := min(at+8*(1+random.Uint64N(100)), end)
		if !r.Fits(next) {
			w.wait()
			continue
		}
		r.Prepare(next)
		middle := at + (next-at)/16*8
		if random.IntN(2) == 0 { // the later piece first
			fillLog(r.View(middle, next), middle)
			r.Mirror(middle, next)
			fillLog(r.View(at, middle), at)
		} else {
			fillLog(r.View(at, next), at)
		}
		r.Publish(next)
		at = next
	}
}
