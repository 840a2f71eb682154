package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
)

// scalingFlags say what there is more and more of.
type scalingFlags struct {
	benchFlags
	numbers      []int // of clients
	groups       []int
	groupClients int
	inFlight     int
}

// Most clusters side by side, and clients of a point.
const (
	mostGroups  = 16
	mostClients = 4096
)

func benchScalingCommand() *cobra.Command {
	var f scalingFlags
	c := &cobra.Command{
		Use:   "scaling",
		Short: "Throughput over clients and over clusters, fitted to laws of scaling",
		Long: `Measure the throughput of 1 to n clients on one cluster, each with --in-flight messages under way in a closed loop; then (with --lab) that of
1 to n clusters side by side on this host, with --group-clients clients each. A row a point, and the law that fits best, by least
squares: Amdahl's, X(n) = lambda n / (1 + sigma (n-1)), and the Universal Scalability Law, which adds kappa n (n-1) to the
denominator. lambda is the throughput of one, sigma the part that only one can do at a time (contention), kappa what keeping each two in
step costs (coherence); R2 is the part of the points' variance that the law explains.`,
		Example: `  lockstep bench scaling --lab --commit replicated --dir /dev/shm --json scaling.json
  lockstep bench scaling --lab --commit replicated --dir /dev/shm --clients 1,2,4,8,16,32,64 --groups 0 --in-flight 20
  lockstep bench scaling --at 10.0.0.1:7400,10.0.0.2:7400 --cluster 5f3c... --interface eth0 --clients 1,2,4,8`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if !f.useLab && !c.Flags().Changed("groups") {
				f.groups = nil
			}
			f.numbers, f.groups = wanted(f.numbers), wanted(f.groups)
			plan, err := f.check()
			if err != nil {
				return err
			}
			return runScaling(c.Context(), &f, plan)
		},
	}
	f.register(c)
	defaults(c, map[string]string{"seconds": "2", "warmup": "0.5"})
	hide(c, "loop", "rate", "burst", "with-floor")
	flags := c.Flags()
	flags.IntSliceVar(&f.numbers, "clients", []int{1, 2, 4, 8, 16, 32}, "clients of one cluster; 0: not measured")
	flags.IntSliceVar(&f.groups, "groups", []int{1, 2, 3}, "clusters side by side, in a lab; 0: not measured")
	flags.IntVar(&f.groupClients, "group-clients", 4, "clients of each of these")
	flags.IntVar(&f.inFlight, "in-flight", 1, "messages that each client has under way")
	return c
}

// check turns the flags into what each point measures.
func (f *scalingFlags) check() (bench.Plan, error) {
	f.loop = string(bench.Closed)
	if err := f.refuseFloor(); err != nil {
		return bench.Plan{}, err
	}
	plan, err := f.plan()
	if err != nil {
		return plan, err
	}
	switch {
	case len(f.groups) > 0 && !f.useLab:
		return plan, fmt.Errorf("%w: --groups needs --lab: it makes the clusters", errUsage)
	case len(f.numbers)+len(f.groups) == 0:
		return plan, fmt.Errorf("%w: want numbers of --clients or of --groups", errUsage)
	case slices.ContainsFunc(f.numbers, func(n int) bool { return n < 1 || n > mostClients }),
		slices.ContainsFunc(f.groups, func(n int) bool { return n < 1 || n > mostGroups }),
		f.groupClients < 1 || f.groupClients > mostClients:
		return plan, fmt.Errorf("%w: want 1 to %d --clients and --group-clients, and 1 to %d --groups", errUsage, mostClients, mostGroups)
	}
	if err := f.scene(&plan, 1).Check(); err != nil {
		return plan, usage(err)
	}
	return plan, f.checkTarget()
}

// scene is one point: so many clients.
func (f *scalingFlags) scene(plan *bench.Plan, clients int) *bench.Scene {
	s := &bench.Scene{Name: "scaling", Plan: *plan, InFlight: f.inFlight}
	first := bench.Phase{Join: clients, For: plan.Measure}
	if plan.Warmup > 0 {
		s.Phases = append(s.Phases, bench.Phase{Join: clients, For: plan.Warmup, Unseen: true})
		first.Join = 0
	}
	s.Phases = append(s.Phases, first)
	return s
}

// scalingRun is one run.
type scalingRun struct {
	*benchRun
	f    *scalingFlags
	plan bench.Plan
}

func runScaling(ctx context.Context, f *scalingFlags, plan bench.Plan) error {
	run, done, err := newBenchRun(&f.benchFlags)
	if err != nil {
		return err
	}
	defer done()
	r := &scalingRun{benchRun: run, f: f, plan: plan}
	if len(f.numbers) > 0 {
		rows, err := r.sceneRounds(ctx, r.overClients)
		if err == nil {
			err = r.fit("clients", rows)
		}
		if err != nil {
			return err
		}
	}
	if len(f.groups) == 0 {
		return nil
	}
	var rounds [][]bench.Row
	for range f.rounds {
		rows, err := r.overGroups(ctx)
		if err != nil {
			return err
		}
		rounds = append(rounds, rows)
	}
	return r.fit("groups", medianRows(rounds))
}

// overClients measures one cluster with more and more clients, in a process of theirs each time.
func (r *scalingRun) overClients(ctx context.Context, l *lab.Lab) (rows []bench.Row, err error) {
	for _, n := range r.f.numbers {
		one, err := r.playScene(ctx, l, r.f.scene(&r.plan, n), nil)
		if err != nil {
			return nil, err
		}
		one[0].Scaling = &bench.ScalingFigures{Over: "clients", N: n}
		if err := r.emitScene(&one[0], ""); err != nil {
			return nil, err
		}
		rows = append(rows, one[0])
	}
	return rows, nil
}

// overGroups measures more and more clusters side by side, all of them new for each number.
func (r *scalingRun) overGroups(ctx context.Context) (rows []bench.Row, err error) {
	for _, n := range r.f.groups {
		row, err := r.groups(ctx, n)
		if err != nil {
			return nil, err
		}
		if err := r.emitScene(&row, fmt.Sprintf("%d clusters side by side", n)); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// groups measures n clusters at the same time: none begins before the clients of all are there.
func (r *scalingRun) groups(ctx context.Context, n int) (bench.Row, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := make([][]bench.Row, n)
	errs := make([]error, n)
	var there, over sync.WaitGroup
	there.Add(n)
	for i := range n {
		over.Go(func() {
			arrived := sync.OnceFunc(there.Done)
			defer arrived() // nobody waits for one that failed
			errs[i] = r.group(ctx, &all[i], func() error {
				arrived()
				there.Wait()
				return context.Cause(ctx)
			})
			if errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	over.Wait()
	if err := context.Cause(ctx); err != nil {
		return bench.Row{}, err
	}
	row, err := bench.SideBySide(all)
	row.Scenario, row.JitterP99Us, row.Revision = "scaling-groups", r.jitter, node.Revision
	row.Scaling = &bench.ScalingFigures{Over: "groups", N: n, Clients: r.f.groupClients}
	return row, errors.Join(errors.Join(errs...), err)
}

// group measures one of the clusters.
func (r *scalingRun) group(ctx context.Context, rows *[]bench.Row, begin func() error) error {
	one := benchRun{flags: r.flags, text: io.Discard, jitter: r.jitter}
	return one.onLab(ctx, r.flags.dirs()[0], func(ctx context.Context, l *lab.Lab) (err error) {
		*rows, err = one.playScene(ctx, l, r.f.scene(&r.plan, r.f.groupClients), func(phase int) error {
			if phase > 0 {
				return nil
			}
			return begin()
		})
		return err
	})
}

// fit finds the laws that fit the points, prints them beside the points, and writes a row of them.
func (r *scalingRun) fit(over string, rows []bench.Row) error {
	var points []bench.Scaled
	for i := range rows {
		points = append(points, bench.Scaled{N: rows[i].Scaling.N, PerSec: rows[i].PerSec})
	}
	amdahl, err := bench.FitAmdahl(points)
	if err != nil {
		fmt.Fprintf(r.text, "no law for %s: %v\n", over, err)
		return nil
	}
	usl, err := bench.FitUSL(points)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.text, "%8s %12s %12s %12s\n", over, "answered/s", "Amdahl", "USL")
	for _, p := range points {
		fmt.Fprintf(r.text, "%8d %12.0f %12.0f %12.0f\n", p.N, p.PerSec, amdahl.At(float64(p.N)), usl.At(float64(p.N)))
	}
	sayLaw(r.text, "Amdahl", amdahl)
	sayLaw(r.text, "USL", usl)
	if r.json == nil {
		return nil
	}
	row := rows[len(rows)-1]
	row.Scenario, row.Hist, row.Timeline = "scaling-fit", "", nil
	row.Use(bench.Times{})
	row.Scaling = &bench.ScalingFigures{Over: over, Points: points, Amdahl: amdahl, USL: usl, Clients: row.Scaling.Clients}
	return row.Write(r.json)
}

func sayLaw(w io.Writer, name string, l *bench.LawFitted) {
	fmt.Fprintf(w, "%-6s lambda %.0f/s  sigma %.4f  kappa %.6f  R2 %.4f  worst point %.1f %% off", name, l.Lambda, l.Sigma, l.Kappa, l.R2, l.Worst)
	switch {
	case l.PeakN > 0:
		fmt.Fprintf(w, "  most %.0f/s at %.1f", l.Most, l.PeakN)
	case l.Most > 0:
		fmt.Fprintf(w, "  towards %.0f/s", l.Most)
	}
	fmt.Fprintln(w)
}

// wanted is a list of numbers, or none for the list of one zero.
func wanted(list []int) []int {
	if len(list) == 1 && list[0] == 0 {
		return nil
	}
	return list
}
