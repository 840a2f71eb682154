package ringbuf

import (
	"strings"
	"testing"
	"unsafe"
)

func TestIndicesOfDifferentThreadsAreFarApart(t *testing.T) {
	if size := unsafe.Sizeof(Cursor{}); size != pad {
		t.Errorf("a Cursor takes %d bytes, want %d", size, pad)
	}
	var s SPSC[int]
	var m MessageRing
	var l LogRing
	for name, offsets := range map[string][]uintptr{
		"SPSC": {unsafe.Offsetof(s.mask), unsafe.Offsetof(s.filled), unsafe.Offsetof(s.tail),
			unsafe.Offsetof(s.read), unsafe.Offsetof(s.head)},
		"MessageRing": {unsafe.Offsetof(m.mask), unsafe.Offsetof(m.filled), unsafe.Offsetof(m.tail),
			unsafe.Offsetof(m.read), unsafe.Offsetof(m.head)},
		"LogRing": {unsafe.Offsetof(l.guard), unsafe.Offsetof(l.written), unsafe.Offsetof(l.append),
			unsafe.Offsetof(l.floor)},
	} {
		for i := 1; i < len(offsets); i++ {
			if distance := offsets[i] - offsets[i-1]; distance < pad {
				t.Errorf("%s: groups %d and %d are %d bytes apart, want %d", name, i-1, i, distance, pad)
			}
		}
	}
}

func TestMappedHalvesAreTheSamePages(t *testing.T) {
	const size = 1 << 16
	m, err := MapLog(size)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b := m.Bytes()
	if len(b) != 2*size {
		t.Fatalf("%d bytes mapped, want %d", len(b), 2*size)
	}
	copy(b[size-2:], "abcd") // over the seam
	if got := string(b[:2]); got != "cd" {
		t.Errorf("the second half's start shows %q in the first, want \"cd\"", got)
	}
	b[5] = 'x'
	if b[size+5] != 'x' {
		t.Error("a write to the first half does not show in the second")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

func TestMapRefusesWhatCannotBe(t *testing.T) {
	for _, bytes := range []int{-1, 0, 1, 4095, 5000, 1 << 62} {
		if m, err := MapLog(bytes); err == nil {
			t.Errorf("MapLog(%d) succeeded with %d bytes", bytes, len(m.Bytes()))
		}
	}
	if _, err := Map(0); err == nil {
		t.Error("Map(0) succeeded")
	}
}

// TestLogRingHoldsWriterBackBySlowestGate walks through what a writer lives with.
func TestLogRingHoldsWriterBackBySlowestGate(t *testing.T) {
	logRings(t, 4096, func(t *testing.T, r *LogRing) {
		fast, slow := r.Gate("network"), r.Gate("journal")
		fillLog(r.View(1000, 3000), 1000) // from disk, before the start
		r.Start(1000, 3000)
		if fast.Load() != 3000 || slow.Load() != 3000 || r.Append() != 3000 || r.Floor() != 1000 {
			t.Fatalf("after Start: gates %d %d, append %d, floor %d", fast.Load(), slow.Load(), r.Append(), r.Floor())
		}
		if !logIs(r.View(1000, 3000), 1000) {
			t.Fatal("what was loaded before the start is not there")
		}
		if !r.Fits(7096) || r.Fits(7097) {
			t.Fatal("the writer is not held back at the gates and a ring beyond")
		}
		r.Prepare(5160)
		if r.Floor() != 1064 {
			t.Fatalf("floor %d while [3000, 5160) may be written, want 1064", r.Floor())
		}
		fillLog(r.View(3000, 5160), 3000)
		r.Publish(5160)
		fast.Store(5160)
		if name, at := r.SlowestGate(); name != "journal" || at != 3000 {
			t.Fatalf("the slowest gate is %q at %d", name, at)
		}
		if r.Fits(7097) {
			t.Fatal("the fast gate moved the limit")
		}
		slow.Store(4000)
		if limit := r.Limit(); limit != 8096 {
			t.Fatalf("limit %d, want 8096", limit)
		}
	})
}

// TestLogRingCutBelowFloor: a cut to before everything that is held leaves an empty ring there.
func TestLogRingCutBelowFloor(t *testing.T) {
	logRings(t, 4096, func(t *testing.T, r *LogRing) {
		gate := r.Gate("journal")
		r.Start(8000, 8000)
		r.Prepare(8800)
		fillLog(r.View(8000, 8800), 8000)
		r.Publish(8800)
		r.Reset(2000)
		if r.Append() != 2000 || r.Floor() != 2000 || gate.Load() != 2000 || r.Limit() != 2000+4096 {
			t.Fatalf("append %d, floor %d, gate %d, limit %d", r.Append(), r.Floor(), gate.Load(), r.Limit())
		}
		if r.Copy(make([]byte, 8), 8000) {
			t.Fatal("what was cut can still be copied")
		}
		r.Prepare(2800)
		fillLog(r.View(2000, 2800), 2000)
		r.Publish(2800)
		got := make([]byte, 800)
		if !r.Copy(got, 2000) || !logIs(got, 2000) {
			t.Fatal("what was written after the cut cannot be read")
		}
	})
}

func TestMisusePanics(t *testing.T) {
	log := func() *LogRing {
		r := NewLogRing(make([]byte, 8192), 4096, false)
		r.Gate("journal")
		r.Start(0, 0)
		return r
	}
	for message, misuse := range map[string]func(){
		"want a power of two":           func() { NewSPSC(make([]int, 3)) },
		"message ring of 24 bytes":      func() { NewMessageRing(make([]byte, 24)) },
		"takes 24 at most":              func() { NewMessageRing(make([]byte, 64)).Claim(25) },
		"want a power of two, and":      func() { NewLogRing(make([]byte, 64), 64, false) },
		"cannot start":                  func() { log().Start(0, 4097) },
		"a view of [0, 4097)":           func() { log().View(0, 4097) },
		`gate "journal" at 0`:           func() { log().Prepare(4097) },
		"publishing 4097 after 0, with": func() { log().Publish(4097) },
		"cutting a log that ends at 0":  func() { log().Reset(1) },
	} {
		t.Run(message, func(t *testing.T) {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(v.(string), message) {
					t.Errorf("the panic is %v, want one with %q", v, message)
				}
			}()
			misuse()
		})
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	spsc := NewSPSC(make([]uint64, 8))
	messages := NewMessageRing(make([]byte, 1024))
	log := NewLogRing(make([]byte, 8192), 4096, false)
	gate := log.Gate("journal")
	log.Start(0, 0)
	var value uint64
	var out [4]uint64
	dst := make([]byte, 64)
	for name, cycle := range map[string]func(){
		"SPSC": func() {
			for range 4 {
				spsc.Offer(&value)
			}
			spsc.Publish()
			spsc.Peek()
			spsc.Advance()
			spsc.Release()
			spsc.Poll(out[:])
		},
		"MessageRing": func() {
			messages.Claim(100)
			messages.Commit()
			messages.Publish()
			messages.Next()
			messages.Release()
		},
		"LogRing": func() {
			at := log.Append()
			if !log.Fits(at + 64) {
				t.Fatal("the ring is full")
			}
			log.Prepare(at + 64)
			log.View(at, at+64)[0] = 1
			log.Publish(at + 64)
			if !log.Copy(dst, at) {
				t.Fatal("cannot copy what was just published")
			}
			gate.Store(at + 64)
		},
	} {
		if n := testing.AllocsPerRun(1000, cycle); n != 0 {
			t.Errorf("%s: %v allocations a cycle, want none", name, n)
		}
	}
}
