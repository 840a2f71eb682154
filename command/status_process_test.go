package command

import (
	"strings"
	"testing"

	"lockstep/node"
)

// TestStatusShowsTheProcess: every part of it, gaps of hot threads only.
func TestStatusShowsTheProcess(t *testing.T) {
	var out strings.Builder
	err := showProcess(&out, &node.Status{Node: 2, Process: node.ProcessStatus{
		Processors: 3, Preemption: "without signals", Memory: "locked", Resident: 61 << 20, Heap: 5 << 20, MemoryLimit: 4 << 30,
		GCCycles: 7, GCMinute: 1, GCPauseNs: 123_456,
		Mapped: []node.MemoryStatus{{What: "log ring", Bytes: 16 << 20, Pages: "2 MiB pages of the pool"}},
		Threads: []node.ThreadStatus{
			{Name: "journal", Idle: "blocks", Cores: "0-1", Voluntary: 9},
			{Name: "core", Hot: true, Idle: "spin", Pinned: true, Cores: "2", GapSecond: 1500, GapMinute: 20_000, GapMax: 3_000_000, Stalls: 4},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"node 2: 3 processors for Go, threads that run for long are preempted without signals",
		"memory: locked; present 61 MiB, swapped out 0 KiB", "log ring: 16384 KiB in 2 MiB pages of the pool",
		"garbage: 7 collections, 1 within the last minute, longest pause 123.5 us; heap 5 MiB, 4096 at most",
		"journal blocks false 0-1 - - - - 0 0 9 0", "core spin true 2 1.5 20.0 3000.0 4 0 0 0 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not show %q", out.String(), want)
		}
	}
}
