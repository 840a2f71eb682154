package node

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"lockstep/agent"
	"lockstep/internal/counters"
)

// watch looks at the process once a second, from a goroutine of its own, and counts what it sees: garbage collections,
// memory, and what the kernel did to the hot threads. Hot threads do no more for it than to tell their gaps.
type watch struct {
	threads []watched
	cycles  minute // garbage collections so far

	collections, collectionsMinute, pause, heap *counters.Counter
	resident, locked, swapped                   *counters.Counter
}

// watched is a hot thread.
type watched struct {
	runner *agent.Runner
	gaps   minute
	second *counters.Counter // told by the thread itself

	gap, minor, major, voluntary, involuntary *counters.Counter
}

// minute holds a value for each of the last sixty seconds.
type minute struct {
	values [60]uint64
	seen   int
}

func (m *minute) add(v uint64) {
	m.values[m.seen%len(m.values)] = v
	m.seen++
}

// longest is the largest value.
func (m *minute) longest() (v uint64) {
	for _, x := range m.values[:min(m.seen, len(m.values))] {
		v = max(v, x)
	}
	return v
}

// grown is by how much a value that grows has grown.
func (m *minute) grown() uint64 {
	if m.seen == 0 {
		return 0
	}
	newest := m.values[(m.seen-1)%len(m.values)]
	if m.seen <= len(m.values) {
		return newest - m.values[0]
	}
	return newest - m.values[m.seen%len(m.values)]
}

// newWatch makes the watch over a node's process, once its threads are laid out.
func newWatch(n *Node) *watch {
	count := n.counters.Counter
	w := &watch{
		collections:       count("lockstep_gc_cycles_total", "Garbage collections of the Go runtime."),
		collectionsMinute: count("lockstep_gc_cycles_minute", "Garbage collections within the last minute."),
		pause:             count("lockstep_gc_pause_max_ns", "Longest stop of all threads for one, nanoseconds."),
		heap:              count("lockstep_heap_bytes", "Bytes of objects on the Go heap."),
		resident:          count("lockstep_memory_resident_bytes", "Memory of the process that is present."),
		locked:            count("lockstep_memory_locked_bytes", "Memory of the process that cannot be swapped out."),
		swapped:           count("lockstep_memory_swapped_bytes", "Memory of the process that is swapped out."),
	}
	signals := count("lockstep_preemption_signals", "1: the Go runtime sends signals to threads that run for long.")
	signals.Set(flag(!agent.AsyncPreemptOff()))
	for i := range n.threads {
		if t := &n.threads[i]; t.hot {
			w.threads = append(w.threads, newWatched(n.counters, t))
		}
	}
	return w
}

func newWatched(file *counters.File, t *thread) watched {
	name := t.agent.Name()
	of := func(base, kind, help string) *counters.Counter {
		return file.Counter(fmt.Sprintf("lockstep_thread_%s{thread=%q,kind=%q}", base, name, kind), help)
	}
	const faults, switches = "Page faults of a hot thread.", "Times that a hot thread left its core."
	file.Counter(fmt.Sprintf("lockstep_thread_pinned{thread=%q}", name),
		"1: the Go scheduler takes this thread's goroutine off it at safe points only.").Set(flag(t.runner.Pinned()))
	return watched{
		runner: t.runner, second: file.Counter(agent.GapCounter(name, "second"), ""),
		gap:         file.Counter(agent.GapCounter(name, "minute"), ""),
		minor:       of("faults_total", "minor", faults),
		major:       of("faults_total", "major", faults),
		voluntary:   of("switches_total", "voluntary", switches),
		involuntary: of("switches_total", "involuntary", switches),
	}
}

func flag(on bool) uint64 {
	if on {
		return 1
	}
	return 0
}

// look takes a second's values. The watch's goroutine.
func (w *watch) look() {
	gc, memory := readGC(), readMemory()
	w.cycles.add(gc.cycles)
	w.collections.Set(gc.cycles)
	w.collectionsMinute.Set(w.cycles.grown())
	w.pause.Set(gc.pauseNs)
	w.heap.Set(gc.heap)
	w.resident.Set(memory.resident)
	w.locked.Set(memory.locked)
	w.swapped.Set(memory.swapped)
	for i := range w.threads {
		t := &w.threads[i]
		t.gaps.add(t.second.Load())
		t.gap.Set(t.gaps.longest())
		use, err := t.runner.Use()
		if err != nil {
			continue // it has ended
		}
		t.minor.Set(use.MinorFaults)
		t.major.Set(use.MajorFaults)
		t.voluntary.Set(use.Voluntary)
		t.involuntary.Set(use.Involuntary)
	}
}

// keepWatch has the watch look while the node runs.
func (n *Node) keepWatch() {
	n.counters.Counter("lockstep_processors", "Processors that Go uses.").Set(uint64(runtime.GOMAXPROCS(0)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	n.closers = append(n.closers, func() error { // before the counters are closed
		cancel()
		<-done
		return nil
	})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				n.watch.look()
			}
		}
	}()
}
