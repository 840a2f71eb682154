package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/internal/testnet"
	"lockstep/node"
	"lockstep/transport"
)

// The floors, as --floors names them, in the order in which a round measures them; and the scenarios of their rows.
var floorNames = []string{"spsc", "udp-echo", "xdp-echo", "two-hop", "disk"}

const (
	floorSPSC   = "floor-spsc"
	floorTwoHop = "floor-two-hop"
	floorDisk   = "floor-disk"
)

func benchFloorCommand() *cobra.Command {
	var f benchFlags
	floors := floorNames
	c := &cobra.Command{
		Use:   "floor",
		Short: "The floors of this machine: the least that threads, network, a committed round trip and the disk can cost",
		Long: `Measure what nothing on this machine can be faster than, all of it in turn in every round:

  spsc      two threads that spin hand a value to one another and back over rings in shared memory
  udp-echo  a frame there and back over one veth pair, kernel UDP, a bare loop at the other end
  xdp-echo  the same over AF_XDP
  two-hop   client -> leader -> followers -> leader -> client through bare loops, over the topology of a lab's cluster
  disk      a durable write of one record with the journal's flags, by one writer and by as many at once as there are nodes

A committed round trip (bench rtt --with-floor) is held against two-hop, a durable one against two-hop and disk together.`,
		Example: `  lockstep bench floor --rounds 5 --json floor.json
  lockstep bench floor --floors two-hop --transport xdp --xdp-mode native --rate 20000 --loop open
  lockstep bench floor --floors disk --dir /var/lib`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f.useLab = true
			plan, err := f.plan()
			if err != nil {
				return err
			}
			for _, name := range floors {
				if !slices.Contains(floorNames, name) {
					return fmt.Errorf("%w: --floors %q: want some of %v", errUsage, name, floorNames)
				}
			}
			return runFloors(c.Context(), &f, &plan, floors)
		},
	}
	f.register(c)
	c.Flags().StringSliceVar(&floors, "floors", floors, "which floors")
	return c
}

// runFloors measures floors in turn, round by round; with more than one round the medians come last.
func runFloors(ctx context.Context, f *benchFlags, p *bench.Plan, floors []string) error {
	r, done, err := newBenchRun(f)
	if err != nil {
		return err
	}
	defer done()
	if slices.Contains(floors, "xdp-echo") && testnet.Available() != "" {
		fmt.Fprintf(r.text, "no floor xdp-echo: %s\n", testnet.Available())
		floors = slices.DeleteFunc(slices.Clone(floors), func(name string) bool { return name == "xdp-echo" })
	}
	var rounds [][]bench.Row
	for round := range f.rounds {
		fmt.Fprintf(r.text, "round %d of %d\n", round+1, f.rounds)
		rows, err := r.floorsOnce(ctx, p, floors)
		if err != nil {
			return err
		}
		rounds = append(rounds, rows)
	}
	if f.rounds < 2 {
		return nil
	}
	for i := range rounds[0] {
		var series []bench.Row
		for _, rows := range rounds {
			series = append(series, rows[i])
		}
		median := bench.Median(series)
		if err := r.emit(&median); err != nil {
			return err
		}
	}
	return nil
}

// floorsOnce measures each floor once.
func (r *benchRun) floorsOnce(ctx context.Context, p *bench.Plan, floors []string) (rows []bench.Row, err error) {
	jitter := bench.JitterP99Us(jitterTime, agent.System{}.NowNs)
	add := func(row bench.Row, err error) error {
		if err != nil {
			return err
		}
		row.JitterP99Us = jitter
		rows = append(rows, row)
		return r.emit(&row)
	}
	for _, name := range floors {
		switch name {
		case "spsc":
			err = add(r.spsc(p))
		case "udp-echo":
			err = add(r.echo(ctx, p, "udp"))
		case "xdp-echo":
			err = add(r.echo(ctx, p, "xdp"))
		case "two-hop":
			err = add(r.twoHop(ctx, p))
		case "disk":
			dir := r.flags.diskDir()
			if err = add(r.disk(p, dir, 1)); err == nil && r.flags.lab.Nodes > 1 {
				err = add(r.disk(p, dir, r.flags.lab.Nodes))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("floor %s: %w", name, err)
		}
	}
	return rows, nil
}

// diskDir is where the disk's floor writes.
func (f *benchFlags) diskDir() string {
	if f.dir != "" {
		return f.dir
	}
	return os.TempDir()
}

// spsc measures two threads of this process.
func (r *benchRun) spsc(p *bench.Plan) (bench.Row, error) {
	before := bench.ReadCPUTimes()
	row := localRow(floorSPSC, p, bench.SPSCFloor(p.Measure), before)
	row.Payload, row.Idle = 8, agent.IdleSpin.String()
	return row, nil
}

// disk measures durable writes in a directory, by so many writers at once.
func (r *benchRun) disk(p *bench.Plan, dir string, writers int) (bench.Row, error) {
	before := bench.ReadCPUTimes()
	result, how, err := bench.DiskFloor(dir, p.Payload, writers, p.Measure)
	if err != nil {
		return bench.Row{}, err
	}
	row := localRow(floorDisk, p, result, before)
	row.Clients, row.Sync, row.Fsync = writers, how, "every write"
	row.DirFS, row.Disk, row.WriteCache = bench.FileSystem(dir), bench.DiskName(dir), bench.WriteCache(dir)
	return row, nil
}

// localRow is the row of a floor without a network: one thing at a time.
func localRow(scenario string, p *bench.Plan, result *bench.Result, before bench.CPUTimes) bench.Row {
	alone := *p
	alone.Loop, alone.Rate, alone.Burst, alone.Window = bench.Closed, 0, 1, 1
	row := bench.NewRow(scenario, "", "", &alone, result)
	row.Level, row.Nodes, row.Revision = "", 1, node.Revision
	row.StealPct = bench.StealPct(before, bench.ReadCPUTimes())
	return row
}

// twoHop puts bare loops in the nodes' places and measures them as the plan measures the nodes.
func (r *benchRun) twoHop(ctx context.Context, p *bench.Plan) (bench.Row, error) {
	return r.relays(ctx, r.flags.lab, p, floorTwoHop)
}

// echo has one bare loop send every frame back over one veth pair.
func (r *benchRun) echo(ctx context.Context, p *bench.Plan, kind string) (bench.Row, error) {
	o := r.flags.lab
	o.Transport, o.Nodes, o.Pair = kind, 1, testnet.Available() == ""
	return r.relays(ctx, o, p, "floor-"+kind+"-echo")
}

// relays measures round trips through bare loops: in the places of a lab's nodes, or, of one node, an echo.
func (r *benchRun) relays(ctx context.Context, o lab.Options, p *bench.Plan, scenario string) (row bench.Row, err error) {
	o.Bare, o.Log, o.Dir = true, r.text, ""
	before := bench.ReadCPUTimes()
	l, err := lab.Up(ctx, o)
	if err != nil {
		return row, err
	}
	defer func() {
		if downErr := l.Down(); err == nil {
			err = downErr
		}
	}()
	var relays []*exec.Cmd
	defer func() {
		for _, cmd := range relays {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	for _, n := range l.Nodes() {
		role := bench.RelayFollower
		switch {
		case scenario != floorTwoHop:
			role = bench.RelayEcho
		case n.ID == 1:
			role = bench.RelayLeader
		}
		cmd := exec.CommandContext(ctx, l.Options.Binary, append(relayFlags(l, role), "--local", n.Data.String())...)
		if err := l.StartNode(n.ID, cmd); err != nil {
			return row, err
		}
		relays = append(relays, cmd)
	}
	args := append(relayFlags(l, "client"), "--payload", strconv.Itoa(p.Payload), "--rate", fmt.Sprint(p.Rate),
		"--seconds", fmt.Sprint(p.Measure.Seconds()), "--warmup", fmt.Sprint(p.Warmup.Seconds()),
		"--local", l.ClientAddr(0).String(), "--json", "-")
	r.progress.begin(p.Warmup+p.Measure, "%s, %s loop", scenario, p.Loop)
	row, err = r.runChild(ctx, l, args)
	row.Scenario, row.Nodes, row.NIC, row.Revision = scenario, o.Nodes, "veth", node.Revision
	row.StealPct = bench.StealPct(before, bench.ReadCPUTimes())
	if l.ClientDevice() == "" {
		row.NIC = "loopback"
	}
	row.SetNIC(row.NIC)
	return row, err
}

func relayFlags(l *lab.Lab, role bench.RelayRole) []string {
	leader := l.Nodes()[0].Data.String()
	return []string{"bench", "relay", "--role", string(role), "--leader", leader, "--group", l.Group.String(),
		"--at", l.NodesFlag(), "--transport", l.Options.Transport, "--xdp-mode", l.Options.XDPMode,
		"--interface", l.ClientDevice(), "--idle", l.Options.Idle}
}

// recordOverhead is what a message gains on its way through the log: record header, datagram header, LOG header. The
// floor's frames carry as much.
const recordOverhead = 64 + 48 + 48

// relayParkNs is how long a loop that parks does so at a time: as long as a node's thread.
const relayParkNs = 1_000_000

// relayIdle is the idle strategy of the candidate's nodes, for the floor's loops.
func relayIdle(name string, tr transport.Transport) (idle agent.Idle, done func(), err error) {
	done = func() {}
	kind, _ := agent.ChooseIdle(nil) // a lab gives its nodes no cores
	if name != "auto" {
		if kind, err = agent.ParseIdleKind(name); err != nil {
			return nil, done, fmt.Errorf("%w: --idle: %w", errUsage, err)
		}
	}
	var parker *agent.Parker
	if kind == agent.IdlePark {
		if parker, err = agent.NewParker(tr.Fds()...); err != nil {
			return nil, done, err
		}
		done = func() { _ = parker.Close() }
	}
	idle, err = agent.NewIdle(kind, parker, relayParkNs)
	return idle, done, err
}

// runRelay is one process of the floor.
func runRelay(ctx context.Context, t *bench.Target, role bench.RelayRole, leader, group transport.Addr, f *benchFlags) error {
	if role != "client" {
		t.Group = group
	}
	tr, mode, err := t.OpenTransport()
	if err != nil {
		return err
	}
	defer tr.Close()
	if role != "client" {
		idle, done, err := relayIdle(f.lab.Idle, tr)
		if err != nil {
			return err
		}
		defer done()
		return bench.Relay(ctx, role, tr, leader, group, idle)
	}
	clock, idle := agent.System{}, agent.Yield{}
	bytes := min(f.payload+recordOverhead, tr.MaxPayload())
	result, err := bench.FloorLoad(tr, leader, bytes, f.rate, seconds(f.warmup), seconds(f.seconds), clock, idle)
	if err != nil {
		return err
	}
	p := bench.Plan{Loop: bench.Closed, Rate: f.rate, Burst: 1, Payload: f.payload, Window: 1}
	if f.rate > 0 {
		p.Loop = bench.Open
	}
	row := bench.NewRow(floorTwoHop, t.Transport, mode, &p, result)
	row.Level, row.MTU, row.Idle = "", tr.MaxPayload()+28, f.lab.Idle
	return row.Write(os.Stdout)
}

// benchRelayCommand is one process of the floor; labs start it.
func benchRelayCommand() *cobra.Command {
	var f benchFlags
	var role, leader, group string
	c := &cobra.Command{
		Use:    "relay",
		Hidden: true,
		Args:   usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			local, err := transport.ParseAddr(f.local)
			if err != nil {
				return fmt.Errorf("%w: --local: %w", errUsage, err)
			}
			t := bench.Target{Transport: f.lab.Transport, Interface: f.interfaceName, XDPMode: f.lab.XDPMode, Local: local}
			leaderAddr, err := transport.ParseAddr(leader)
			if err != nil {
				return fmt.Errorf("%w: --leader: %w", errUsage, err)
			}
			groupAddr, err := transport.ParseAddr(group)
			if err != nil {
				return fmt.Errorf("%w: --group: %w", errUsage, err)
			}
			for _, s := range f.at {
				peer, err := transport.ParseAddr(s)
				if err != nil {
					return fmt.Errorf("%w: --at: %w", errUsage, err)
				}
				t.Nodes = append(t.Nodes, peer)
			}
			return runRelay(c.Context(), &t, bench.RelayRole(role), leaderAddr, groupAddr, &f)
		},
	}
	f.register(c)
	c.Flags().StringVar(&role, "role", "", strings.Join([]string{"client", "leader", "follower"}, ", "))
	c.Flags().StringVar(&leader, "leader", "", "the leader's address")
	c.Flags().StringVar(&group, "group", "", "the multicast group")
	return c
}
