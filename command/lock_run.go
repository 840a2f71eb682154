package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"lockstep/client"
	"lockstep/service"
	"lockstep/service/lock"
	"lockstep/wire"
)

// exitCode is the exit code of a command that was run: nothing more is to be said.
type exitCode int

// Error implements error.
func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// lockRun holds a lock while a command runs.
type lockRun struct {
	s      *shell
	name   []byte
	value  []byte
	ttl    time.Duration
	waitMs uint64
	token  uint64
	until  time.Time       // before this the lock is ours for sure
	turn   chan lockAnswer // what comes of waiting
	heard  chan lockAnswer // what comes of renewing
	began  chan error      // the command has begun, or could not
	done   chan error      // it has ended
	order  []string        // the command
	out    io.Writer       // its standard output
	said   io.Writer       // its standard error, and what is said about the lock
	in     *os.File        // its standard input
	cmd    *exec.Cmd       // since began
	lost   bool
}

// lockAnswer is what matters of an answer, without the bytes that are only good while it is looked at.
type lockAnswer struct {
	report lock.Report
	token  uint64
	sent   time.Time // when it was asked for
	err    error
}

func lockRunCommand(f *shellFlags) *cobra.Command {
	var value string
	ttl, wait := 10*time.Second, time.Duration(0)
	c := &cobra.Command{
		Use:   "run NAME -- COMMAND [ARGUMENT...]",
		Short: "Hold a lock while a command runs",
		Long: `Hold a lock while a command runs. It waits for the lock, runs the command with ` + envLockName + ` and
` + envLockToken + ` in its environment, renews the lock three times in each --ttl, and ends with the command's exit code. When it
can no longer be sure to have the lock, because no leader has answered for so long or because somebody released it, the
command and all that it has started is told to end (SIGTERM) a quarter of --ttl before the lock may be another's, and
killed at that time; the exit code is 1 then. What the lock protects should be given the token all the same, and turn away
lower ones: no clock can do what it does. SIGINT and SIGTERM are handed on to the command as SIGTERM.`,
		Example: `  lockstep lock run nightly --value "$(hostname)" -- sh -c 'echo $` + envLockToken + `'
  lockstep lock run nightly -- sh -c 'exit 7' || test $? = 7`,
		Args: usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			if c.ArgsLenAtDash() != 1 {
				return fmt.Errorf("%w: want one NAME, --, and a command", errUsage)
			}
			waitMs, err := lockTime("wait", wait)
			if err != nil {
				return err
			}
			if ttl < 100*time.Millisecond || ttl > lock.MaxTimeMs*time.Millisecond {
				return fmt.Errorf("%w: --ttl %v: want 100ms to %v", errUsage, ttl, lock.MaxTimeMs*time.Millisecond)
			}
			if ttl = ttl.Truncate(time.Millisecond); waitMs == 0 {
				waitMs = lock.MaxTimeMs
			}
			l := &lockRun{name: []byte(args[0]), value: []byte(value), ttl: ttl, waitMs: waitMs, order: args[1:],
				turn: make(chan lockAnswer, 1), heard: make(chan lockAnswer, 1),
				began: make(chan error, 1), done: make(chan error, 1),
				out: c.OutOrStdout(), said: c.ErrOrStderr(), in: os.Stdin}
			if _, err := exec.LookPath(l.order[0]); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return f.run(c, func(s *shell) error { return l.run(c.Context(), s) })
		},
	}
	c.Flags().StringVar(&value, "value", "", "what others are told who ask for the lock")
	c.Flags().DurationVar(&ttl, "ttl", ttl, "the lock is free so long after this host is gone")
	c.Flags().DurationVar(&wait, "wait", 0,
		"wait so long for the lock, behind those who wait already; 0: as long as it takes")
	return c
}

// What the environment tells a command that runs under a lock.
const (
	envLockName  = "LOCKSTEP_LOCK"
	envLockToken = "LOCKSTEP_TOKEN"
)

// run waits for the lock and runs the command.
func (l *lockRun) run(ctx context.Context, s *shell) error {
	l.s, s.level, s.taken = s, wire.LevelApplied, l.onAnswer
	if err := l.acquire(ctx); err != nil {
		return err
	}
	go l.execute()
	if err := <-l.began; err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return l.hold(ctx)
}

// onAnswer takes what comes of waiting. It is called on the connection's goroutine.
func (l *lockRun) onAnswer(r *client.Response) bool {
	var p lock.Response
	if r.Service == service.Lock && lock.DecodeResponse(r.Payload, &p) &&
		(p.Report == lock.Granted || p.Report == lock.Refused) {
		select {
		case l.turn <- lockAnswer{report: p.Report, token: p.Token}:
		default: // one is enough
		}
	}
	return true
}

// ask sends a request and waits for its answer, which is good for as long as anybody needs it.
func (l *lockRun) ask(ctx context.Context, q *lock.Request) (p lock.Response, err error) {
	q.Name = l.name
	return askLock(ctx, l.s, q)
}

// askLock sends a request to the lock service and reads its answer.
func askLock(ctx context.Context, s *shell, q *lock.Request) (p lock.Response, err error) {
	result, err := s.call(ctx, service.Lock, lock.EncodeRequest(flatbuffers.NewBuilder(256), q))
	if err == nil && !lock.DecodeResponse(result.Response, &p) {
		err = fmt.Errorf("%d bytes that are no response of the lock service", len(result.Response))
	}
	return p, err
}

// acquire takes the lock, waiting for it.
func (l *lockRun) acquire(ctx context.Context) error {
	sent := time.Now()
	q := lock.Request{Command: lock.Acquire, Value: l.value, TTLMs: uint64(l.ttl.Milliseconds()), WaitMs: l.waitMs}
	p, err := l.ask(ctx, &q)
	switch {
	case err != nil:
		return err
	case p.Report == lock.Granted:
		l.token, l.until = p.Token, sent.Add(l.ttl)
		return nil
	case p.Report != lock.Waiting:
		sayLock(l.said, &p)
		return fmt.Errorf("%w: %s", errRefused, l.name)
	}
	sayLock(l.said, &p)
	select {
	case a := <-l.turn:
		if a.report != lock.Granted {
			return fmt.Errorf("%w: %s did not come free in time", errRefused, l.name)
		}
		l.token = a.token
	case <-l.s.over:
		return errOver
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// How long ago that was cannot be known: renewed, it is ours from now on.
	if a := l.renew(ctx); a.err != nil {
		return a.err
	} else if a.report != lock.Renewed {
		return fmt.Errorf("%w: %s was granted, and is over already", errRefused, l.name)
	} else {
		l.until = a.sent.Add(l.ttl)
	}
	return nil
}

func (l *lockRun) renew(ctx context.Context) (a lockAnswer) {
	a.sent = time.Now()
	p, err := l.ask(ctx, &lock.Request{Command: lock.Renew, Token: l.token})
	a.report, a.err = p.Report, err
	return a
}

// execute runs the command, in a process group of its own, which has the terminal if there is one. It dies with this
// process: with the thread that started it, to be exact, which is kept for that.
func (l *lockRun) execute() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(l.order[0], l.order[1:]...)
	cmd.Env = append(os.Environ(), envLockName+"="+string(l.name), envLockToken+"="+strconv.FormatUint(l.token, 10))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = l.in, l.out, l.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if _, err := unix.IoctlGetTermios(int(l.in.Fd()), unix.TCGETS); err == nil {
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, int(l.in.Fd())
	}
	err := cmd.Start()
	l.cmd = cmd
	l.began <- err
	if err == nil {
		l.done <- cmd.Wait()
	}
}

// kill sends a signal to the command and all that it has started.
func (l *lockRun) kill(signal syscall.Signal) { _ = syscall.Kill(-l.cmd.Process.Pid, signal) }

// hold renews the lock until the command has ended, or has that end with the lock.
func (l *lockRun) hold(ctx context.Context) error {
	renew := time.NewTimer(l.ttl / 3)
	warn, end := time.NewTimer(l.warning()), time.NewTimer(time.Until(l.until))
	stopped, over := ctx.Done(), (<-chan struct{})(l.s.over)
	for {
		select {
		case err := <-l.done:
			if l.lost {
				l.kill(syscall.SIGKILL) // what it has started and left
			}
			return l.verdict(err)
		case <-renew.C:
			asking, cancel := context.WithDeadline(context.WithoutCancel(ctx), l.until)
			go func() {
				defer cancel()
				l.heard <- l.renew(asking)
			}()
		case a := <-l.heard:
			switch {
			case a.err == nil && a.report == lock.Renewed && !l.lost:
				l.until = a.sent.Add(l.ttl)
				warn.Reset(l.warning())
				end.Reset(time.Until(l.until))
				renew.Reset(time.Until(a.sent.Add(l.ttl / 3)))
			case a.err == nil && a.report != lock.Renewed:
				l.lose("it is released, or run out")
			case !l.lost:
				renew.Reset(l.ttl / 10)
			}
		case <-over:
			over = nil
			l.lose("the session is over")
		case <-warn.C:
			l.lose("no leader has answered for too long")
		case <-end.C:
			l.lose("its time is over")
			l.kill(syscall.SIGKILL)
		case <-stopped:
			stopped = nil
			l.kill(syscall.SIGTERM)
		}
	}
}

// warning is when the command is to be told to end, should the lock not be renewed before.
func (l *lockRun) warning() time.Duration { return time.Until(l.until.Add(-l.ttl / 4)) }

// lose tells the command to end because the lock may not be ours much longer.
func (l *lockRun) lose(why string) {
	if !l.lost {
		l.lost = true
		fmt.Fprintf(l.said, "lock %s is lost: %s; the command is to end\n", l.name, why)
		l.kill(syscall.SIGTERM)
	}
}

// verdict is how it ends: as the command did, unless the lock was lost.
func (l *lockRun) verdict(err error) error {
	var exit *exec.ExitError
	switch {
	case l.lost:
		return fmt.Errorf("the lock %s was lost while the command ran", l.name)
	case !errors.As(err, &exit):
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitCode(128 + int(status.Signal()))
	}
	return exitCode(exit.ExitCode())
}
