package command

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
	"lockstep/transport"
	"lockstep/wire"
)

func benchCommand() *cobra.Command {
	parent := &cobra.Command{
		Use:   "bench",
		Short: "Measure round trips as percentiles, beside the floor of the same machine",
	}
	group(parent)
	parent.AddCommand(benchRTTCommand(), benchLevelsCommand(), benchThroughputCommand(), benchFloorCommand(), benchFailoverCommand(),
		benchSessionsCommand(), benchJournalCommand(), benchOpeningCommand(), benchPipelineCommand(), benchRelayCommand(),
		benchJitterCommand(), benchSelfCheckCommand())
	parent.AddCommand(benchReportCommand())
	parent.AddCommand(sceneCommands()...)
	parent.AddCommand(benchFlowCommand(), benchCompareCommand())
	parent.AddCommand(benchPeersCommand())
	return parent
}

// benchFlags are shared by the measuring commands.
type benchFlags struct {
	lab       lab.Options
	useLab    bool
	level     string
	loop      string
	rate      float64
	burst     int
	payload   int
	flow      string
	recording recordingFlags
	seconds   float64
	warmup    float64
	rounds    int
	withFloor bool
	stages    bool
	behind    float64
	window    int
	clients   int
	jsonFile  string
	quiet     bool
	hgrm      string
	dir       string

	// Without --lab: a running cluster.
	interfaceName string
	local         string
	at            []string
	cluster       string

	sayProgress bool // to the process that started this one
}

func (f *benchFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&f.useLab, "lab", false, "make a temporary cluster of real processes, and take it away afterwards")
	flags.IntVar(&f.lab.Nodes, "nodes", 3, "nodes of the lab")
	flags.StringVar(&f.lab.Transport, "transport", "auto", "xdp, udp, or auto")
	flags.StringVar(&f.lab.XDPMode, "xdp-mode", "auto", "native, generic, zero-copy, or auto")
	flags.StringVar(&f.lab.Rule, "commit", "durable", "commit rule of the lab: durable or replicated")
	flags.StringVar(&f.lab.Layout, "layout", "shared", "thread layout of the lab's nodes")
	flags.StringVar(&f.lab.Idle, "idle", "auto", "idle strategy of the lab's nodes")
	flags.IntVar(&f.lab.MTU, "mtu", 1500, "MTU of the lab's links")
	flags.StringVar(&f.dir, "dir", "", "where the lab's node directories are made (default: tmpfs, then disk, for "+
		"--commit replicated; disk for durable)")
	flags.StringVar(&f.level, "level", "applied", "acknowledgement that ends a round trip")
	flags.StringVar(&f.loop, "loop", "closed", "closed (one message at a time) or open (on a schedule)")
	flags.Float64Var(&f.rate, "rate", 10000, "open loop: messages a second")
	flags.IntVar(&f.burst, "burst", 1, "open loop: messages due at the same instant")
	flags.IntVar(&f.payload, "payload", 200, "bytes of a message (flow echo)")
	flags.StringVar(&f.flow, "flow", "echo", "what is sent: echo, orders (a seeded order flow for the order book), or recorded (that of --flow-file)")
	f.recording.register(flags)
	flags.Float64Var(&f.seconds, "seconds", 5, "measured time of a round")
	flags.Float64Var(&f.warmup, "warmup", 1, "seconds before that")
	flags.IntVar(&f.rounds, "rounds", 1, "rounds; with more than one, a last line has the median of each percentile")
	flags.BoolVar(&f.withFloor, "with-floor", false, "measure the floor in turn with every round: two-hop, and the disk's for what waits for it (needs --lab)")
	flags.IntVar(&f.window, "window", 256, "messages that may be unanswered")
	flags.BoolVar(&f.quiet, "quiet", false, "no line of progress on a terminal")
	flags.BoolVar(&f.sayProgress, "say-progress", false, "say on standard error how far it is, for the process that started this one")
	_ = flags.MarkHidden("say-progress")
	flags.StringVar(&f.jsonFile, "json", "", "write one JSON line a series to this file (- for standard output)")
	flags.StringVar(&f.hgrm, "hgrm", "", "write the percentiles of each series to a file in this folder, as plotters of HdrHistogram read them")
	flags.StringVar(&f.interfaceName, "interface", "", "without --lab: own interface, for xdp")
	flags.StringVar(&f.local, "local", "0.0.0.0:0", "without --lab: own address")
	flags.StringSliceVar(&f.at, "at", nil, "without --lab: data addresses of the cluster's nodes")
	flags.StringVar(&f.cluster, "cluster", "", "without --lab: cluster id")
}

// registerClients adds the flag of commands that measure several clients.
func (f *benchFlags) registerClients(c *cobra.Command) {
	c.Flags().IntVar(&f.clients, "clients", 1, "clients, in one process and on one thread: closed loop: each with a message under way; "+
		"open loop: --rate is that of all together")
}

// plan checks the flags and turns them into what to measure.
func (f *benchFlags) plan() (bench.Plan, error) {
	level, ok := wire.ParseLevel(f.level)
	if !ok {
		return bench.Plan{}, fmt.Errorf("%w: --level %q: want one of %v", errUsage, f.level, bench.LevelNames)
	}
	p := bench.Plan{
		Level: level, Loop: bench.Loop(f.loop), Rate: f.rate, Burst: f.burst, Payload: f.payload, Flow: f.flow,
		Measure: seconds(f.seconds), Warmup: seconds(f.warmup), Window: f.window, Stages: f.stages,
		Behind: seconds(f.behind), Clients: f.clients,
	}
	if p.Loop == bench.Closed {
		p.Rate, p.Burst = 0, 1
	}
	if err := f.recording.set(&p); err != nil {
		return p, err
	}
	if f.rounds < 1 {
		return p, fmt.Errorf("%w: --rounds %d: want 1 or more", errUsage, f.rounds)
	}
	if f.withFloor && !f.useLab {
		return p, fmt.Errorf("%w: --with-floor needs --lab: the floor takes the nodes' place", errUsage)
	}
	if err := p.Check(); err != nil {
		return p, fmt.Errorf("%w: %w", errUsage, err)
	}
	return p, nil
}

// target is the running cluster that the flags name.
func (f *benchFlags) target() (bench.Target, error) {
	t := bench.Target{Transport: f.lab.Transport, Interface: f.interfaceName, XDPMode: f.lab.XDPMode}
	if t.Transport == "auto" {
		t.Transport = "udp"
		if f.interfaceName != "" {
			t.Transport = "xdp"
		}
	}
	if len(f.at) == 0 || f.cluster == "" {
		return t, fmt.Errorf("%w: give --lab, or --at ADDRESS,... and --cluster ID of a running cluster", errUsage)
	}
	for _, s := range f.at {
		addr, err := transport.ParseAddr(s)
		if err != nil {
			return t, fmt.Errorf("%w: --at: %w", errUsage, err)
		}
		t.Nodes = append(t.Nodes, addr)
	}
	var err error
	if t.Cluster, err = node.ParseCluster(f.cluster); err != nil {
		return t, fmt.Errorf("%w: --cluster: %w", errUsage, err)
	}
	local, err := transport.ParseAddr(f.local)
	if err != nil {
		return t, fmt.Errorf("%w: --local: %w", errUsage, err)
	}
	if local.IP == ([4]byte{}) {
		if local.IP, err = transport.LocalFor(t.Nodes[0]); err != nil {
			return t, err
		}
	}
	t.Local = local
	return t, nil
}

// output opens the file of JSON lines; nil when none is wanted.
func (f *benchFlags) output() (io.WriteCloser, error) {
	switch f.jsonFile {
	case "":
		return nil, nil
	case "-":
		return nopCloser{os.Stdout}, nil
	}
	return os.Create(f.jsonFile)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func benchRTTCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "rtt",
		Short: "Round trips of one client, or several, at one guarantee level",
		Long: `Measure the round trip that a client sees. Closed loop: the next message leaves when the one before is answered. Open
loop: messages are due on a schedule, and a round trip counts from the instant its message was due. With --with-floor
every round is followed by one of the two-hop floor: bare loops forward frames the same way, with no logic at all.`,
		Example: `  lockstep bench rtt --lab --commit replicated --loop closed --payload 200 --rounds 5 --with-floor
  lockstep bench rtt --lab --loop open --rate 20000 --burst 1 --json rtt.json
  lockstep bench rtt --lab --commit replicated --dir /dev/shm --stages
  lockstep bench rtt --lab --clients 16 --loop open --rate 20000
  lockstep bench rtt --at 10.0.0.1:7400,10.0.0.2:7400 --cluster 5f3c... --interface eth0`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			plan, err := f.plan()
			if err != nil {
				return err
			}
			return runBench(c.Context(), &f, []string{f.lab.Transport}, []bench.Plan{plan}, nil)
		},
	}
	f.register(c)
	f.registerClients(c)
	c.Flags().BoolVar(&f.stages, "stages", false, "ask the leader where the time of each message went, print a table, and fail if that does not "+
		"add up to the round trip")
	c.Flags().Float64Var(&f.behind, "behind", 0, "open loop: seconds that the schedule may fall behind before the rest of it counts as lost "+
		"(0: falling behind is an error)")
	return c
}
