package command

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/service"
	"lockstep/service/queue"
	"lockstep/service/queue/fb"
)

// queueShell is work queues as the shell knows them.
func queueShell() *shellService {
	return &shellService{number: service.Queue, name: "queue", print: printQueueAnswer, verbs: []func() shellVerb{
		queuePutVerb, queueLeaseVerb, queueExtendVerb, queueDeleteVerb, queueReleaseVerb, queueConfigureVerb,
		queueRemoveVerb,
		queueStatsVerb, queueListVerb, queuePeekVerb,
	}}
}

func queueCommand() *cobra.Command {
	var f shellFlags
	parent := shellGroup(queueShell(), &f, &cobra.Command{
		Use:   "queue",
		Short: "Put work into queues, and do it",
		Long: `Put work into queues by name, and do it. What is leased comes to somebody else when the lease is over,
unless it was deleted before: a message is not lost with who works on it. queue work runs a command for each message.`,
		Example: `  lockstep queue put mail 'to: somebody'
  lockstep queue work mail --count 1 -- cat`,
	})
	parent.AddCommand(queueWorkCommand(&f))
	return parent
}

// queueVerb is a subcommand that sends a request. fill takes what stands behind the arguments that are names and
// numbers.
func queueVerb(c *cobra.Command, q *queue.Request, fill func(args []string) error) shellVerb {
	return shellVerb{command: c, encode: func(args []string) ([]byte, error) {
		if len(args) > 0 {
			q.Queue = []byte(args[0])
		}
		if fill != nil {
			if err := fill(args); err != nil {
				return nil, err
			}
		}
		return queue.EncodeRequest(flatbuffers.NewBuilder(1024), q), nil
	}}
}

// numbers reads arguments that are numbers.
func numbers(args []string, into ...*uint64) error {
	for i, to := range into {
		n, err := strconv.ParseUint(args[i], 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %q is not a number that fits", errUsage, args[i])
		}
		*to = n
	}
	return nil
}

func queuePutVerb() shellVerb {
	var delay, deadline time.Duration
	var key, file string
	q := &queue.Request{Kind: queue.Put}
	c := &cobra.Command{
		Use:   "put QUEUE [MESSAGE]",
		Short: "Put a message",
		Long:  "Put a message: the words given, or a file's bytes.",
		Example: `  lockstep queue put jobs 'resize picture 7' --key picture-7
  lockstep queue put jobs 'tidy up' --delay 1h`,
		Args: cobra.RangeArgs(1, 2),
	}
	c.Flags().StringVar(&key, "key", "", "dedup key: while it is remembered, another put with it puts nothing")
	c.Flags().DurationVar(&delay, "delay", 0, "nobody can lease it before")
	c.Flags().DurationVar(&deadline, "deadline", 0, "consumers that ask so are not given it afterwards; 0: none")
	c.Flags().StringVar(&file, "file", "", "the message is in this file; -: standard input")
	return queueVerb(c, q, func(args []string) (err error) {
		q.Key = []byte(key)
		switch {
		case (len(args) == 2) == (file != ""):
			return fmt.Errorf("%w: a message is wanted, or --file, and not both", errUsage)
		case file == "-":
			q.Payload, err = io.ReadAll(os.Stdin)
		case file != "":
			q.Payload, err = os.ReadFile(file)
		default:
			q.Payload = []byte(args[1])
		}
		if err != nil {
			return fmt.Errorf("%w: --file: %w", errUsage, err)
		}
		if q.DelayMs, err = millis("delay", delay); err != nil {
			return err
		}
		q.DeadlineMs, err = millis("deadline", deadline)
		return err
	})
}

// queueClaim are the flags of who leases.
type queueClaim struct {
	lease      time.Duration
	atMostOnce bool
	dropLate   bool
}

func (x *queueClaim) register(c *cobra.Command) {
	c.Flags().DurationVar(&x.lease, "lease", 0, "how long it is yours; 0: as the queue is configured")
	c.Flags().BoolVar(&x.atMostOnce, "at-most-once", false, "take it for good: it never comes again, done or not")
	c.Flags().BoolVar(&x.dropLate, "drop-late", false, "drop what is past its deadline")
}

func (x *queueClaim) fill(q *queue.Request) (err error) {
	q.DropLate = x.dropLate
	if x.atMostOnce {
		q.Mode = fb.ModeAtMostOnce
	}
	q.LeaseMs, err = millis("lease", x.lease)
	return err
}

func queueLeaseVerb() shellVerb {
	var claim queueClaim
	var wait time.Duration
	q := &queue.Request{Kind: queue.Lease}
	c := &cobra.Command{
		Use:   "lease QUEUE",
		Short: "Lease the oldest messages that are ready",
		Long: `Lease the oldest messages that are ready. Each is printed with id and token, which extend, delete and
release want. Whoever has not deleted a message when its lease is over has lost it to somebody else.`,
		Example: `  lockstep queue put jobs one
  lockstep queue lease jobs --lease 1m --wait 5s`,
		Args: cobra.ExactArgs(1),
	}
	claim.register(c)
	c.Flags().DurationVar(&wait, "wait", 0, "wait so long for a first message")
	c.Flags().Uint32Var(&q.Max, "max", 1, "messages at most, up to 64")
	verb := queueVerb(c, q, func([]string) (err error) {
		if q.WaitMs, err = millis("wait", wait); err != nil {
			return err
		}
		return claim.fill(q)
	})
	verb.until = func(number uint16, answer []byte) bool {
		var r queue.Response
		return number == service.Queue && (!queue.DecodeResponse(answer, &r) || !r.Waiting)
	}
	return verb
}

// leaseExample leases a message and has its id and token in $1 and $2.
const leaseExample = `  lockstep queue put %[1]s one
  set -- $(lockstep queue lease %[1]s | awk '/^message/ {print $2, $4}')
`

func queueExtendVerb() shellVerb {
	var lease time.Duration
	q := &queue.Request{Kind: queue.Extend}
	c := &cobra.Command{
		Use:     "extend QUEUE ID TOKEN",
		Short:   "Have a lease end later",
		Example: fmt.Sprintf(leaseExample, "extended") + "  lockstep queue extend extended $1 $2 --lease 5m",
		Args:    cobra.ExactArgs(3),
	}
	c.Flags().DurationVar(&lease, "lease", 0, "from now on; 0: as the queue is configured")
	return queueVerb(c, q, func(args []string) (err error) {
		if q.LeaseMs, err = millis("lease", lease); err != nil {
			return err
		}
		return numbers(args[1:], &q.ID, &q.Token)
	})
}

func queueDeleteVerb() shellVerb {
	q := &queue.Request{Kind: queue.Delete}
	c := &cobra.Command{
		Use:     "delete QUEUE ID TOKEN",
		Short:   "Delete a message that is done",
		Long:    "Delete a message that is done. With token 0 it deletes one that nobody has leased.",
		Example: fmt.Sprintf(leaseExample, "deleted") + "  lockstep queue delete deleted $1 $2",
		Args:    cobra.ExactArgs(3),
	}
	return queueVerb(c, q, func(args []string) error { return numbers(args[1:], &q.ID, &q.Token) })
}

func queueReleaseVerb() shellVerb {
	var delay time.Duration
	q := &queue.Request{Kind: queue.Release}
	c := &cobra.Command{
		Use:     "release QUEUE ID TOKEN",
		Short:   "Give a message back that could not be done",
		Example: fmt.Sprintf(leaseExample, "released") + "  lockstep queue release released $1 $2 --delay 10s",
		Args:    cobra.ExactArgs(3),
	}
	c.Flags().DurationVar(&delay, "delay", 0, "nobody can lease it before")
	return queueVerb(c, q, func(args []string) (err error) {
		if q.DelayMs, err = millis("delay", delay); err != nil {
			return err
		}
		return numbers(args[1:], &q.ID, &q.Token)
	})
}

func queueConfigureVerb() shellVerb {
	var lease, dedup time.Duration
	var dead string
	q := &queue.Request{Kind: queue.Configure}
	c := &cobra.Command{
		Use:     "configure QUEUE",
		Short:   "Say how a queue is to behave",
		Long:    "Say how a queue is to behave, all of it: what is not said gets its default again.",
		Example: "  lockstep queue configure jobs --max-attempts 5 --dead-letter jobs-dead --lease 1m --dedup 24h",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().Uint32Var(&q.MaxAttempts, "max-attempts", 0, "deliveries after which a message is dead; 0: no limit")
	c.Flags().StringVar(&dead, "dead-letter", "", "queue that dead messages go to; none: they are dropped")
	c.Flags().DurationVar(&lease, "lease", 0, "of leases that do not say; 0: 30s")
	c.Flags().DurationVar(&dedup, "dedup", 0, "how long dedup keys are remembered; 0: 5m")
	return queueVerb(c, q, func([]string) (err error) {
		q.DeadLetter = []byte(dead)
		if q.LeaseMs, err = millis("lease", lease); err != nil {
			return err
		}
		q.DedupMs, err = millis("dedup", dedup)
		return err
	})
}

func queueRemoveVerb() shellVerb {
	return queueVerb(&cobra.Command{
		Use:   "remove QUEUE",
		Short: "Remove a queue that holds nothing",
		Example: `  lockstep queue configure old
  lockstep queue remove old`,
		Args: cobra.ExactArgs(1),
	}, &queue.Request{Kind: queue.Remove}, nil)
}

func queueStatsVerb() shellVerb {
	return queueVerb(&cobra.Command{
		Use:   "stats QUEUE",
		Short: "Print what a queue holds and has seen",
		Example: `  lockstep queue put jobs one
  lockstep queue stats jobs`,
		Args: cobra.ExactArgs(1),
	}, &queue.Request{Kind: queue.Stats}, nil)
}

func queueListVerb() shellVerb {
	var after string
	q := &queue.Request{Kind: queue.List}
	c := &cobra.Command{
		Use:     "list",
		Short:   "Print the names of queues",
		Example: "  lockstep queue list",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&after, "after", "", "names behind this one")
	c.Flags().Uint32Var(&q.Max, "max", 64, "names at most, up to 64")
	return queueVerb(c, q, func([]string) error {
		q.After = []byte(after)
		return nil
	})
}

func queuePeekVerb() shellVerb {
	q := &queue.Request{Kind: queue.Peek}
	c := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Print messages, and leave them as they are",
		Example: `  lockstep queue put jobs one
  lockstep queue peek jobs --max 5`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&q.Aside, "aside", false, "those that are delayed or leased, not those that are ready")
	c.Flags().Uint32Var(&q.Max, "max", 1, "messages at most, up to 64")
	return queueVerb(c, q, nil)
}
