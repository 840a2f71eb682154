package agent

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Some of what is tested here ends or hangs the process when it is wrong, or starts it anew: the test runs itself in a
// process of its own, whose part this variable names.
const partVariable = "LOCKSTEP_AGENT_TEST_PART"

func TestMain(m *testing.M) {
	switch part := os.Getenv(partVariable); part {
	case "":
		os.Exit(m.Run())
	case "pinned":
		playPinned()
	case "panic":
		playPinnedPanic()
	case "exec":
		playExec()
	case "relax":
		playRelax()
	default:
		fmt.Fprintf(os.Stderr, "no part %q\n", part)
		os.Exit(2)
	}
}

// play runs a part in a process of its own and returns what it wrote.
func play(t *testing.T, part, godebug string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "one", "two words")
	cmd.Env = append(os.Environ(), partVariable+"="+part, "GODEBUG="+godebug)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("the process hung; it had written %q", out.String())
	}
	return out.String(), err
}

// deep makes the pinned loop one with stack checks, like all real code.
//
//go:noinline
func deep(n int) int {
	var frame [256]byte
	frame[n%len(frame)] = byte(n)
	if n == 0 {
		return int(frame[0])
	}
	return deep(n-1) + int(frame[n%len(frame)])
}

// playPinned stops the world again and again while two pinned loops run, and prints how long that took, in intervals.
func playPinned() {
	runtime.GOMAXPROCS(4)
	var cycles [2]atomic.Int64
	var runners [2]*Runner
	for i := range runners {
		runners[i] = NewRunner(&scripted{name: "hot", doWork: func(now int64) (int, error) {
			cycles[i].Add(int64(deep(50))%2 + 1)
			return 0, nil
		}}, RunnerOptions{CPU: NoCPU, Idle: Yield{}, Clock: System{}, BoundedPin: true})
		if err := runners[i].Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	var stats runtime.MemStats
	for _, stop := range []func(){func() { runtime.ReadMemStats(&stats) }, runtime.GC} {
		best := time.Duration(math.MaxInt64) // of a few: other processes want the machine as well
		for try := 0; try < 7 || try < 50 && best > 3*safePointEveryNs; try++ {
			for i := range cycles { // both are back in their loops
				for before := cycles[i].Load(); cycles[i].Load() < before+10; {
					time.Sleep(time.Millisecond)
				}
			}
			started := time.Now()
			stop()
			best = min(best, time.Since(started))
		}
		fmt.Printf("%.2f ", float64(best)/safePointEveryNs)
	}
	for _, r := range runners {
		if err := r.Stop(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("intervals")
}

// TestStopTheWorldReturnsWhileLoopsArePinned: without the safe point this hangs, and with half of it, it takes tens of
// intervals.
func TestStopTheWorldReturnsWhileLoopsArePinned(t *testing.T) {
	for _, godebug := range []string{"asyncpreemptoff=1", "asyncpreemptoff=0"} {
		out, err := play(t, "pinned", godebug)
		var readMemStats, gc float64
		if _, scanErr := fmt.Sscanf(out, "%f %f intervals", &readMemStats, &gc); err != nil || scanErr != nil {
			t.Fatalf("GODEBUG=%s: %v\n%s", godebug, err, out)
		}
		t.Logf("GODEBUG=%s: ReadMemStats takes %.2f intervals, a garbage collection %.2f", godebug, readMemStats, gc)
		if readMemStats > 3 || gc > 3 {
			t.Errorf("GODEBUG=%s: ReadMemStats takes %.2f intervals, a garbage collection %.2f, want 3 at most",
				godebug, readMemStats, gc)
		}
	}
}

func playPinnedPanic() {
	r := NewRunner(&scripted{name: "hot", doWork: func(now int64) (int, error) { panic("the impossible") }},
		RunnerOptions{CPU: NoCPU, Idle: Yield{}, Clock: System{}, BoundedPin: true})
	_ = r.Start()
	<-r.Done()
	fmt.Println("survived")
}

// TestPanicWhilePinnedIsFatalAndNamed holds what the documentation says about it.
func TestPanicWhilePinnedIsFatalAndNamed(t *testing.T) {
	out, err := play(t, "panic", "asyncpreemptoff=1")
	if err == nil || strings.Contains(out, "survived") || !strings.Contains(out, "the impossible") {
		t.Errorf("%v\n%s", err, out)
	}
}

func playExec() {
	before := AsyncPreemptOff()
	if err := ExecAsyncPreemptOff(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Printf("%v then %v %q GODEBUG=%s\n", before, AsyncPreemptOff(), os.Args[1:], os.Getenv("GODEBUG"))
}

func TestExecAsyncPreemptOffStartsTheSameProgramAnew(t *testing.T) {
	for godebug, want := range map[string]string{
		"":                            `true then true ["one" "two words"] GODEBUG=asyncpreemptoff=1`,
		"madvdontneed=1":              `true then true ["one" "two words"] GODEBUG=madvdontneed=1,asyncpreemptoff=1`,
		"asyncpreemptoff=0":           `true then true ["one" "two words"] GODEBUG=asyncpreemptoff=0,asyncpreemptoff=1`,
		"asyncpreemptoff=1,gctrace=0": `true then true ["one" "two words"] GODEBUG=asyncpreemptoff=1,gctrace=0`,
	} {
		out, err := play(t, "exec", godebug)
		if got := strings.TrimSpace(out); err != nil || got != want {
			t.Errorf("GODEBUG=%q: %v\n got %s\nwant %s", godebug, err, got, want)
		}
	}
}

func TestAsyncPreemptOffReadsTheLastSetting(t *testing.T) {
	for godebug, want := range map[string]bool{
		"": false, "asyncpreemptoff=1": true, "asyncpreemptoff=0": false, "gctrace=1,asyncpreemptoff=1": true,
		"asyncpreemptoff=1,asyncpreemptoff=0": false, "asyncpreemptoff": false, "xasyncpreemptoff=1": false,
	} {
		if got := asyncPreemptOff(godebug); got != want {
			t.Errorf("%q: %v, want %v", godebug, got, want)
		}
	}
}
