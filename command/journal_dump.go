package command

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"lockstep/internal/inspect"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

func journalDumpCommand() *cobra.Command {
	var f selectFlags
	var outputs bool
	c := &cobra.Command{
		Use:   "dump DIR",
		Short: "Print records as JSON, one a line",
		Long: `Print the good records of a journal as JSON, one a line. Messages to the order book are decoded by their
schema, the cluster's own records by theirs; other payloads are base64, with their length. --from and --to take ` + placeHelp + `;
both ends belong to the range. If the journal is damaged behind the last record: exit code 1.

With --outputs the journal is run through the services of this build, as replay does, and each record shows the responses
that it caused, to whichever session, those of the order book decoded. It is what 'lockstep order audit' reads.`,
		Example: `  lockstep journal dump /var/lib/lockstep | jq -c 'select(.order) | [.time, .session, .order]'
  lockstep journal dump /var/lib/lockstep --from 2026-01-02T15:00:00Z --to 2026-01-02T15:01:00Z --service orderbook
  lockstep journal dump /var/lib/lockstep --kind term --kind config
  lockstep journal dump /var/lib/lockstep --from seq:1000 --count 10
  lockstep journal dump /var/lib/lockstep --outputs | lockstep order audit -`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: onDir(func(c *cobra.Command, dir string) error {
			s, err := f.selection()
			if err != nil {
				return err
			}
			if outputs {
				return printOutputs(c, dir, s)
			}
			_, err = printRecords(c, dir, s)
			return err
		}),
	}
	f.add(c)
	c.Flags().BoolVar(&outputs, "outputs", false, "show the responses that each record caused")
	return c
}

// findFlags are those of find beside the selection's.
type findFlags struct {
	selectFlags
	time               string
	sequence, position uint64
	order, correlation uint64
}

func journalFindCommand() *cobra.Command {
	var f findFlags
	c := &cobra.Command{
		Use:   "find DIR",
		Short: "Find records by time, sequence, session or order; exit code 1 if there is none",
		Long: `Find records and print them as dump does.

--time finds the first record at that time or later, --sequence the record of that number, --position the first record
that begins there or behind: by bisecting, so that it takes about as long on a journal of any length. --session,
--correlation, --order, --kind and --service find all records that fit; they read the journal, from --from to --to.
--order is the id that the client gave its order; with --session it is one order, without it those of all clients.
Together, the first three say where to begin, and the first record from there on is found that fits the others.`,
		Example: `  lockstep journal find /var/lib/lockstep --time 2026-01-02T15:04:05.123456Z
  lockstep journal find /var/lib/lockstep --sequence 123456
  lockstep journal find /var/lib/lockstep --session 5f0c4b1e8d2a9673 --correlation 17
  lockstep journal find /var/lib/lockstep --session 5f0c4b1e8d2a9673 --order 4711`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	c.RunE = onDir(func(c *cobra.Command, dir string) error {
		s, err := f.plan(c)
		if err != nil {
			return err
		}
		e, err := printRecords(c, dir, s)
		if err == nil && e.Selected == 0 {
			return errors.New("no such record")
		}
		return err
	})
	f.add(c)
	c.Flags().StringVar(&f.time, "time", "", "the first record at this time or later (RFC 3339, or ns:N)")
	c.Flags().Uint64Var(&f.sequence, "sequence", 0, "the record of this number")
	c.Flags().Uint64Var(&f.position, "position", 0, "the first record that begins at this position or behind")
	c.Flags().Uint64Var(&f.correlation, "correlation", 0, "messages with this number of their session's")
	c.Flags().Uint64Var(&f.order, "order", 0, "messages that enter or cancel the order of this client's id")
	return c
}

// plan says what is looked for.
func (f *findFlags) plan(c *cobra.Command) (*inspect.Selection, error) {
	s, err := f.selection()
	if err != nil {
		return nil, err
	}
	s.Correlation = f.correlation
	if c.Flags().Changed("order") {
		s.Order = &f.order
	}
	places, changed := 0, c.Flags().Changed
	if changed("time") {
		places++
		s.From, err = parseTime("time", f.time)
	}
	if changed("position") {
		places++
		s.From = inspect.At(wire.Position(f.position))
	}
	if changed("sequence") {
		places++
		s.From = inspect.Sequence(f.sequence)
		if !changed("to") {
			s.To = s.From // that record or none
		}
	}
	if err != nil {
		return nil, err
	}
	if places == 1 && !c.Flags().Changed("count") {
		s.Count = 1
	}
	switch looks := s.Order != nil || s.Correlation != 0 || len(s.Kinds)+len(s.Sessions)+len(s.Services) > 0; {
	case places > 1 || places == 1 && f.from != "":
		return nil, fmt.Errorf("%w: give one of --time, --sequence, --position, --from", errUsage)
	case places == 0 && !looks:
		return nil, fmt.Errorf("%w: say what to find: --time, --sequence, --position, --session, --correlation, --order, "+
			"--kind or --service", errUsage)
	}
	return s, nil
}

// printRecords prints the selected records, and on standard error how the log ends if they reach its end.
func printRecords(c *cobra.Command, dir string, s *inspect.Selection) (inspect.Ended, error) {
	l, err := inspect.Open(vfs.Real{}, dir)
	if err != nil {
		return inspect.Ended{}, err
	}
	defer l.Close()
	first, err := l.First()
	if err != nil {
		return inspect.Ended{}, err
	}
	if s.From.Reaches(&first) {
		fmt.Fprintf(c.ErrOrStderr(), "lockstep: %s begins at position %d, behind sequence %d, %s: what came before is not kept there\n",
			dir, first.Position, first.Sequence, inspect.Stamp(first.Timestamp))
	}
	out := bufio.NewWriterSize(c.OutOrStdout(), 1<<16)
	done := progress(os.Stderr, "reading "+dir)
	e, err := l.Walk(s, jsonLines(out))
	done()
	if err := errors.Join(err, out.Flush()); err != nil {
		return e, err
	}
	tellEnd(c.ErrOrStderr(), dir, &e)
	return e, nil
}
