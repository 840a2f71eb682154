package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"lockstep/internal/pipeline"
	"lockstep/node"
)

func benchPipelineCommand() *cobra.Command {
	var p pipeline.Plan
	var jsonFile string
	var duration float64
	var journalMiB []int
	var scenarios []string
	c := &cobra.Command{
		Use:   "pipeline",
		Short: "What a message costs the processors of a leader and two followers, with no kernel in it",
		Long: `Run leader and two followers on one goroutine, with their production agents, over a network in memory and on disks that keep
nothing, and measure the time of their duty cycles for each message and node, and allocations; instructions too where the kernel gives
hardware counters. The same with many sessions that take turns, behind a long journal, and with many open orders in the book, each in
turn with the first number given: the ratio says whether the cost stays the same.`,
		Example: `  lockstep bench pipeline --json pipeline.json
  lockstep bench pipeline --scenarios journal --journal 0,10240`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			p.Measure, p.Revision = seconds(duration), node.Revision
			for _, n := range journalMiB {
				p.Journal = append(p.Journal, int64(n)<<20)
			}
			if err := choosePipeline(&p, scenarios); err != nil {
				return err
			}
			if err := p.Check(); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return runBenchPipeline(&p, jsonFile, c.OutOrStdout())
		},
	}
	flags := c.Flags()
	flags.IntVar(&p.Payload, "payload", 200, "bytes of a message")
	flags.IntSliceVar(&p.Batches, "batch", []int{1, 20}, "messages that are sent at once, and answered before the next")
	flags.IntSliceVar(&p.Sessions, "sessions", []int{1, 10_000}, "sessions whose turns follow each other")
	flags.IntSliceVar(&journalMiB, "journal", []int{0, 1024}, "MiB of log that there are already; 10240 takes minutes")
	flags.IntSliceVar(&p.Orders, "orders", []int{1, 1_000_000}, "open orders in the book")
	flags.StringSliceVar(&scenarios, "scenarios", nil, "some of batches (always measured), sessions, journal, orders; empty: all")
	flags.Float64Var(&duration, "seconds", 1, "measured time of each line")
	flags.IntVar(&p.Rounds, "rounds", 20, "turns that a line and the one it is compared with take in that time; a line has their median")
	flags.StringVar(&jsonFile, "json", "", "write one JSON line a series to this file (- for standard output)")
	return c
}

// choosePipeline leaves out what is not among the scenarios, if any are named.
func choosePipeline(p *pipeline.Plan, scenarios []string) error {
	if len(scenarios) == 0 {
		return nil
	}
	chosen := pipeline.Plan{}
	for _, name := range scenarios {
		switch name {
		case "batches": // are always measured
		case "sessions":
			chosen.Sessions = p.Sessions
		case "journal":
			chosen.Journal = p.Journal
		case "orders":
			chosen.Orders = p.Orders
		default:
			return fmt.Errorf("%w: --scenarios %q: want batches, sessions, journal, orders", errUsage, name)
		}
	}
	p.Sessions, p.Journal, p.Orders = chosen.Sessions, chosen.Journal, chosen.Orders
	return nil
}

func runBenchPipeline(p *pipeline.Plan, jsonFile string, text io.Writer) error {
	out, err := (&benchFlags{jsonFile: jsonFile}).output()
	if err != nil {
		return err
	}
	if out != nil {
		defer out.Close()
	}
	why := ""
	return pipeline.Run(p, func(r *pipeline.Row) error {
		if r.InstructionsWhy != why {
			why = r.InstructionsWhy
			fmt.Fprintln(text, why)
		}
		printPipeline(text, r)
		if out == nil {
			return nil
		}
		return r.Write(out)
	})
}

func printPipeline(text io.Writer, r *pipeline.Row) {
	fmt.Fprintf(text, "%-18s batch %2d %8.0f ns a message and node  %.3f allocations  %.2f cycles", r.Scenario, r.Burst, r.NsPerMsgPerNode,
		r.AllocsPerMsg, r.CyclesPerMsg)
	if r.InstructionsPerMsgPerNode != nil {
		fmt.Fprintf(text, "  %.0f instructions", *r.InstructionsPerMsgPerNode)
	}
	switch r.Scenario {
	case pipeline.ManySessions:
		fmt.Fprintf(text, "  %.2f x  %d sessions", r.RatioFirst, r.Clients)
	case pipeline.LongJournal:
		fmt.Fprintf(text, "  %.2f x  log %.0f MiB, %d segments, heap %.1f MiB", r.RatioFirst, mib(int64(r.LogBytes)), r.JournalSegments,
			mib(r.HeapBytes))
	case pipeline.OpenOrders:
		fmt.Fprintf(text, "  %.2f x  %d open orders", r.RatioFirst, r.OpenOrders)
	}
	fmt.Fprintln(text)
}
