package tsc

import (
	"sync"
	"testing"
	"time"
)

// machineOf is a counter and a kernel clock that tests move.
type machineOf struct {
	ticks uint64
	ns    int64
}

func (m *machineOf) pass(ns int64, mhz float64) {
	m.ns += ns
	m.ticks += uint64(float64(ns) * mhz / 1e3)
}

func started(t *testing.T, mhz float64) (*clock, *machineOf) {
	t.Helper()
	m := &machineOf{ticks: 1 << 40, ns: 5e9}
	c := &clock{counter: func() uint64 { return m.ticks }, kernel: func() int64 { return m.ns }}
	c.start(func() { m.pass(firstNs, mhz) })
	if c.line.Load() == nil {
		t.Fatalf("not started: %s", c.describe())
	}
	return c, m
}

func (c *clock) nowForTest() int64 { return c.line.Load().at(c.counter()) }

// TestTheCounterKeepsTheKernelsTime: over hours, with a clock that the kernel slews, a line that is corrected every second
// stays within a microsecond, and never goes back.
func TestTheCounterKeepsTheKernelsTime(t *testing.T) {
	for _, mhz := range []float64{1000, 2494.123456, 4999.9, 33.333} {
		c, m := started(t, mhz)
		last := c.nowForTest()
		for second := range 10_000 {
			slew := 1 + float64(second%7-3)*1e-6 // as a time daemon does
			for range 4 {
				m.pass(everyNs/4, mhz*slew)
				now := c.nowForTest()
				if now < last {
					t.Fatalf("%v MHz: the clock went back from %d to %d", mhz, last, now)
				}
				if off := now - m.ns; off > 10_000 || off < -10_000 {
					t.Fatalf("%v MHz, second %d: off by %d ns", mhz, second, off)
				}
				last = now
			}
			before := c.nowForTest()
			c.adjust()
			if after := c.nowForTest(); after != before {
				t.Fatalf("an adjustment moved the clock by %d ns", after-before)
			}
		}
	}
}

// TestACounterThatCannotBeTrustedIsGivenUp: by another rate, by a leap, or by standing still.
func TestACounterThatCannotBeTrustedIsGivenUp(t *testing.T) {
	for name, spoil := range map[string]func(m *machineOf){
		"another rate": func(m *machineOf) { m.pass(everyNs, 2600) },
		"a leap":       func(m *machineOf) { m.pass(1000*everyNs, 2400); m.ns += 20e6 },
		"back":         func(m *machineOf) { m.ns += everyNs; m.ticks -= 1e9 },
		"still":        func(m *machineOf) { m.ns += everyNs },
	} {
		c, m := started(t, 2400)
		spoil(m)
		c.adjust()
		if c.line.Load() != nil {
			t.Errorf("%s: the counter is still used", name)
		}
		if m.pass(everyNs, 2400); c.line.Load() != nil {
			t.Errorf("%s: it is used again", name)
		}
	}
	c := &clock{counter: func() uint64 { return 7 }, kernel: func() int64 { return 7 }}
	if c.start(func() {}); c.line.Load() != nil {
		t.Error("a counter that stands still is used")
	}
}

// TestAnotherCoreMayBeBehind: a counter below the anchor is time at the anchor, not ages later.
func TestAnotherCoreMayBeBehind(t *testing.T) {
	c, m := started(t, 2400)
	m.ticks -= 100
	if now := c.nowForTest(); now != c.line.Load().ns {
		t.Errorf("%d, want %d", now, c.line.Load().ns)
	}
}

// TestNowIsTheMonotonicClock on the real machine, whatever it reads, while another goroutine adjusts.
func TestNowIsTheMonotonicClock(t *testing.T) {
	Start()
	t.Log(Describe())
	var done sync.WaitGroup
	done.Go(func() {
		for range 20 {
			time.Sleep(6 * time.Millisecond)
			Adjust()
		}
	})
	for end := nanotime() + 130e6; nanotime() < end; {
		before := nanotime()
		now := Now()
		after := nanotime()
		// The rate found within 10 ms of a busy machine may be off by some parts in a hundred thousand.
		if now < before-1e6 || now > after+1e6 {
			t.Fatalf("%d is not between %d and %d", now, before, after)
		}
	}
	done.Wait()
}

func TestNowDoesNotAllocate(t *testing.T) {
	Start()
	if n := testing.AllocsPerRun(100, func() { _ = Now() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNow(b *testing.B) {
	Start()
	b.ReportAllocs()
	for b.Loop() {
		_ = Now()
	}
}

// BenchmarkKernelClock is what a reading would cost without the counter.
func BenchmarkKernelClock(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = nanotime()
	}
}
