package command

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lockstep/node"
)

func snapshotCommand() *cobra.Command {
	var f clusterFlag
	leader := false
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Have every node take a snapshot now",
		Long: `Find the leader and have it append a record that asks for a snapshot. At the end of that record, so all at the same
position, every node but the leader writes its whole state, beside what it does. The command says the position when the record is
committed; lockstep status shows when a majority has verified the snapshot, and lockstep journal snapshots what a directory holds.

Snapshots are taken by themselves whenever the log has grown by snapshot.every_bytes: this is for before an upgrade or a backup.`,
		Example: `  lockstep snapshot --config /etc/lockstep/node1.toml
  lockstep snapshot --config /etc/lockstep/node1.toml --leader`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			nodes, err := f.nodes()
			if err != nil {
				return err
			}
			return takeSnapshot(c.Context(), os.Stdout, nodes, leader)
		},
	}
	f.register(c)
	c.Flags().BoolVar(&leader, "leader", false, "the leader takes one, too: it answers no client meanwhile")
	return c
}

// takeSnapshot finds the leader, asks it for a snapshot, and says what came of it.
func takeSnapshot(ctx context.Context, w io.Writer, nodes []node.NodeConfig, leader bool) error {
	var controls []string
	for _, n := range nodes {
		controls = append(controls, n.Control)
	}
	path := node.SnapshotPath
	if leader {
		path += "?leader=1"
	}
	o, err := node.OperateLeader(ctx, controlClient, controls, path, transferPatience)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "node %d: %s\n", o.Node, o.Done)
	return nil
}
