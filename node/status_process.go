package node

import (
	"fmt"
	"runtime"
	"strconv"
	"time"

	"lockstep/agent"
)

// What the process is held to, and beyond what status says so.
const (
	// gcAlarmMinute is how many garbage collections of one minute are too many: each stops all threads several times.
	gcAlarmMinute = 60
	// gapPart is the part of the shortest election time-out that a hot thread may be away for.
	gapPart = 4
)

// ProcessStatus is how the process is held to its work: threads, memory, the Go runtime.
type ProcessStatus struct {
	Processors int    `json:"processors"` // that Go uses
	Preemption string `json:"preemption"` // of threads that run for long, by the Go runtime

	GCPercent   int            `json:"gc_percent"`
	MemoryLimit uint64         `json:"memory_limit_bytes"` // of the Go heap
	Heap        uint64         `json:"heap_bytes"`
	GCCycles    uint64         `json:"gc_cycles"`
	GCMinute    uint64         `json:"gc_cycles_minute"`
	GCPauseNs   uint64         `json:"gc_pause_max_ns"`
	Mapped      []MemoryStatus `json:"mapped"` // memory that hot threads use, outside of the Go heap
	Memory      string         `json:"memory"` // locked or not, and why
	Resident    uint64         `json:"resident_bytes"`
	Locked      uint64         `json:"locked_bytes"`
	Swapped     uint64         `json:"swapped_bytes"`
	GapLimitNs  uint64         `json:"gap_limit_ns"` // a hot thread that was away for longer is an alarm
	Threads     []ThreadStatus `json:"threads"`
}

// ThreadStatus is a thread of the node. Gaps are nanoseconds between the starts of two duty cycles, of hot threads.
type ThreadStatus struct {
	Name        string `json:"name"`
	Hot         bool   `json:"hot"`
	Idle        string `json:"idle"`   // what it does without work
	Pinned      bool   `json:"pinned"` // the Go scheduler is let in at safe points only
	Core        string `json:"core"`   // that the config gives it; empty: any
	Cores       string `json:"cores"`  // that the kernel lets it run on
	GapSecond   uint64 `json:"gap_second_ns"`
	GapMinute   uint64 `json:"gap_minute_ns"`
	GapMax      uint64 `json:"gap_max_ns"`
	Stalls      uint64 `json:"stalls"` // gaps of a millisecond or more
	MinorFaults uint64 `json:"minor_faults"`
	MajorFaults uint64 `json:"major_faults"`
	Voluntary   uint64 `json:"voluntary_switches"`
	Involuntary uint64 `json:"involuntary_switches"`
}

// addProcess fills in what the process does.
func (n *Node) addProcess(s *Status) {
	gc, memory := readGC(), readMemory()
	p := &s.Process
	*p = ProcessStatus{
		Processors: runtime.GOMAXPROCS(0), Preemption: "by signals after 10 ms",
		GCPercent: gcPercent, MemoryLimit: memoryLimit, Heap: gc.heap, GCCycles: gc.cycles,
		GCMinute: n.gauge("lockstep_gc_cycles_minute"), GCPauseNs: gc.pauseNs,
		Memory: "not locked yet", Resident: memory.resident, Locked: memory.locked, Swapped: memory.swapped,
		GapLimitNs: uint64(n.config.Election.TimeoutMinMs) * 1e6 / gapPart,
	}
	p.Mapped = n.memoryStatus()
	if locked := n.locked.Load(); locked != nil {
		p.Memory = *locked
	}
	if agent.AsyncPreemptOff() {
		p.Preemption = "without signals"
	}
	for i := len(n.threads) - 1; i >= 0; i-- {
		p.Threads = append(p.Threads, n.threadStatus(&n.threads[i]))
	}
}

func (n *Node) threadStatus(t *thread) ThreadStatus {
	name := t.agent.Name()
	x := ThreadStatus{Name: name, Hot: t.hot, Idle: "blocks", Pinned: t.runner.Pinned()}
	if core := t.runner.CPU(); core != agent.NoCPU {
		x.Core = strconv.Itoa(core)
	}
	if t.hot {
		x.Idle = n.idle.String()
		x.GapSecond, x.GapMinute = n.gauge(agent.GapCounter(name, "second")), n.gauge(agent.GapCounter(name, "minute"))
		x.GapMax, x.Stalls = n.gauge(agent.GapCounter(name, "max")), n.gauge(agent.StallCounter(name))
	}
	if use, err := t.runner.Use(); err == nil {
		x.Cores, x.MinorFaults, x.MajorFaults = use.Cores, use.MinorFaults, use.MajorFaults
		x.Voluntary, x.Involuntary = use.Voluntary, use.Involuntary
	}
	return x
}

// alarms are what somebody should look at.
func (p *ProcessStatus) alarms() (list []string) {
	if p.GCMinute > gcAlarmMinute {
		list = append(list, fmt.Sprintf("%d garbage collections within a minute: each stops all threads (heap %d MiB of %d)",
			p.GCMinute, p.Heap>>20, p.MemoryLimit>>20))
	}
	if p.Swapped > 0 {
		list = append(list, fmt.Sprintf("%d KiB of the process are swapped out (memory is %s)", p.Swapped>>10, p.Memory))
	}
	for _, t := range p.Threads {
		if t.Core != "" && t.Cores != "" && t.Cores != t.Core {
			list = append(list, fmt.Sprintf("thread %s may run on cores %s, its own is %s: somebody has moved it",
				t.Name, t.Cores, t.Core))
		}
		if t.GapMinute > p.GapLimitNs {
			list = append(list, fmt.Sprintf("thread %s did not run for %v within the last minute: something else has its core",
				t.Name, time.Duration(t.GapMinute).Round(time.Millisecond)))
		}
	}
	return list
}
