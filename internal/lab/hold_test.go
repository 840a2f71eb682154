package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testnet"
	"lockstep/node"
)

// TestMain lets the test binary play the lockstep binary: `lab hold`, and `node` without what a node does.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 5 && os.Args[1] == "lab" && os.Args[2] == "hold":
		ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		if err := HoldLaunched(ctx, os.Args[4], os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case len(os.Args) == 4 && os.Args[1] == "node":
		playNode(os.Args[3])
	default:
		os.Exit(m.Run())
	}
}

// refuses is in the environment of a node that ends at once.
const refuses = "LOCKSTEP_LAB_TEST_REFUSES"

// playNode says that node 1 leads, until it is killed.
func playNode(config string) {
	c, err := node.Load(config)
	if err != nil || os.Getenv(refuses) != "" {
		fmt.Println("this node refuses to run", err)
		os.Exit(1)
	}
	http.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(node.Status{Node: c.Node, Leader: 1})
	})
	fmt.Println(http.ListenAndServe(c.Self().Control, nil))
	os.Exit(1)
}

// runtimeDir is a runtime directory with a path short enough for a socket.
func runtimeDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// launch brings up a lab that is taken down at the end of the test, if it is still there.
func launch(t *testing.T, runtime string) (*Remote, State) {
	t.Helper()
	r, err := Launch(t.Context(), runtime, Options{Nodes: 2, Clients: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r, err := Attach(runtime); err == nil {
			if err := r.Down(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	s, err := r.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func gone(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

func TestLabIsHeldByAProcessOfItsOwn(t *testing.T) {
	runtime := runtimeDir(t)
	r, s := launch(t, runtime)
	if s.PID == os.Getpid() || s.PID == 0 || len(s.Nodes) != 2 || len(s.Clients) != 2 {
		t.Fatalf("the holder says %+v", s)
	}
	if _, err := Launch(t.Context(), runtime, Options{}); !errors.Is(err, ErrOptions) ||
		!strings.Contains(err.Error(), ErrUp.Error()) {
		t.Errorf("a second lab: %v, want it to say that one is up", err)
	}
	list, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].Status == nil || list[i].Status.Node != i+1 {
			t.Errorf("node %d answers %+v", i+1, list[i])
		}
	}
	if err := r.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !gone(s.Dir) || !gone(filepath.Join(runtime, socketName)) {
		t.Errorf("%s or the socket is still there", s.Dir)
	}
	if _, err := Attach(runtime); !errors.Is(err, ErrNoLab) {
		t.Errorf("after Down: %v, want %v", err, ErrNoLab)
	}
}

func TestNodesAreKilledAndStarted(t *testing.T) {
	r, _ := launch(t, runtimeDir(t))
	pid := func(id int) int {
		s, err := r.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Nodes[id-1].PID
	}
	first := pid(2)
	for _, verb := range []string{"kill", "start", "stop", "start"} {
		if err := r.Do(t.Context(), verb, 2); err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
		if runs := pid(2) != 0; runs != (verb == "start") {
			t.Errorf("after %s the node's process is %d", verb, pid(2))
		}
	}
	if pid(2) == first {
		t.Error("the node was started again as the same process")
	}
	if err := r.Do(t.Context(), "start", 2); err == nil {
		t.Error("starting a node that runs is not refused")
	}
	// One that ended by itself can be started as well.
	if err := syscall.Kill(pid(2), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node is gone", func() bool { return pid(2) == 0 })
	if err := r.Do(t.Context(), "start", 2); err != nil {
		t.Error(err)
	}
	for _, verb := range []string{"kill", "cut"} {
		if err := r.Do(t.Context(), verb, 3); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "nodes 1 to 2") {
			t.Errorf("%s of a node that there is not: %v", verb, err)
		}
	}
	if err := r.Do(t.Context(), "tickle", 1); !errors.Is(err, ErrOptions) {
		t.Errorf("something unknown: %v", err)
	}
}

func TestCutAndHealAreTold(t *testing.T) {
	if reason := testnet.Available(); reason != "" {
		t.Skip(reason)
	}
	r, _ := launch(t, runtimeDir(t))
	for _, verb := range []string{"cut", "heal"} {
		if err := r.Do(t.Context(), verb, 2); err != nil {
			t.Fatal(err)
		}
		s, err := r.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Nodes[1].Cut != (verb == "cut") || s.Nodes[0].Cut {
			t.Errorf("after %s: %+v", verb, s.Nodes)
		}
	}
}

func TestClientsAreApart(t *testing.T) {
	if reason := testnet.Available(); reason != "" {
		t.Skip(reason)
	}
	_, s := launch(t, runtimeDir(t))
	addresses := func(p Place) (out []byte) {
		err := testnet.DoIn(p.Namespace, func() (err error) {
			out, err = exec.Command("cat", "/proc/net/fib_trie").Output()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	// Nodes 1 and 2 come first, then the clients.
	if a, b := addresses(s.Clients[0]), addresses(s.Clients[1]); !bytes.Contains(a, []byte("10.77.0.3")) ||
		!bytes.Contains(b, []byte("10.77.0.4")) {
		t.Errorf("client 1 has\n%s\nclient 2 has\n%s", a, b)
	}
}

func TestKilledHolderLeavesNothingInTheWay(t *testing.T) {
	runtime := runtimeDir(t)
	_, s := launch(t, runtime)
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the holder is known to be gone", func() bool {
		_, err := Attach(runtime)
		return errors.Is(err, ErrNoLab)
	})
	eventually(t, "the nodes are gone", func() bool {
		for _, n := range s.Nodes {
			if running(n.PID) {
				return false
			}
		}
		return true
	})
	_, again := launch(t, runtime)
	if again.PID == s.PID || again.Cluster == s.Cluster {
		t.Errorf("the new lab is the old one: %+v", again)
	}
	if !gone(s.Dir) {
		t.Errorf("the killed lab's directory %s is still there", s.Dir)
	}
}

// running says whether there is such a process, other than as a zombie until init looks.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

func TestNodeThatRefusesToRunIsQuoted(t *testing.T) {
	t.Setenv(refuses, "1")
	runtime := runtimeDir(t)
	_, err := Launch(t.Context(), runtime, Options{Nodes: 1})
	if err == nil || !strings.Contains(err.Error(), "this node refuses to run") {
		t.Errorf("got %v, want what the node said", err)
	}
	if _, err := Attach(runtime); !errors.Is(err, ErrNoLab) {
		t.Errorf("afterwards: %v, want %v", err, ErrNoLab)
	}
}

func TestOptionsAreRefusedAcrossTheProcess(t *testing.T) {
	_, err := Launch(t.Context(), runtimeDir(t), Options{Nodes: 8})
	if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "8 nodes") {
		t.Errorf("got %v, want the sentence about 8 nodes", err)
	}
}

func TestGivenDirectoryIsKept(t *testing.T) {
	dir := t.TempDir()
	runtime := runtimeDir(t)
	r, err := Launch(t.Context(), runtime, Options{Nodes: 1, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if gone(filepath.Join(dir, "node1", "identity")) {
		t.Error("the node's directory is gone")
	}
}

func TestLaunchGivesUpWhenToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	runtime := runtimeDir(t)
	if _, err := Launch(ctx, runtime, Options{Nodes: 1}); err == nil {
		t.Error("a lab came up")
	}
	if _, err := Attach(runtime); !errors.Is(err, ErrNoLab) {
		t.Errorf("afterwards: %v, want %v", err, ErrNoLab)
	}
}

func TestRuntimeDirectoryMustBeOwn(t *testing.T) {
	dir := runtimeDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Launch(t.Context(), dir, Options{Nodes: 1}); !errors.Is(err, ErrOptions) {
		t.Errorf("a directory that anybody can write to: %v", err)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// A holder that was killed can be reached until its sockets are closed: then there is no lab.
func TestAHolderThatEndsWhileItIsAskedIsNoLab(t *testing.T) {
	runtime := runtimeDir(t)
	listener, err := net.Listen("unix", filepath.Join(runtime, socketName))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	r, err := Attach(runtime)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.State(t.Context()); !errors.Is(err, ErrNoLab) {
		t.Errorf("%v, want %v", err, ErrNoLab)
	}
}

// Its lock goes last.
func TestANewHolderWaitsForTheLockOfOneThatEnds(t *testing.T) {
	runtime := runtimeDir(t)
	ending, err := lockRuntime(runtime)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = ending.Close() })
	lock, err := awaitLock(t.Context(), runtime)
	if err != nil {
		t.Fatal(err)
	}
	_ = lock.Close()
}
