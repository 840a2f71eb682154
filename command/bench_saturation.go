package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/internal/lab"
)

// saturationFlags say how full the cluster is, and who wants to come in.
type saturationFlags struct {
	benchFlags
	sessions  int
	newcomers int
}

func benchSaturationCommand() *cobra.Command {
	var f saturationFlags
	c := &cobra.Command{
		Use:   "saturation",
		Short: "A full cluster refuses new sessions, and old ones keep their round trip",
		Long: `Make a lab that takes --sessions sessions, and open as many: --clients of them work, at --rate messages a second in all, the others
only live. Rows have the round trips of those that work before (saturation-before), while --newcomers more sessions ask again and
again to be let in (saturation-during), and after they have gone (saturation-after), --seconds each; the second one says how many of the newcomers
were let in, refused, and not answered, how many refusals there were, and why. The newcomers are in the process of the others, and
cost it what they cost. Against a running cluster --sessions is its cluster.sessions, less what others have open.`,
		Example: `  lockstep bench saturation --lab --commit replicated --json saturation.json
  lockstep bench saturation --lab --commit replicated --sessions 2000 --clients 50 --newcomers 5000 --rate 5000
  lockstep bench saturation --at 10.0.0.1:7400,10.0.0.2:7400 --cluster 5f3c... --interface eth0 --sessions 10000`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			scene, err := f.scene()
			if err != nil {
				return err
			}
			return runSaturation(c.Context(), &f, scene)
		},
	}
	f.register(c)
	defaults(c, map[string]string{"rate": "2000", "seconds": "3", "warmup": "0.5", "window": "64"})
	hide(c, "loop", "with-floor")
	c.Flags().IntVar(&f.sessions, "sessions", 100, "sessions that the cluster takes")
	c.Flags().IntVar(&f.clients, "clients", 10, "of these, clients that work")
	c.Flags().IntVar(&f.newcomers, "newcomers", 400, "sessions that want to come in")
	return c
}

// scene is what the flags ask for.
func (f *saturationFlags) scene() (*bench.Scene, error) {
	f.loop = string(bench.Open)
	if err := f.refuseFloor(); err != nil {
		return nil, err
	}
	if f.clients < 1 || f.sessions < f.clients || f.newcomers < 1 {
		return nil, fmt.Errorf("%w: --sessions %d, --clients %d, --newcomers %d: want a client at the least, no fewer sessions than clients, "+
			"and a newcomer", errUsage, f.sessions, f.clients, f.newcomers)
	}
	working := f.clients
	f.clients = 1 // of the plan: a scene has its own
	plan, err := f.plan()
	if f.clients = working; err != nil {
		return nil, err
	}
	plan.Rate /= float64(working)
	s := &bench.Scene{Name: "saturation", Plan: plan}
	first := bench.Phase{Name: "before", Join: working, Idle: f.sessions - working, For: plan.Measure}
	if plan.Warmup > 0 {
		s.Phases = append(s.Phases, bench.Phase{Join: first.Join, Idle: first.Idle, For: plan.Warmup, Unseen: true})
		first.Join, first.Idle = 0, 0
	}
	s.Phases = append(s.Phases, first, bench.Phase{Name: "during", Newcomers: f.newcomers, For: plan.Measure},
		bench.Phase{Name: "after", For: plan.Measure})
	if err := s.Check(); err != nil {
		return nil, usage(err)
	}
	f.lab.Override = fmt.Sprintf("[cluster]\nsessions = %d\n", f.sessions)
	return s, f.checkTarget()
}

func runSaturation(ctx context.Context, f *saturationFlags, scene *bench.Scene) error {
	r, done, err := newBenchRun(&f.benchFlags)
	if err != nil {
		return err
	}
	defer done()
	_, err = r.sceneRounds(ctx, func(ctx context.Context, l *lab.Lab) ([]bench.Row, error) {
		rows, err := r.playScene(ctx, l, scene, nil)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if a := rows[i].Admission; a != nil {
				a.Limit = f.sessions
			}
		}
		return rows, r.emitScenes(rows, saturationMore)
	})
	return err
}

// saturationMore is how newcomers fared.
func saturationMore(row *bench.Row) string {
	a := row.Admission
	if a == nil {
		return ""
	}
	return fmt.Sprintf("%d sessions open of %d; of %d newcomers %d let in, %d refused (%s, %d times), %d not answered", a.Held, a.Limit, a.Asked,
		a.Admitted, a.Refused, a.Why, a.Refusals, a.Unanswered)
}
