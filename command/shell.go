package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lockstep/client"
	"lockstep/wire"
)

// shellService is what the shell knows of a service: the words that make its messages, and how its answers are printed.
// `lockstep NAME VERB ...` sends one; the same words can stand in a transaction.
type shellService struct {
	number uint16
	name   string             // as a word on the command line
	verbs  []func() shellVerb // each call makes a verb with flags of its own
	// print prints a response: lines for people, or asJSON one JSON object. It reports false when the response says
	// that the service did not do what it was asked to; of bytes that are no response of the service it says so, and
	// reports false.
	print func(w io.Writer, payload []byte, asJSON bool) bool
}

// shellVerb is a subcommand that sends one message.
type shellVerb struct {
	// command has Use, Short, Long, Example, Args and flags; what it runs is the shell's.
	command *cobra.Command
	// encode makes the message, from the arguments and the flags; errUsage for what cannot be one.
	encode func(args []string) ([]byte, error)
	// watches says that it stays until interrupted, or --hold or --count ends it, printing what comes.
	watches bool
	// until, if not nil, has it stay until an answer, perhaps later than the message's own, fulfils it.
	until func(service uint16, answer []byte) bool
}

// shellServices are the services that have subcommands.
func shellServices() []*shellService {
	return []*shellService{orderShell(), kvShell(), lockShell(), queueShell(), timerShell(), transactionShell()}
}

// shellServiceOf is the service of a number; nil: it has no subcommands.
func shellServiceOf(number uint16) *shellService {
	for _, v := range shellServices() {
		if v.number == number {
			return v
		}
	}
	return nil
}

// encode makes the message of words as they stand behind `lockstep NAME`.
func (v *shellService) encode(words []string) ([]byte, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("%w: %s: what of it?", errUsage, v.name)
	}
	for _, make := range v.verbs {
		verb := make()
		if verb.command.Name() != words[0] {
			continue
		}
		if err := verb.command.ParseFlags(words[1:]); err != nil {
			return nil, fmt.Errorf("%w: %s %s: %w", errUsage, v.name, words[0], err)
		}
		args := verb.command.Flags().Args()
		if err := verb.command.ValidateArgs(args); err != nil {
			return nil, fmt.Errorf("%w: %s %s: %w", errUsage, v.name, words[0], err)
		}
		if err := verb.command.ValidateRequiredFlags(); err != nil {
			return nil, fmt.Errorf("%w: %s %s: %w", errUsage, v.name, words[0], err)
		}
		if err := verb.command.ValidateFlagGroups(); err != nil {
			return nil, fmt.Errorf("%w: %s %s: %w", errUsage, v.name, words[0], err)
		}
		return verb.encode(args)
	}
	return nil, fmt.Errorf("%w: %s has no %q", errUsage, v.name, words[0])
}

// addVerbs makes the service's verbs subcommands of a group that has the flags.
func (v *shellService) addVerbs(parent *cobra.Command, f *shellFlags) {
	for _, make := range v.verbs {
		verb := make()
		count := 0
		c := verb.command
		if verb.watches {
			c.Flags().IntVar(&count, "count", 0, "end after so many answers beyond those to the request itself; 0: never")
		}
		if c.Args != nil {
			c.Args = usageArgs(c.Args)
		}
		c.RunE = func(c *cobra.Command, args []string) error {
			payload, err := verb.encode(args)
			if err != nil {
				return err
			}
			return f.run(c, func(s *shell) error {
				s.until, s.watching, s.wanted = verb.until, verb.watches, count
				if err := s.send(c.Context(), v.number, payload); err != nil {
					return err
				}
				return s.stay(c.Context())
			})
		}
		parent.AddCommand(c)
	}
}

// shellExits is said in the help of what sends.
const shellExits = `
Answers are printed on standard output; the session, acknowledgements and changes of leader on standard error. With --json
acknowledgements and answers are JSON objects, one a line, on standard output. Exit code 0: acknowledged and done; 1: no
session could be opened, or it failed; 2: flags; 3: refused, by the cluster or by the service, for the reason printed; 4: the
outcome is unknown: it may or may not take effect.`

// shellFlags are the flags of every command that speaks with a service.
type shellFlags struct {
	reach   reachFlags
	level   string
	timeout time.Duration
	hold    time.Duration
	asJSON  bool
	// opened, if not nil, is called in every session when it is open.
	opened func(ctx context.Context, s *shell) error
}

// register has the flags of a service's group, for all its subcommands.
func (f *shellFlags) register(p *pflag.FlagSet, name string) {
	f.reach.register(p, name)
	p.StringVar(&f.level, "level", "applied",
		"acknowledgement to wait for: received, sequenced, replicated, durable or applied")
	p.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to wait for the session and for every answer")
	p.DurationVar(&f.hold, "hold", 0, "keep the session open for so long afterwards, and print what comes meanwhile")
	p.BoolVar(&f.asJSON, "json", false, "print a JSON object a line")
}

// shellGroup makes the group of a service's subcommands, with the flags for them.
func shellGroup(v *shellService, f *shellFlags, c *cobra.Command) *cobra.Command {
	group(c)
	c.Long += "\n" + shellExits
	f.register(c.PersistentFlags(), "lockstep "+v.name)
	v.addVerbs(c, f)
	return c
}

// run opens a session, has use speak in it, and closes it.
func (f *shellFlags) run(c *cobra.Command, use func(*shell) error) (err error) {
	ctx := c.Context()
	s := &shell{flags: f, out: c.OutOrStdout(), said: c.ErrOrStderr(), last: map[uint64]chan struct{}{},
		enough: make(chan struct{}), over: make(chan struct{})}
	if s.level, err = parseLevel(f.level); err != nil {
		return err
	}
	if f.timeout <= 0 || f.hold < 0 {
		return fmt.Errorf("%w: --timeout: above 0; --hold: 0 or more", errUsage)
	}
	o, tr, err := f.reach.options(ctx)
	if err != nil {
		return err
	}
	o.OnResponse, o.OnEvent, o.SubmitTimeoutNs = s.onResponse, s.onEvent, f.timeout.Nanoseconds()
	if tr != nil {
		o.Transport = tr
		defer func() { err = errors.Join(err, tr.Close()) }()
	}
	dialing, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	s.conn, err = client.Dial(dialing, o)
	if err != nil {
		return shellError(err)
	}
	defer func() { err = errors.Join(err, s.conn.Close()) }()
	if f.opened != nil {
		err = f.opened(ctx, s)
	}
	if err == nil {
		err = use(s)
	}
	return shellError(err)
}

// shellError gives an error of a session its exit code.
func shellError(err error) error {
	var refused *client.RefusedError
	switch {
	case errors.Is(err, client.ErrUnknown):
		return fmt.Errorf("%w: %w", errUnknown, err)
	case errors.As(err, &refused):
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

func parseLevel(s string) (wire.Level, error) {
	for level := wire.LevelReceived; level <= wire.LevelApplied; level++ {
		if level.String() == s {
			return level, nil
		}
	}
	return 0, fmt.Errorf("%w: --level %q: want received, sequenced, replicated, durable or applied", errUsage, s)
}

// shellWords takes a line apart as a shell does: at spaces, but not within '...' or "...".
func shellWords(line string) (words []string, err error) {
	var word strings.Builder
	within, quote := false, rune(0)
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, within = c, true
		case c == ' ' || c == '\t':
			if within {
				words = append(words, word.String())
			}
			word.Reset()
			within = false
		default:
			within = true
			word.WriteRune(c)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%w: %s: a quotation mark is missing", errUsage, line)
	}
	if within {
		words = append(words, word.String())
	}
	return words, nil
}

// millis is a flag's duration in whole milliseconds, those that have begun included.
func millis(flag string, d time.Duration) (uint64, error) {
	if d < 0 {
		return 0, fmt.Errorf("%w: --%s %v: 0 or more", errUsage, flag, d)
	}
	return uint64((d + time.Millisecond - 1) / time.Millisecond), nil
}
