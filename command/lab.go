package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lockstep/internal/lab"
	"lockstep/internal/testnet"
)

// What lab exec tells the command about the cluster: lockstep order takes its defaults from these.
const (
	envNodes   = "LOCKSTEP_NODES"   // data addresses, with commas between
	envCluster = "LOCKSTEP_CLUSTER" // id
	envControl = "LOCKSTEP_CONTROL" // control addresses, with commas between
)

func labCommand() *cobra.Command {
	parent := &cobra.Command{
		Use:   "lab",
		Short: "A cluster of real processes on this machine, to try things on",
		Long: `A cluster of real processes on this machine, each node in a network namespace of its own on a bridge, to try
things on. lab up leaves a process behind that holds it; lab down ends it. Nothing of it is mounted, named or outlives
its holder: when that is killed, the nodes and the network are gone with it. Without the privileges for namespaces the
nodes run on loopback, with kernel UDP.`,
		Example: `  lockstep lab up --nodes 3 --clients 1
  lockstep lab status
  lockstep lab exec -- lockstep order new --side buy --price 100 --quantity 5
  lockstep lab kill 2; lockstep lab start 2
  lockstep lab cut 1; lockstep lab heal 1
  lockstep lab down`,
	}
	group(parent)
	var runtime string
	parent.PersistentFlags().StringVar(&runtime, "runtime", lab.RuntimeDir(),
		"where the lab is found again (also "+lab.EnvRuntime+"); another directory makes another lab beside the first")
	parent.AddCommand(labUpCommand(&runtime), labStatusCommand(&runtime), labExecCommand(&runtime),
		labVerbCommand(&runtime, "kill", "Kill a node's process (SIGKILL)"),
		labVerbCommand(&runtime, "stop", "Stop a node gracefully (SIGTERM)"),
		labVerbCommand(&runtime, "start", "Start a node that was killed or stopped"),
		labVerbCommand(&runtime, "cut", "Cut a node off the network"),
		labVerbCommand(&runtime, "heal", "Undo cut"),
		labDownCommand(&runtime), labHoldCommand(&runtime))
	return parent
}

// labError makes what the user mends a usage error, with a hint where there is one.
func labError(err error) error {
	switch {
	case errors.Is(err, lab.ErrNoLab):
		return fmt.Errorf("%w: %w (lockstep lab up makes one)", errUsage, err)
	case errors.Is(err, lab.ErrUp):
		return fmt.Errorf("%w: %w (lockstep lab status shows it, lockstep lab down ends it)", errUsage, err)
	case errors.Is(err, lab.ErrOptions):
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return err
}

func labUpCommand(runtime *string) *cobra.Command {
	var o lab.Options
	c := &cobra.Command{
		Use:   "up",
		Short: "Bring up a lab, and leave it running",
		Long: `Bring up a lab, wait until a leader leads, and leave it running. It prints where everything is and what to try
next. Without --dir the nodes' directories are temporary and go with the lab.`,
		Example: `  lockstep lab up --nodes 3 --clients 1
  lockstep lab up --nodes 5 --transport xdp --xdp-mode native --rule replicated --dir /tmp/five`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return labError(labUp(c.Context(), c.OutOrStdout(), *runtime, o))
		},
	}
	f := c.Flags()
	f.IntVar(&o.Nodes, "nodes", 3, "how many nodes")
	f.IntVar(&o.Learners, "learners", 0, "how many of them have no vote")
	f.IntVar(&o.Clients, "clients", 1, "how many places for clients")
	f.StringVar(&o.Transport, "transport", "auto", "xdp, udp, or auto")
	f.StringVar(&o.XDPMode, "xdp-mode", "auto", "native, generic, zero-copy, or auto")
	f.StringVar(&o.Rule, "rule", "durable", "commit rule: durable or replicated")
	f.StringVar(&o.Layout, "layout", "shared", "thread layout of the nodes: shared or dedicated")
	f.StringVar(&o.Idle, "idle", "auto", "idle strategy of the nodes: auto, spin, yield or park")
	f.IntVar(&o.MTU, "mtu", 1500, "MTU of the lab's links")
	f.StringVar(&o.Dir, "dir", "", "make the nodes' directories here, and keep them")
	return c
}

func labUp(ctx context.Context, w io.Writer, runtime string, o lab.Options) error {
	if r, err := lab.Attach(runtime); err == nil {
		s, err := r.State(ctx)
		switch {
		case err == nil:
			return fmt.Errorf("%w: %d nodes since %s, in %s", lab.ErrUp, len(s.Nodes), s.Since.Format(time.DateTime), s.Dir)
		case !errors.Is(err, lab.ErrNoLab):
			return err
		}
	}
	o.Log = w
	done := progress(os.Stderr, "bringing up the lab")
	r, err := lab.Launch(ctx, runtime, o)
	done()
	if err != nil {
		return err
	}
	s, err := r.State(ctx)
	if err != nil {
		return err
	}
	statuses, err := r.Status(ctx)
	if err != nil {
		return err
	}
	describeLab(w, &s, statuses)
	return nil
}

// describeLab says where everything is and what to try next.
func describeLab(w io.Writer, s *lab.State, statuses []lab.NodeStatus) {
	fmt.Fprintf(w, "cluster %s is up; process %d holds it\n\n", s.Cluster, s.PID)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tDATA\tCONTROL\tDIRECTORY\tOUTPUT")
	leader, how := 1, s.Transport
	for i := range statuses {
		n := &statuses[i]
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", n.ID, n.Data, n.Control, n.Dir, n.Log)
		if n.Status == nil {
			continue
		}
		how = n.Status.Transport
		if n.Status.Leader != 0 {
			leader = n.Status.Leader
		}
	}
	_ = table.Flush() // w keeps the error for its owner
	bin := commandName()
	fmt.Fprintf(w, `
transport: %[4]s
commit rule: %[5]s

try next:
  %[1]s lab status
  %[1]s lab exec -- %[1]s order new --side buy --price 100 --quantity 5
  %[1]s lab kill %[2]d; %[1]s lab status; %[1]s lab start %[2]d
  %[1]s journal verify %[3]s
`, bin, leader, s.Nodes[0].Dir, how, s.Rule)
	if s.Nodes[0].Place.Namespace != "" {
		fmt.Fprintf(w, "  %[1]s lab cut %[2]d; %[1]s lab status; %[1]s lab heal %[2]d\n", bin, leader)
	}
	fmt.Fprintf(w, "  %s lab down\n", bin)
}

// commandName is how the user called this binary.
func commandName() string {
	if _, err := exec.LookPath("lockstep"); err == nil {
		return "lockstep"
	}
	return os.Args[0]
}

func labStatusCommand(runtime *string) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show what runs, who leads, and how far everybody is",
		Example: "  lockstep lab status",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := lab.Attach(*runtime)
			if err != nil {
				return labError(err)
			}
			list, err := r.Status(c.Context())
			if err != nil {
				return labError(err)
			}
			return printLabStatus(c.OutOrStdout(), list)
		},
	}
}

func printLabStatus(w io.Writer, list []lab.NodeStatus) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tPROCESS\tNETWORK\tROLE\tTERM\tLEADER\tAPPEND\tDURABLE\tCOMMIT\tAPPLIED\tDROPPED")
	var silent strings.Builder
	for i := range list {
		n := &list[i]
		process, network := "-", "-"
		if n.PID != 0 {
			process, network = strconv.Itoa(n.PID), "up"
		}
		if n.Cut {
			network = "cut"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t", n.ID, process, network)
		if s := n.Status; s != nil {
			fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", s.Role, s.Term, s.Leader, s.Append, s.Durable, s.Commit,
				s.Applied, s.DroppedTotal())
		} else {
			fmt.Fprintln(table, strings.Repeat("-\t", 7)+"-")
			fmt.Fprintf(&silent, "node %d does not answer: %s\n", n.ID, n.Error)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, silent.String())
	return err
}

func labVerbCommand(runtime *string, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NODE",
		Short:   short,
		Example: fmt.Sprintf("  lockstep lab %s 2", verb),
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.Atoi(args[0])
			if err != nil {
				return fmt.Errorf("%w: node %q: want its number", errUsage, args[0])
			}
			r, err := lab.Attach(*runtime)
			if err != nil {
				return labError(err)
			}
			done := progress(os.Stderr, fmt.Sprintf("%s node %d", verb, id))
			defer done()
			return labError(r.Do(c.Context(), verb, id))
		},
	}
}

func labExecCommand(runtime *string) *cobra.Command {
	var client, node int
	c := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command on the lab's network, where a client or a node is",
		Long: `Run a command in the network namespace of a client (the first, if nothing is said) or a node, on this terminal,
with the command's exit code. The environment tells it the cluster: ` + envNodes + ` and ` + envControl + ` (addresses,
with commas between) and ` + envCluster + ` (id), from which lockstep order takes its defaults.`,
		Example: `  lockstep lab exec -- lockstep order new --side sell --price 101 --quantity 2
  lockstep lab exec --node 2 -- ip address
  lockstep lab exec -- sh`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if client != 0 && node != 0 {
				return fmt.Errorf("%w: --client or --node, not both", errUsage)
			}
			r, err := lab.Attach(*runtime)
			if err != nil {
				return labError(err)
			}
			s, err := r.State(c.Context())
			if err != nil {
				return labError(err)
			}
			place, err := findPlace(&s, client, node)
			if err != nil {
				return err
			}
			return execAt(place, args, labEnviron(&s))
		},
	}
	c.Flags().IntVar(&client, "client", 0, "run it where this client is, from 1")
	c.Flags().IntVar(&node, "node", 0, "run it where this node is, from 1")
	c.Flags().SetInterspersed(false) // the command's flags are its own, also without --
	return c
}

// findPlace is where client or node of that number is, from 1; 0 and 0 is the first client.
func findPlace(s *lab.State, client, node int) (lab.Place, error) {
	if node != 0 {
		if node < 1 || node > len(s.Nodes) {
			return lab.Place{}, fmt.Errorf("%w: --node %d: the lab has nodes 1 to %d", errUsage, node, len(s.Nodes))
		}
		return s.Nodes[node-1].Place, nil
	}
	if client == 0 {
		client = 1
	}
	if client < 1 || client > len(s.Clients) {
		return lab.Place{}, fmt.Errorf("%w: --client %d: the lab has clients 1 to %d", errUsage, client, len(s.Clients))
	}
	return s.Clients[client-1], nil
}

// labEnviron is this process's environment, and what commands want to know about the cluster.
func labEnviron(s *lab.State) []string {
	var data, control []string
	for i := range s.Nodes {
		data, control = append(data, s.Nodes[i].Data), append(control, s.Nodes[i].Control)
	}
	return append(os.Environ(), envNodes+"="+strings.Join(data, ","), envControl+"="+strings.Join(control, ","),
		envCluster+"="+s.Cluster)
}

// execAt makes this process the command, in the namespace: terminal, signals and exit code are the command's own.
func execAt(place lab.Place, args, environ []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil && args[0] == "lockstep" {
		path, err = os.Executable()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	become := func() error {
		return fmt.Errorf("run %s: %w", path, syscall.Exec(path, args, environ)) // it returns only when it fails
	}
	if place.Namespace == "" {
		return become()
	}
	return testnet.DoIn(place.Namespace, become)
}

func labDownCommand(runtime *string) *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "Take the lab down: stop every node, remove the network and temporary directories",
		Example: "  lockstep lab down",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := lab.Attach(*runtime)
			if err != nil {
				return labError(err)
			}
			done := progress(os.Stderr, "taking the lab down")
			defer done()
			return labError(r.Down(c.Context()))
		},
	}
}

// labHoldCommand is the process that lab up leaves behind.
func labHoldCommand(runtime *string) *cobra.Command {
	return &cobra.Command{
		Use:    "hold",
		Hidden: true,
		Args:   usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return labError(lab.HoldLaunched(c.Context(), *runtime, os.Stdin))
		},
	}
}
