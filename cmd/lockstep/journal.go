package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/node"
	"lockstep/wire"
)

func journalCommand() *cobra.Command {
	parent := &cobra.Command{
		Use:   "journal",
		Short: "Read the journal of a node: verify, diff, dump",
		Long: `Read the journal in a node's directory. Nothing is changed, and the node may run meanwhile: what it has not
synced yet may then look like a torn end.`,
		Example: `  lockstep journal verify /var/lib/lockstep
  lockstep journal diff /tmp/lab/node1 /tmp/lab/node2
  lockstep journal dump /var/lib/lockstep --count 10`,
	}
	group(parent)
	parent.AddCommand(journalVerifyCommand(), journalDiffCommand(), journalDumpCommand())
	return parent
}

func journalVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Check every record; exit code 1 if something is damaged",
		Long: `Check every record of the journal in a node's directory: length, checksum, position, order, chain. It says
where the good log ends, and what opening it would find: intact; torn (the end of a write that was never promised;
normal after a crash); damaged or recovering (bytes that had been synced are bad or gone: exit code 1).`,
		Example: "  lockstep journal verify /var/lib/lockstep",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := journalDir(args[0])
			if err != nil {
				return err
			}
			return verifyJournal(c.OutOrStdout(), dir)
		},
	}
}

func journalDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff DIR DIR",
		Short: "Compare the journals of two nodes; exit code 1 if they differ",
		Long: `Compare the journals of two nodes byte by byte where both have any. One may be longer than the other: that is
no difference. The first one, if there is any, is shown with both records: exit code 1.`,
		Example: "  lockstep journal diff /tmp/lab/node1 /tmp/lab/node2",
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			a, errA := journalDir(args[0])
			b, errB := journalDir(args[1])
			if err := errors.Join(errA, errB); err != nil {
				return err
			}
			return diffJournals(c.OutOrStdout(), a, b)
		},
	}
}

func journalDumpCommand() *cobra.Command {
	var from, count uint64
	c := &cobra.Command{
		Use:   "dump DIR",
		Short: "Print the records as JSON, one a line",
		Long: `Print the good records of the journal in a node's directory as JSON, one a line; payloads are base64. If the
journal is damaged behind the last one: exit code 1.`,
		Example: `  lockstep journal dump /var/lib/lockstep | jq -c 'select(.kind == "message") | [.position, .correlation]'
  lockstep journal dump /var/lib/lockstep --from 4096 --count 10`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := journalDir(args[0])
			if err != nil {
				return err
			}
			return dumpJournal(c.OutOrStdout(), dir, wire.Position(from), count)
		},
	}
	c.Flags().Uint64Var(&from, "from", 0, "leave out records that begin before this position")
	c.Flags().Uint64Var(&count, "count", 0, "how many at most; 0: all")
	return c
}

// journalDir finds the node directory that a user means: it, or the folder of segments in it.
func journalDir(arg string) (string, error) {
	dir := filepath.Clean(arg)
	if isDir(filepath.Join(dir, "journal")) {
		return dir, nil
	}
	if abs, err := filepath.Abs(dir); err == nil && filepath.Base(abs) == "journal" && isDir(abs) {
		return filepath.Dir(abs), nil
	}
	return "", fmt.Errorf("%w: %s is not a node's directory: there is no folder journal in it", errUsage, arg)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func verifyJournal(w io.Writer, dir string) error {
	done := progress(os.Stderr, "reading "+dir)
	s, err := journal.Verify(vfs.Real{}, dir)
	done()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s\n", dir, &s.Recovered)
	if s.Segments > 0 {
		fmt.Fprintf(w, "%d segments from position %d, cluster %s, synced up to %d at least\n",
			s.Segments, s.Floor, node.ClusterString(s.Cluster), s.Watermark)
	}
	switch {
	case s.Outcome.Forgot() && s.Resumes > 0:
		return fmt.Errorf("%s is damaged from position %d; good records go on at %d", dir, s.Chain.Position, s.Resumes)
	case s.Outcome.Forgot():
		return fmt.Errorf("%s is damaged from position %d", dir, s.Chain.Position)
	case s.BadHeader > 0:
		return fmt.Errorf("%s: %d segments have a damaged header; their records are good, and the node mends it at its "+
			"next start", dir, s.BadHeader)
	}
	return nil
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
	fmt.Fprintf(w, "the same up to position %d\n%s ends at %d\n%s ends at %d\n", d.Position, dirA, d.EndA, dirB, d.EndB)
	if d.EndA != d.EndB {
		fmt.Fprintln(w, "one is shorter: it lags, or is damaged there (lockstep journal verify says which)")
	}
	return nil
}

func printRecord(w io.Writer, dir string, r *wire.Record) {
	fmt.Fprintf(w, "%s: %s, %d bytes, term %d, session %016x, correlation %d, timestamp %d, checksum %08x\n",
		dir, r.Kind, r.Length, r.Term, uint64(r.Session), r.Correlation, r.Timestamp, r.Checksum)
}

func dumpJournal(w io.Writer, dir string, from wire.Position, count uint64) error {
	done := progress(os.Stderr, "reading "+dir)
	defer done()
	out := bufio.NewWriterSize(w, 1<<16)
	err := journal.Dump(vfs.Real{}, dir, out, from, count)
	return errors.Join(err, out.Flush())
}
