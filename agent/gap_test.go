package agent

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/counters"
)

func gapFile(t *testing.T) *counters.File {
	t.Helper()
	f, err := counters.Create("", 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestTheGaugeHasTheLongestGap of a loop whose cycles start at times that are made up.
func TestTheGaugeHasTheLongestGap(t *testing.T) {
	f := gapFile(t)
	g := newGaps(f, "hot")
	now := int64(5e9)
	g.start(now)
	cycles := func(n int, ns int64) {
		for range n {
			now += ns
			g.cycle(now)
		}
	}
	check := func(what string, longest, second, stalls uint64) {
		t.Helper()
		for name, want := range map[string]uint64{
			GapCounter("hot", "max"): longest, GapCounter("hot", "second"): second, StallCounter("hot"): stalls,
		} {
			if got := f.Counter(name, "").Load(); got != want {
				t.Errorf("%s: %s is %d, want %d", what, name, got, want)
			}
		}
	}
	cycles(100, 700)
	check("even cycles", 700, 700, 0)
	cycles(1, 40_000)
	cycles(100, 700)
	check("one of 40 us", 40_000, 40_000, 0)
	cycles(1_000_000, 1000)
	check("a second later", 40_000, 40_000, 0)
	cycles(1_000_000, 1000)
	check("two seconds later", 40_000, 1000, 0)
	cycles(3, 2_000_000)
	cycles(10, 1000)
	cycles(1, 1_000_000)
	check("four stalls", 2_000_000, 2_000_000, 4)
	g.blocks(now)
	cycles(1, 900_000_000)
	check("a sleep", 2_000_000, 2_000_000, 4)
	g.blocks(now + 3_000_000)
	cycles(1, 900_000_000)
	check("a stall before a sleep", 3_000_000, 3_000_000, 5)
	cycles(2, 500_000_000)
	check("half a second", 500_000_000, 500_000_000, 7)
}

// TestEveryHotLoopTellsItsGaps: spinning, pinned, and parked, where sleep is no gap.
func TestEveryHotLoopTellsItsGaps(t *testing.T) {
	parker, err := NewParker()
	if err != nil {
		t.Fatal(err)
	}
	defer parker.Close()
	const pages = 100
	const slow = 30 * time.Millisecond
	for name, o := range map[string]RunnerOptions{
		"plain": {Idle: Yield{}}, "pinned": {Idle: Yield{}, BoundedPin: true},
		"parked": {Idle: NewPark(parker, (10 * time.Millisecond).Nanoseconds())},
	} {
		t.Run(name, func(t *testing.T) {
			f := gapFile(t)
			o.CPU, o.Clock, o.Gaps = NoCPU, System{}, f
			memory, err := unix.Mmap(-1, 0, pages*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Munmap(memory)
			_ = unix.Madvise(memory, unix.MADV_NOHUGEPAGE)
			n, done := 0, make(chan struct{})
			r := NewRunner(&scripted{name: name, doWork: func(now int64) (int, error) {
				if n++; n == 20 {
					for end := nanotime() + slow.Nanoseconds(); nanotime() < end; {
					}
				}
				if n == 21 {
					for at := 0; at < len(memory); at += 4096 {
						memory[at] = 1
					}
				}
				if n == 22 {
					close(done)
				}
				return 0, nil
			}}, o)
			if _, err := r.Use(); err == nil {
				t.Error("there is a thread before the start")
			}
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, "cycles", done)
			use, err := r.Use()
			if err != nil || use.Cores == "" || use.MinorFaults < pages {
				t.Errorf("a thread that touched %d pages: %+v, %v", pages, use, err)
			}
			if err := r.Stop(); err != nil {
				t.Fatal(err)
			}
			if got := f.Counter(GapCounter(name, "max"), "").Load(); got < uint64(slow.Nanoseconds()) {
				t.Errorf("a cycle of %v makes a gap of %v", slow, time.Duration(got))
			}
			if f.Counter(StallCounter(name), "").Load() == 0 {
				t.Error("no stall was counted")
			}
		})
	}
}

func TestAThreadIsReadAsTheKernelWritesIt(t *testing.T) {
	stat := "17 (a ) b) S 1 2 3 4 5 6 71 8 91 10 11\n"
	status := "Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1,4\nvoluntary_ctxt_switches:\t15\nnonvoluntary_ctxt_switches:\t3\n"
	got, err := parseThread(stat, status)
	if want := (ThreadUse{"0-1,4", 71, 91, 15, 3}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "17 (x) S 1", "17 (x) S 1 2 3 4 5 6 seven 8 9"} {
		if _, err := parseThread(bad, status); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if _, err := readThread(1 << 30); err == nil || !strings.Contains(err.Error(), "thread 1073741824") {
		t.Errorf("of a thread that is not there: %v", err)
	}
}

func TestTheGaugeDoesNotAllocate(t *testing.T) {
	g, now := newGaps(gapFile(t), "hot"), int64(0)
	if n := testing.AllocsPerRun(1000, func() { now += 600_000_000; g.cycle(now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGap(b *testing.B) {
	g, now := newGaps(nil, ""), int64(0)
	g.start(0)
	for b.Loop() {
		now += 500
		g.cycle(now)
	}
}
