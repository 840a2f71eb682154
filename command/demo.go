package command

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
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
	"lockstep/wire"
)

// What the demo's client does, and when its leader is killed.
const (
	demoLevelTime = 1500 * time.Millisecond
	demoFlowTime  = 6 * time.Second
	demoFlowRate  = 2000
	demoKillAfter = 2 * time.Second
	demoBack      = 1500 * time.Millisecond // from the kill to the restart
	demoLimit     = 80 * time.Second        // for all of it
	demoPrefix    = "lockstep-demo-"
)

func demoCommand() *cobra.Command {
	var o lab.Options
	var jsonFile string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Three nodes, real orders, a killed leader, and the proof that nothing was lost",
		Long: `Bring up a three-node cluster of real processes over AF_XDP, in network namespaces of its own; drive a seeded flow of
orders (new, crossing, replaced, canceled) through the order book; print round trips at every guarantee level; kill the leader with
SIGKILL in mid-flow and carry on; then prove from the journals that every acknowledged order is there exactly once and
in order, that all journals and all books agree, a book replayed offline too. Without the privileges for AF_XDP it says what is missing and uses
kernel UDP on loopback.`,
		Example: `  lockstep demo
  lockstep demo --transport xdp --xdp-mode native --json demo.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), demoLimit)
			defer cancel()
			return runDemo(ctx, o, jsonFile)
		},
	}
	c.Flags().StringVar(&o.Transport, "transport", "auto", "xdp, udp, or auto")
	c.Flags().StringVar(&o.XDPMode, "xdp-mode", "auto", "native, generic, zero-copy, or auto")
	c.Flags().StringVar(&o.Rule, "commit", "durable", "commit rule: durable or replicated")
	c.Flags().StringVar(&o.Layout, "layout", "shared", "thread layout of the nodes: shared or dedicated")
	c.Flags().StringVar(&jsonFile, "json", "", "write one JSON line a level, and one for the kill, to this file")
	c.AddCommand(demoDriveCommand())
	return c
}

// demo is one run of the demo.
type demo struct {
	lab    *lab.Lab
	out    io.Writer
	rows   []bench.Row
	driven bench.Driven
	killed int

	flowing time.Time // since when there is a flow
	marks   []bench.Mark
	acks    string
	at      uint64 // position at which all nodes had the same state
	hash    string // of that
}

func runDemo(ctx context.Context, o lab.Options, jsonFile string) (err error) {
	removeOldDemos()
	if o.Dir, err = os.MkdirTemp("", demoPrefix); err != nil {
		return err
	}
	unlock, err := lockDir(o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	o.Nodes, o.Log = 3, os.Stdout
	fmt.Println("== three nodes")
	l, err := lab.Up(ctx, o)
	if err != nil {
		if errors.Is(err, lab.ErrOptions) {
			err = fmt.Errorf("%w: %w", errUsage, err)
		}
		return err
	}
	defer func() { err = errors.Join(err, l.Down()) }()
	d := &demo{lab: l, out: os.Stdout, acks: filepath.Join(o.Dir, "acks.txt")}
	for _, step := range []func(context.Context) error{d.elect, d.drive, d.converge, d.verify} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("%w\nthe nodes' output and journals are in %s", err, l.Options.Dir)
		}
	}
	if jsonFile != "" {
		if err := d.writeJSON(jsonFile); err != nil {
			return err
		}
	}
	d.epilogue()
	return nil
}

// elect waits for the first leader and shows the nodes.
func (d *demo) elect(ctx context.Context) error {
	leader, err := d.lab.Leader(ctx)
	if err != nil {
		return err
	}
	for _, n := range d.lab.Nodes() {
		s, err := d.lab.AwaitStatus(ctx, n.ID) // a majority may have elected before the last one is up
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "node %d  %s  %-9s %s\n", n.ID, n.Data, s.Role, s.Transport)
		if n.ID == 1 {
			fmt.Fprintf(d.out, "        journal %s; layout %s, idle %s; commit rule %s\n", s.Journal, s.Layout, s.Idle, s.Rule)
		}
	}
	fmt.Fprintf(d.out, "node %d leads\n", leader)
	return nil
}

// drive runs the client and kills the leader in the middle of its flow.
func (d *demo) drive(ctx context.Context) error {
	fmt.Fprintln(d.out, "\n== orders: round trip by guarantee level, closed loop, microseconds")
	fmt.Fprintf(d.out, "%-12s %9s %9s %9s %9s %9s %10s %9s\n", "level", "min", "p50", "p90", "p99", "p99.9", "max", "orders")
	args := append([]string{"demo", "drive", "--at", d.lab.NodesFlag(), "--cluster", node.ClusterString(d.lab.Cluster),
		"--acks", d.acks}, clientFlags(d.lab)...)
	cmd := exec.CommandContext(ctx, d.lab.Options.Binary, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	pipe, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer pipe.Close()
	cmd.Stdout = w
	err = d.lab.StartClient(0, cmd)
	w.Close()
	if err != nil {
		return err
	}
	err = d.follow(ctx, pipe)
	if waitErr := cmd.Wait(); err == nil && waitErr != nil {
		err = fmt.Errorf("the demo's client: %w: %s", waitErr, strings.TrimSpace(stderr.String()))
	}
	return err
}

// driveEvent is one line that the client prints for the demo.
type driveEvent struct {
	Row    *bench.Row    `json:"row,omitempty"`
	Leader wire.NodeID   `json:"leader,omitempty"`
	Done   *bench.Driven `json:"done,omitempty"`
}

// follow reads the client's events.
func (d *demo) follow(ctx context.Context, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	var killed chan error
	for lines.Scan() {
		var e driveEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("the demo's client says %q: %w", lines.Text(), err)
		}
		switch {
		case e.Row != nil:
			row := e.Row
			conditions(ctx, d.lab, row)
			d.rows = append(d.rows, *row)
			fmt.Fprintf(d.out, "%-12s %9.1f %9.1f %9.1f %9.1f %9.1f %10.1f %9d\n", row.Level, row.MinUs, row.P50Us, row.P90Us,
				row.P99Us, row.P999Us, row.MaxUs, row.Acked)
		case e.Leader != 0:
			fmt.Fprintf(d.out, "\n== a killed leader: %d orders/s, open loop, level applied\n", demoFlowRate)
			killed, d.flowing = make(chan error, 1), time.Now()
			go func() { killed <- d.kill(int(e.Leader)) }()
		case e.Done != nil:
			d.driven = *e.Done
		}
	}
	if killed == nil {
		return lines.Err()
	}
	return errors.Join(<-killed, lines.Err())
}

// kill kills the leader a while into the flow and starts it again later.
func (d *demo) kill(leader int) error {
	time.Sleep(demoKillAfter)
	fmt.Fprintf(d.out, "node %d, the leader, is killed with SIGKILL in mid-flow\n", leader)
	d.killed = leader
	d.mark(fmt.Sprintf("kill of leader, node %d", leader))
	if err := d.lab.Kill(leader); err != nil {
		return err
	}
	time.Sleep(demoBack)
	fmt.Fprintf(d.out, "node %d is started again\n", leader)
	d.mark(fmt.Sprintf("start of node %d", leader))
	return d.lab.Start(leader)
}

// mark says on the flow's timeline that something is done now.
func (d *demo) mark(what string) {
	d.marks = append(d.marks, bench.Mark{AtS: float64(time.Since(d.flowing).Milliseconds()) / 1e3, What: what})
}

// converge waits until all nodes have applied the same log, and compares their books.
func (d *demo) converge(ctx context.Context) error {
	f := &d.driven.Failover
	conditions(ctx, d.lab, f)
	f.Marks = d.marks
	d.rows = append(d.rows, *f)
	fmt.Fprintf(d.out, "the client saw an outage of %.0f ms; %d orders sent in the flow, %d answered, %d lost\n",
		f.MaxUs/1e3, f.Sent, f.Acked, f.Lost)
	fmt.Fprintln(d.out, "\n== proof")
	for {
		var hashes []string
		var at []uint64
		for _, n := range d.lab.Nodes() {
			s, err := d.lab.Status(ctx, n.ID)
			if err == nil && s.Applied == s.Append {
				hashes, at = append(hashes, s.StateHash), append(at, s.StateAt)
			}
		}
		if len(hashes) == 3 && at[0] == at[1] && at[1] == at[2] {
			if hashes[0] != hashes[1] || hashes[1] != hashes[2] {
				return fmt.Errorf("the books differ at position %d: %v", at[0], hashes)
			}
			fmt.Fprintf(d.out, "all three nodes have applied the log up to %d; their books have the same hash %s\n",
				at[0], hashes[0])
			d.at, d.hash = at[0], hashes[0]
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the nodes did not come to the same end: %w: positions %v", ctx.Err(), at)
		}
	}
}

// verify stops the nodes and holds what the client was told against the journals.
func (d *demo) verify(context.Context) error {
	told, audit, err := stopAndAudit(d.lab, d.acks)
	if err != nil {
		return err
	}
	for i := range d.rows {
		d.rows[i].Duplicated += audit.Duplicated + d.driven.Duplicated
		d.rows[i].Reordered += audit.Reordered
	}
	fmt.Fprintf(d.out, "%d orders sent, %d acknowledgements given, %d orders in the journals\n",
		d.driven.Sent, len(told[0].Acks), audit.Messages)
	fmt.Fprintf(d.out, "acknowledged but not in a majority's journals: %d; elsewhere than told: %d; twice: %d; out of order: %d\n",
		audit.Missing, audit.Misplaced, audit.Duplicated, audit.Reordered)
	if !audit.Holds() {
		return fmt.Errorf("the journals do not hold what was acknowledged: %+v", audit)
	}
	if d.driven.Duplicated > 0 {
		return fmt.Errorf("%d responses reached the client twice or not at all", d.driven.Duplicated)
	}
	if _, err := bench.CheckHistory(told...); err != nil {
		return err
	}
	fmt.Fprintln(d.out, "the acknowledged orders are linearizable")
	fmt.Fprintln(d.out, "all journals are byte-identical as far as they go")
	if err := d.replay(); err != nil {
		return err
	}
	for i := range d.rows {
		if r := &d.rows[i]; r.Lost+r.Duplicated+r.Reordered > 0 {
			return fmt.Errorf("level %s: %d lost, %d duplicated, %d reordered", r.Level, r.Lost, r.Duplicated, r.Reordered)
		}
	}
	return nil
}

// stopAndAudit stops a lab's nodes and compares their journals with what clients were told.
func stopAndAudit(l *lab.Lab, acksFile string) (told []bench.Told, audit bench.Audit, err error) {
	var dirs []string
	for _, n := range l.Nodes() {
		if err := l.Stop(n.ID); err != nil {
			return nil, audit, err
		}
		dirs = append(dirs, n.Dir)
	}
	if told, err = bench.ReadAcks(acksFile); err != nil {
		return nil, audit, err
	}
	if len(told) == 0 {
		return nil, audit, errors.New("the client was told nothing")
	}
	audit, err = bench.RunAudit(dirs, told...)
	return told, audit, err
}

func (d *demo) writeJSON(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for i := range d.rows {
		if err := d.rows[i].Write(f); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// epilogue says where things are.
func (d *demo) epilogue() {
	dir := d.lab.Options.Dir
	bin := d.lab.Options.Binary
	fmt.Fprintf(d.out, `
== where things are
journals, configs and output of the nodes: %s (removed by the next demo)

try next:
  %s journal verify %s/node1
  %s journal dump %s/node2 | tail -n 3
  %s lab up; %s lab exec -- %s order new --side buy --price 100 --quantity 5
  %s bench rtt --lab --commit replicated --rounds 3 --with-floor
`, dir, bin, dir, bin, dir, bin, bin, bin, bin)
}

// lockDir marks a demo's directory as in use, as long as this process lives.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// removeOldDemos removes what earlier demos of this user left to look at, and what killed ones left.
func removeOldDemos() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), demoPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
			continue
		}
		if unlock, err := lockDir(dir); err == nil {
			_ = os.RemoveAll(dir) // a leftover; the next demo tries again
			unlock()
		}
	}
}

// demoDriveCommand is the demo's client; the demo starts it.
func demoDriveCommand() *cobra.Command {
	return clientCommand("drive", func(ctx context.Context, _ *benchFlags, target bench.Target, acks string) error {
		events := json.NewEncoder(os.Stdout)
		d := bench.Drive{Target: target, LevelTime: demoLevelTime, FlowTime: demoFlowTime, FlowRate: demoFlowRate,
			AcksFile: acks,
			OnRow:    func(row bench.Row) error { return events.Encode(driveEvent{Row: &row}) },
			OnFlow:   func(leader wire.NodeID) error { return events.Encode(driveEvent{Leader: leader}) }}
		driven, err := d.Run(ctx)
		if err != nil {
			return err
		}
		return events.Encode(driveEvent{Done: &driven})
	})
}

// clientCommand is a client in a process of its own, which another command starts: inside a lab's network.
func clientCommand(use string,
	run func(ctx context.Context, f *benchFlags, target bench.Target, acks string) error) *cobra.Command {
	var f benchFlags
	var acks string
	c := &cobra.Command{
		Use:    use,
		Hidden: true,
		Args:   usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			target, err := f.target()
			if err != nil {
				return err
			}
			return run(c.Context(), &f, target, acks)
		},
	}
	f.register(c)
	c.Flags().StringVar(&acks, "acks", "", "file for the acknowledgements")
	return c
}
