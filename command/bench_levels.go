package command

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/internal/testnet"
)

func benchLevelsCommand() *cobra.Command {
	var f benchFlags
	var transports []string
	c := &cobra.Command{
		Use:   "levels",
		Short: "What each guarantee level costs, side by side in one run",
		Long: `Measure the round trip at every guarantee level, one after the other on the same cluster. The differences say where the
time goes: received is the way to the leader and back with the append (sequenced leaves in the same datagram), replicated
adds the way to the followers, durable their syncs, applied the service. With --transports every round measures all levels
over one transport after the other, each on a cluster of its own. A table of all levels and transports ends a lab's run:
with several rounds it has the median of each percentile.`,
		Example: `  lockstep bench levels --lab --json levels.json
  lockstep bench levels --lab --transports xdp,udp --rounds 3 --with-floor --json levels.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			base, err := f.plan()
			if err != nil {
				return err
			}
			if transports, err = f.transports(transports); err != nil {
				return err
			}
			var plans []bench.Plan
			for _, level := range bench.LevelNames {
				p := base
				p.Level = level
				plans = append(plans, p)
			}
			return runBench(c.Context(), &f, transports, plans, levelsTable)
		},
	}
	f.register(c)
	f.registerClients(c)
	c.Flags().StringSliceVar(&transports, "transports", nil, "xdp, udp, or both, in turn; needs --lab (default: --transport alone)")
	return c
}

// transports are those that are measured in turn.
func (f *benchFlags) transports(list []string) ([]string, error) {
	if len(list) == 0 {
		return []string{f.lab.Transport}, nil
	}
	if !f.useLab {
		return nil, fmt.Errorf("%w: --transports needs --lab: a running cluster has one transport", errUsage)
	}
	for i, t := range list {
		missing := testnet.Available()
		switch {
		case t != "xdp" && t != "udp" || slices.Contains(list[:i], t):
			return nil, fmt.Errorf("%w: --transports %q: want xdp, udp, or both", errUsage, list)
		case t == "xdp" && missing != "":
			return nil, fmt.Errorf("%w: --transports xdp: %s", errUsage, missing)
		}
	}
	return list, nil
}

// levelsTable prints a line a level, with every transport beside the others.
func levelsTable(w io.Writer, columns []benchColumn) {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	line := func(name string, cell func(c *benchColumn) *bench.Row) {
		fmt.Fprintf(table, "%s\t", name)
		for i := range columns {
			m := cell(&columns[i])
			over := "-"
			if m.RatioP50 > 0 {
				over = fmt.Sprintf("%.2f", m.RatioP50)
			}
			fmt.Fprintf(table, "%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%s\t", m.P50Us, m.P90Us, m.P99Us, m.P999Us, m.MaxUs, over)
		}
		fmt.Fprintln(table)
	}
	fmt.Fprint(table, "us\t")
	for i := range columns {
		first := &columns[i].rows[0][0]
		fmt.Fprintf(table, "%s %s p50\tp90\tp99\tp99.9\tmax\tx floor\t", first.Transport, first.Mode)
	}
	fmt.Fprintln(table)
	if len(columns[0].floors) > 0 {
		line("two-hop floor", func(c *benchColumn) *bench.Row { m := bench.Median(c.floors); return &m })
	}
	for level := range columns[0].rows {
		line(columns[0].rows[level][0].Level, func(c *benchColumn) *bench.Row { m := bench.Median(c.rows[level]); return &m })
	}
	_ = table.Flush() // to the terminal or nowhere
	levelsConditions(w, columns)
}

// levelsConditions says under what the table was measured.
func levelsConditions(w io.Writer, columns []benchColumn) {
	var all []bench.Row
	for i := range columns {
		all = append(all, slices.Concat(columns[i].rows...)...)
	}
	row := &all[0]
	lost, steal, jitter := uint64(0), 0.0, 0.0
	for i := range all {
		lost += all[i].Lost + all[i].Duplicated + all[i].Reordered
		steal, jitter = max(steal, all[i].StealPct), max(jitter, all[i].JitterP99Us)
	}
	fmt.Fprintf(w, "%d rounds; %d nodes, commit %s, directories on %s, sync %s; layout %s, idle %s\n",
		len(columns[0].rows[0]), row.Nodes, row.Commit, row.DirFS, row.Sync, row.Layout, row.Idle)
	fmt.Fprintf(w, "%s loop, payload %d bytes, MTU %d; %s, Linux %s; steal %.1f %% and pauses of %.0f us (p99) at the most; "+
		"%d messages lost, doubled or out of order\n", row.Loop, row.Payload, row.MTU, row.Host, row.Kernel, steal, jitter, lost)
}
