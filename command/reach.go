package command

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"lockstep/bench"
	"lockstep/client"
	"lockstep/node"
	"lockstep/transport"
)

// reachFlags say where the cluster is, and how a client comes there.
type reachFlags struct {
	config    string
	nodes     []string
	cluster   string
	transport string
	device    string
	xdpMode   string
	name      string
}

// flagSet is what flags are registered with.
type flagSet interface {
	StringVar(p *string, name, value, usage string)
	StringSliceVar(p *[]string, name string, value []string, usage string)
}

// register has the flags that say where the cluster is; name is what operators see the session as.
func (f *reachFlags) register(p flagSet, name string) {
	p.StringVar(&f.config, "config", "",
		"config file of any node, instead of --nodes and --cluster: a node is asked for the cluster's id")
	p.StringSliceVar(&f.nodes, "nodes", splitList(os.Getenv(envNodes)), "data addresses of the nodes (also "+envNodes+")")
	p.StringVar(&f.cluster, "cluster", os.Getenv(envCluster), "the cluster's id (also "+envCluster+")")
	p.StringVar(&f.transport, "transport", "udp", "udp (kernel sockets) or xdp (AF_XDP)")
	p.StringVar(&f.device, "interface", "", "own interface, for xdp")
	p.StringVar(&f.xdpMode, "xdp-mode", "auto", "native, generic, zero-copy, or auto")
	p.StringVar(&f.name, "name", name, "what operators see the session as")
}

// splitList takes a list with commas apart; an empty one has no members.
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// options are the client's, and the transport if it is not the client's own.
func (f *reachFlags) options(ctx context.Context) (o client.Options, tr transport.Transport, err error) {
	if f.config != "" {
		if err := f.fromConfig(ctx); err != nil {
			return o, nil, err
		}
	}
	if len(f.nodes) == 0 || f.cluster == "" {
		return o, nil, fmt.Errorf("%w: give --nodes ADDRESS,... and --cluster ID (lab exec sets both)", errUsage)
	}
	o.Name = f.name
	if o.Cluster, err = node.ParseCluster(f.cluster); err != nil {
		return o, nil, err
	}
	for _, text := range f.nodes {
		addr, err := transport.ParseAddr(text)
		if err != nil {
			return o, nil, fmt.Errorf("%w: --nodes: %w", errUsage, err)
		}
		o.Nodes = append(o.Nodes, addr)
	}
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand)
	o.Seed = binary.LittleEndian.Uint64(seed[:]) | 1
	switch f.transport {
	case "udp":
		return o, nil, nil
	case "xdp":
	default:
		return o, nil, fmt.Errorf("%w: --transport %q: want udp or xdp", errUsage, f.transport)
	}
	target := bench.Target{Transport: "xdp", Interface: f.device, XDPMode: f.xdpMode, Nodes: o.Nodes, Cluster: o.Cluster}
	if target.Local.IP, err = transport.LocalFor(o.Nodes[0]); err != nil {
		return o, nil, err
	}
	tr, _, err = target.OpenTransport()
	if err != nil {
		err = fmt.Errorf("%w: %w", errUsage, err)
	}
	return o, tr, err
}

// fromConfig takes the nodes from a config file, and asks them for what it does not have: the cluster's id.
func (f *reachFlags) fromConfig(ctx context.Context) error {
	cfg, err := node.Load(f.config)
	if err != nil {
		return err
	}
	f.nodes = nil
	for _, n := range cfg.Cluster.Nodes {
		f.nodes = append(f.nodes, n.Data)
	}
	if f.cluster != "" {
		return nil
	}
	for _, asked := range node.Ask(ctx, controlClient, cfg.Cluster.Nodes) {
		if asked.Err == nil {
			f.cluster = asked.Status.Cluster
			return nil
		}
		err = asked.Err
	}
	return fmt.Errorf("no node of %s says what its cluster's id is (--cluster does, too): %w", f.config, err)
}
