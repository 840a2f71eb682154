package node

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/agent"
)

// How the Go runtime collects garbage in a node: when the heap has grown by so much, and before it takes so much.
const (
	gcPercent   = 400
	memoryLimit = 4 << 30
)

// PrepareProcess sets what a process can set only for itself, before anything else runs: when it collects garbage,
// preemption signals (layout dedicated: by executing itself again), timers of threads that are not the node's own. What
// can be done without is only told out.
func PrepareProcess(c *Config, out io.Writer) error {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	if c.Threads.Layout == "dedicated" && len(c.Threads.Cores) > 0 {
		if err := withoutPreemption(); err != nil {
			return err
		}
	}
	if err := agent.RelaxTimers(); err != nil {
		fmt.Fprintf(out, "node %d: the Go runtime will wake up thousands of times a second: %v\n", c.Node, err)
	}
	return nil
}

// withoutPreemption sees to it that the Go runtime sends hot threads no signals; the process starts itself again for
// that, once.
func withoutPreemption() error {
	if agent.AsyncPreemptOff() {
		return nil
	}
	return agent.ExecAsyncPreemptOff()
}

// lockMemory keeps in memory what is mapped now, all of it, and what is mapped later, page by page as it is touched.
// All that a hot thread uses is mapped by then. Without the privilege it says so and goes on.
func (n *Node) lockMemory() {
	locked := "locked"
	defer func() { n.locked.Store(&locked) }()
	err := unix.Mlockall(unix.MCL_CURRENT)
	if err == nil {
		err = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	}
	if err != nil {
		why := err.Error()
		var limit unix.Rlimit
		if err == unix.ENOMEM && unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil && limit.Cur < math.MaxUint64 {
			why = fmt.Sprintf("the process may lock %d KiB", limit.Cur>>10) // that is how the kernel says so
		}
		locked = "not locked: " + why
		n.logf("memory is not locked (%s): a page that is swapped out stalls a thread; "+
			"LimitMEMLOCK=infinity or CAP_IPC_LOCK mends it", why)
	}
}

// memoryUse is what the kernel says of this process's memory, in bytes.
type memoryUse struct{ resident, locked, swapped uint64 }

func readMemory() (u memoryUse) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return u
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		into, ok := map[string]*uint64{"VmRSS": &u.resident, "VmLck": &u.locked, "VmSwap": &u.swapped}[name]
		if !ok {
			continue
		}
		if kilobytes, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err == nil {
			*into = kilobytes << 10
		}
	}
	return u
}

// gcUse is what the Go runtime says of its collections. Reading it stops nothing.
type gcUse struct {
	cycles  uint64
	pauseNs uint64 // of the longest pause, rounded up to the end of its bucket
	heap    uint64 // bytes of objects, dead ones too
}

func readGC() (u gcUse) {
	samples := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/sched/pauses/total/gc:seconds"},
		{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	if v := samples[0].Value; v.Kind() == metrics.KindUint64 {
		u.cycles = v.Uint64()
	}
	if v := samples[1].Value; v.Kind() == metrics.KindFloat64Histogram {
		u.pauseNs = longestNs(v.Float64Histogram())
	}
	if v := samples[2].Value; v.Kind() == metrics.KindUint64 {
		u.heap = v.Uint64()
	}
	return u
}

// longestNs is the end of the last bucket that holds something, or where it begins if it has no end.
func longestNs(h *metrics.Float64Histogram) uint64 {
	for i := len(h.Counts) - 1; i >= 0; i-- {
		if h.Counts[i] == 0 {
			continue
		}
		end := h.Buckets[i+1]
		if math.IsInf(end, 1) {
			end = h.Buckets[i]
		}
		return uint64(end * 1e9)
	}
	return 0
}
