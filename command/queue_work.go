package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/client"
	"lockstep/service"
	"lockstep/service/queue"
	"lockstep/service/queue/fb"
)

const (
	workWait  = time.Minute     // for a message, before it is asked for again
	workGrace = 5 * time.Second // from telling a command to end until it is killed
)

// errLeaseLost says that a command was ended because its message is no longer this worker's.
var errLeaseLost = errors.New("the lease is lost")

func queueWorkCommand(f *shellFlags) *cobra.Command {
	w := &queueWorker{answers: make(chan client.Response, 1)}
	c := &cobra.Command{
		Use:   "work QUEUE -- COMMAND [ARGUMENT...]",
		Short: "Run a command for every message of a queue, one after the other",
		Long: `Run a command for every message of a queue, one after the other. The message is its standard input;
LOCKSTEP_QUEUE, LOCKSTEP_MESSAGE, LOCKSTEP_TOKEN and LOCKSTEP_ATTEMPT are in its environment. If it ends with exit code 0
the message is deleted, else it is given back, to be done again after --retry-delay. While it runs the lease is extended;
when that is lost all the same the command is told to end, and killed 5 seconds later. What the command prints goes where
this one's does.

It works until it is interrupted, or --count or --until-empty ends it. What is being worked on then is given back.
` + shellExits,
		Example: `  for i in 1 2 3; do lockstep queue put numbers $i; done
  lockstep queue work numbers --until-empty -- sh -c 'read n; echo $((n * n))'`,
		Args: usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			q := queue.Request{Kind: queue.Lease, Queue: []byte(args[0]), Max: 1,
				WaitMs: uint64(workWait / time.Millisecond)}
			if err := w.claim.fill(&q); err != nil {
				return err
			}
			if w.untilEmpty {
				q.WaitMs = 0
			}
			var err error
			if w.delayMs, err = millis("retry-delay", w.retryDelay); err != nil {
				return err
			}
			if _, err := exec.LookPath(args[1]); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if f.level != "applied" {
				return fmt.Errorf("%w: --level: a worker waits for what is applied", errUsage)
			}
			return f.run(c, func(s *shell) error {
				w.shell, w.cobra, w.lease, w.command = s, c, q, args[1:]
				s.taken = w.take
				return w.work(c.Context())
			})
		},
	}
	w.claim.register(c)
	c.Flags().IntVar(&w.count, "count", 0, "end after so many messages; 0: never")
	c.Flags().BoolVar(&w.untilEmpty, "until-empty", false, "end when nothing is ready")
	c.Flags().DurationVar(&w.retryDelay, "retry-delay", time.Second,
		"what could not be done can be leased again after so long")
	return c
}

// queueWorker does the work of one queue.
type queueWorker struct {
	claim      queueClaim
	count      int
	untilEmpty bool
	retryDelay time.Duration

	shell   *shell
	cobra   *cobra.Command
	lease   queue.Request
	command []string
	delayMs uint64
	answers chan client.Response // to a request that waited
	stamp   uint64               // of the record that gave the newest message
}

// take keeps what comes later than a message's own answer.
func (w *queueWorker) take(r *client.Response) bool {
	if r.Service != service.Queue {
		return false
	}
	later := *r
	later.Payload = bytes.Clone(r.Payload)
	select {
	case w.answers <- later:
	default: // one request waits at a time
	}
	return true
}

// work leases messages and runs the command for each.
func (w *queueWorker) work(ctx context.Context) error {
	for done := 0; w.count == 0 || done < w.count; {
		r, err := w.next(ctx)
		switch {
		case ctx.Err() != nil && (err != nil || len(r.Messages) == 0):
			return nil
		case err != nil:
			return err
		case len(r.Messages) == 0 && w.untilEmpty:
			return nil
		case len(r.Messages) == 0:
			continue
		}
		if err := w.do(ctx, &r.Messages[0]); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		done++
	}
	return nil
}

// next asks for a message, and waits until there is one or an answer that there is none.
func (w *queueWorker) next(ctx context.Context) (r queue.Response, err error) {
	r, err = w.ask(ctx, &w.lease)
	for err == nil && r.Waiting {
		select {
		case answer := <-w.answers:
			r, w.stamp = queue.Response{}, answer.Timestamp
			if !queue.DecodeResponse(answer.Payload, &r) {
				err = fmt.Errorf("%d bytes that are no answer of a queue", len(answer.Payload))
			}
		case <-w.shell.over:
			err = errOver
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
	return r, err
}

// ask submits a request and reads its answer. A refusal is an error.
func (w *queueWorker) ask(ctx context.Context, q *queue.Request) (r queue.Response, err error) {
	result, err := w.shell.call(ctx, service.Queue, queue.EncodeRequest(flatbuffers.NewBuilder(1024), q))
	if err != nil {
		return r, err
	}
	if q.Kind == queue.Lease {
		w.stamp = result.Timestamp
	}
	if !queue.DecodeResponse(result.Response, &r) {
		return r, fmt.Errorf("%d bytes that are no answer of a queue", len(result.Response))
	}
	if r.Kind == queue.Refused {
		return r, fmt.Errorf("%w: %w", errRefused, queueRefusal(r.Reason))
	}
	return r, nil
}

// queueRefusal is why a queue refused something.
type queueRefusal fb.Reason

func (q queueRefusal) Error() string { return fb.Reason(q).String() }

// do runs the command for one message, and deletes it or gives it back.
func (w *queueWorker) do(ctx context.Context, m *queue.Message) error {
	said := w.cobra.ErrOrStderr()
	failed := w.run(ctx, m)
	if m.Token == 0 { // it is gone, however it went
		fmt.Fprintf(said, "message %d: %s\n", m.ID, outcomeOf(failed))
		return nil
	}
	settle := queue.Request{Kind: queue.Delete, Queue: w.lease.Queue, ID: m.ID, Token: m.Token}
	if failed != nil {
		settle.Kind = queue.Release
		if ctx.Err() == nil {
			settle.DelayMs = w.delayMs
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.shell.flags.timeout)
	defer cancel()
	_, err := w.ask(last, &settle)
	var refused queueRefusal
	switch {
	case errors.As(err, &refused):
		fmt.Fprintf(said, "message %d: %s; the lease was over: %s\n", m.ID, outcomeOf(failed), refused)
		return nil
	case err == nil:
		fmt.Fprintf(said, "message %d: %s\n", m.ID, outcomeOf(failed))
	}
	return err
}

func outcomeOf(failed error) string {
	if failed == nil {
		return "done"
	}
	return failed.Error()
}

// run runs the command for one message while the lease holds.
func (w *queueWorker) run(ctx context.Context, m *queue.Message) error {
	holding, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	cmd := exec.CommandContext(holding, w.command[0], w.command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(m.Payload), w.cobra.OutOrStdout(), w.cobra.ErrOrStderr()
	cmd.Env = append(os.Environ(), "LOCKSTEP_QUEUE="+string(w.lease.Queue),
		"LOCKSTEP_MESSAGE="+strconv.FormatUint(m.ID, 10),
		"LOCKSTEP_TOKEN="+strconv.FormatUint(m.Token, 10), "LOCKSTEP_ATTEMPT="+strconv.Itoa(int(m.Attempts)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with what it starts
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = workGrace
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if m.Token != 0 {
			w.keep(holding, ended, m, lost)
		}
	}()
	err := cmd.Wait()
	close(ended)
	<-kept
	if cause := context.Cause(holding); cause != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what is left of the group
		return fmt.Errorf("ended: %w", cause)
	}
	return err
}

// keep extends a lease, at every third of it, until the command has ended. It is lost when the service says so, or when
// it is over without a word: as far as this process can tell, who heard of it a little later than it began.
func (w *queueWorker) keep(ctx context.Context, ended <-chan struct{}, m *queue.Message, lost context.CancelCauseFunc) {
	length := time.Duration(m.Until - w.stamp) // by the cluster's clock alone
	until := time.Now().Add(length)
	q := queue.Request{Kind: queue.Extend, Queue: w.lease.Queue, ID: m.ID, Token: m.Token, LeaseMs: w.lease.LeaseMs}
	next := time.NewTimer(length / 3)
	defer next.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-next.C:
		}
		asked := time.Now()
		waiting, cancel := context.WithDeadline(ctx, until)
		_, err := w.ask(waiting, &q)
		cancel()
		var refused queueRefusal
		switch {
		case err == nil:
			until = asked.Add(length)
			next.Reset(length / 3)
		case errors.As(err, &refused) || !time.Now().Before(until):
			lost(errLeaseLost)
			return
		default:
			next.Reset(min(length/10, time.Second))
		}
	}
}
