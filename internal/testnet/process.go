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

// ErrClosed is what starting a process says after Close, or after a keeper's Stop.
var ErrClosed = errors.New("testnet: closed: nothing more is started")

// Keeper starts processes from one OS thread, kept for that, and kills them in the end. The kernel sends the
// parent-death signal when the *thread* that forked ends, and Go ends threads when it likes. Its methods may be called
// from any goroutine.
type Keeper struct {
	jobs chan job

	mu      sync.Mutex
	started []*os.Process
	stopped bool
}

type job struct {
	run  func() error
	done chan error
}

// NewKeeper makes a keeper. Stop ends its thread.
func NewKeeper() *Keeper {
	k := &Keeper{jobs: make(chan job)}
	go k.loop()
	return k
}

func (k *Keeper) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for j := range k.jobs {
		j.done <- j.run()
	}
}

// Start starts cmd where this process is, to be killed when this process dies and by Stop; waiting for it is the
// caller's, as after exec.Cmd.Start. It needs no privilege.
func (k *Keeper) Start(cmd *exec.Cmd) error { return k.start(cmd, cmd.Start) }

// startIn does the same in a namespace.
func (k *Keeper) startIn(ns netns.NsHandle, cmd *exec.Cmd) error {
	return k.start(cmd, func() error { return within(ns, cmd.Start) })
}

func (k *Keeper) start(cmd *exec.Cmd, run func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return ErrClosed
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	j := job{run: run, done: make(chan error, 1)}
	k.jobs <- j
	if err := <-j.done; err != nil {
		return fmt.Errorf("testnet: start %s: %w", cmd.Path, err)
	}
	k.started = append(k.started, cmd.Process)
	return nil
}

// Stop kills everything that was started and ends the thread. Stopping twice does nothing.
func (k *Keeper) Stop() {
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
