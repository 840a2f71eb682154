package testnet

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// keepProcess starts a process without any network, says which it is, and waits to be killed.
func keepProcess() {
	child := helper("sleep")
	if err := NewKeeper().Start(child); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(child.Process.Pid)
	time.Sleep(time.Hour) // an endless select would be taken for a deadlock
}

func TestKeeperNeedsNoNamespace(t *testing.T) {
	k := NewKeeper()
	cmd := helper("sleep")
	if err := k.Start(cmd); err != nil {
		t.Fatal(err)
	}
	k.Stop()
	k.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Success() {
		t.Errorf("the process ended with %v, want it killed", err)
	}
	if err := k.Start(helper("sleep")); !errors.Is(err, ErrClosed) {
		t.Errorf("starting after Stop returned %v, want %v", err, ErrClosed)
	}
}

func TestKeptProcessDiesWithItsKeeper(t *testing.T) {
	keeper := helper("keep")
	out, err := keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the keeper said %q: %v", line, err)
	}
	if err := keeper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = keeper.Wait()
	eventually(t, "the kept process is gone", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || bytes.Contains(stat, []byte(") Z ")) // a zombie until init looks
	})
}
