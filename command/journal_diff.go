package command

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lockstep/internal/inspect"
	"lockstep/internal/replay"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

func journalDiffCommand() *cobra.Command {
	var states bool
	c := &cobra.Command{
		Use:   "diff DIR DIR",
		Short: "Compare two journals; exit code 1 if they differ",
		Long: `Compare two journals byte by byte where both have any. One may be longer than the other: that is no
difference, and is said. The first difference is shown with both records: exit code 1.

Two nodes keep different amounts of log, so one may begin behind the other: what both have is compared.

--replay also runs both through the services, record by record, and names the first record behind which the states
differ. Equal logs must give equal states: if they do not, a service is not deterministic. A log that does not begin at
position 0 is replayed from its oldest snapshot on, and states are compared from where both are known.`,
		Example: `  lockstep journal diff /tmp/lab/node1 /tmp/lab/node2
  lockstep journal diff --replay /tmp/lab/node1 /tmp/lab/node2`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			a, errA := journalDir(c.ErrOrStderr(), args[0])
			b, errB := journalDir(c.ErrOrStderr(), args[1])
			if err := errors.Join(errA, errB); err != nil {
				return err
			}
			if states {
				return usageOf(diffReplays(c.OutOrStdout(), a, b))
			}
			return usageOf(diffJournals(c.OutOrStdout(), a, b))
		},
	}
	c.Flags().BoolVar(&states, "replay", false, "compare the states of the services behind each record as well")
	return c
}

func diffJournals(w io.Writer, dirA, dirB string) error {
	done := progress(os.Stderr, "comparing")
	d, err := journal.Diff(vfs.Real{}, dirA, dirB)
	done()
	if err != nil {
		return err
	}
	if d.Differs {
		fmt.Fprintf(w, "the first difference is at position %d, sequence %d\n", d.Position, d.Sequence)
		printRecord(w, dirA, &d.A)
		printRecord(w, dirB, &d.B)
		return fmt.Errorf("%s and %s differ at position %d", dirA, dirB, d.Position)
	}
	if d.Position > min(d.EndA, d.EndB) {
		return fmt.Errorf("%s ends at %d and %s at %d: one begins at %d, behind the end of the other, so nothing can be "+
			"compared", dirA, d.EndA, dirB, d.EndB, d.Position)
	}
	if d.From > 0 {
		fmt.Fprintf(w, "compared from position %d on, where both begin\n", d.From)
	}
	fmt.Fprintf(w, "the same up to position %d\n%s ends at %d\n%s ends at %d\n", d.Position, dirA, d.EndA, dirB, d.EndB)
	switch {
	case d.EndA < d.EndB:
		fmt.Fprintf(w, "%s is a prefix of %s: it lags, or is damaged there (lockstep journal verify says which)\n", dirA, dirB)
	case d.EndB < d.EndA:
		fmt.Fprintf(w, "%s is a prefix of %s: it lags, or is damaged there (lockstep journal verify says which)\n", dirB, dirA)
	}
	return nil
}

func printRecord(w io.Writer, dir string, r *wire.Record) {
	fmt.Fprintf(w, "%s: %s, %d bytes, term %d, session %016x, correlation %d, %s, checksum %08x\n",
		dir, r.Kind, r.Length, r.Term, uint64(r.Session), r.Correlation, inspect.Stamp(r.Timestamp), r.Checksum)
}

func diffReplays(w io.Writer, dirA, dirB string) error {
	endA, errA := logEnd(dirA)
	endB, errB := logEnd(dirB)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	done := progress(os.Stderr, "replaying both")
	d, err := replay.Compare(vfs.Real{}, dirA, dirB, endA.Position, endB.Position, productionServices, productionServices)
	done()
	if err != nil {
		return err
	}
	if d.States > 0 {
		fmt.Fprintf(w, "records are compared from position %d on, states from %d\n", d.Records, d.States)
	}
	if p := d.Record; p != nil {
		fmt.Fprintf(w, "the first difference is at position %d, sequence %d\n", p.Position, p.Sequence)
		printRecord(w, dirA, &p.A)
		printRecord(w, dirB, &p.B)
	}
	if p := d.State; p != nil {
		fmt.Fprintf(w, "the states differ behind the record at position %d, sequence %d\n", p.Position, p.Sequence)
		printRecord(w, dirA, &p.A)
		printRecord(w, dirB, &p.B)
		printState(w, dirA, &d.A)
		printState(w, dirB, &d.B)
		return fmt.Errorf("the replays of %s and %s differ behind position %d", dirA, dirB, p.Position)
	}
	if d.Record != nil && d.Record.Position < d.States {
		return fmt.Errorf("%s and %s differ at position %d, before the states of both are known", dirA, dirB, d.Record.Position)
	}
	fmt.Fprintf(w, "the same states up to position %d\n%s ends at %d\n%s ends at %d\n", d.Applied, dirA, endA.Position, dirB,
		endB.Position)
	printState(w, "there", &d.A)
	if d.Record != nil {
		return fmt.Errorf("%s and %s differ at position %d, without a difference in their states", dirA, dirB,
			d.Record.Position)
	}
	return nil
}

// logEnd is where a journal ends.
func logEnd(dir string) (wire.Chain, error) {
	l, err := inspect.Open(vfs.Real{}, dir)
	if err != nil {
		return wire.Chain{}, err
	}
	defer l.Close()
	return l.End()
}
