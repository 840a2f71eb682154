package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
)

// failoverFlags say what is done to the lab, and what its nodes wait for.
type failoverFlags struct {
	benchFlags
	kills, transfers                int
	calm                            float64
	timeoutMin, timeoutMax, between int64 // ms; 0: as the nodes have it
}

// Times between what is done and what is looked at.
const (
	calmWindow    = 100 * time.Millisecond
	transferPause = 60 * time.Millisecond // a hand-over is over by then, or its outage is counted in full all the same
	answersAgain  = 20 * time.Millisecond // a client that has had an answer within this is being served
	wholeLimit    = 60 * time.Second      // for a node that was killed to be back and counted
)

func benchFailoverCommand() *cobra.Command {
	var f failoverFlags
	c := &cobra.Command{
		Use:   "failover",
		Short: "Kill the leader again and again, and hand over again and again: the outage that a client sees",
		Long: `Make a lab and keep it busy with an open loop of one client. Kill the leader with SIGKILL, start it again, wait until it
is admitted and counted, and so on; then have leaders hand over. The outage is the longest time between two answers to the
client around each. A line "calm" has the longest times between two answers while nothing is done, in windows of 100 ms.
At the end the acknowledgements are held against the journals of all nodes: exit code 1 if anything is lost, twice or out
of order.`,
		Example: `  lockstep bench failover
  lockstep bench failover --commit replicated --dir /dev/shm --idle park --kills 0 --json handover.json
  lockstep bench failover --timeout-min 60 --timeout-max 90 --heartbeat 10 --transfers 0`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f.useLab, f.loop = true, string(bench.Open)
			plan, err := f.plan()
			if err != nil {
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
	c.Flags().IntVar(&f.transfers, "transfers", 100, "how often the leader hands over")
	c.Flags().Float64Var(&f.calm, "calm", 2, "seconds without any of it, before")
	c.Flags().Int64Var(&f.timeoutMin, "timeout-min", 0, "election.timeout_min_ms of the nodes (0: the default)")
	c.Flags().Int64Var(&f.timeoutMax, "timeout-max", 0, "election.timeout_max_ms of the nodes (0: the default)")
	c.Flags().Int64Var(&f.between, "heartbeat", 0, "election.heartbeat_ms of the nodes (0: the default)")
	c.AddCommand(failoverClientCommand())
	return c
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
	f.lab.Override = fmt.Sprintf("[election]\ntimeout_min_ms = %d\ntimeout_max_ms = %d\nheartbeat_ms = %d\n", f.timeoutMin,
		f.timeoutMax, f.between)
	e := node.ElectionConfig{TimeoutMinMs: f.timeoutMin, TimeoutMaxMs: f.timeoutMax, HeartbeatMs: f.between}
	if err := e.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}

// failoverClientCommand is the client; the bench starts it.
func failoverClientCommand() *cobra.Command {
	return clientCommand("client", func(ctx context.Context, f *benchFlags, target bench.Target, acks string) error {
		plan, err := f.plan()
		if err != nil {
			return err
		}
		w := bench.Watch{Target: target, Plan: plan, AcksFile: acks}
		return w.Run(ctx, os.Stdin, os.Stdout)
	})
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
	order   []string
	terms   uint64 // when it began
	changes uint64 // of leader, that were wanted
}

func runFailover(ctx context.Context, f *failoverFlags, plan bench.Plan) (err error) {
	out, err := f.output()
	if err != nil {
		return err
	}
	if out != nil {
		defer out.Close()
	}
	r := &failoverRun{benchRun: benchRun{flags: &f.benchFlags, json: out, text: os.Stdout}, f: f, plan: plan,
		times: map[string]*hdrhistogram.Histogram{}}
	if f.jsonFile == "-" {
		r.text = os.Stderr
	}
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
	r.acks = filepath.Join(o.Dir, "acks.txt")
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
	leader, err := r.whole(ctx)
	if err != nil {
		return err
	}
	r.terms = leader.Term
	if r.client, err = startWatching(ctx, r.lab, &r.plan, r.acks); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.beCalm, r.killLeaders, r.transferLeaders} {
		if err := step(ctx); err != nil {
			return errors.Join(err, r.client.kill())
		}
	}
	leader, err = r.whole(ctx)
	if err != nil {
		return errors.Join(err, r.client.kill())
	}
	watched, err := r.client.end()
	if err != nil {
		return err
	}
	more := int64(leader.Term) - int64(r.terms) - int64(r.changes)
	if err := r.report(ctx, &watched, more); err != nil {
		return err
	}
	return r.audit(&watched)
}

// note records one outage.
func (r *failoverRun) note(scenario string, d time.Duration) {
	h := r.times[scenario]
	if h == nil {
		h = bench.NewHistogram()
		r.times[scenario] = h
		r.order = append(r.order, scenario)
	}
	_ = h.RecordValue(d.Nanoseconds())
}

// beCalm looks at the cluster while nothing is done to it.
func (r *failoverRun) beCalm(ctx context.Context) error {
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	if _, err := r.client.outage(); err != nil {
		return err
	}
	for range int(seconds(r.f.calm) / calmWindow) {
		if err := sleep(ctx, calmWindow); err != nil {
			return err
		}
		o, err := r.client.outage()
		if err != nil {
			return err
		}
		r.note("calm", time.Duration(o.LongestNs))
	}
	return nil
}

// killLeaders kills leaders.
func (r *failoverRun) killLeaders(ctx context.Context) error {
	for n := range r.f.kills {
		leader, err := r.whole(ctx)
		if err != nil {
			return err
		}
		if _, err := r.client.outage(); err != nil {
			return err
		}
		if err := r.lab.Kill(leader.Node); err != nil {
			return err
		}
		r.changes++
		// Nothing is asked of the nodes meanwhile: on a small machine that alone would make it longer.
		if err := sleep(ctx, 2*time.Duration(r.f.timeoutMax)*time.Millisecond); err != nil {
			return err
		}
		outage, err := r.untilServed(ctx)
		if err != nil {
			return err
		}
		r.note("kill", outage)
		fmt.Fprintf(r.text, "kill %d of %d: node %d, outage %.1f ms\n", n+1, r.f.kills, leader.Node, ms(outage))
		if err := r.lab.Start(leader.Node); err != nil {
			return err
		}
	}
	return nil
}

// transferLeaders has leaders hand over.
func (r *failoverRun) transferLeaders(ctx context.Context) error {
	if r.f.transfers > 0 {
		if _, err := r.whole(ctx); err != nil {
			return err
		}
	}
	var controls []string
	for _, n := range r.lab.Nodes() {
		controls = append(controls, n.Control)
	}
	client := r.lab.HTTPClient()
	for n, refused := 0, 0; n < r.f.transfers; {
		if _, err := r.client.outage(); err != nil {
			return err
		}
		o, err := node.OperateLeader(ctx, client, controls, node.TransferPath, transferPatience)
		if errors.Is(err, node.ErrOperation) && refused < 20 {
			refused++
			fmt.Fprintf(r.text, "hand-over %d of %d: %v\n", n+1, r.f.transfers, err)
			err = sleep(ctx, calmWindow)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		n++
		r.changes++
		if err := sleep(ctx, transferPause); err != nil {
			return err
		}
		outage, err := r.untilServed(ctx)
		if err != nil {
			return err
		}
		r.note("transfer", outage)
		r.note("transfer-by-leader", time.Duration(o.TookUs)*time.Microsecond)
	}
	return nil
}

// untilServed waits until the client is being answered and returns its longest time without.
func (r *failoverRun) untilServed(ctx context.Context) (time.Duration, error) {
	longest := int64(0)
	for limit := time.Now().Add(wholeLimit); ; {
		o, err := r.client.outage()
		if err != nil {
			return 0, err
		}
		longest = max(longest, o.LongestNs)
		switch {
		case o.Answers > 0 && o.SilentNs < answersAgain.Nanoseconds():
			return time.Duration(longest), nil
		case time.Now().After(limit):
			return 0, fmt.Errorf("the client is not served within %v", wholeLimit)
		}
		if err := sleep(ctx, answersAgain); err != nil {
			return 0, err
		}
	}
}

// whole waits until every node runs, follows one leader, counts, and has applied what that leader had committed.
func (r *failoverRun) whole(ctx context.Context) (leader node.Status, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, wholeLimit, fmt.Errorf("the cluster is not whole within %v", wholeLimit))
	defer cancel()
	for {
		id, err := r.lab.Leader(ctx)
		if err != nil {
			return leader, err
		}
		if leader, err = r.lab.AwaitStatus(ctx, id); err != nil {
			return leader, err
		}
		whole := leader.Role == "leader"
		for _, n := range r.lab.Nodes() {
			s, err := r.lab.AwaitStatus(ctx, n.ID)
			if err != nil {
				return leader, err
			}
			whole = whole && s.Recovering == "" && s.Leader == id && s.Term == leader.Term && s.Applied >= leader.Commit
		}
		if whole {
			return leader, nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return leader, context.Cause(ctx)
		}
	}
}

// report prints a line a scenario, and writes its row.
func (r *failoverRun) report(ctx context.Context, w *bench.Watched, more int64) error {
	f := r.f
	for _, scenario := range r.order {
		h := r.times[scenario]
		row := bench.NewRow("failover-"+scenario, w.Transport, w.Mode, &r.plan, &bench.Result{Histogram: h, Sent: w.Sent,
			Acked: w.Acked, Duplicated: w.Duplicated, Reordered: w.Reordered})
		conditions(ctx, r.lab, &row)
		row.Events, row.ElectionMin, row.ElectionMax = int(h.TotalCount()), f.timeoutMin, f.timeoutMax
		row.Heartbeat, row.Elections = f.between, more
		fmt.Fprintf(r.text, "%-27s %-3s %-7s %4d times  min %8.2f  p50 %8.2f  p99 %8.2f  max %8.2f ms\n", row.Scenario,
			row.Transport, row.Mode, row.Events, row.MinUs/1e3, row.P50Us/1e3, row.P99Us/1e3, row.MaxUs/1e3)
		if r.json == nil {
			continue
		}
		if err := row.Write(r.json); err != nil {
			return err
		}
	}
	fmt.Fprintf(r.text, "commit %s, idle %s, %.0f messages/s; election time-out %d to %d ms, heartbeat %d ms; "+
		"%d elections more than were asked for\n", f.lab.Rule, r.lab.Options.Idle, r.plan.Rate, f.timeoutMin, f.timeoutMax,
		f.between, more)
	return nil
}

// audit stops the nodes and holds what the client was told against the journals.
func (r *failoverRun) audit(w *bench.Watched) error {
	acks, audit, err := stopAndAudit(r.lab, w.Session, r.acks)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.text, "%d sent, %d answered, %d in the journals; acknowledged and not in a majority's journals: %d; "+
		"elsewhere than told: %d; twice: %d; out of order: %d\n", w.Sent, w.Acked, audit.Messages, audit.Missing,
		audit.Misplaced, audit.Duplicated+w.Duplicated, audit.Reordered+w.Reordered)
	if !audit.Holds() || w.Duplicated+w.Reordered > 0 || w.Acked != w.Sent {
		return fmt.Errorf("the journals do not hold what was acknowledged: %+v, %+v", audit, *w)
	}
	return bench.CheckHistory(acks)
}

// watchingClient is the process that keeps the lab busy.
type watchingClient struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr strings.Builder
}

func startWatching(ctx context.Context, l *lab.Lab, p *bench.Plan, acks string) (*watchingClient, error) {
	args := []string{"bench", "failover", "client", "--at", l.NodesFlag(), "--cluster", node.ClusterString(l.Cluster),
		"--level", p.Level.String(), "--loop", string(p.Loop), "--rate", fmt.Sprint(p.Rate),
		"--burst", strconv.Itoa(p.Burst), "--payload", strconv.Itoa(p.Payload), "--flow", p.Flow,
		"--window", strconv.Itoa(p.Window), "--acks", acks}
	w := &watchingClient{cmd: exec.CommandContext(ctx, l.Options.Binary, append(args, clientFlags(l)...)...)}
	w.cmd.Stderr = &w.stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := l.StartClient(0, w.cmd); err != nil {
		return nil, err
	}
	w.out = bufio.NewScanner(out)
	_, err = w.next() // it is connected
	return w, err
}

// next reads one event.
func (w *watchingClient) next() (e bench.WatchEvent, err error) {
	if !w.out.Scan() {
		return e, fmt.Errorf("the client: %w: %s", errors.Join(w.out.Err(), w.cmd.Wait()), strings.TrimSpace(w.stderr.String()))
	}
	return e, json.Unmarshal(w.out.Bytes(), &e)
}

// outage is what the client saw since it was last asked.
func (w *watchingClient) outage() (bench.Outage, error) {
	if _, err := io.WriteString(w.in, "\n"); err != nil {
		return bench.Outage{}, err
	}
	e, err := w.next()
	if err == nil && e.Outage == nil {
		err = errors.New("the client has ended")
	}
	if err != nil {
		return bench.Outage{}, err
	}
	return *e.Outage, nil
}

// end has the client come to its end.
func (w *watchingClient) end() (bench.Watched, error) {
	if err := w.in.Close(); err != nil {
		return bench.Watched{}, err
	}
	e, err := w.next()
	if err == nil && e.Done == nil {
		err = errors.New("the client does not say how it ended")
	}
	if err != nil {
		return bench.Watched{}, err
	}
	return *e.Done, w.cmd.Wait()
}

// kill ends the client after something else failed.
func (w *watchingClient) kill() error {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
	return nil
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
