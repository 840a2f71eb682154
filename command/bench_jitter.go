package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/node"
	"lockstep/tuning/jitter"
)

func benchJitterCommand() *cobra.Command {
	var f jitterFlags
	var rounds int
	var jsonFile string
	c := &cobra.Command{
		Use:   "jitter",
		Short: "The machine's own pauses, core by core: what no figure of this host can be better than",
		Long: `Measure as lockstep tune jitter does, and write a row for each core, with the percentiles of its pauses: to stand beside
the figures of other commands of the same minutes. Tails below the machine's own pauses say nothing.`,
		Example: `  lockstep bench jitter
  lockstep bench jitter --core 0 --seconds 2 --rounds 3 --json jitter.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			if rounds < 1 {
				return fmt.Errorf("%w: --rounds %d: want 1 or more", errUsage, rounds)
			}
			if err := agent.ExecAsyncPreemptOff(); err != nil { // before the file is there, for this starts anew
				return err
			}
			return runBenchJitter(c.Context(), &f, o, &benchFlags{rounds: rounds, jsonFile: jsonFile})
		},
	}
	f.register(c)
	c.Flags().IntVar(&rounds, "rounds", 1, "rounds; with more than one, a last line for each core has the median of each figure")
	c.Flags().StringVar(&jsonFile, "json", "", "write one JSON line a core and round to this file (- for standard output)")
	return c
}

func runBenchJitter(ctx context.Context, f *jitterFlags, o jitter.Options, out *benchFlags) error {
	r, done, err := newBenchRun(out)
	if err != nil {
		return err
	}
	defer done()
	var cores [][]bench.Row // by core, by round
	for range out.rounds {
		report, err := f.measure(ctx, o)
		if err != nil {
			return err
		}
		rows := bench.JitterRows(report)
		for i := range rows {
			rows[i].Revision = node.Revision
			if err := r.emit(&rows[i]); err != nil {
				return err
			}
			if len(cores) <= i {
				cores = append(cores, nil)
			}
			cores[i] = append(cores[i], rows[i])
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if out.rounds < 2 {
		return nil
	}
	for _, rows := range cores {
		median := bench.MedianJitter(rows)
		if err := r.emit(&median); err != nil {
			return err
		}
	}
	return nil
}
