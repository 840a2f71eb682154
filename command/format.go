package command

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lockstep/node"
)

// directory is what format and reseed are told about the node directory to make.
type directory struct {
	config  string
	dir     string
	node    int
	cluster string
}

// newDirectory is that, checked.
type newDirectory struct {
	dir     string
	node    int
	cluster uint64 // 0 when not given
	nodes   int    // how many the cluster has, 0 when not known
	peers   []string
}

func formatCommand() *cobra.Command {
	var d directory
	c := &cobra.Command{
		Use:   "format",
		Short: "Make the directory of a node of a new cluster",
		Long: `Make the directory of a node of a new cluster: identity, votes, an empty journal. It overwrites nothing.

The first node's format makes up the cluster's id and prints it; give it to the others with --cluster. With --config it
takes node and directory from the config file, and asks the other nodes that the file lists: if one has a log already,
the cluster exists, and an empty node must not vote in it. Such a node is made by lockstep reseed.`,
		Example: `  lockstep format --config node1.toml
  lockstep format --config node2.toml --cluster 5f0c4b1e8d2a9673
  lockstep format --dir /var/lib/lockstep --node 3 --cluster 5f0c4b1e8d2a9673`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := d.plan()
			if err != nil {
				return err
			}
			return p.format(c.Context(), c.OutOrStdout())
		},
	}
	d.flags(c)
	return c
}

func reseedCommand() *cobra.Command {
	var d directory
	c := &cobra.Command{
		Use:   "reseed",
		Short: "Make the directory of a node anew, for a cluster that exists",
		Long: `Make the directory of a node whose own is lost, for a cluster that exists. The node starts as recovering: it
takes the log from the others, and neither votes nor counts before the cluster has admitted it. It overwrites nothing:
move a damaged directory away first.

With --config it takes node and directory from the config file and, without --cluster, the cluster's id from the other
nodes that the file lists.`,
		Example: `  lockstep reseed --config node2.toml
  lockstep reseed --dir /var/lib/lockstep --node 2 --cluster 5f0c4b1e8d2a9673`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := d.plan()
			if err != nil {
				return err
			}
			return p.reseed(c.Context(), c.OutOrStdout())
		},
	}
	d.flags(c)
	return c
}

func (d *directory) flags(c *cobra.Command) {
	c.Flags().StringVar(&d.config, "config", "", "config file of the node: says node, directory and the other nodes")
	c.Flags().StringVar(&d.dir, "dir", "", "the node's directory")
	c.Flags().IntVar(&d.node, "node", 0, "the node's id")
	c.Flags().StringVar(&d.cluster, "cluster", "", "the cluster's id, hexadecimal")
}

// plan puts flags and config file together.
func (d *directory) plan() (p newDirectory, err error) {
	switch {
	case d.config != "" && (d.dir != "" || d.node != 0):
		return p, fmt.Errorf("%w: --config says node and directory: give it, or --dir and --node", errUsage)
	case d.config == "" && (d.dir == "" || d.node == 0):
		return p, fmt.Errorf("%w: give --config FILE, or --dir DIR and --node N", errUsage)
	}
	if d.cluster != "" {
		if p.cluster, err = node.ParseCluster(d.cluster); err != nil {
			return p, err
		}
	}
	if d.config == "" {
		p.dir, p.node = d.dir, d.node
		return p, nil
	}
	config, err := node.Load(d.config)
	if err != nil {
		return p, err
	}
	p.dir, p.node, p.nodes = config.Dir, config.Node, len(config.Cluster.Nodes)
	for _, n := range config.Cluster.Nodes {
		if n.ID != config.Node {
			p.peers = append(p.peers, n.Control)
		}
	}
	return p, nil
}

func (p *newDirectory) format(ctx context.Context, w io.Writer) error {
	done := progress(os.Stderr, "asking the other nodes whether the cluster exists already")
	identity, err := node.Format(ctx, p.dir, p.node, p.cluster, p.peers)
	done()
	if err != nil {
		return err
	}
	cluster := node.ClusterString(identity.Cluster)
	fmt.Fprintf(w, "made %s for node %d of cluster %s\n", p.dir, p.node, cluster)
	if p.nodes != 1 {
		fmt.Fprintf(w, "the other nodes belong to the same cluster: lockstep format --cluster %s ...\n", cluster)
	}
	fmt.Fprintln(w, "then run each: lockstep node --config FILE")
	return nil
}

func (p *newDirectory) reseed(ctx context.Context, w io.Writer) error {
	if p.cluster == 0 && len(p.peers) > 0 {
		done := progress(os.Stderr, "asking the other nodes which cluster they are")
		cluster, err := clusterOf(ctx, p.peers)
		done()
		if err != nil {
			return err
		}
		p.cluster = cluster
	}
	identity, err := node.Reseed(p.dir, p.node, p.cluster)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "made %s for node %d of cluster %s, to be filled by the other nodes\n", p.dir, p.node,
		node.ClusterString(identity.Cluster))
	fmt.Fprintln(w, "run it: lockstep node --config FILE")
	return nil
}

// clusterOf asks nodes for their cluster's id; those that answer must agree.
func clusterOf(ctx context.Context, controls []string) (uint64, error) {
	found, at := "", ""
	for _, control := range controls {
		s, err := node.FetchStatus(ctx, control)
		switch {
		case err != nil:
		case found == "":
			found, at = s.Cluster, control
		case found != s.Cluster:
			return 0, fmt.Errorf("%w: the node at %s is of cluster %s, the one at %s of %s: say which with --cluster",
				node.ErrConfig, at, found, control, s.Cluster)
		}
	}
	if found == "" {
		return 0, fmt.Errorf("%w: none of the other nodes answers: say which cluster with --cluster (format printed its id)",
			node.ErrConfig)
	}
	return node.ParseCluster(found)
}
