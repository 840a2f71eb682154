package main

import (
	"runtime"

	"lockstep/agent"
)

// idle is what the load does between two looks, when there was nothing: it lets the other goroutines of its process have the
// processor, and then the other processes.
type idle struct{ yield agent.Yield }

// Idle gives way.
func (i idle) Idle(work int) {
	if work == 0 {
		runtime.Gosched()
		i.yield.Idle(0)
	}
}
