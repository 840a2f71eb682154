package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/internal/lab"
)

// costFlags say at what rates, and whose processor time counts.
type costFlags struct {
	benchFlags
	rates []float64
	pids  []string
}

func benchCostCommand() *cobra.Command {
	var f costFlags
	c := &cobra.Command{
		Use:   "cost",
		Short: "Processor time of every process per million messages",
		Long: `Measure the processor time that the nodes and the clients take for a million messages, each process apart: at every rate of --rates in an
open loop, with the same sessions open and no message for as long before. A row a rate. s_per_million is all that a process takes in the
measured time, above idle what the messages add. Threads that spin or yield take all they can get, whatever is sent: hence nodes and clients
park here (--idle park) unless it is said otherwise. Against a running cluster name its processes on this host with --pid.`,
		Example: `  lockstep bench cost --lab --commit replicated --dir /dev/shm --json cost.json
  lockstep bench cost --lab --rates 1000,10000,50000 --burst 20 --clients 4
  lockstep bench cost --at 127.0.0.1:7400 --cluster 5f3c... --pid leader=1234,follower=1235`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			scenes, err := f.scenes()
			if err != nil {
				return err
			}
			return runCost(c.Context(), &f, scenes)
		},
	}
	f.register(c)
	defaults(c, map[string]string{"seconds": "3", "warmup": "0.5", "idle": "park"})
	hide(c, "loop", "rate", "with-floor")
	c.Flags().Float64SliceVar(&f.rates, "rates", []float64{1000, 5000, 20000}, "messages a second, of all clients together")
	c.Flags().IntVar(&f.clients, "clients", 1, "clients")
	c.Flags().StringSliceVar(&f.pids, "pid", nil, "without --lab: NAME=PID of processes on this host")
	return c
}

// scenes are what the flags ask for: one a rate.
func (f *costFlags) scenes() (scenes []*bench.Scene, err error) {
	f.loop = string(bench.Open)
	if err := f.refuseFloor(); err != nil {
		return nil, err
	}
	if len(f.rates) == 0 || f.clients < 1 || f.useLab && len(f.pids) > 0 {
		return nil, fmt.Errorf("%w: want --rates, --clients 1 or more, and --pid only without --lab", errUsage)
	}
	if _, err := f.named(); err != nil {
		return nil, err
	}
	clients := f.clients
	for _, f.rate = range f.rates {
		f.clients = 1 // of the plan: a scene has its own
		plan, err := f.plan()
		if f.clients = clients; err != nil {
			return nil, err
		}
		plan.Rate /= float64(clients)
		s := &bench.Scene{Name: "cost", Costs: true, Parks: f.lab.Idle == "park", Plan: plan, Phases: []bench.Phase{
			{Name: "idle", Join: clients, For: plan.Measure, Quiet: true}}}
		if plan.Warmup > 0 {
			s.Phases = append(s.Phases, bench.Phase{For: plan.Warmup, Unseen: true})
		}
		s.Phases = append(s.Phases, bench.Phase{For: plan.Measure})
		if err := s.Check(); err != nil {
			return nil, usage(err)
		}
		scenes = append(scenes, s)
	}
	return scenes, f.checkTarget()
}

// process is one whose processor time is looked at.
type process struct {
	name string
	pid  int
}

// named are the processes that flags name.
func (f *costFlags) named() (list []process, err error) {
	for _, s := range f.pids {
		name, number, ok := strings.Cut(s, "=")
		pid, err := strconv.Atoi(number)
		if !ok || name == "" || name == "client" || err != nil || pid < 1 {
			return nil, fmt.Errorf("%w: --pid %q: want NAME=PID; client is this process itself", errUsage, s)
		}
		list = append(list, process{name, pid})
	}
	return list, nil
}

// processes are those of a lab, the leader first, or those that flags name.
func (f *costFlags) processes(ctx context.Context, l *lab.Lab) (list []process, err error) {
	if l == nil {
		return f.named()
	}
	leader, err := l.Leader(ctx)
	if err != nil {
		return nil, err
	}
	list = append(list, process{"leader", l.PID(leader)})
	for _, n := range l.Nodes() {
		if n.ID != leader {
			list = append(list, process{fmt.Sprintf("follower %d", n.ID), l.PID(n.ID)})
		}
	}
	return list, nil
}

func runCost(ctx context.Context, f *costFlags, scenes []*bench.Scene) error {
	r, done, err := newBenchRun(&f.benchFlags)
	if err != nil {
		return err
	}
	defer done()
	_, err = r.sceneRounds(ctx, func(ctx context.Context, l *lab.Lab) (rows []bench.Row, err error) {
		processes, err := f.processes(ctx, l)
		if err != nil {
			return nil, err
		}
		for _, s := range scenes {
			row, err := r.cost(ctx, l, s, processes)
			if err != nil {
				return nil, err
			}
			if err := r.emitScene(&row, ""); err != nil {
				return nil, err
			}
			r.sayCost(row.Cost)
			rows = append(rows, row)
		}
		return rows, nil
	})
	return err
}

// cost measures one rate. The processes are looked at as phases begin and end.
func (r *benchRun) cost(ctx context.Context, l *lab.Lab, s *bench.Scene, processes []process) (row bench.Row, err error) {
	looks := make([][]time.Duration, len(s.Phases)+1) // by phase, by process
	rows, err := r.playScene(ctx, l, s, func(phase int) error {
		for _, p := range processes {
			cpu, err := bench.ProcessCPU(p.pid)
			if err != nil {
				return err
			}
			looks[phase] = append(looks[phase], cpu)
		}
		return nil
	})
	if err != nil {
		return row, err
	}
	quiet, busy := &rows[0], &rows[len(rows)-1]
	last := len(s.Phases)
	figures := &bench.CostFigures{}
	for i, p := range processes {
		figures.Add(p.name, looks[last][i]-looks[last-1][i], busy.Acked)
		figures.SetIdle(p.name, looks[1][i]-looks[0][i], busy.Acked)
	}
	for _, p := range busy.Cost.Processes { // the client itself
		figures.Add(p.Name, time.Duration(p.CPUMs*1e6), busy.Acked)
		figures.SetIdle(p.Name, time.Duration(quiet.Cost.Processes[0].CPUMs*1e6), busy.Acked)
	}
	figures.Sum()
	busy.Cost = figures
	return *busy, nil
}

func (r *benchRun) sayCost(c *bench.CostFigures) {
	for _, p := range slices.Concat(c.Processes, []bench.ProcessCost{c.Nodes}) {
		fmt.Fprintf(r.text, "%20s  %8.2f s a million messages, %8.2f above idle  (%.0f ms, idle %.0f ms)\n", p.Name, p.PerMillion, p.Above,
			p.CPUMs, p.IdleMs)
	}
}
