package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/internal/lab"
)

// rampFlags say who arrives when.
type rampFlags struct {
	benchFlags
	every      time.Duration
	rateEach   float64
	steps      int
	conflation string
}

func benchRampCommand() *cobra.Command {
	var f rampFlags
	c := &cobra.Command{
		Use:   "ramp",
		Short: "Round trips as more and more clients arrive",
		Long: `Have --clients more clients arrive every --every, --steps times, each of which sends --rate-each messages a second on a schedule
of its own, and measure the round trips of each step, from when every message was due; a row a step. All clients are in one process,
on one thread. Twice, each on a new cluster: once every message is sent, however late; once conflated: a client that could not
send a message, because its window was full, until its next is due drops it for that one. Where the schedule
falls --behind so many seconds behind, the ramp ends, and what was still due in that step counts as lost.

The published scenario of this kind has 750 clients arrive every 5 s, at 100 messages/s each; that is more than two cores take
beyond the first step or two, hence the defaults.`,
		Example: `  lockstep bench ramp --lab --commit replicated --json ramp.json
  lockstep bench ramp --lab --commit replicated --clients 750 --every 5s --rate-each 100 --conflation both
  lockstep bench ramp --at 10.0.0.1:7400,10.0.0.2:7400 --cluster 5f3c... --interface eth0 --clients 750 --every 5s`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			scenes, err := f.scenes()
			if err != nil {
				return err
			}
			return runRamp(c.Context(), &f, scenes)
		},
	}
	f.register(c)
	defaults(c, map[string]string{"window": "16"})
	hide(c, "loop", "with-floor", "rate", "seconds", "warmup")
	flags := c.Flags()
	flags.IntVar(&f.clients, "clients", 100, "clients that arrive at a time")
	flags.DurationVar(&f.every, "every", 2*time.Second, "time between arrivals")
	flags.Float64Var(&f.rateEach, "rate-each", 100, "messages a second of each client")
	flags.IntVar(&f.steps, "steps", 5, "times that clients arrive")
	flags.StringVar(&f.conflation, "conflation", "both", "on (drop what could not be sent for the newest), off, or both in turn")
	flags.Float64Var(&f.behind, "behind", 2, "seconds that a client may be behind its schedule before the ramp ends")
	return c
}

// scenes are the ramps to be measured.
func (f *rampFlags) scenes() ([]bench.Scene, error) {
	f.loop, f.rate = string(bench.Open), f.rateEach
	if err := f.refuseFloor(); err != nil {
		return nil, err
	}
	arriving := f.clients
	if arriving < 1 || f.steps < 1 || f.steps > 1000 || f.every < time.Millisecond || f.behind <= 0 {
		return nil, fmt.Errorf("%w: want --clients 1 or more, --steps 1 to 1000, --every 1ms or more, --behind above 0", errUsage)
	}
	f.clients = 1 // of the plan: a scene has its own
	plan, err := f.plan()
	f.clients = arriving
	if err != nil {
		return nil, err
	}
	s := bench.Scene{Name: "ramp", Arrivals: true, Plan: plan}
	for range f.steps {
		s.Phases = append(s.Phases, bench.Phase{Join: arriving, For: f.every})
	}
	conflated := s
	conflated.Name, conflated.Conflated = "ramp-conflated", true
	if err := s.Check(); err != nil {
		return nil, usage(err)
	}
	switch f.conflation {
	case "off":
		return []bench.Scene{s}, f.checkTarget()
	case "on":
		return []bench.Scene{conflated}, f.checkTarget()
	case "both":
		return []bench.Scene{s, conflated}, f.checkTarget()
	}
	return nil, fmt.Errorf("%w: --conflation %q: want on, off or both", errUsage, f.conflation)
}

func runRamp(ctx context.Context, f *rampFlags, scenes []bench.Scene) error {
	r, done, err := newBenchRun(&f.benchFlags)
	if err != nil {
		return err
	}
	defer done()
	for i := range scenes {
		_, err := r.sceneRounds(ctx, func(ctx context.Context, l *lab.Lab) ([]bench.Row, error) {
			rows, err := r.playScene(ctx, l, &scenes[i], nil)
			if err != nil {
				return nil, err
			}
			return rows, r.emitScenes(rows, rampMore)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rampMore is what a step has beside its round trips.
func rampMore(row *bench.Row) string {
	more := fmt.Sprintf("step %d", row.Ramp.Step)
	if row.Ramp.Conflated > 0 {
		more += fmt.Sprintf(", %d dropped for the newest", row.Ramp.Conflated)
	}
	if row.Ramp.OpenedMs == 0 {
		more += ", not all that arrived had a session as it ended"
	}
	if row.Ramp.GaveUp {
		more += ", too far behind: the ramp ends here"
	}
	return more
}
