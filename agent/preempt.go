package agent

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// asyncPreempt is the setting that has the Go runtime send no preemption signals. The runtime takes it from the
// environment at the start of the process, and from nowhere else.
const asyncPreempt = "asyncpreemptoff"

// AsyncPreemptOff says whether this process runs with GODEBUG=asyncpreemptoff=1.
func AsyncPreemptOff() bool { return asyncPreemptOff(os.Getenv("GODEBUG")) }

func asyncPreemptOff(godebug string) bool {
	off := false
	for setting := range strings.SplitSeq(godebug, ",") {
		if name, value, _ := strings.Cut(setting, "="); name == asyncPreempt {
			off = value == "1" // the last one counts
		}
	}
	return off
}

// ExecAsyncPreemptOff replaces this process by itself, same arguments, with GODEBUG=asyncpreemptoff=1 added to the
// environment. It does nothing when that is in force already, and otherwise returns only with an error. It must come
// first in a process: threads, locks and unsaved work are gone.
func ExecAsyncPreemptOff() error {
	godebug := os.Getenv("GODEBUG")
	if asyncPreemptOff(godebug) {
		return nil
	}
	setting := asyncPreempt + "=1"
	if godebug != "" {
		setting = godebug + "," + setting
	}
	env := []string{"GODEBUG=" + setting}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GODEBUG=") {
			env = append(env, variable)
		}
	}
	err := syscall.Exec("/proc/self/exe", os.Args, env)
	return fmt.Errorf("agent: start anew with GODEBUG=%s (setting it in the environment does as well): %w", setting, err)
}
