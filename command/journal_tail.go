package command

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lockstep/internal/inspect"
	"lockstep/internal/vfs"
)

// tailInterval is how often tail -f looks for new records.
const tailInterval = 20 * time.Millisecond

func journalTailCommand() *cobra.Command {
	var f selectFlags
	var follow bool
	var last uint64
	c := &cobra.Command{
		Use:   "tail DIR",
		Short: "Print the last records; with -f, those that are written as well",
		Long: `Print the last records of a journal as dump does; with -f go on with those that are written, until
interrupted. Filters apply to what is looked at: of the last 10 records, those that fit. --from begins elsewhere.

A record is shown once it is on this node's disk. That is no promise that the cluster has committed it: when the node
cuts its log after a change of leader, tail says so on standard error and goes on from the cut.`,
		Example: `  lockstep journal tail -f /var/lib/lockstep
  lockstep journal tail -n 0 -f /var/lib/lockstep --service orderbook | jq -c .order`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: onDir(func(c *cobra.Command, dir string) error {
			s, err := f.selection()
			if err != nil {
				return err
			}
			if follow {
				return inspect.Follow(c.Context(), vfs.Real{}, dir, last, s, tailInterval, jsonLines(c.OutOrStdout()),
					func(notice string) { fmt.Fprintln(c.ErrOrStderr(), "lockstep:", notice) })
			}
			if !s.From.IsSet() {
				if s.From, err = lastRecords(dir, last); err != nil {
					return err
				}
			}
			_, err = printRecords(c, dir, s)
			return err
		}),
	}
	f.add(c)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with records that are written, until interrupted")
	c.Flags().Uint64VarP(&last, "lines", "n", 10, "how many of the last records to look at")
	return c
}

// lastRecords is where the last n records of a journal begin.
func lastRecords(dir string, n uint64) (inspect.Bound, error) {
	l, err := inspect.Open(vfs.Real{}, dir)
	if err != nil {
		return inspect.Bound{}, err
	}
	defer l.Close()
	end, err := l.End()
	return inspect.Sequence(end.Sequence + 1 - min(n, end.Sequence)), err
}
