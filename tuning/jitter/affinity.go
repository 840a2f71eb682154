package jitter

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// setThreads has all threads of this process run on some cores, those that they start as well. A thread that ends
// meanwhile, or that may not be moved, stays as it is: that costs quiet, not correctness.
func setThreads(set *unix.CPUSet) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, task := range tasks {
		if id, err := strconv.Atoi(task.Name()); err == nil {
			_ = unix.SchedSetaffinity(id, set)
		}
	}
}
