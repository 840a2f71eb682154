package command

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lockstep/internal/opening"
	"lockstep/node"
)

func benchOpeningCommand() *cobra.Command {
	var p opening.Plan
	var jsonFile string
	c := &cobra.Command{
		Use:   "opening",
		Short: "How long a node takes to start: from a snapshot, and from the beginning of its log; and its size as the log grows",
		Long: `Grow the log of a node by orders, with a snapshot on the way, then open the node again and again: from each snapshot, and from
the beginning of the log. The node is alone, its production agents run on one goroutine. An opening from a snapshot costs what follows
the snapshot, however long the log is.`,
		Example: `  lockstep bench opening --records 10000000 --behind 100000,1000000
  lockstep bench opening --dir /var/lib --records 1000000 --json opening.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := p.Check(); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return runBenchOpening(p, jsonFile, c.OutOrStdout())
		},
	}
	flags := c.Flags()
	flags.StringVar(&p.Dir, "dir", os.TempDir(), "where the log is written; what is made there is taken away")
	flags.IntVar(&p.Records, "records", 1_000_000, "orders, a record each")
	flags.IntSliceVar(&p.Behind, "behind", []int{10_000, 100_000}, "how many of them follow a snapshot: one number or two")
	flags.IntVar(&p.Rounds, "rounds", 3, "openings of each kind; a line has their medians")
	flags.StringVar(&jsonFile, "json", "", "write one JSON line a kind of opening to this file (- for standard output)")
	return c
}

func runBenchOpening(p opening.Plan, jsonFile string, text io.Writer) (err error) {
	out, err := (&benchFlags{jsonFile: jsonFile}).output()
	if err != nil {
		return err
	}
	if out != nil {
		defer out.Close()
	}
	o, err := opening.New(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	err = o.Grow(func(r opening.Resident) {
		fmt.Fprintf(text, "%10d orders  log %7.1f MiB  resident %6.1f MiB\n", r.Records, mib(int64(r.LogBytes)), mib(r.Bytes))
	})
	if err != nil {
		return err
	}
	for range len(p.Behind) + 1 {
		row, err := o.Measure(node.Revision)
		if err != nil {
			return err
		}
		from := fmt.Sprintf("a snapshot of %.1f KiB", float64(row.SnapshotBytes)/1024)
		if row.SnapshotBytes == 0 {
			from = "the beginning"
		}
		fmt.Fprintf(text, "opening from %-24s %10d orders behind it  opened in %9.1f ms  leading with all applied in %9.1f ms\n", from,
			row.Behind, row.OpenMs, row.ReadyMs)
		if out != nil {
			if err := row.Write(out); err != nil {
				return err
			}
		}
	}
	return nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
