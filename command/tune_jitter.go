package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"lockstep/agent"
	"lockstep/tuning/jitter"
)

// jitterFlags are what both commands that measure pauses take.
type jitterFlags struct {
	cores     []int
	seconds   float64
	threshold time.Duration
}

func (f *jitterFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.IntSliceVar(&f.cores, "core", nil, "cores to measure, at the same time (default: all, isolated ones as well)")
	flags.Float64Var(&f.seconds, "seconds", 5, "measured time")
	flags.DurationVar(&f.threshold, "threshold", 0, "what is longer between two readings of the clock is a pause (0: eight times "+
		"the shortest time between two, 200ns at least)")
}

func (f *jitterFlags) options() (jitter.Options, error) {
	o := jitter.Options{Cores: f.cores, Measure: seconds(f.seconds), ThresholdNs: f.threshold.Nanoseconds()}
	if err := o.Check(); err != nil {
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	return o, nil
}

// measure starts this process anew without the runtime's preemption signals, if it has them, and measures.
func (f *jitterFlags) measure(ctx context.Context, o jitter.Options) (*jitter.Report, error) {
	if err := agent.ExecAsyncPreemptOff(); err != nil {
		return nil, err
	}
	_ = agent.RelaxTimers() // without the privilege the runtime's monitor thread wakes up more often, and is among the causes
	return jitter.Measure(ctx, o)
}

func tuneJitterCommand() *cobra.Command {
	var f jitterFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "jitter",
		Short: "How often and how long each core is taken away from a thread that spins",
		Long: `Put a thread on each core that reads the time stamp counter without rest. What lies between two readings that are further
apart than the threshold is a pause: an interrupt, another thread, a core that slept, firmware, a hypervisor that ran somebody
else. Printed for every core: pauses a second, their percentiles, the share of time that they took, a histogram, and what the
kernel counted there meanwhile: interrupts, softirqs, switches, steal, thermal throttling, system management interrupts.

The threads take their cores whole: on a host that serves, measure cores that nothing needs.`,
		Example: `  lockstep tune jitter
  lockstep tune jitter --core 0 --seconds 2 --threshold 1us
  lockstep tune jitter --json > jitter.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			report, err := f.measure(c.Context(), o)
			if err != nil {
				return err
			}
			return printJitter(c.OutOrStdout(), report, asJSON)
		},
	}
	f.register(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printJitter(w io.Writer, report *jitter.Report, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(report)
	}
	return report.Print(w)
}
