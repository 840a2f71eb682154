package command

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
)

// sessionsBenchFlags say how many sessions are open beside the one that is measured.
type sessionsBenchFlags struct {
	benchFlags
	open      []int
	storm     bool
	stormRate float64
}

// Clients of the lab: who is measured, and the crowd.
const (
	measuredClient = 0
	crowdClient    = 1
)

// crowdSettles is how long sessions that do nothing take to say so less and less often.
const crowdSettles = 3 * time.Second

// crowdReturns is how long a session that has lost its leader may take to find one again.
const crowdReturns = 10 * time.Second

func benchSessionsCommand() *cobra.Command {
	var f sessionsBenchFlags
	c := &cobra.Command{
		Use:   "sessions",
		Short: "What open sessions cost: memory each, and the round trip of one beside many; and a storm of all of them",
		Long: `Make a lab. For every number of --open measure the round trip of one session with the others open and idle, and how much
memory the nodes have; a row each, all in one run on one cluster, in every round. The idle sessions are in a process of their own.

With --storm, afterwards on a new cluster: the most of --open are there, one session works at --storm-rate messages a
second, and the leader is killed; at that moment every other session sends a message, so that all find it out at once and
come back together. Rows have the round trip of the working session before the kill, from when it is served again until all
are back, and after; beside them how long its outage was and how many sessions were admitted a second. Exit code 1 if a
session was lost, or a message not answered.`,
		Example: `  lockstep bench sessions --commit replicated --dir /dev/shm --rounds 3 --with-floor --json sessions.json
  lockstep bench sessions --open 1,10000 --transport xdp --storm --json storm.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f.useLab = true
			plan, err := f.plan()
			if err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			return runSessions(c.Context(), &f, plan)
		},
	}
	f.register(c)
	for _, name := range []string{"interface", "local", "at", "cluster", "lab", "flow"} {
		_ = c.Flags().MarkHidden(name) // of no use here
	}
	c.Flags().IntSliceVar(&f.open, "open", []int{1, 10000}, "sessions that are open, the measured one among them")
	c.Flags().BoolVar(&f.storm, "storm", false, "kill the leader with the most of them open, and have them come back at once")
	c.Flags().Float64Var(&f.stormRate, "storm-rate", 1000, "messages a second of the session that works meanwhile")
	c.AddCommand(crowdCommand())
	return c
}

func (f *sessionsBenchFlags) check() error {
	if len(f.open) == 0 || slices.Min(f.open) < 1 || slices.Max(f.open) > 16384 {
		return fmt.Errorf("%w: --open %v: want numbers from 1 to 16384", errUsage, f.open)
	}
	if f.storm && (f.stormRate < 100 || f.lab.Nodes < 3 || slices.Max(f.open) < 2) {
		return fmt.Errorf("%w: --storm: want --storm-rate 100 or more, 3 nodes or more, and --open with 2 sessions or more", errUsage)
	}
	f.lab.Clients = 2
	return nil
}

// crowdCommand is the process of idle sessions; the bench starts it.
func crowdCommand() *cobra.Command {
	sessions := 0
	c := clientCommand("crowd", func(ctx context.Context, _ *benchFlags, target bench.Target, _ string) error {
		crowd := bench.Crowd{Target: target, Sessions: sessions}
		return crowd.Run(ctx, os.Stdin, os.Stdout)
	})
	c.Flags().IntVar(&sessions, "sessions", 1, "sessions")
	return c
}

// sessionsRun is one run.
type sessionsRun struct {
	benchRun
	f    *sessionsBenchFlags
	plan bench.Plan
	base map[int]int64 // resident memory of nodes with the fewest sessions, in this round
	low  int           // how many those were
}

func runSessions(ctx context.Context, f *sessionsBenchFlags, plan bench.Plan) error {
	run, done, err := newBenchRun(&f.benchFlags)
	if err != nil {
		return err
	}
	defer done()
	r := &sessionsRun{benchRun: *run, f: f, plan: plan}
	rounds := make([][]bench.Row, len(f.open))
	for round := range f.rounds {
		fmt.Fprintf(r.text, "round %d of %d, %s in %s\n", round+1, f.rounds, f.lab.Rule, f.dirs()[0])
		if err := r.oneRound(ctx, rounds); err != nil {
			return err
		}
	}
	for _, rows := range rounds {
		if len(rows) > 1 {
			median := bench.Median(rows)
			if err := r.emit(&median); err != nil {
				return err
			}
		}
	}
	if !f.storm {
		return nil
	}
	return r.onLab(ctx, r.f.dirs()[0], r.stormIn)
}

// oneRound measures every number of sessions on one cluster, and then the floor.
func (r *sessionsRun) oneRound(ctx context.Context, rounds [][]bench.Row) error {
	jitter := bench.JitterP99Us(jitterTime, agent.System{}.NowNs)
	rows := make([]bench.Row, len(r.f.open))
	r.base = nil
	err := r.onLab(ctx, r.f.dirs()[0], func(ctx context.Context, l *lab.Lab) (err error) {
		for i, n := range r.f.open {
			if rows[i], err = r.beside(ctx, l, n); err != nil {
				return err
			}
			rows[i].JitterP99Us = jitter
		}
		return nil
	})
	if err != nil {
		return err
	}
	if r.flags.withFloor {
		floor, err := r.twoHop(ctx, &r.plan)
		if err != nil {
			return err
		}
		for i := range rows {
			rows[i].SetFloor(floor.P50Us)
		}
		if err := r.emit(&floor); err != nil {
			return err
		}
	}
	for i := range rows {
		rounds[i] = append(rounds[i], rows[i])
		if err := r.emit(&rows[i]); err != nil {
			return err
		}
		r.sayMemory(rows[i].Memory)
	}
	return nil
}

// beside measures one session beside n-1 that are idle.
func (r *sessionsRun) beside(ctx context.Context, l *lab.Lab, n int) (row bench.Row, err error) {
	var crowd *child
	var opened bench.CrowdState
	if n > 1 {
		if crowd, opened, err = startCrowd(ctx, l, n-1); err != nil {
			return row, err
		}
		defer func() {
			if err != nil {
				crowd.kill()
			}
		}()
		if err := sleep(ctx, crowdSettles); err != nil {
			return row, err
		}
	}
	if row, err = r.child(ctx, l, &r.plan); err != nil {
		return row, err
	}
	conditions(ctx, l, &row)
	row.Scenario, row.Clients = "sessions", n
	if row.Memory, err = r.memory(ctx, l, n, &opened); err != nil || crowd == nil {
		return row, err
	}
	if err = crowd.awaitAll(ctx, n-1); err != nil {
		return row, err
	}
	return row, crowd.end()
}

// awaitAll waits until all sessions of a crowd are connected: on a busy machine one may just be looking for its leader.
func (c *child) awaitAll(ctx context.Context, sessions int) error {
	for end := time.Now().Add(crowdReturns); ; {
		state, err := c.look()
		switch {
		case err != nil:
			return err
		case state.Connected == sessions:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%d of %d sessions are there after the measurement: %s", state.Connected, sessions, state.Error)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
	}
}

// memory reads what the nodes have.
func (r *sessionsRun) memory(ctx context.Context, l *lab.Lab, n int, opened *bench.CrowdState) (*bench.MemoryFigures, error) {
	leader, err := l.Leader(ctx)
	if err != nil {
		return nil, err
	}
	m := &bench.MemoryFigures{Sessions: n}
	resident := map[int]int64{}
	for _, at := range l.Nodes() {
		resident[at.ID] = bench.Resident(l.PID(at.ID))
		heap, err := goHeap(ctx, l.HTTPClient(), at.Control)
		if err != nil {
			return nil, err
		}
		if at.ID == leader {
			m.LeaderResident, m.LeaderHeap = resident[at.ID], heap
			continue
		}
		m.FollowerResident, m.FollowerHeap = max(m.FollowerResident, resident[at.ID]), max(m.FollowerHeap, heap)
	}
	if r.base == nil {
		r.base, r.low = resident, n
	}
	if more := float64(n - r.low); more > 0 {
		for id, bytes := range resident {
			each := float64(bytes-r.base[id]) / more
			if id == leader {
				m.LeaderPerSession = each
			} else {
				m.FollowerPerSession = max(m.FollowerPerSession, each)
			}
		}
	}
	if opened.Sessions > 0 {
		m.ClientPerSession = float64(opened.Resident) / float64(opened.Sessions)
		m.OpenedMs = float64(opened.LastNs) / 1e6
		m.OpenedPerSec = float64(opened.Sessions) / (float64(opened.LastNs) / 1e9)
	}
	return m, nil
}

// goHeap asks a node how much of Go's heap is in use.
func goHeap(ctx context.Context, client *http.Client, control string) (bytes int64, err error) {
	const name = "go_memstats_heap_inuse_bytes "
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+control+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			var x float64
			_, err := fmt.Sscan(value, &x)
			return int64(x), err
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", control, name)
}

func (r *sessionsRun) sayMemory(m *bench.MemoryFigures) {
	fmt.Fprintf(r.text, "%14d sessions: leader %.1f MiB resident, %.1f MiB of heap; follower %.1f MiB, %.1f MiB", m.Sessions,
		mib(m.LeaderResident), mib(m.LeaderHeap), mib(m.FollowerResident), mib(m.FollowerHeap))
	if m.LeaderPerSession != 0 {
		fmt.Fprintf(r.text, "; more than with %d: %.0f bytes a session on the leader, %.0f on a follower", r.low, m.LeaderPerSession,
			m.FollowerPerSession)
	}
	if m.OpenedMs > 0 {
		fmt.Fprintf(r.text, "; opened in %.0f ms, %.0f a second; %.0f bytes each in the client process", m.OpenedMs, m.OpenedPerSec,
			m.ClientPerSession)
	}
	fmt.Fprintln(r.text)
}

// startCrowd starts the process of idle sessions, and waits until all are open.
func startCrowd(ctx context.Context, l *lab.Lab, sessions int) (*child, bench.CrowdState, error) {
	args := []string{"bench", "sessions", "crowd", "--at", l.NodesFlag(), "--cluster", node.ClusterString(l.Cluster),
		"--sessions", fmt.Sprint(sessions)}
	c, err := startChild(ctx, l, crowdClient, append(args, clientFlagsAt(l, crowdClient)...))
	if err != nil {
		return nil, bench.CrowdState{}, err
	}
	var opened bench.CrowdState
	if err := c.next(&opened); err != nil {
		return nil, opened, err
	}
	return c, opened, nil
}
