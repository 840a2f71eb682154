package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lockstep/node"
)

func statusCommand() *cobra.Command {
	var config string
	var urls []string
	var asJSON, process bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "Show role, positions and drops of every node of a cluster",
		Long: `Show role, positions and drops of every node of a cluster. Below them a line that begins with ALARM for each node on which
apply has halted, a service holds more than 80 per cent of what it may, or a record cost or caused more than half of what one may;
on which a hot thread did not run for long, garbage is collected all the time, or memory is swapped out.

With --wait it first waits until the next node could be restarted: all answer and follow one leader, none recovers, is
halted or has a full or hanging disk, all voters count, and all have applied what was committed. It fails when that does not come.`,
		Example: `  lockstep status --config /etc/lockstep/node1.toml
  lockstep status --control 10.0.0.1:7500 --control 10.0.0.2:7500
  lockstep status --config /etc/lockstep/node1.toml --process
  lockstep status --config /etc/lockstep/node1.toml --wait 60s`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			controls := urls
			if config != "" {
				cfg, err := node.Load(config)
				if err != nil {
					return err
				}
				for _, n := range cfg.Cluster.Nodes {
					controls = append(controls, n.Control)
				}
			}
			if len(controls) == 0 {
				return fmt.Errorf("%w: give --config FILE, or --control HOST:PORT for each node", errUsage)
			}
			if wait < 0 {
				return fmt.Errorf("%w: --wait %v: want a time above 0", errUsage, wait)
			}
			var late error
			if wait > 0 {
				late = awaitSettled(c.Context(), controls, wait)
			}
			return errors.Join(late, showStatus(c.Context(), os.Stdout, controls, asJSON, process))
		},
	}
	c.Flags().StringVar(&config, "config", "", "config file of any node: all its nodes are asked")
	c.Flags().StringSliceVar(&urls, "control", nil, "control address of a node (repeat for more)")
	c.Flags().BoolVar(&asJSON, "json", false, "print each node's whole status as JSON")
	c.Flags().DurationVar(&wait, "wait", 0, "wait so long at most for a cluster of which the next node could be restarted")
	c.Flags().BoolVar(&process, "process", false, "show each node's threads, memory and garbage collections as well")
	return c
}

// showStatus asks every node; those that do not answer are shown as such, and make the exit code 1.
func showStatus(ctx context.Context, w io.Writer, controls []string, asJSON, process bool) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(table, "NODE\tCLUSTER\tROLE\tTERM\tLEADER\tAPPEND\tDURABLE\tCOMMIT\tAPPLIED\tLOG\tLOG_MIB\tSNAPSHOTS\tDROPPED\tWRITE_US\tSYNC_US\tTRANSPORT")
	}
	silent, alarms := 0, ""
	var led, answered []node.Status
	for _, control := range controls {
		s, err := node.FetchStatus(ctx, control)
		switch {
		case err != nil:
			silent++
			fmt.Fprintf(table, "%s\tno answer: %v\n", control, err)
		case asJSON:
			if err := json.NewEncoder(w).Encode(s); err != nil {
				return err
			}
		default:
			fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\t%s\n", s.Node, s.Cluster, s.Role,
				s.Term, s.Leader, s.Append, s.Durable, s.Commit, s.Applied, s.LogFloor, s.LogDisk>>20, snapshots(&s),
				s.DroppedTotal(), s.DiskWrite, s.DiskSync, s.Transport)
			for _, alarm := range s.Alarms() {
				alarms += fmt.Sprintf("ALARM node %d: %s\n", s.Node, alarm)
			}
			answered = append(answered, s)
			if s.Leader == s.Node && len(s.Stages) > 0 {
				led = append(led, s)
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if _, err := io.WriteString(w, alarms); err != nil {
		return err
	}
	for i := range led {
		if err := showStages(w, &led[i]); err != nil {
			return err
		}
	}
	for i := range answered {
		if !process {
			break
		}
		if err := showProcess(w, &answered[i]); err != nil {
			return err
		}
	}
	if silent > 0 {
		return fmt.Errorf("%d of %d nodes do not answer", silent, len(controls))
	}
	return nil
}

// showStages shows how long messages took from stage to stage on their leader, since it started.
func showStages(w io.Writer, s *node.Status) error {
	fmt.Fprintf(w, "\nmessages on node %d, microseconds from the stage before, within 12.5 %% (%s):\n", s.Node, s.Stamps)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "STAGE\tCOUNT\tP50\tP90\tP99\tMAX\t")
	us := func(ns uint64) string { return strconv.FormatFloat(float64(ns)/1e3, 'f', 2, 64) }
	for _, x := range s.Stages {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t\n", x.Stage, x.Count, us(x.P50), us(x.P90), us(x.P99), us(x.Max))
	}
	return table.Flush()
}

// snapshots is how many snapshots a node holds and where the newest verified one is; while it fetches one, how far that is.
func snapshots(s *node.Status) string {
	text := fmt.Sprintf("%d@%d", len(s.Snapshots), s.NewestVerified())
	if len(s.Snapshots) == 0 {
		text = "-"
	}
	if f := s.Fetch; f != nil {
		text += fmt.Sprintf(" (%d %% of %d)", f.Bytes*100/max(1, f.Of), f.Position)
	}
	return text
}
