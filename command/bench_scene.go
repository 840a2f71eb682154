package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
)

// sceneCommands measure what several clients see.
func sceneCommands() []*cobra.Command {
	return []*cobra.Command{benchRampCommand(), benchSweepCommand(), benchSaturationCommand(),
		benchScalingCommand(), benchCostCommand(), sceneCommand()}
}

// sceneEvent is a line of the process that plays a scene: a phase begins (their number: the last is over), or a row of the
// result. Before the first phase it waits for a line.
type sceneEvent struct {
	Phase *int       `json:"phase,omitempty"`
	Row   *bench.Row `json:"row,omitempty"`
	Rows  int        `json:"rows"` // that come, this one among them
}

// sceneCommand is the process of the clients of a scene; a bench starts it.
func sceneCommand() *cobra.Command {
	text := ""
	c := clientCommand("scene", func(ctx context.Context, f *benchFlags, target bench.Target, _ string) error {
		var s bench.Scene
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return fmt.Errorf("%w: --scene: %w", errUsage, err)
		}
		in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
		s.Target = target
		if err := f.recording.set(&s.Plan); err != nil {
			return err
		}
		measured, stop := f.watch(ctx, nil)
		defer stop()
		s.Progress = measured
		s.OnPhase = func(phase int) error {
			if err := out.Encode(sceneEvent{Phase: &phase}); err != nil || phase > 0 {
				return err
			}
			_, err := in.ReadString('\n')
			return err
		}
		rows, err := s.Run(ctx)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := out.Encode(sceneEvent{Row: &rows[i], Rows: len(rows) - i}); err != nil {
				return err
			}
		}
		return nil
	})
	c.Flags().StringVar(&text, "scene", "", "the scene, as JSON")
	return c
}

// playScene plays a scene in a process of its own where the lab's client is, or from this process when there is no lab, and
// tells the conditions. onPhase may be nil; it is told when all clients are there, before the first phase begins.
func (r *benchRun) playScene(ctx context.Context, l *lab.Lab, s *bench.Scene, onPhase func(int) error) (rows []bench.Row, err error) {
	if l == nil {
		if s.Target, err = r.flags.target(); err != nil {
			return nil, err
		}
		measured, stop := r.flags.watch(ctx, r.progress)
		defer stop()
		s.Progress, s.OnPhase = measured, r.sayPhases(s, onPhase)
		if rows, err = s.Run(ctx); err != nil {
			return nil, err
		}
	} else if rows, err = r.sceneInLab(ctx, l, s, r.sayPhases(s, onPhase)); err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i].Revision, rows[i].JitterP99Us = node.Revision, r.jitter
		if l != nil {
			conditions(ctx, l, &rows[i])
		}
	}
	return rows, nil
}

// sayPhases has the line of progress say what phase it is.
func (r *benchRun) sayPhases(s *bench.Scene, onPhase func(int) error) func(int) error {
	if r.progress == nil {
		return onPhase
	}
	clients := 0
	r.progress.begin(0, "%s: sessions are being opened", s.Name)
	return func(phase int) error {
		if phase < len(s.Phases) {
			p := &s.Phases[phase]
			clients += p.Join
			r.progress.begin(p.For, "%s %s, phase %d of %d, %d clients", s.Name, p.Name, phase+1, len(s.Phases), clients)
		}
		if onPhase == nil {
			return nil
		}
		return onPhase(phase)
	}
}

func (r *benchRun) sceneInLab(ctx context.Context, l *lab.Lab, s *bench.Scene, onPhase func(int) error) (rows []bench.Row, err error) {
	bare := *s
	bare.Plan.Recording = nil // the process reads the file itself
	text, err := json.Marshal(&bare)
	if err != nil {
		return nil, err
	}
	args := []string{"bench", "scene", "--at", l.NodesFlag(), "--cluster", node.ClusterString(l.Cluster), "--scene", string(text)}
	args = append(args, flowArgs(&s.Plan)...)
	c, err := startFollowed(ctx, l, 0, append(args, clientFlags(l)...), r.progress)
	if err != nil {
		return nil, err
	}
	for {
		var e sceneEvent
		if err := c.next(&e); err != nil {
			return nil, err
		}
		if e.Phase != nil && onPhase != nil {
			err = onPhase(*e.Phase)
		}
		if err == nil && e.Phase != nil && *e.Phase == 0 {
			_, err = c.in.Write([]byte("go\n"))
		}
		if err != nil {
			c.kill()
			return nil, err
		}
		if e.Row != nil {
			rows = append(rows, *e.Row)
		}
		if e.Rows == 1 {
			return rows, c.end()
		}
	}
}

// sceneRounds has something measured as often as was asked for, in a lab each round on a cluster of its own, and prints the
// rows, and with several rounds the medians of those that every round has.
func (r *benchRun) sceneRounds(ctx context.Context, measure func(ctx context.Context, l *lab.Lab) ([]bench.Row, error)) (
	medians []bench.Row, err error) {
	var rounds [][]bench.Row
	one := func(ctx context.Context, l *lab.Lab) error {
		rows, err := measure(ctx, l)
		rounds = append(rounds, rows)
		return err
	}
	for round := range r.flags.rounds {
		r.jitter = bench.JitterP99Us(jitterTime, agent.System{}.NowNs)
		if !r.flags.useLab {
			err = one(ctx, nil)
		} else {
			dir := r.flags.dirs()[0]
			fmt.Fprintf(r.text, "round %d of %d, %s in %s (%s)\n", round+1, r.flags.rounds, r.flags.lab.Rule, dir, bench.FileSystem(dir))
			err = r.onLab(ctx, dir, one)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(rounds) == 1 {
		return rounds[0], nil
	}
	for _, median := range medianRows(rounds) {
		medians = append(medians, median)
		if err := r.emitScene(&median, ""); err != nil {
			return nil, err
		}
	}
	return medians, nil
}

// medianRows are the medians of the rows in the same place of every round; those of one round are their own.
func medianRows(rounds [][]bench.Row) (medians []bench.Row) {
	if len(rounds) == 1 {
		return rounds[0]
	}
	common := len(rounds[0])
	for _, rows := range rounds {
		common = min(common, len(rows))
	}
	for i := range common {
		var same []bench.Row
		for _, rows := range rounds {
			same = append(same, rows[i])
		}
		medians = append(medians, bench.Median(same))
	}
	return medians
}

// emitScenes prints rows of a scene, and writes their JSON lines.
func (r *benchRun) emitScenes(rows []bench.Row, more func(*bench.Row) string) error {
	for i := range rows {
		if err := r.emitScene(&rows[i], more(&rows[i])); err != nil {
			return err
		}
	}
	return nil
}

// emitScene prints a row of several clients, and writes its JSON line.
func (r *benchRun) emitScene(row *bench.Row, more string) error {
	fmt.Fprintf(r.text, "%-18s %-3s %-8s %5d clients", row.Scenario, row.Transport, row.Mode, row.Clients)
	if row.Loop == string(bench.Open) {
		fmt.Fprintf(r.text, " %8.0f/s due", row.Rate)
	}
	fmt.Fprintf(r.text, " %8.0f/s answered  p50 %8.1f  p90 %8.1f  p99 %8.1f  p99.9 %8.1f  max %9.1f us", row.PerSec, row.P50Us, row.P90Us,
		row.P99Us, row.P999Us, row.MaxUs)
	if row.Lost > 0 {
		fmt.Fprintf(r.text, "  LOST %d", row.Lost)
	}
	if more != "" {
		fmt.Fprint(r.text, "  ", more)
	}
	fmt.Fprintln(r.text)
	return r.write(row)
}

// checkTarget says early when neither a lab nor a cluster is named.
func (f *benchFlags) checkTarget() error {
	if f.useLab {
		return nil
	}
	_, err := f.target()
	return err
}

// defaults gives a command other defaults than its flags share.
func defaults(c *cobra.Command, values map[string]string) {
	for name, value := range values {
		flag := c.Flags().Lookup(name)
		flag.DefValue = value
		_ = flag.Value.Set(value)
	}
}

// hide hides flags that are of no use to a command.
func hide(c *cobra.Command, names ...string) {
	for _, name := range names {
		_ = c.Flags().MarkHidden(name)
	}
}

// refuseFloor says that a command has no floor.
func (f *benchFlags) refuseFloor() error {
	if f.withFloor {
		return fmt.Errorf("%w: --with-floor: bench rtt and bench levels have a floor; there is none of this", errUsage)
	}
	return nil
}

// usage marks errors of what the user asked for.
func usage(err error) error {
	if err == nil || errors.Is(err, errUsage) {
		return err
	}
	return fmt.Errorf("%w: %w", errUsage, err)
}
