package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lockstep/internal/inspect"
	"lockstep/internal/vfs"
)

func journalSnapshotsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "snapshots DIR",
		Short: "List the snapshots of a node or an archive",
		Long: `List the snapshots in a node's directory or an archive: the position where each was taken, the time of the last
record in it, its size, whether the log says that a majority has verified it, and the digest of the state. Data is not
read: lockstep journal verify does that. Where a snapshot is damaged or not the verified one: exit code 1.

With --json it is a list, the oldest first.`,
		Example: `  lockstep journal snapshots /var/lib/lockstep
  lockstep journal snapshots /var/lib/lockstep --json | jq '.[-1].position'`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		dirs, err := journalDirs(args[0])
		if err != nil {
			return err
		}
		all := []inspect.Snapshot{}
		for _, dir := range dirs {
			done := progress(os.Stderr, "reading "+dir)
			list, damage, listErr := inspect.Snapshots(vfs.Real{}, dir)
			done()
			all = append(all, list...)
			for _, what := range damage {
				err = errors.Join(err, fmt.Errorf("%s: %s", dir, what))
			}
			err = errors.Join(err, listErr)
		}
		for i := range all {
			if p := &all[i]; p.Problem != "" {
				err = errors.Join(err, fmt.Errorf("the snapshot at position %d: %s", p.Position, p.Problem))
			}
		}
		if asJSON {
			return usageOf(errors.Join(json.NewEncoder(c.OutOrStdout()).Encode(all), err))
		}
		showSnapshots(c.OutOrStdout(), all)
		return usageOf(err)
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print them as JSON")
	return c
}

func showSnapshots(out io.Writer, list []inspect.Snapshot) {
	if len(list) == 0 {
		fmt.Fprintln(out, "no snapshots")
		return
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "POSITION\tSEQUENCE\tTIME\tBYTES\tVERIFIED\tDIGEST")
	for i := range list {
		p := &list[i]
		verified := "no"
		if p.Verified {
			verified = "yes"
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%d\t%s\t%s\n", p.Position, p.Sequence, p.Time, p.Bytes, verified, p.Digest)
	}
}
