package jitter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/agent"
	"lockstep/agent/tsc"
)

// Options say what to measure.
type Options struct {
	Cores       []int         // those to measure, all at the same time; none: all that are allowed
	Measure     time.Duration // for how long, above 0
	ThresholdNs int64         // what is longer is a pause; 0: eight times the shortest time between two readings, 200 ns at least
	Root        string        // where /proc, /sys and /dev are; empty: /
}

// Measure measures some cores at the same time. When ctx ends the report is of the time until then.
func Measure(ctx context.Context, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	tsc.Start()
	restore := makeRoom(o.Cores)
	defer restore()
	g := &gang{o: o, reader: reader{root: o.Root}}
	if o.Root == "" {
		g.reader.root = "/"
	}
	if err := g.start(tsc.Now); err != nil {
		return nil, errors.Join(err, g.stop())
	}
	before := g.reader.read(o.Cores, g.threads())
	startNs := tsc.Now()
	g.recording.Store(true)
	end := time.NewTimer(o.Measure)
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
	case <-g.runners[0].Done(): // it has failed: stop says why
	}
	g.recording.Store(false)
	after := g.reader.read(o.Cores, g.threads())
	elapsed := time.Duration(tsc.Now() - startNs)
	if err := g.stop(); err != nil {
		return nil, err
	}
	return g.report(before, after, elapsed), nil
}

// Check says what is wrong with the options. Cores that are not given become all that are allowed.
func (o *Options) Check() error {
	allowed, err := Allowed()
	if err != nil {
		return err
	}
	if len(o.Cores) == 0 {
		o.Cores = allowed
	}
	if o.Measure <= 0 {
		return fmt.Errorf("jitter: measured time %v: want one above 0", o.Measure)
	}
	if o.ThresholdNs < 0 || o.ThresholdNs >= longestNs {
		return fmt.Errorf("jitter: threshold %v: want 0 (found by looking) to %v", time.Duration(o.ThresholdNs),
			time.Duration(longestNs))
	}
	seen := map[int]bool{}
	for _, core := range o.Cores {
		if !slices.Contains(allowed, core) {
			return fmt.Errorf("jitter: core %d is none of %v, which threads of this process can be moved to", core, allowed)
		}
		if seen[core] {
			return fmt.Errorf("jitter: core %d is given twice", core)
		}
		seen[core] = true
	}
	return nil
}

// makeRoom lets the Go runtime have processors beside those that the meters keep, and this thread, with those that it starts, cores
// that are not measured if there are any. restore gives back what was.
func makeRoom(measured []int) (restore func()) {
	before := runtime.GOMAXPROCS(0)
	if want := len(measured) + 2; before < want {
		runtime.GOMAXPROCS(want)
	}
	var old unix.CPUSet
	_ = unix.SchedGetaffinity(unix.Getpid(), &old) // an empty set: everything stays where it is
	others := old
	for _, core := range measured {
		others.Clear(core)
	}
	if others.Count() > 0 {
		setThreads(&others)
	}
	return func() {
		if others.Count() > 0 {
			setThreads(&old)
		}
		runtime.GOMAXPROCS(before)
	}
}

// gang is the meters of all cores.
type gang struct {
	o         Options
	reader    reader
	recording atomic.Bool
	meters    []*meter
	runners   []*agent.Runner
}

func (g *gang) start(now func() int64) error {
	for _, core := range g.o.Cores {
		m := newMeter(core, g.o.ThresholdNs, now, &g.recording)
		r := agent.NewRunner(m, agent.RunnerOptions{CPU: core, Idle: agent.Spin{}, Clock: agent.System{}, BoundedPin: true})
		if err := r.Start(); err != nil {
			return err
		}
		g.meters, g.runners = append(g.meters, m), append(g.runners, r)
	}
	return nil
}

func (g *gang) stop() (err error) {
	for _, r := range g.runners {
		err = errors.Join(err, r.Stop())
	}
	return err
}

func (g *gang) threads() (ids []int) {
	for _, m := range g.meters {
		ids = append(ids, int(m.thread.Load()))
	}
	return ids
}

func (g *gang) report(before, after []counted, elapsed time.Duration) *Report {
	r := &Report{Seconds: thousandths(elapsed.Seconds()), Clock: tsc.Describe(), Signals: !agent.AsyncPreemptOff()}
	isolated, _ := agent.Isolated()
	for i, m := range g.meters {
		c := m.seen(elapsed)
		c.Isolated = slices.Contains(isolated, m.core)
		c.StealPct = percent(float64(after[i].stealNs-before[i].stealNs), float64(elapsed))
		c.WaitedPct = percent(float64(after[i].waitedNs-before[i].waitedNs), float64(elapsed))
		c.Causes = after[i].since(&before[i], elapsed.Seconds())
		c.Unread = after[i].unread
		r.Cores = append(r.Cores, c)
	}
	return r
}

// seen is what one meter saw.
func (m *meter) seen(elapsed time.Duration) Core {
	us := func(ns int64) float64 { return thousandths(float64(ns) / 1e3) }
	at := func(q float64) float64 { return us(m.pauses.ValueAtQuantile(q)) }
	c := Core{
		Core: m.core, ThresholdUs: us(m.thresholdNs), Count: uint64(m.pauses.TotalCount()),
		PausedPct: percent(float64(m.pauseNs), float64(m.seenNs)),
		SeenPct:   percent(float64(m.seenNs), float64(m.lastNs-m.firstNs)),
		Pauses:    m.pauses,
	}
	c.PerSec = tenths(float64(c.Count) / max(1e-9, elapsed.Seconds()))
	if c.Count > 0 {
		c.MinUs, c.P50Us, c.P90Us, c.P99Us = us(m.pauses.Min()), at(50), at(90), at(99)
		c.P999Us, c.P9999Us, c.MaxUs = at(99.9), at(99.99), us(m.pauses.Max())
		c.MeanUs = thousandths(float64(m.pauseNs) / float64(c.Count) / 1e3)
	}
	c.Histogram = bars(m.pauses)
	return c
}

func percent(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return math.Round(100_000*part/whole) / 1000
}

func tenths(x float64) float64 { return math.Round(x*10) / 10 }

func thousandths(x float64) float64 { return math.Round(x*1000) / 1000 }
