package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lockstep/bench"
)

func benchSelfCheckCommand() *cobra.Command {
	var measure float64
	var loopback bool
	var jsonFile string
	c := &cobra.Command{
		Use:   "selfcheck",
		Short: "Whether the harness measures right what is known: fixed and bimodal latencies, stalls, losses",
		Long: `Put a responder in a cluster's place whose answers are known, and have the load generator and the client of the other
commands measure it: by a virtual clock, where only the measuring itself can be wrong, and over kernel UDP on loopback by the
machine's clock. Every figure is held against what it must be, within a stated error. A stall must show in p99 and above in open
loop, and in the one message that is under way in closed loop: why rows say which loop it was.

Exit code 1 if a figure is wrong.`,
		Example: `  lockstep bench selfcheck
  lockstep bench selfcheck --loopback=false --json selfcheck.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if measure < 0.1 || measure > 60 {
				return fmt.Errorf("%w: --seconds %g: want 0.1 to 60", errUsage, measure)
			}
			r, done, err := newBenchRun(&benchFlags{jsonFile: jsonFile})
			if err != nil {
				return err
			}
			defer done()
			return runSelfCheck(c.Context(), r, measure, loopback)
		},
	}
	flags := c.Flags()
	flags.Float64Var(&measure, "seconds", 1, "measured time of each run over loopback")
	flags.BoolVar(&loopback, "loopback", true, "check over kernel UDP by the machine's clock as well")
	flags.StringVar(&jsonFile, "json", "", "write one JSON line a figure to this file (- for standard output)")
	return c
}

func runSelfCheck(ctx context.Context, r *benchRun, measure float64, loopback bool) error {
	var wrong []bench.SelfCheck
	var failed error
	figures := 0
	table := tabwriter.NewWriter(r.text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "CLOCK\tLOOP\tRESPONDER\tSENT\tLOST\tMIN\tP50\tP90\tP99\tP99.9\tMAX us\t")
	on := func(checks []bench.SelfCheck) {
		printSelfChecks(table, checks)
		figures += len(checks)
		wrong = append(wrong, bench.Wrong(checks)...)
		if r.json == nil {
			return
		}
		out := json.NewEncoder(r.json)
		for i := range checks {
			if err := out.Encode(&checks[i]); err != nil {
				failed = err
			}
		}
	}
	err := bench.CheckVirtual(ctx, on)
	if err == nil && loopback {
		err = bench.CheckLoopback(ctx, seconds(measure), on)
	}
	if flushErr := table.Flush(); err == nil {
		err = flushErr
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	for _, c := range wrong {
		fmt.Fprintf(r.text, "WRONG: %s, %s loop, by the %s clock: %s is %.3f, want %.3f to %.3f\n", c.Check, c.Loop, c.Clock, c.What, c.Got,
			c.Least, c.Most)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("bench: the harness measures %d of %d figures wrong: do not trust figures of this build on this machine",
			len(wrong), figures)
	}
	fmt.Fprintf(r.text, "%d figures, all of them right\n", figures)
	return nil
}

// printSelfChecks prints what was measured in one run, with ! at what is wrong.
func printSelfChecks(w io.Writer, checks []bench.SelfCheck) {
	fmt.Fprintf(w, "%s\t%s\t%s\t", checks[0].Clock, checks[0].Loop, checks[0].Check)
	for _, what := range []string{"sent", "lost", "min_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"} {
		for _, c := range checks {
			if c.What != what {
				continue
			}
			mark := ""
			if !c.Right {
				mark = "!"
			}
			if what == "sent" || what == "lost" {
				fmt.Fprintf(w, "%.0f%s\t", c.Got, mark)
			} else {
				fmt.Fprintf(w, "%.1f%s\t", c.Got, mark)
			}
		}
	}
	fmt.Fprintln(w)
}
