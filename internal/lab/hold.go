package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lockstep/node"
)

// readyLimit bounds how long a new lab may take to have a leader.
const readyLimit = 30 * time.Second

// Hold builds a lab and serves it at the runtime directory until it is told to take it down or ctx ends. ready is
// called once, when a leader leads. ErrUp: another process holds one.
func Hold(ctx context.Context, runtime string, o Options, ready func()) (err error) {
	if err := makeRuntime(runtime); err != nil {
		return err
	}
	lock, err := awaitLock(ctx, runtime)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := removeLeft(runtime); err != nil {
		return err
	}
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "lockstep-lab-"); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		if err := writeLeft(runtime, left{Dir: o.Dir}); err != nil {
			return errors.Join(err, os.RemoveAll(o.Dir))
		}
	}
	l, err := Up(ctx, o)
	if err == nil {
		err = hold(ctx, runtime, l, ready)
	}
	return errors.Join(err, removeLeft(runtime))
}

// awaitLock is lockRuntime, and waits a while for a holder that is about to be gone: one that was killed keeps its lock a little
// longer than it answers.
func awaitLock(ctx context.Context, runtime string) (lock *os.File, err error) {
	for end := time.Now().Add(time.Second); ; time.Sleep(5 * time.Millisecond) {
		if lock, err = lockRuntime(runtime); !errors.Is(err, ErrUp) || time.Now().After(end) || ctx.Err() != nil {
			return lock, err
		}
	}
}

// hold serves a lab that is up, and takes it down.
func hold(ctx context.Context, runtime string, l *Lab, ready func()) error {
	if err := l.awaitLeader(ctx); err != nil {
		return errors.Join(err, l.Down())
	}
	listener, err := net.Listen("unix", filepath.Join(runtime, socketName))
	if err != nil {
		return errors.Join(fmt.Errorf("lab: %w", err), l.Down())
	}
	c := newControl(l)
	server := &http.Server{Handler: c.handler()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	ready()
	select {
	case <-ctx.Done():
	case <-c.quit:
	case err = <-served:
		err = fmt.Errorf("lab: the control socket failed: %w", err)
	}
	down := l.Down()
	c.isDown(down)
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return errors.Join(err, down, server.Shutdown(limited))
}

// patience bounds waiting for what takes no time on a living machine.
const patience = 5 * time.Second

// awaitLeader waits for the first leader. A node that ends meanwhile ends the wait; what the nodes said last is in the
// error, for their directories may go with the lab.
func (l *Lab) awaitLeader(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("not within %v", readyLimit))
	defer cancel()
	fell := make(chan int, len(l.nodes))
	for _, n := range l.nodes {
		go func(ended <-chan struct{}) {
			select {
			case <-ended:
				fell <- n.ID
				cancel()
			case <-ctx.Done():
			}
		}(l.Ended(n.ID))
	}
	_, err := l.Leader(ctx)
	if err == nil {
		return nil
	}
	select {
	case id := <-fell:
		err = fmt.Errorf("lab: node %d ended while the lab came up", id)
	default:
	}
	return fmt.Errorf("%w; the nodes said last:%s", err, l.lastWords())
}

// lastWords are the ends of the nodes' output.
func (l *Lab) lastWords() string {
	const lines = 4
	var b strings.Builder
	for _, n := range l.nodes {
		text, _ := os.ReadFile(n.LogFile) // one that never ran has none
		all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		for _, line := range all[max(0, len(all)-lines):] {
			fmt.Fprintf(&b, "\n  node %d| %s", n.ID, line)
		}
	}
	return b.String()
}

// mended says whether an error is the user's to mend.
func mended(err error) bool {
	return errors.Is(err, ErrOptions) || errors.Is(err, ErrUp) || errors.Is(err, node.ErrConfig)
}
