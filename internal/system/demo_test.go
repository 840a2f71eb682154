package system

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/bench"
	"lockstep/internal/lab"
)

// running lists the processes that run a binary.
func running(binary string) (pids []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && exe == binary {
			pids = append(pids, strings.Split(link, "/")[2])
		}
	}
	return pids
}

// awaitGone waits until no process runs a binary.
func awaitGone(t *testing.T, binary string) {
	t.Helper()
	for deadline := time.Now().Add(patience); len(running(binary)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %v are left", running(binary))
		}
	}
}

// host is what a demo could leave on this machine besides processes.
func host(t *testing.T) (facts []string) {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		facts = append(facts, "interface "+l.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	named, _ := filepath.Glob("/run/netns/*")
	facts = append(append(facts, strings.Split(string(mounts), "\n")...), named...)
	slices.Sort(facts)
	return facts
}

// demoCommand is a run of the demo whose temporary files are in dir.
func demoCommand(binary, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append([]string{"demo", "--json", filepath.Join(dir, "demo.json")}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Dir = dir
	return cmd
}

// checkDemo runs a demo and holds its rows against what they must say.
func checkDemo(t *testing.T, cmd *exec.Cmd, dir, transport string) {
	t.Helper()
	out, code := runCmd(t, nil, cmd)
	if code != 0 {
		t.Fatalf("the demo ends with exit code %d: %s", code, out)
	}
	if !strings.Contains(out, "replayed offline, makes a book with the same hash") {
		t.Errorf("the demo does not replay a journal: %s", out)
	}
	f, err := os.Open(filepath.Join(dir, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var levels []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r bench.Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if r.Lost+r.Duplicated+r.Reordered > 0 || r.Acked == 0 || r.Transport != transport {
			t.Errorf("a row says %+v", r)
		}
		levels = append(levels, r.Scenario+" "+r.Level)
	}
	want := []string{"demo received", "demo sequenced", "demo replicated", "demo durable", "demo applied",
		"failover applied"}
	if !slices.Equal(levels, want) {
		t.Errorf("the rows are %v, want %v", levels, want)
	}
}

func TestShouldLeaveNothingWhenDemoIsKilled(t *testing.T) {
	needXDP(t)
	binary, dir, before := copyBinary(t), t.TempDir(), host(t)
	cmd := demoCommand(binary, dir, "--transport", "xdp", "--xdp-mode", "generic")
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan() && !strings.HasPrefix(lines.Text(), "sequenced"); {
	}
	if n := len(running(binary)); n < 5 {
		t.Errorf("%d processes of the demo run: it was to be killed in mid-run", n)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	awaitGone(t, binary)
	if after := host(t); !slices.Equal(before, after) {
		t.Errorf("before the demo there were\n%v\nand behind it\n%v", before, after)
	}
	checkDemo(t, demoCommand(binary, dir, "--transport", "xdp", "--xdp-mode", "generic"), dir, "xdp")
	if left, _ := filepath.Glob(filepath.Join(dir, "lockstep-demo-*")); len(left) != 1 {
		t.Errorf("the next demo left %v: want its own directory only", left)
	}
	awaitGone(t, binary)
}

func TestShouldLeaveNothingWhenHolderIsKilled(t *testing.T) {
	needXDP(t)
	binary, dir, before := copyBinary(t), t.TempDir(), host(t)
	runtime := filepath.Join(dir, "runtime")
	command := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.Command(binary, append(append([]string{"lab"}, args...), "--runtime", runtime)...)
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		return runCmd(t, nil, cmd)
	}
	for range 2 { // the second finds what the first left
		if out, code := command("up"); code != 0 {
			t.Fatalf("lab up: exit code %d: %s", code, out)
		}
		if out, code := command("up"); code != 2 {
			t.Errorf("a second lab up: exit code %d: %s", code, out)
		}
		held, err := lab.Attach(runtime)
		if err != nil {
			t.Fatal(err)
		}
		s, err := held.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(running(binary)); n != 4 {
			t.Errorf("%d processes run, want a holder and three nodes", n)
		}
		if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, binary)
		if after := host(t); !slices.Equal(before, after) {
			t.Errorf("before the lab there were\n%v\nand behind it\n%v", before, after)
		}
	}
	if out, code := command("up"); code != 0 {
		t.Fatalf("lab up: exit code %d: %s", code, out)
	}
	if out, code := command("down"); code != 0 {
		t.Errorf("lab down: exit code %d: %s", code, out)
	}
	awaitGone(t, binary)
	if left, _ := filepath.Glob(filepath.Join(dir, "lockstep-lab-*")); len(left) != 0 {
		t.Errorf("lab down left %v", left)
	}
}
