package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThreadsOfRunnersHoldToTheirTimersWhenOthersAreRelaxed(t *testing.T) {
	output, err := play(t, "relax", "")
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if output == "refused" {
		t.Skip("CAP_SYS_NICE is missing")
	}
	want := fmt.Sprintf("all others %d, runner %d", relaxedSlackNs, runnerSlackNs)
	if output != want {
		t.Errorf("timer slack: %q, want %q", output, want)
	}
}

// playRelax relaxes timers and says what slack threads have: those that were there, a new one, and a runner's.
func playRelax() {
	err := RelaxTimers()
	if errors.Is(err, fs.ErrPermission) {
		fmt.Print("refused")
		return
	}
	if err != nil {
		fmt.Print(err)
		return
	}
	others := map[string]bool{}
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		others[slackOf(task.Name())] = true
	}
	started := make(chan string)
	go func() {
		runtime.LockOSThread() // it ends locked: with a thread of its own
		started <- slackOf(fmt.Sprint(unix.Gettid()))
	}()
	others[<-started] = true
	own := make(chan string, 1)
	r := NewRunner(&scripted{name: "timed", onStart: func(int64) error {
		own <- slackOf(fmt.Sprint(unix.Gettid()))
		return nil
	}}, options(Yield{}))
	if err := r.Start(); err != nil {
		fmt.Print(err)
		return
	}
	_ = r.Stop()
	all := make([]string, 0, len(others))
	for slack := range others {
		all = append(all, slack)
	}
	fmt.Printf("all others %s, runner %s", strings.Join(all, " and "), <-own)
}

// slackOf reads the timer slack of a thread.
func slackOf(thread string) string {
	text, err := os.ReadFile("/proc/" + thread + "/timerslack_ns")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}
