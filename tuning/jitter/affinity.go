package jitter

import (
	"errors"
	"fmt"
	"os"
	"runtime"
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

// mostCores is how many cores an affinity mask has room for.
const mostCores = 1024

// Allowed are the cores that threads of this process can be moved to: those that it runs on, and those that are kept from it
// only as long as nobody asks, as isolated cores are. The kernel tells which by letting a thread go there.
func Allowed() (cores []int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return nil, fmt.Errorf("jitter: which cores this thread runs on: %w", err)
	}
	defer func() { err = errors.Join(err, unix.SchedSetaffinity(0, &old)) }()
	for core := range mostCores {
		var one unix.CPUSet
		one.Set(core)
		if unix.SchedSetaffinity(0, &one) == nil {
			cores = append(cores, core)
		}
	}
	return cores, nil
}
