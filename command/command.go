package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"lockstep/node"
)

// Exit codes: scripts rely on them.
const (
	exitFailed  = 1 // the work failed, or what was checked does not hold
	exitRefused = 3 // of what speaks with services: the cluster refused a message or the session, or the service a request
	exitUnknown = 4 // of what speaks with services: the outcome of a message is unknown
	exitUsage   = 2 // something for the user to mend: flags, config, directory, privileges, a port in use
)

// errUsage marks errors of flags and arguments.
var errUsage = errors.New("usage")

// Main runs the command that the process's arguments name, and ends the process with its exit code unless that is 0. A
// program of somebody's own calls it with his services: then its nodes run them, its journal commands replay them, and
// its other commands know them by name.
func Main(services ...Own) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := setOwn(services)
	if err == nil {
		err = rootCommand().ExecuteContext(ctx)
	}
	stop()
	if err == nil {
		return
	}
	var code exitCode
	if errors.As(err, &code) {
		os.Exit(int(code))
	}
	fmt.Fprintln(os.Stderr, "lockstep:", err)
	switch {
	case errors.Is(err, errUsage) || errors.Is(err, node.ErrConfig):
		os.Exit(exitUsage)
	case errors.Is(err, errUnknown):
		os.Exit(exitUnknown)
	case errors.Is(err, errRefused):
		os.Exit(exitRefused)
	}
	os.Exit(exitFailed)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "lockstep",
		Short: "A low-latency sequencer: one total order of messages, replicated, durable, applied, answered over AF_XDP",
		Long: `Lockstep puts every client message into one total order, stamps it, replicates it by multicast, makes it durable,
applies it to a deterministic service on every node, and answers the client.

Start with:  lockstep demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       node.Revision,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, c.CommandPath())
	})
	root.AddCommand(demoCommand(), nodeCommand(), formatCommand(), reseedCommand(), statusCommand(), leaderCommand(),
		snapshotCommand(), recoverCommand(),
		clientToolsCommand(), orderCommand(), kvCommand(), lockCommand(), queueCommand(), timerCommand(), transactionCommand(),
		benchCommand(), labCommand(), journalCommand(), tuneCommand())
	group(root)
	return root
}

// usageArgs wraps a cobra argument check so that its errors count as usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, c.CommandPath())
		}
		return nil
	}
}
