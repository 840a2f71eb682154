package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/agent"
)

// partVariable names the part that a process which a test has started plays.
const partVariable = "LOCKSTEP_NODE_TEST_PART"

// aside runs the rest of a test in a process of its own with attributes of its own, and returns what it wrote; there, it
// returns false.
func aside(t *testing.T, attributes *syscall.SysProcAttr) (out string, here bool) {
	t.Helper()
	if os.Getenv(partVariable) == t.Name() {
		return "", false
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v")
	cmd.Env = append(os.Environ(), partVariable+"="+t.Name())
	cmd.SysProcAttr = attributes
	text, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EPERM) {
		t.Skipf("needs root: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return string(text), true
}

// wants looks for sentences.
func wants(t *testing.T, text string, sentences ...string) {
	t.Helper()
	for _, want := range sentences {
		if !strings.Contains(text, want) {
			t.Errorf("nothing says %q:\n%s", want, text)
		}
	}
}

// fill leaves no room in a folder.
func fill(t *testing.T, folder string) {
	t.Helper()
	file, err := os.Create(filepath.Join(folder, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, size := range []int{1 << 20, 4096} { // a file system may count in blocks
		for b := make([]byte, size); err == nil; {
			_, err = file.Write(b)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
}

// TestAFullTmpfsIsAnErrorAndNoFault, wherever a node maps or writes files: each start says which file lacks how much, and
// no page of a mapped file is found missing later, which would end the process.
func TestAFullTmpfsIsAnErrorAndNoFault(t *testing.T) {
	_, here := aside(t, &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
	if here {
		return
	}
	folder := t.TempDir()
	if err := unix.Mount("none", folder, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(folder, unix.MNT_DETACH) })
	config := Defaults()
	config.Node, config.Dir = 1, filepath.Join(folder, "node")
	config.Cluster.RingBytes, config.Journal.SyncBytes, config.Journal.SegmentBytes = 1<<20, 1<<18, 1<<20
	data, control := freePorts(t)
	config.Cluster.Nodes = []NodeConfig{{ID: 1, Data: data, Control: control}}
	start := func() (string, error) {
		var out strings.Builder
		n, err := Open(config, &out)
		if err != nil {
			return err.Error(), err
		}
		return out.String(), n.close()
	}

	fill(t, folder)
	if _, err := Format(t.Context(), config.Dir, 1, 0, nil); !errors.Is(err, ErrConfig) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a directory was made without room: %v", err)
	}
	empty(t, folder)
	if _, err := Format(t.Context(), config.Dir, 1, 0, nil); err != nil {
		t.Fatal(err)
	}
	fill(t, folder)
	text, err := start()
	if !errors.Is(err, ErrConfig) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a start without room for the log: %v", err)
	}
	wants(t, text, "prepare segment 00000000000000000000.seg", "0 bytes free: no space left on device")

	config.Counters = filepath.Join(folder, "counters")
	text, err = start()
	if !errors.Is(err, ErrConfig) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a start without room for counters: %v", err)
	}
	wants(t, text, `key "counters": counters: create "`+config.Counters+`"`, "no space left on device")

	config.Counters = ""
	if err := os.Remove(filepath.Join(folder, "filler")); err != nil {
		t.Fatal(err)
	}
	for _, place := range memoryFolders {
		if isTmpfs(place) {
			if err := unix.Mount("none", place, "tmpfs", 0, "size=16k"); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err = start()
	if err != nil {
		t.Errorf("a start with a full /dev/shm: %v", err)
	}
	wants(t, text, "counters are in the directory, no tmpfs takes them")
}

func empty(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(folder, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatAProcessMayNotIsSaid: locked memory beyond the limit, and a core that is not there.
func TestWhatAProcessMayNotIsSaid(t *testing.T) {
	const nobody = 65534
	_, here := aside(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}})
	if here {
		return
	}
	limit := unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	n := &Node{out: &out}
	n.lockMemory()
	wants(t, out.String(), "memory is not locked (the process may lock 64 KiB)", "LimitMEMLOCK=infinity or CAP_IPC_LOCK")
	wants(t, *n.locked.Load(), "not locked: the process may lock 64 KiB")

	r := agent.NewRunner(agent.NewComposite("hot"), agent.RunnerOptions{CPU: 1023, Idle: agent.Yield{}, Clock: agent.System{}})
	wants(t, fmt.Sprint(r.Start()), "run hot on core 1023 (is it there, and in this process's cpuset?)")

	config := Defaults()
	config.Node, config.Transport.Kind, config.Transport.Interface = 1, "xdp", "lo"
	config.Cluster.Nodes = []NodeConfig{{ID: 1, Data: "127.0.0.1:7400", Control: "127.0.0.1:7500"}}
	n = &Node{config: config, out: io.Discard}
	err := n.openTransport()
	if !errors.Is(err, ErrConfig) {
		t.Errorf("AF_XDP without capabilities: %v", err)
	}
	wants(t, fmt.Sprint(err), "capability missing: the process lacks CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON")
}
