package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
)

// throughputFlags say what counts as sustained, and where to look for it.
type throughputFlags struct {
	benchFlags
	p99Limit time.Duration
	maxRate  float64
	within   float64 // per cent
	tries    int
}

// Bounds of a search.
const (
	settleLimit  = time.Second      // for every node to have applied everything after a rate that is sustained
	behindFactor = 50               // p99 limits that a schedule may be behind before its rate is given up
	behindLeast  = time.Second      // but no shorter
	behindMost   = 10 * time.Second // and no longer
)

func benchThroughputCommand() *cobra.Command {
	var f throughputFlags
	c := &cobra.Command{
		Use:   "throughput",
		Short: "The largest rate at which everything is answered in time",
		Long: `Find the largest rate that the cluster sustains: bursts of --burst messages are due on a schedule, and everything is answered,
once and in order, 99 in a hundred within --p99-limit from when they were due; then every node has applied all of it within
a second. The rate is doubled, from --rate on, until it is not sustained, and then what is between is halved until it is
known to --within per cent. A rate that is not sustained is tried --tries times. All of that happens on one cluster, with a
session for each rate. A line for every rate tried, and one (throughput-max) for the largest sustained.`,
		Example: `  lockstep bench throughput --lab --commit replicated --burst 20 --p99-limit 10ms --json throughput.json
  lockstep bench throughput --lab --commit replicated --dir /dev/shm --mtu 3500 --rounds 3
  lockstep bench throughput --lab --commit replicated --clients 8 --burst 1
  lockstep bench throughput --at 10.0.0.1:7400,10.0.0.2:7400 --cluster 5f3c... --interface eth0 --rate 100000`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f.loop = string(bench.Open)
			plan, err := f.plan()
			if err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			plan.Behind = min(max(behindFactor*f.p99Limit, behindLeast), behindMost)
			return runThroughput(c.Context(), &f, plan)
		},
	}
	f.register(c)
	f.registerClients(c)
	for name, value := range map[string]string{"rate": "25000", "burst": "20", "window": "1024", "seconds": "2", "warmup": "0.5"} {
		flag := c.Flags().Lookup(name)
		flag.DefValue = value
		_ = flag.Value.Set(value)
	}
	c.Flags().Lookup("rate").Usage = "messages a second: tried first"
	for _, name := range []string{"loop", "with-floor"} {
		_ = c.Flags().MarkHidden(name) // of no use here
	}
	c.Flags().DurationVar(&f.p99Limit, "p99-limit", 10*time.Millisecond, "the round trip of 99 in a hundred messages, at most")
	c.Flags().Float64Var(&f.maxRate, "max-rate", 2e6, "messages a second: not tried above")
	c.Flags().Float64Var(&f.within, "within", 5, "per cent to which the rate is to be known")
	c.Flags().IntVar(&f.tries, "tries", 2, "times that a rate is tried before it counts as not sustained")
	return c
}

func (f *throughputFlags) check() error {
	switch {
	case f.withFloor:
		return fmt.Errorf("%w: --with-floor: there is no floor of a rate; bench rtt --loop open has that of a round trip", errUsage)
	case f.recording.speed > 0:
		return fmt.Errorf("%w: --flow-speed: the rate is what is looked for here; bench rtt plays a flow as it was recorded", errUsage)
	case f.p99Limit <= 0 || f.maxRate < f.rate || f.within < 0.1 || f.within > 50 || f.tries < 1:
		return fmt.Errorf("%w: want --p99-limit above 0, --max-rate not below --rate, --within 0.1 to 50, --tries 1 or more", errUsage)
	}
	return nil
}

// throughputRun is one run.
type throughputRun struct {
	benchRun
	f    *throughputFlags
	plan bench.Plan
	best []bench.Row // largest rate sustained, by round
}

func runThroughput(ctx context.Context, f *throughputFlags, plan bench.Plan) error {
	run, done, err := newBenchRun(&f.benchFlags)
	if err != nil {
		return err
	}
	defer done()
	r := &throughputRun{benchRun: *run, f: f, plan: plan}
	if !f.useLab {
		return r.rounds(func() error { return r.search(ctx, nil) })
	}
	for _, dir := range f.dirs() {
		err := r.rounds(func() error {
			fmt.Fprintf(r.text, "%s in %s (%s)\n", f.lab.Rule, dir, bench.FileSystem(dir))
			r.jitter = bench.JitterP99Us(jitterTime, agent.System{}.NowNs)
			return r.onLab(ctx, dir, r.search)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rounds searches as often as was asked for, and sums up.
func (r *throughputRun) rounds(search func() error) error {
	r.best = r.best[:0]
	for range r.f.rounds {
		if err := search(); err != nil {
			return err
		}
	}
	if r.f.rounds < 2 {
		return nil
	}
	median := bench.Median(r.best)
	return r.emitRate(&median, "")
}

// search finds the largest rate that a cluster sustains; l is nil for one that runs.
func (r *throughputRun) search(ctx context.Context, l *lab.Lab) error {
	s := bench.RateSearch{From: r.f.rate, Most: r.f.maxRate, Close: r.f.within / 100, Tries: r.f.tries}
	var best bench.Row
	for {
		rate, ok := s.Next()
		if !ok {
			break
		}
		row, whole, err := r.try(ctx, l, rate)
		if err != nil {
			return err
		}
		sustained := whole && row.Sustained(r.f.p99Limit)
		verdict := "sustained"
		switch {
		case sustained:
			best = row
		case !whole:
			verdict = "not sustained: a node was left behind"
		default:
			verdict = "not sustained"
		}
		if err := r.emitRate(&row, verdict); err != nil {
			return err
		}
		s.Tried(sustained)
	}
	if s.Sustained() == 0 {
		return fmt.Errorf("no rate was sustained with 99 in a hundred messages answered within %v", r.f.p99Limit)
	}
	best.Scenario = "throughput-max"
	r.best = append(r.best, best)
	return r.emitRate(&best, "")
}

// try measures one rate in a session of its own. whole says that no node was behind soon after.
func (r *throughputRun) try(ctx context.Context, l *lab.Lab, rate float64) (row bench.Row, whole bool, err error) {
	plan := r.plan
	plan.Rate = rate
	if l == nil {
		target, err := r.flags.target()
		if err != nil {
			return row, false, err
		}
		row, err = r.measure(ctx, &target, &plan)
		row.Scenario, row.Revision = "throughput", node.Revision
		return row, true, err
	}
	if row, err = r.child(ctx, l, &plan); err != nil {
		return row, false, err
	}
	row.Scenario, row.JitterP99Us = "throughput", r.jitter
	soon, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	_, err = wholeLab(soon, l)
	whole = err == nil
	if errors.Is(err, context.DeadlineExceeded) { // the next rate is to meet a cluster with nothing left to do
		_, err = wholeLab(ctx, l)
	}
	conditions(ctx, l, &row)
	return row, whole, err
}

// emitRate prints what a rate came to, and writes its JSON line.
func (r *throughputRun) emitRate(row *bench.Row, verdict string) error {
	fmt.Fprintf(r.text, "%-14s %-3s %-8s %8.0f/s in bursts of %d  p50 %8.1f  p90 %8.1f  p99 %8.1f  p99.9 %8.1f  max %9.1f us",
		row.Scenario, row.Transport, row.Mode, row.Rate, row.Burst, row.P50Us, row.P90Us, row.P99Us, row.P999Us, row.MaxUs)
	if row.Lost > 0 {
		fmt.Fprintf(r.text, "  LOST %d", row.Lost)
	}
	if verdict != "" {
		fmt.Fprintf(r.text, "  %s", verdict)
	}
	fmt.Fprintln(r.text)
	return r.write(row)
}
