package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Timer slack is how much later than asked the kernel may wake a thread whose timer is up.
const (
	runnerSlackNs  = 50_000    // the kernel's usual, of threads that a Runner runs
	relaxedSlackNs = 5_000_000 // of all others, once RelaxTimers was called
)

// RelaxTimers lets all threads that this process has now, and those that they start, wake 5 ms later than their timers say;
// those of a Runner keep to theirs.
//
// It is for the Go runtime's monitor, a thread that looks every 20 us after a goroutine that stays in a system call, again
// from the start each time that it has found one. A process with threads that block in system calls keeps it at that:
// thousands of wake-ups a second, each on a core that a hot thread wants. What it does can wait: it takes the processor of
// Go from a goroutine whose system call lasts, which matters where all others are taken, and has goroutines that run
// for more than 10 ms let others in.
//
// Call it once, before the threads that hold to their timers are started. For threads other than the calling one the kernel
// asks for CAP_SYS_NICE; without it an error says so, and the process is as it was, only less quiet.
func RelaxTimers() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("agent: relax timers: %w", err)
	}
	slack := strconv.AppendInt(nil, relaxedSlackNs, 10)
	for _, task := range tasks {
		// Only the directories of /proc itself have this file, and it has those of all threads, although it does not list them.
		err := os.WriteFile("/proc/"+task.Name()+"/timerslack_ns", slack, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // else the thread has ended
			return fmt.Errorf("agent: relax timers: grant CAP_SYS_NICE, or start the process with timer slack "+
				"(TimerSlackNSec=5ms in its unit): %w", err)
		}
	}
	return nil
}

// keepTime has the calling thread hold to its timers, whatever it has inherited.
func keepTime() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, runnerSlackNs, 0, 0, 0) // cannot fail; later timers would be all
}
