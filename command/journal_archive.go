package command

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lockstep/internal/archive"
	"lockstep/internal/counters"
	"lockstep/internal/inspect"
	"lockstep/internal/vfs"
	"lockstep/node"
	"lockstep/wire"
)

// archiveFlags are those of archive.
type archiveFlags struct {
	from, to, counters, control string
	commit                      uint64
	check, quiet                bool
}

func journalArchiveCommand() *cobra.Command {
	var f archiveFlags
	c := &cobra.Command{
		Use:   "archive --from DIR --to ARCHIVE",
		Short: "Copy to an archive what it lacks of a node's log and snapshots",
		Long: `Copy to an archive what it lacks of a node's log. The node may run. An archive is a directory of plain
files: another disk, a mounted directory of another host, or a directory that is copied on (rsync). One that is not
there is begun.

Only what is committed and synced is copied, each record verified. How far the cluster has committed is read from the
node's counters, which are kept when the node ends (--counters, if its config puts them into a file of their own);
--control asks a running node instead; --commit says it. Snapshots are copied once the log says that a majority has
verified them. When interrupted, the archive is as it was after the last manifest, and the next run goes on from there.
How far it has come is noted in the node's directory (file archived), for retention.archive_wait_bytes.

Where the node has dropped log that the archive lacks, the archive goes on behind the gap, which is told on standard
error; if no verified snapshot says what came of the missing records, nothing is copied: exit code 1.

It exits with 0 also when there was nothing to copy; with --quiet it prints only what went wrong: fit for cron.`,
		Example: `  lockstep journal archive --from /var/lib/lockstep --to /mnt/archive
  lockstep journal archive --from /var/lib/lockstep --to /mnt/archive --check
  */5 * * * * lockstep journal archive --quiet --from /var/lib/lockstep --to /mnt/archive`,
		Args: usageArgs(cobra.NoArgs),
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if f.from == "" || f.to == "" {
			return fmt.Errorf("%w: give --from DIR and --to ARCHIVE", errUsage)
		}
		from, err := journalDir(c.ErrOrStderr(), f.from)
		if err != nil {
			return err
		}
		commit, err := f.committed(c.Context(), from, c.Flags().Changed("commit"))
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		if f.quiet {
			out = io.Discard
		}
		return f.ship(out, c.ErrOrStderr(), from, commit)
	}
	c.Flags().StringVar(&f.from, "from", "", "the node's directory")
	c.Flags().StringVar(&f.to, "to", "", "the archive")
	c.Flags().StringVar(&f.counters, "counters", "", "the node's counters, if its config says where they are")
	c.Flags().StringVar(&f.control, "control", "", "control address of the running node: it is asked how far it has committed")
	c.Flags().Uint64Var(&f.commit, "commit", 0, "everything below this position is committed: on your word")
	c.Flags().BoolVar(&f.quiet, "quiet", false, "print nothing but errors")
	c.Flags().BoolVar(&f.check, "check", false, "check every file of the archive, and copy damaged or missing ones again")
	return c
}

// committed finds out how far the cluster has committed, as far as this node knows.
func (f *archiveFlags) committed(ctx context.Context, dir string, given bool) (wire.Position, error) {
	switch {
	case given:
		return wire.Position(f.commit), nil
	case f.control != "":
		s, err := node.FetchStatus(ctx, f.control)
		return wire.Position(s.Commit), err
	}
	open, name := node.OpenCounters, dir
	if f.counters != "" {
		open, name = counters.Open, f.counters
	}
	view, err := open(name)
	if err != nil {
		return 0, fmt.Errorf("%w: how far the cluster has committed is not known: %w: give --counters, --control or --commit",
			errUsage, err)
	}
	defer view.Close()
	commit := uint64(0)
	view.Each(func(name, _ string, value uint64) {
		if name == "lockstep_commit_position" {
			commit = value
		}
	})
	return wire.Position(commit), nil
}

func (f *archiveFlags) ship(w, errs io.Writer, from string, commit wire.Position) error {
	done := func() {}
	if !f.quiet {
		done = progress(os.Stderr, "copying to "+f.to)
	}
	r, err := archive.Ship(archive.Options{FS: vfs.Real{}, From: from, To: f.to, Commit: commit, Check: f.check})
	done()
	if r == nil {
		return archiveUsage(err)
	}
	for _, name := range r.Mended {
		fmt.Fprintf(w, "%s was damaged in %s: copied again\n", name, f.to)
	}
	if g := r.Gap; g != nil {
		fmt.Fprintf(errs, "lockstep: %s lacks the log from position %d to %d, records %d to %d, %s to %s: %s had dropped it before "+
			"it was archived. Nothing can be restored up to a place in between, from a snapshot behind it on everything; ship more "+
			"often, or set retention.archive_wait_bytes\n", f.to, g.From.Position, g.To.Position, g.From.Sequence+1, g.To.Sequence,
			inspect.Stamp(g.From.Timestamp), inspect.Stamp(g.To.Timestamp), from)
	}
	fmt.Fprintf(w, "%s: %d records, up to position %d, and %d snapshots", f.to, r.Records, r.End.Position, len(r.Snapshots))
	switch {
	case r.End.Position > r.Bound:
		fmt.Fprintf(w, "; it is ahead of this node, which has committed and synced up to %d", r.Bound)
	case r.Records == 0 && len(r.Snapshots) == 0:
		fmt.Fprintf(w, "; there is nothing new")
	}
	fmt.Fprintln(w)
	return archiveUsage(err)
}

// archiveUsage marks what the user has to give otherwise.
func archiveUsage(err error) error {
	for _, sentinel := range []error{archive.ErrOccupied, archive.ErrNoArchive, archive.ErrSameCluster, archive.ErrNode} {
		if errors.Is(err, sentinel) {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	return usageOf(err)
}

// restoreFlags are those of restore.
type restoreFlags struct {
	from, to, toTime, cluster string
	toPosition                uint64
	node                      int
}

func journalRestoreCommand() *cobra.Command {
	var f restoreFlags
	c := &cobra.Command{
		Use:   "restore --from ARCHIVE --to DIR --node N",
		Short: "Make a node's directory from an archive, up to a position or a time",
		Long: `Make a node's directory from an archive: of all of it, or up to a position or a time (point-in-time
recovery). The last record is the last one that ends at or before the position, or was stamped at or before the time.
The node gets the two newest snapshots up to there, and the log from the older one on; all of it is verified.

The node belongs to a new cluster, whose id is made up and printed: it can never take part in the archived one, which
perhaps goes on elsewhere. A cluster of several nodes is restored node by node, each with its --node, the others with
the --cluster that the first printed, all up to the same place; their config files list the same nodes, rule and ring
as the archived cluster's. Clients are given the new cluster id.

If it is interrupted nothing runs on the directory; the same command goes on with it.`,
		Example: `  lockstep journal restore --from /mnt/archive --to /var/lib/lockstep --node 1
  lockstep journal restore --from /mnt/archive --to /var/lib/lockstep --node 2 --cluster 5f0c4b1e8d2a9673
  lockstep journal restore --from /mnt/archive --to /tmp/look --node 1 --to-time 2026-01-02T15:04:05Z`,
		Args: usageArgs(cobra.NoArgs),
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := f.plan(c.Flags().Changed("to-position"))
		if err != nil {
			return err
		}
		done := progress(os.Stderr, "restoring "+f.to)
		r, err := archive.Restore(o)
		done()
		if err != nil {
			return archiveUsage(err)
		}
		for _, err := range r.PassedOver {
			fmt.Fprintf(c.ErrOrStderr(), "lockstep: passed over: %v\n", err)
		}
		f.tell(c.OutOrStdout(), r)
		return nil
	}
	c.Flags().StringVar(&f.from, "from", "", "the archive")
	c.Flags().StringVar(&f.to, "to", "", "the directory to make")
	c.Flags().IntVar(&f.node, "node", 0, "the node's id")
	c.Flags().StringVar(&f.cluster, "cluster", "",
		"the new cluster's id, hexadecimal, that an earlier restore printed; else one is made up")
	c.Flags().Uint64Var(&f.toPosition, "to-position", 0, "up to this position")
	c.Flags().StringVar(&f.toTime, "to-time", "", "up to this time (RFC 3339, or ns:N)")
	return c
}

func (f *restoreFlags) plan(byPosition bool) (o archive.RestoreOptions, err error) {
	switch {
	case f.from == "" || f.to == "" || f.node == 0:
		return o, fmt.Errorf("%w: give --from ARCHIVE, --to DIR and --node N", errUsage)
	case byPosition && f.toTime != "":
		return o, fmt.Errorf("%w: give --to-position or --to-time", errUsage)
	case f.node < 1 || f.node > wire.MaxNodes:
		return o, fmt.Errorf("%w: node id %d: want 1 to %d", errUsage, f.node, wire.MaxNodes)
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails
	o = archive.RestoreOptions{FS: vfs.Real{}, From: f.from, To: f.to, Node: wire.NodeID(f.node),
		Cluster: binary.LittleEndian.Uint64(random[:]), Incarnation: binary.LittleEndian.Uint64(random[8:]) | 1}
	if f.cluster != "" {
		if o.Cluster, err = node.ParseCluster(f.cluster); err != nil {
			return o, err
		}
	}
	bound := inspect.At(wire.Position(f.toPosition))
	if f.toTime != "" {
		bound, err = parseTime("to-time", f.toTime)
	}
	if byPosition || f.toTime != "" {
		o.Covers = bound.Covers
	}
	return o, err
}

func (f *restoreFlags) tell(w io.Writer, r *archive.Restored) {
	cluster := node.ClusterString(r.Identity.Cluster)
	fmt.Fprintf(w, "made %s for node %d of the new cluster %s\n", f.to, r.Identity.Node, cluster)
	if len(r.Snapshots) > 0 {
		fmt.Fprintf(w, "it starts from the snapshot at position %d\n", r.Snapshots[0])
	}
	fmt.Fprintf(w, "%d records from position %d to %d, sequence %d, term %d, %s", r.End.Sequence-r.From.Sequence, r.From.Position,
		r.End.Position, r.End.Sequence, r.End.Term, inspect.Stamp(r.End.Timestamp))
	if r.End != r.Archived {
		fmt.Fprintf(w, "; the archive goes on to position %d, %s", r.Archived.Position, inspect.Stamp(r.Archived.Timestamp))
	}
	fmt.Fprintln(w)
	if !r.Listed {
		fmt.Fprintf(w, "the log does not list node %d: it starts as recovering, and the others admit it\n", r.Identity.Node)
	}
	if r.Config.Members > 1 {
		fmt.Fprintf(w, "restore the other nodes in the same way: lockstep journal restore --cluster %s ...\n", cluster)
	}
	fmt.Fprintln(w, "then run each: lockstep node --config FILE")
}
