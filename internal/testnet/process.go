package testnet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"github.com/vishvananda/netns"
)

// ErrClosed is what starting a process says after Close.
var ErrClosed = errors.New("testnet: the network is closed")

// keeper starts processes from one OS thread, kept for that, and kills them in the end. The kernel sends the
// parent-death signal when the *thread* that forked ends, and Go ends threads when it likes.
type keeper struct {
	jobs chan job

	mu      sync.Mutex
	started []*os.Process
	stopped bool
}

type job struct {
	run  func() error
	done chan error
}

func newKeeper() *keeper {
	k := &keeper{jobs: make(chan job)}
	go k.loop()
	return k
}

func (k *keeper) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for j := range k.jobs {
		j.done <- j.run()
	}
}

// start starts cmd in a namespace, to be killed when this process dies.
func (k *keeper) start(ns netns.NsHandle, cmd *exec.Cmd) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return ErrClosed
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	j := job{run: func() error { return within(ns, cmd.Start) }, done: make(chan error, 1)}
	k.jobs <- j
	if err := <-j.done; err != nil {
		return fmt.Errorf("testnet: start %s: %w", cmd.Path, err)
	}
	k.started = append(k.started, cmd.Process)
	return nil
}

// stop kills everything that was started and ends the thread.
func (k *keeper) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	k.stopped = true
	for _, p := range k.started {
		_ = p.Kill() // one that has ended already has nothing to be killed
	}
	close(k.jobs)
}
