package agent

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newParker(t *testing.T, fds ...int) *Parker {
	t.Helper()
	p, err := NewParker(fds...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	})
	return p
}

// wakeups takes back what was written to the eventfd.
func wakeups(t *testing.T, p *Parker) uint64 {
	t.Helper()
	var count [8]byte
	if _, err := unix.Read(int(p.fds[0].Fd), count[:]); err == unix.EAGAIN {
		return 0
	} else if err != nil {
		t.Fatal(err)
	}
	return binary.NativeEndian.Uint64(count[:])
}

func TestWakeIfParkedWritesOnceAndOnlyWhenAnnounced(t *testing.T) {
	p := newParker(t)
	p.WakeIfParked()
	if n := wakeups(t, p); n != 0 {
		t.Errorf("%d wake-ups with nobody parked", n)
	}
	p.Announce()
	p.WakeIfParked()
	p.WakeIfParked()
	if n := wakeups(t, p); n != 1 {
		t.Errorf("%d wake-ups for one announcement, want 1", n)
	}
	p.Announce()
	p.Withdraw()
	p.WakeIfParked()
	if n := wakeups(t, p); n != 0 {
		t.Errorf("%d wake-ups after the announcement was withdrawn", n)
	}
}

func TestBlockReturnsForEachReason(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	p := newParker(t, pipe[0])

	p.Announce()
	if p.Block(1) || p.parked.Load() != 0 {
		t.Error("after the time-out Block reports a reason, or the announcement stands")
	}
	p.Wake()
	if !p.Block(-1) {
		t.Error("a wake-up before Block is lost")
	}
	if p.Block(0) {
		t.Error("one wake-up ends two waits")
	}
	if _, err := unix.Write(pipe[1], []byte{1}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !p.Block(-1) {
			t.Error("a readable descriptor does not end the wait for as long as it is readable")
		}
	}
}

// TestParkAnnouncesLooksAgainAndBlocks follows the idle strategy through its cycles.
func TestParkAnnouncesLooksAgainAndBlocks(t *testing.T) {
	p := newParker(t)
	park := NewPark(p, time.Hour.Nanoseconds())
	park.Idle(1)
	if p.parked.Load() != 0 {
		t.Error("announced after work")
	}
	park.Idle(0)
	if p.parked.Load() != 1 {
		t.Error("not announced after a cycle without work")
	}
	park.Idle(3) // the second look found something
	if p.parked.Load() != 0 {
		t.Error("still announced after the second look found work")
	}
	park.Idle(0)
	p.WakeIfParked()
	park.Idle(0) // would block for an hour
}

func litmusN(t *testing.T) int {
	text := os.Getenv("LOCKSTEP_LITMUS_N")
	if text == "" {
		return 50_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("LOCKSTEP_LITMUS_N=%q: want a number above 0", text)
	}
	return n
}

// TestLitmusParker has one thread hand numbers to another, which parks without a limit whenever it finds none, at a
// moment drawn so that the announcement and the publication often coincide. A lost wake-up leaves the receiver asleep.
func TestLitmusParker(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			n := litmusN(t)
			if procs == 1 {
				n = min(n/50+1, 20_000) // the runtime takes its time to notice that its only thread is blocked
			}
			litmusParker(t, uint64(n))
		})
	}
}

func litmusParker(t *testing.T, n uint64) {
	p := newParker(t)
	var sent, taken atomic.Uint64
	var outcomes [3]int
	done := make(chan struct{})
	go func() {
		defer close(done)
		random := rand.New(rand.NewPCG(1, n))
		for i := uint64(1); i <= n; i++ {
			procyield(random.Uint32N(16))
			outcomes[receive(&sent, i, p)]++
			taken.Store(i)
		}
	}()
	random := rand.New(rand.NewPCG(2, n))
	for i := uint64(1); i <= n; i++ {
		procyield(random.Uint32N(16))
		sent.Store(i)
		p.WakeIfParked()
		started := nanotime()
		for taken.Load() != i {
			runtime.Gosched()
			if nanotime()-started > patience.Nanoseconds() {
				t.Fatalf("the wake-up for number %d of %d was lost", i, n)
			}
		}
	}
	await(t, "the receiver", done)
	for i, name := range []string{"found at the first look", "found at the second look", "blocked"} {
		t.Logf("%-40s allowed   %d", name, outcomes[i])
	}
}

// receive waits for number i: look, announce, look again, block. It returns how it was found: 0, 1, 2 in that order.
func receive(sent *atomic.Uint64, i uint64, p *Parker) int {
	if sent.Load() == i {
		return 0
	}
	for blocked := false; ; blocked = true {
		p.Announce()
		switch {
		case sent.Load() != i:
			p.Block(-1)
		case blocked:
			p.Withdraw()
			return 2
		default:
			p.Withdraw()
			return 1
		}
	}
}
