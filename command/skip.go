package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"lockstep/node"
)

func leaderSkipCommand() *cobra.Command {
	var f clusterFlag
	c := &cobra.Command{
		Use:   "skip POSITION",
		Short: "Have every node pass over the record on which a service failed",
		Long: `Find the leader and have it append a skip record for the record that begins at POSITION, which is where apply has halted
(lockstep status says where). Once that is committed every node goes on without the record, also one that is started later; a
message is answered refused, for "skipped". Nothing brings the record's effects back.`,
		Example: "  lockstep leader skip 1048640 --config /etc/lockstep/node1.toml",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			at, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("%w: position %q: want a number, as lockstep status has it", errUsage, args[0])
			}
			nodes, err := f.nodes()
			if err != nil {
				return err
			}
			return skipRecord(c.Context(), os.Stdout, nodes, at)
		},
	}
	f.register(c)
	return c
}

// skipRecord finds the leader, asks it to have a record passed over, and says what came of it.
func skipRecord(ctx context.Context, w io.Writer, nodes []node.NodeConfig, at uint64) error {
	var controls []string
	for _, n := range nodes {
		controls = append(controls, n.Control)
	}
	path := fmt.Sprintf("%s?position=%d", node.SkipPath, at)
	o, err := node.OperateLeader(ctx, controlClient, controls, path, transferPatience)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "node %d: %s; the skip record ends at position %d\n", o.Node, o.Done, o.Position)
	return nil
}
