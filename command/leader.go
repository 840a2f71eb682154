package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"lockstep/node"
)

// transferPatience bounds how long a leader is looked for that could hand over. The hand-over itself ends by the leader's
// own time-out.
const transferPatience = 5 * time.Second

// controlClient asks control planes. A node that is down answers nothing: connecting to it must not take long.
var controlClient = &http.Client{Transport: &http.Transport{
	DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}}

// clusterFlag is what commands to a whole cluster share.
type clusterFlag struct{ config string }

func (f *clusterFlag) register(c *cobra.Command) {
	c.Flags().StringVar(&f.config, "config", "", "config file of any node: all its nodes are asked")
}

func (f *clusterFlag) nodes() ([]node.NodeConfig, error) {
	if f.config == "" {
		return nil, fmt.Errorf("%w: --config FILE is missing", errUsage)
	}
	c, err := node.Load(f.config)
	return c.Cluster.Nodes, err
}

func leaderCommand() *cobra.Command {
	var f clusterFlag
	c := &cobra.Command{
		Use:   "leader",
		Short: "Say which node leads, and have another one lead",
		Long: `Ask every node who leads, and say it: node, term, since when, addresses. Exit code 1 if nobody leads, or the nodes that
answer do not agree.`,
		Example: "  lockstep leader --config /etc/lockstep/node1.toml",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			nodes, err := f.nodes()
			if err != nil {
				return err
			}
			return showLeader(os.Stdout, nodes, node.Ask(c.Context(), controlClient, nodes))
		},
	}
	f.register(c)
	c.AddCommand(leaderTransferCommand(), leaderSkipCommand())
	return c
}

// showLeader prints who leads by what the nodes answered.
func showLeader(w io.Writer, nodes []node.NodeConfig, asked []node.Asked) error {
	var leader *node.Status
	answered, agree := 0, 0
	for i := range asked {
		s := &asked[i].Status
		if asked[i].Err != nil {
			fmt.Fprintf(w, "node %d does not answer: %v\n", asked[i].Node.ID, asked[i].Err)
			continue
		}
		answered++
		if s.Role == "leader" && (leader == nil || s.Term > leader.Term) {
			leader = s
		}
	}
	if leader == nil {
		return fmt.Errorf("%w: %d of %d nodes answer (lockstep status shows what they do)", node.ErrNobodyLeads, answered,
			len(nodes))
	}
	for i := range asked {
		if s := &asked[i].Status; asked[i].Err == nil && s.Term == leader.Term && s.Leader == leader.Node {
			agree++
		}
	}
	since := ""
	if leader.LeaderSince != nil {
		since = fmt.Sprintf(" since %s (%v)", leader.LeaderSince.Format("2006-01-02T15:04:05.000Z"),
			time.Since(*leader.LeaderSince).Round(time.Millisecond))
	}
	for _, n := range nodes {
		if n.ID == leader.Node {
			fmt.Fprintf(w, "node %d leads term %d%s: data %s, control %s; %d of %d nodes say so\n", n.ID, leader.Term, since,
				n.Data, n.Control, agree, len(nodes))
		}
	}
	if agree <= len(nodes)/2 {
		return fmt.Errorf("no majority says that node %d leads term %d", leader.Node, leader.Term)
	}
	return nil
}

func leaderTransferCommand() *cobra.Command {
	var f clusterFlag
	to := 0
	c := &cobra.Command{
		Use:   "transfer",
		Short: "Have the leader hand over to another node",
		Long: `Find the leader and have it hand over: it takes no more from clients, waits until the other node holds all (under rule
durable: has synced it), and tells that node to lead. It takes a few milliseconds, and clients go on in their sessions; use
it before a leader is stopped. If the other node does not take over within an election time-out, the leader goes on, and
the exit code is 1.`,
		Example: `  lockstep leader transfer --config /etc/lockstep/node1.toml
  lockstep leader transfer --config /etc/lockstep/node1.toml --to 2`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			nodes, err := f.nodes()
			if err != nil {
				return err
			}
			return transferLeader(c.Context(), os.Stdout, nodes, to)
		},
	}
	f.register(c)
	c.Flags().IntVar(&to, "to", 0, "id of the node that is to lead (default: the one that holds most)")
	return c
}

// transferLeader finds the leader, asks it to hand over, and says what came of it.
func transferLeader(ctx context.Context, w io.Writer, nodes []node.NodeConfig, to int) error {
	path, known := node.TransferPath, to == 0
	var controls []string
	for _, n := range nodes {
		controls = append(controls, n.Control)
		known = known || n.ID == to
	}
	if !known {
		return fmt.Errorf("%w: --to %d: the config lists no such node", errUsage, to)
	}
	if to != 0 {
		path += "?" + url.Values{"to": {strconv.Itoa(to)}}.Encode()
	}
	started := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o, err := node.OperateLeader(ctx, controlClient, controls, path, transferPatience)
	switch {
	case errors.Is(err, node.ErrOperation):
		return fmt.Errorf("%w (after %v)", err, time.Since(started).Round(time.Microsecond))
	case err != nil:
		return err
	}
	fmt.Fprintf(w, "node %d handed over: %s; %v from the request to hearing the new leader\n", o.Node, o.Done,
		(time.Duration(o.TookUs) * time.Microsecond).Round(time.Microsecond))
	return nil
}
