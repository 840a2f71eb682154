package command

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lockstep/internal/inspect"
	"lockstep/internal/vfs"
)

func journalStatCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "stat DIR",
		Short: "Show what a journal holds: segments, snapshots, records by kind, terms, times, rate",
		Long: `Show what a journal holds, and who wrote it. It reads the whole journal, at the disk's speed. If it is
damaged: exit code 1, and what stands before the damage is shown.`,
		Example: `  lockstep journal stat /var/lib/lockstep
  lockstep journal stat /var/lib/lockstep --json | jq .records_per_second`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	c.RunE = onDir(func(c *cobra.Command, dir string) error {
		done := progress(os.Stderr, "reading "+dir)
		s, err := inspect.Gather(vfs.Real{}, dir)
		done()
		if s == nil {
			return err
		}
		if asJSON {
			return errors.Join(err, json.NewEncoder(c.OutOrStdout()).Encode(s))
		}
		showStat(c.OutOrStdout(), s)
		if isRunning(dir) {
			fmt.Fprintf(c.OutOrStdout(), "running    a node runs on it: this was its log a moment ago\n")
		}
		return err
	})
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return c
}

func showStat(out io.Writer, s *inspect.Stat) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	defer w.Flush()
	if s.Node != 0 {
		fmt.Fprintf(w, "node\t%d, incarnation %s, run %d\n", s.Node, s.Incarnation, s.Run)
	}
	fmt.Fprintf(w, "cluster\t%s\n", cmp.Or(s.Cluster, "none"))
	if s.Recovering != "" {
		fmt.Fprintf(w, "recovering\t%s\n", s.Recovering)
	}
	fmt.Fprintf(w, "segments\t%d, for %d bytes of log; %d of them prepared; generation %d\n", s.Segments, s.Bytes, s.Prepared,
		s.Generation)
	fmt.Fprintf(w, "log\tpositions %d to %d: %s\n", s.Floor, s.End, s.Outcome)
	if s.Cause != "" {
		fmt.Fprintf(w, "\t%s\n", s.Cause)
	}
	fmt.Fprintf(w, "synced\tup to %d at least\n", s.Watermark)
	if s.Archived != nil {
		fmt.Fprintf(w, "archived\tup to %d\n", *s.Archived)
	}
	if s.Snapshots > 0 {
		fmt.Fprintf(w, "snapshots\t%d, the newest at position %d; %d bytes\n", s.Snapshots, s.Snapshot, s.SnapBytes)
	}
	fmt.Fprintf(w, "records\t%d\n", s.Records)
	if s.Records > 0 {
		for _, e := range []struct {
			name string
			edge *inspect.Edge
		}{{"first", s.First}, {"last", s.Last}} {
			fmt.Fprintf(w, "%s\tsequence %d at position %d, %s\n", e.name, e.edge.Sequence, e.edge.Position, e.edge.Time)
		}
		fmt.Fprintf(w, "rate\t%.1f records a second over %.3f s\n", s.PerSecond, s.Seconds)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Kinds)) {
		fmt.Fprintf(w, "kind\t%s: %d records, %d bytes\n", name, s.Kinds[name].Records, s.Kinds[name].Bytes)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		fmt.Fprintf(w, "service\t%s: %d messages, %d bytes\n", name, s.Services[name].Records, s.Services[name].Bytes)
	}
	fmt.Fprintf(w, "sessions\t%d opened, %d closed\n", s.Opened, s.Closed)
	fmt.Fprintf(w, "terms\t%d\n", s.Terms)
	for _, t := range s.Newest {
		fmt.Fprintf(w, "term\t%d led by node %d from position %d, sequence %d, %s\n", t.Term, t.Leader, t.Position, t.Sequence,
			t.Time)
	}
}
