package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
	"lockstep/wire"
)

// tmpfs is where node directories go that are to be in memory.
const tmpfs = "/dev/shm"

// jitterTime is how long the machine's own pauses are looked at in every round.
const jitterTime = 300 * time.Millisecond

// runBench measures the plans: in a lab, or against a running cluster from this process. summary, if it is not nil, is
// given what a lab's series came to.
func runBench(ctx context.Context, f *benchFlags, transports []string, plans []bench.Plan,
	summary func(w io.Writer, columns []benchColumn)) error {
	r, done, err := newBenchRun(f)
	if err != nil {
		return err
	}
	defer done()
	if !f.useLab {
		return r.direct(ctx, plans)
	}
	for _, dir := range f.dirs() {
		columns, err := r.series(ctx, dir, transports, plans)
		if err != nil {
			return err
		}
		if summary != nil {
			summary(r.text, columns)
		}
	}
	return nil
}

// dirs is where labs put node directories, one run each.
func (f *benchFlags) dirs() []string {
	switch {
	case f.dir != "":
		return []string{f.dir}
	case f.lab.Rule == "replicated" && bench.FileSystem(tmpfs) == "tmpfs":
		return []string{tmpfs, os.TempDir()}
	}
	return []string{os.TempDir()}
}

type benchRun struct {
	flags *benchFlags
	json  io.Writer // lines; nil: none are wanted
	text  io.Writer // standard output, unless the lines go there

	progress *liveLine
	scenario string  // of rows of single clients; "": what the plan says
	jitter   float64 // of the machine, before the round

	unfit map[string]bool // why figures of this run are not what the product can do
}

// newBenchRun opens what a run writes to, which done closes.
func newBenchRun(f *benchFlags) (r *benchRun, done func(), err error) {
	out, err := f.output()
	if err != nil {
		return nil, nil, err
	}
	r = &benchRun{flags: f, text: os.Stdout, unfit: map[string]bool{}}
	if out != nil {
		r.json = out
	}
	if f.jsonFile == "-" {
		r.text = os.Stderr
	}
	if f.hgrm != "" {
		if r.json, err = f.percentiles(out); err != nil {
			done()
			return nil, nil, err
		}
	}
	if r.progress = newLiveLine(f.quiet); r.progress != nil {
		r.text = r.progress.above(r.text)
	}
	return r, func() {
		r.sayUnfit()
		if r.progress != nil {
			r.progress.close()
		}
		if out != nil {
			_ = out.Close()
		}
	}, nil
}

// write judges a row, and writes its JSON line.
func (r *benchRun) write(row *bench.Row) error {
	row.Judge()
	for _, reason := range row.Unfit {
		r.unfit[reason] = true
	}
	if r.json == nil {
		return nil
	}
	return row.Write(r.json)
}

// sayUnfit says once a run why its figures are not what the product can do.
func (r *benchRun) sayUnfit() {
	if len(r.unfit) > 0 {
		fmt.Fprintf(r.text, "not what the product can do, but a comparison within this run: %s\n",
			strings.Join(slices.Sorted(maps.Keys(r.unfit)), ", "))
	}
}

// percentiles is where lines go when files of percentiles are wanted: to these, and to out, if it is not nil.
func (f *benchFlags) percentiles(out io.Writer) (io.Writer, error) {
	files, err := bench.NewHGRM(f.hgrm)
	if err != nil {
		return nil, fmt.Errorf("%w: --hgrm: %w", errUsage, err)
	}
	if f.jsonFile == "" {
		return files, nil
	}
	return io.MultiWriter(out, files), nil
}

// direct measures a running cluster.
func (r *benchRun) direct(ctx context.Context, plans []bench.Plan) error {
	target, err := r.flags.target()
	if err != nil {
		return err
	}
	for range r.flags.rounds {
		for i := range plans {
			row, err := r.measure(ctx, &target, &plans[i])
			if err != nil {
				return err
			}
			row.Revision = node.Revision
			r.name(&row)
			if err := r.emit(&row); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure measures a running cluster from this process.
func (r *benchRun) measure(ctx context.Context, t *bench.Target, p *bench.Plan) (row bench.Row, err error) {
	r.sayPlan(p)
	plan := *p
	measured, stop := r.flags.watch(ctx, r.progress)
	defer stop()
	plan.Progress = measured
	return bench.Measure(ctx, t, &plan)
}

// sayPlan has the line of progress say what is measured.
func (r *benchRun) sayPlan(p *bench.Plan) {
	what := "rtt"
	if r.scenario != "" {
		what = r.scenario
	}
	r.progress.begin(p.Warmup+p.Measure, "%s, %s loop, level %v, %d bytes", what, p.Loop, p.Level, p.Payload)
}

// benchColumn is what was measured over one transport.
type benchColumn struct {
	transport string
	rows      [][]bench.Row // by plan, by round
	floors    []bench.Row   // by round; none without --with-floor
}

// series runs all rounds with node directories in one place: in every round one transport after the other.
func (r *benchRun) series(ctx context.Context, dir string, transports []string, plans []bench.Plan) ([]benchColumn, error) {
	columns := make([]benchColumn, len(transports))
	for i := range columns {
		columns[i] = benchColumn{transport: transports[i], rows: make([][]bench.Row, len(plans))}
	}
	for round := range r.flags.rounds {
		for i := range columns {
			fmt.Fprintf(r.text, "round %d of %d, %s in %s (%s)\n", round+1, r.flags.rounds, r.flags.lab.Rule, dir,
				bench.FileSystem(dir))
			r.flags.lab.Transport = columns[i].transport
			if err := r.column(ctx, dir, &columns[i], plans); err != nil {
				return nil, err
			}
		}
	}
	if r.flags.rounds < 2 {
		return columns, nil
	}
	for i := range columns {
		for _, rows := range columns[i].rows {
			median := bench.Median(rows)
			if err := r.emit(&median); err != nil {
				return nil, err
			}
		}
	}
	return columns, nil
}

// column measures one round over one transport.
func (r *benchRun) column(ctx context.Context, dir string, c *benchColumn, plans []bench.Plan) error {
	rows, err := r.round(ctx, dir, plans)
	if err != nil {
		return err
	}
	if r.flags.withFloor {
		floor, err := r.setFloors(ctx, dir, rows, plans)
		if err != nil {
			return err
		}
		c.floors = append(c.floors, floor)
	}
	for i := range rows {
		c.rows[i] = append(c.rows[i], rows[i])
		if err := r.emit(&rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// setFloors measures the floors of rows that were measured just now: two-hop, and behind it, for those that wait for a disk, that
// disk with as many writers as there are nodes on it.
func (r *benchRun) setFloors(ctx context.Context, dir string, rows []bench.Row, plans []bench.Plan) (floor bench.Row, err error) {
	if floor, err = r.twoHop(ctx, &plans[0]); err == nil {
		err = r.emit(&floor)
	}
	if err != nil {
		return floor, err
	}
	waits := func(p *bench.Plan) bool {
		return p.Level == wire.LevelDurable || p.Level == wire.LevelApplied && r.flags.lab.Rule != "replicated"
	}
	disk := 0.0
	if slices.ContainsFunc(plans, func(p bench.Plan) bool { return waits(&p) }) {
		row, err := r.disk(&plans[0], dir, r.flags.lab.Nodes)
		if err == nil {
			err = r.emit(&row)
		}
		if err != nil {
			return floor, err
		}
		disk = row.P50Us
	}
	for i := range rows {
		if waits(&plans[i]) {
			rows[i].SetFloor(floor.P50Us + disk)
		} else {
			rows[i].SetFloor(floor.P50Us)
		}
	}
	return floor, nil
}

// round measures every plan once on a new lab.
func (r *benchRun) round(ctx context.Context, dir string, plans []bench.Plan) (rows []bench.Row, err error) {
	o := r.flags.lab
	o.Log = r.text
	if o.Dir, err = os.MkdirTemp(dir, "lockstep-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(o.Dir)
	jitter := bench.JitterP99Us(jitterTime, agent.System{}.NowNs)
	r.progress.begin(0, "a cluster of %d nodes", o.Nodes)
	l, err := lab.Up(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if downErr := l.Down(); err == nil {
			err = downErr
		}
	}()
	if _, err := l.Leader(ctx); err != nil {
		return nil, err
	}
	for i := range plans {
		row, err := r.child(ctx, l, &plans[i])
		if err != nil {
			return nil, fmt.Errorf("%w (the nodes' output is in %s)", err, o.Dir)
		}
		row.JitterP99Us = jitter
		r.name(&row)
		conditions(ctx, l, &row)
		rows = append(rows, row)
	}
	return rows, nil
}

// name gives a row the scenario of this run, if it has one of its own.
func (r *benchRun) name(row *bench.Row) {
	if r.scenario != "" {
		row.Scenario = r.scenario
	}
}

// onLab makes a cluster for do, with node directories in dir.
func (r *benchRun) onLab(ctx context.Context, dir string, do func(ctx context.Context, l *lab.Lab) error) (err error) {
	o := r.flags.lab
	o.Log = r.text
	if o.Dir, err = os.MkdirTemp(dir, "lockstep-bench-"); err != nil {
		return err
	}
	r.progress.begin(0, "a cluster of %d nodes", o.Nodes)
	l, err := lab.Up(ctx, o)
	if err != nil {
		return errors.Join(err, os.RemoveAll(o.Dir))
	}
	if _, err = l.Leader(ctx); err == nil {
		err = do(ctx, l)
	}
	if err = errors.Join(err, l.Down()); err != nil {
		return fmt.Errorf("%w (the nodes' output is in %s)", err, o.Dir)
	}
	return os.RemoveAll(o.Dir)
}

// child measures one plan from where the lab's client is, in a process of its own.
func (r *benchRun) child(ctx context.Context, l *lab.Lab, p *bench.Plan) (bench.Row, error) {
	args := []string{"bench", "rtt", "--at", l.NodesFlag(), "--cluster", node.ClusterString(l.Cluster),
		"--level", p.Level.String(), "--loop", string(p.Loop), "--rate", fmt.Sprint(p.Rate),
		"--burst", strconv.Itoa(p.Burst), "--payload", strconv.Itoa(p.Payload),
		"--seconds", fmt.Sprint(p.Measure.Seconds()), "--warmup", fmt.Sprint(p.Warmup.Seconds()),
		"--window", strconv.Itoa(p.Window)}
	if p.Clients > 1 {
		args = append(args, "--clients", strconv.Itoa(p.Clients))
	}
	if p.Behind > 0 {
		args = append(args, "--behind", fmt.Sprint(p.Behind.Seconds()))
	}
	if p.Stages {
		args = append(args, "--stages")
	}
	args = append(args, flowArgs(p)...)
	r.sayPlan(p)
	return r.runChild(ctx, l, append(args, clientFlags(l)...))
}

// clientFlags say how a process where the lab's client is reaches the network.
func clientFlags(l *lab.Lab) []string { return clientFlagsAt(l, 0) }

// clientFlagsAt is the same for one of several clients.
func clientFlagsAt(l *lab.Lab, i int) []string {
	return []string{"--transport", l.Options.Transport, "--xdp-mode", l.Options.XDPMode,
		"--interface", l.ClientDevice(), "--local", l.ClientAddr(i).String(), "--json", "-"}
}

// runChild runs this binary as the lab's client and reads the one row that it prints.
func (r *benchRun) runChild(ctx context.Context, l *lab.Lab, args []string) (bench.Row, error) {
	var row bench.Row
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, l.Options.Binary, append(args, r.progress.flags()...)...)
	follower, flush := r.progress.follow(&stderr)
	cmd.Stdout, cmd.Stderr = &stdout, follower
	if err := l.StartClient(0, cmd); err != nil {
		return row, err
	}
	err := cmd.Wait()
	flush()
	if err != nil {
		return row, fmt.Errorf("measuring client: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return row, json.Unmarshal(stdout.Bytes(), &row)
}

// conditions fills in what only the cluster knows.
func conditions(ctx context.Context, l *lab.Lab, row *bench.Row) {
	o := &l.Options
	row.Nodes, row.Commit, row.MTU, row.Revision = o.Nodes, o.Rule, o.MTU, node.Revision
	row.DirFS = bench.FileSystem(o.Dir)
	row.NIC, row.Disk, row.Fsync = "veth", row.DirFS, "every batch"
	if l.ClientDevice() == "" {
		row.NIC = "loopback"
	}
	row.SetNIC(row.NIC)
	row.WriteCache = bench.WriteCache(o.Dir)
	if o.Rule == "replicated" {
		row.Fsync = "every 10 ms"
	}
	for _, n := range l.Nodes() {
		s, err := l.Status(ctx, n.ID)
		if err != nil {
			continue
		}
		row.GCCycles += s.GCCycles
		row.Sync, row.Layout, row.Idle = s.Journal, s.Layout, s.Idle
	}
}

// emit prints a row for people, and writes its JSON line.
func (r *benchRun) emit(row *bench.Row) error {
	what := row.Level
	if row.Scenario == floorDisk || row.Scenario == floorDisk+"-median" {
		what = fmt.Sprintf("%d at once", row.Clients)
	}
	if r.scenario != "" {
		what = fmt.Sprintf("%d x %d", row.Burst, row.Payload)
	}
	if row.Jitter != nil {
		what = fmt.Sprintf("core %d", row.Jitter.Core)
	}
	fmt.Fprintf(r.text, "%-14s %-3s %-8s %-10s %-6s p50 %8.1f  p90 %8.1f  p99 %8.1f  p99.9 %8.1f  max %9.1f us  %8.0f/s",
		row.Scenario, row.Transport, row.Mode, what, row.Loop, row.P50Us, row.P90Us, row.P99Us, row.P999Us, row.MaxUs,
		row.PerSec)
	if row.RatioP50 > 0 {
		fmt.Fprintf(r.text, "  %.2f x floor", row.RatioP50)
	}
	if row.Lost > 0 {
		fmt.Fprintf(r.text, "  LOST %d", row.Lost)
	}
	fmt.Fprintln(r.text)
	if row.Stages != nil {
		if err := bench.PrintStages(r.text, row.Stages); err != nil {
			return err
		}
	}
	return r.write(row)
}

// wholeLab waits until every node runs, follows one leader, counts, and has applied what that leader had committed.
func wholeLab(ctx context.Context, l *lab.Lab) (leader node.Status, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, wholeLimit, fmt.Errorf("the cluster is not whole within %v", wholeLimit))
	defer cancel()
	for {
		id, err := l.Leader(ctx)
		if err != nil {
			return leader, err
		}
		if leader, err = l.AwaitStatus(ctx, id); err != nil {
			return leader, err
		}
		whole := leader.Role == "leader"
		for _, n := range l.Nodes() {
			s, err := l.AwaitStatus(ctx, n.ID)
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
