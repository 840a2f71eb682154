package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/internal/testnet"
	"lockstep/node"
)

// failoverFlags say what is done to the lab, and what its nodes wait for.
type failoverFlags struct {
	benchFlags
	kills, cuts, transfers          int
	sessions, inFlight              int
	calm                            float64
	timeoutMin, timeoutMax, between int64 // ms; 0: as the nodes have it
}

// Times between what is done and what is looked at.
const (
	calmWindow    = 100 * time.Millisecond
	transferPause = 60 * time.Millisecond // a hand-over is over by then, or its outage is counted in full all the same
	answersAgain  = 20 * time.Millisecond // a client that has had an answer within this is being served
	fillTime      = 50 * time.Millisecond // windows are full by then
	wholeLimit    = 60 * time.Second      // for a node that was killed to be back and counted
)

func benchFailoverCommand() *cobra.Command {
	var f failoverFlags
	c := &cobra.Command{
		Use:   "failover",
		Short: "Kill the leader, cut it off, have it hand over, again and again: the outage that clients see, and what they lost",
		Long: `Make a lab and keep it busy with an open loop of messages, in --sessions sessions. Kill the leader with SIGKILL, start it
again, wait until it is admitted and counted, and so on; then take leaders' links away, and give them back when another
node leads; then have leaders hand over. With --in-flight N every session has N messages under way from before each of
these until it is served again. The outage is the longest time between two answers to one session around each, of the
session that waited longest. A line "calm" has those times while nothing is done, in windows of 100 ms; "calm-full" the
same with N under way.
At the end the acknowledgements of all sessions are held against the journals of all nodes: nothing acknowledged may be
lost or elsewhere than told, nothing there twice or out of its session's order, every echo is that of its message and
comes once, and all of it together is linearizable. Exit code 1 if not.`,
		Example: `  lockstep bench failover
  lockstep bench failover --kills 100 --cuts 50 --sessions 16 --in-flight 256 --json failover.json
  lockstep bench failover --commit replicated --dir /dev/shm --idle park --kills 0 --json handover.json
  lockstep bench failover --timeout-min 60 --timeout-max 90 --heartbeat 10 --transfers 0`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f.useLab, f.loop = true, string(bench.Open)
			plan, err := f.plan()
			if err != nil {
				return err
			}
			if err := f.check(&plan); err != nil {
				return err
			}
			if err := f.override(); err != nil {
				return err
			}
			return runFailover(c.Context(), &f, plan)
		},
	}
	f.register(c)
	for name, value := range map[string]string{"rate": "2000", "window": "1024", "seconds": "1"} {
		flag := c.Flags().Lookup(name)
		flag.DefValue = value
		_ = flag.Value.Set(value)
	}
	for _, name := range []string{"loop", "seconds", "warmup", "rounds", "with-floor", "interface", "local", "at", "cluster",
		"lab"} {
		_ = c.Flags().MarkHidden(name) // of no use here
	}
	c.Flags().IntVar(&f.kills, "kills", 20, "how often the leader is killed")
	c.Flags().IntVar(&f.cuts, "cuts", 0, "how often the leader's link is taken away and given back (needs namespaces: root)")
	c.Flags().IntVar(&f.sessions, "sessions", 1, "sessions; --rate is shared by all of them")
	c.Flags().IntVar(&f.inFlight, "in-flight", 0, "messages that each session has under way at each event (0: what --rate brings)")
	c.Flags().IntVar(&f.transfers, "transfers", 100, "how often the leader hands over")
	c.Flags().Float64Var(&f.calm, "calm", 2, "seconds without any of it, before")
	c.Flags().Int64Var(&f.timeoutMin, "timeout-min", 0, "election.timeout_min_ms of the nodes (0: the default)")
	c.Flags().Int64Var(&f.timeoutMax, "timeout-max", 0, "election.timeout_max_ms of the nodes (0: the default)")
	c.Flags().Int64Var(&f.between, "heartbeat", 0, "election.heartbeat_ms of the nodes (0: the default)")
	c.AddCommand(failoverClientCommand())
	return c
}

// check looks at what the plan cannot know.
func (f *failoverFlags) check(plan *bench.Plan) error {
	if f.kills < 0 || f.cuts < 0 || f.transfers < 0 || f.calm < 0 || f.inFlight < 0 || f.inFlight > 4096 {
		return fmt.Errorf("%w: --kills, --cuts, --transfers and --calm must be 0 or more, --in-flight 0 to 4096", errUsage)
	}
	if missing := testnet.Available(); f.cuts > 0 && missing != "" {
		return fmt.Errorf("%w: --cuts: %s", errUsage, missing)
	}
	if f.inFlight > 0 {
		plan.Window = f.inFlight
	}
	w := bench.Watch{Plan: *plan, Sessions: f.sessions}
	if err := w.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}

// override puts the election times into the nodes' config, and fills in those in force.
func (f *failoverFlags) override() error {
	c := node.Defaults().Election
	for _, x := range []struct {
		name string
		flag *int64
		by   int64
	}{{"timeout_min_ms", &f.timeoutMin, c.TimeoutMinMs}, {"timeout_max_ms", &f.timeoutMax, c.TimeoutMaxMs},
		{"heartbeat_ms", &f.between, c.HeartbeatMs}} {
		if *x.flag == 0 {
			*x.flag = x.by
		}
	}
	// The audit reads the journals from their beginning: no log may be dropped.
	f.lab.Override = fmt.Sprintf("[election]\ntimeout_min_ms = %d\ntimeout_max_ms = %d\nheartbeat_ms = %d\n"+
		"[retention]\nbytes = %d\n", f.timeoutMin, f.timeoutMax, f.between, int64(1)<<50)
	e := node.ElectionConfig{TimeoutMinMs: f.timeoutMin, TimeoutMaxMs: f.timeoutMax, HeartbeatMs: f.between}
	if err := e.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}

// failoverRun is one run.
type failoverRun struct {
	benchRun
	f       *failoverFlags
	plan    bench.Plan
	lab     *lab.Lab
	client  *watchingClient
	acks    string
	times   map[string]*hdrhistogram.Histogram // by scenario
	perSec  map[string]float64                 // answers, by scenario
	order   []string
	open    int    // fewest messages under way just before an event; -1: there was none
	terms   uint64 // when it began
	changes uint64 // of leader, that were wanted
	before  bench.CPUTimes
	jitter  float64
	started time.Time // the client's timeline
	marks   []bench.Mark
}

func runFailover(ctx context.Context, f *failoverFlags, plan bench.Plan) (err error) {
	run, done, err := newBenchRun(&f.benchFlags)
	if err != nil {
		return err
	}
	defer done()
	r := &failoverRun{benchRun: *run, f: f, plan: plan,
		times: map[string]*hdrhistogram.Histogram{}, perSec: map[string]float64{}, open: -1}
	o := f.lab
	o.Log = r.text
	if o.Dir, err = os.MkdirTemp(f.dirs()[0], "lockstep-bench-"); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(o.Dir)
		}
	}()
	r.acks = filepath.Join(o.Dir, "acks")
	r.jitter = bench.JitterP99Us(jitterTime, agent.System{}.NowNs)
	if r.lab, err = lab.Up(ctx, o); err != nil {
		if errors.Is(err, lab.ErrOptions) {
			err = fmt.Errorf("%w: %w", errUsage, err)
		}
		return err
	}
	defer func() { err = errors.Join(err, r.lab.Down()) }()
	if err := r.all(ctx); err != nil {
		return fmt.Errorf("%w (the nodes' output and journals are in %s)", err, o.Dir)
	}
	return nil
}

// all does everything in turn.
func (r *failoverRun) all(ctx context.Context) error {
	leader, err := wholeLab(ctx, r.lab)
	if err != nil {
		return err
	}
	r.terms, r.before = leader.Term, bench.ReadCPUTimes()
	if r.client, err = startWatching(ctx, r.lab, &r.plan, r.f.sessions, r.acks); err != nil {
		return err
	}
	r.started = time.Now()
	for _, step := range []func(context.Context) error{r.beCalm, r.killLeaders, r.cutLeaders, r.transferLeaders} {
		if err := step(ctx); err != nil {
			return errors.Join(err, r.client.kill())
		}
	}
	leader, err = wholeLab(ctx, r.lab)
	if err != nil {
		return errors.Join(err, r.client.kill())
	}
	watched, err := r.client.end()
	if err != nil {
		return err
	}
	more := int64(leader.Term) - int64(r.terms) - int64(r.changes)
	rows := r.rows(ctx, &watched, more)
	audit, err := r.audit(&watched)
	for i := range rows {
		rows[i].Audit = audit
		err = errors.Join(err, r.write(&rows[i]))
	}
	return err
}

// rows makes a row a scenario, and prints them.
func (r *failoverRun) rows(ctx context.Context, w *bench.Watched, more int64) (rows []bench.Row) {
	f := r.f
	for _, scenario := range r.order {
		h := r.times[scenario]
		row := bench.NewRow("failover-"+scenario, w.Transport, w.Mode, &r.plan, &bench.Result{Histogram: h, Sent: w.Sent,
			Acked: w.Acked, Duplicated: w.Duplicated, Reordered: w.Reordered})
		conditions(ctx, r.lab, &row)
		row.Events, row.ElectionMin, row.ElectionMax = int(h.TotalCount()), f.timeoutMin, f.timeoutMax
		row.Heartbeat, row.Elections, row.Clients, row.PerSec = f.between, more, f.sessions, r.perSec[scenario]
		row.StealPct, row.JitterP99Us = bench.StealPct(r.before, bench.ReadCPUTimes()), r.jitter
		if row.Timeline = nil; len(rows) == 0 { // one is of the whole run
			row.Timeline, row.Marks = w.Timeline, r.marks
		}
		rows = append(rows, row)
		fmt.Fprintf(r.text, "%-27s %-3s %-7s %4d times  min %8.2f  p50 %8.2f  p90 %8.2f  p99 %8.2f  max %8.2f ms", row.Scenario,
			row.Transport, row.Mode, row.Events, row.MinUs/1e3, row.P50Us/1e3, row.P90Us/1e3, row.P99Us/1e3, row.MaxUs/1e3)
		if row.PerSec > 0 {
			fmt.Fprintf(r.text, "  %8.0f answers/s", row.PerSec)
		}
		fmt.Fprintln(r.text)
	}
	fmt.Fprintf(r.text, "commit %s, directories on %s, idle %s, %d sessions, %.0f messages/s, level %s, payload %d bytes; "+
		"election time-out %d to %d ms, heartbeat %d ms; %d elections more than were asked for\n", f.lab.Rule,
		bench.FileSystem(r.lab.Options.Dir), r.lab.Options.Idle, f.sessions, r.plan.Rate, r.plan.Level, r.plan.Payload,
		f.timeoutMin, f.timeoutMax, f.between, more)
	if r.f.inFlight > 0 && r.open >= 0 {
		fmt.Fprintf(r.text, "under way just before an event: %d of %d messages at the least\n", r.open, f.sessions*f.inFlight)
	}
	return rows
}

// audit stops the nodes and holds what the sessions were told against the journals.
func (r *failoverRun) audit(w *bench.Watched) (*bench.FailoverAudit, error) {
	told, journals, err := stopAndAudit(r.lab, r.acks)
	if err != nil {
		return nil, err
	}
	a := &bench.FailoverAudit{Audit: journals, Sessions: len(told), Linearizable: true}
	a.Duplicated += w.Duplicated
	a.Reordered += w.Reordered
	a.Wrong, a.Unanswered, a.InFlight = w.Wrong, w.Sent-w.Acked, max(r.open, 0)
	if a.Operations, err = bench.CheckHistory(told...); err != nil {
		a.Linearizable = false
	}
	fmt.Fprintf(r.text, "%d sessions, %d sent, %d answered, %d in the journals; acknowledged and not in a majority's journals: %d; "+
		"elsewhere than told: %d; twice: %d; out of order: %d; wrong responses: %d; linearizable: %v (%d operations)\n",
		a.Sessions, w.Sent, w.Acked, a.Messages, a.Missing, a.Misplaced, a.Duplicated, a.Reordered, a.Wrong, a.Linearizable,
		a.Operations)
	switch {
	case err != nil:
		return a, err
	case !a.Holds() || a.Sessions != r.f.sessions:
		return a, fmt.Errorf("the journals do not hold what was acknowledged: %+v", *a)
	}
	return a, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// sleep waits, or says that ctx has ended.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
