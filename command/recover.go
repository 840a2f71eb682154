package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lockstep/node"
)

// recoverPatience bounds the wait for the order's record to be committed: nodes may have to fetch the log first.
const recoverPatience = 30 * time.Second

func recoverCommand() *cobra.Command {
	var config string
	var acceptLoss bool
	c := &cobra.Command{
		Use:   "recover",
		Short: "Bring a cluster back when a majority may have forgotten and nobody is elected",
		Long: `Ask every node what it holds, say which log is the newest, and what may be lost by going on with it. With
--accept-loss have the node that holds it lead, without votes, in a term above all that were seen: the others take its log.

One operator at a time. Whatever can still be had must run before: what only a node holds that was not asked is lost.`,
		Example: `  lockstep recover --config /etc/lockstep/node1.toml
  lockstep recover --config /etc/lockstep/node1.toml --accept-loss`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if config == "" {
				return fmt.Errorf("%w: --config FILE is missing", errUsage)
			}
			cfg, err := node.Load(config)
			if err != nil {
				return err
			}
			return recoverCluster(c.Context(), os.Stdout, cfg, config, acceptLoss)
		},
	}
	c.Flags().StringVar(&config, "config", "", "config file of any node: all its nodes are asked")
	c.Flags().BoolVar(&acceptLoss, "accept-loss", false, "do it: what is listed as lost is given up")
	return c
}

// recoverCluster shows what an order would do, and gives it if loss is accepted.
func recoverCluster(ctx context.Context, w io.Writer, cfg node.Config, path string, acceptLoss bool) error {
	asked := node.Ask(ctx, nil, cfg.Cluster.Nodes)
	if err := showAsked(w, asked); err != nil {
		return err
	}
	plan, err := node.PlanRecovery(asked)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nThe newest log is node %d's: it ends at %d, in term %d.\n", plan.Chosen.Node, plan.Chosen.Append,
		plan.Chosen.LastTerm)
	for _, sentence := range plan.Lost {
		fmt.Fprintf(w, "Loss: %s.\n", sentence)
	}
	if !acceptLoss {
		fmt.Fprintf(w, "\nNothing was done. To go on with that log: lockstep recover --config %s --accept-loss\n", path)
		return nil
	}
	control := ""
	for _, n := range cfg.Cluster.Nodes {
		if n.ID == plan.Chosen.Node {
			control = n.Control
		}
	}
	o, err := node.Recover(ctx, nil, control, plan.Order)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nnode %d leads term %d by order\n", o.Node, o.Term)
	return awaitRecovered(ctx, w, control, plan.Chosen.Append, o.Term)
}

// awaitRecovered waits until the record of the order is committed: then the cluster works.
func awaitRecovered(ctx context.Context, w io.Writer, control string, end, term uint64) error {
	ctx, cancel := context.WithTimeout(ctx, recoverPatience)
	defer cancel()
	for {
		s, err := node.FetchStatus(ctx, control)
		switch {
		case err == nil && s.Commit > end:
			fmt.Fprintf(w, "committed up to %d: the cluster works again\n", s.Commit)
			return nil
		case err == nil && s.Term == term && s.Role != "leader":
			return fmt.Errorf("node %d leads no longer: no majority was heard; see lockstep status, and order again", s.Node)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the order's record is not committed within %v: a majority has to fetch the log first; "+
				"lockstep status shows how far it is", recoverPatience)
		}
	}
}

// showAsked prints what each node answered.
func showAsked(w io.Writer, asked []node.Asked) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tROLE\tTERM\tLAST TERM\tAPPEND\tDURABLE\tCOMMIT\tRECOVERING")
	for _, a := range asked {
		s := &a.Status
		if a.Err != nil {
			fmt.Fprintf(table, "%d\tno answer: %v\n", a.Node.ID, a.Err)
			continue
		}
		recovering := "no"
		if s.Recovering != "" {
			recovering = "yes: " + s.Recovering
		}
		fmt.Fprintf(table, "%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", s.Node, s.Role, s.Term, s.LastTerm, s.Append, s.Durable,
			s.Commit, recovering)
	}
	return table.Flush()
}
