package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/wire"
)

// Systems of ours in a comparison: over what a lab takes by itself, and over the kernel's network as the others.
const (
	peersOurs    = "lockstep"
	peersOursUDP = "lockstep-udp"
)

// peerSystems are all that can be measured beside one another, ours first.
var peerSystems = []string{peersOurs, peersOursUDP, "dragonboat", "hashicorp-raft", "hashicorp-raft-mem", "etcd", "nats"}

// peersMemory keeps its log in memory alone: it has no row where answers wait for a disk.
const peersMemory = "hashicorp-raft-mem"

type peersFlags struct {
	benchFlags
	systems []string
	commits []string
	series  []string
	source  string
	binary  string
	from    []string
}

func benchPeersCommand() *cobra.Command {
	var f peersFlags
	c := &cobra.Command{
		Use:   "peers",
		Short: "Other replicated systems, measured the same way in turn with this one",
		Long: `Measure dragonboat, hashicorp/raft with raft-wal, etcd and NATS JetStream beside Lockstep: three processes each on the topology of a
lab, the same load generator, one after the other in every round, in memory and on disk. They are built from bench/peers, a Go
module of its own, which needs Go, the source tree and, the first time, the modules it depends on. --from prints the table of
what earlier runs wrote, together. How each system is set up: docs/peers.md.`,
		Example: `  lockstep bench peers --rounds 3 --json peers.json
  lockstep bench peers --systems lockstep,etcd --commit durable --series closed,1000 --json part.json
  lockstep bench peers --from peers.json,part.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if len(f.from) > 0 {
				return joinPeers(&f)
			}
			plans, err := f.plans()
			if err != nil {
				return err
			}
			return runPeers(c.Context(), &f, plans)
		},
	}
	flags := c.Flags()
	flags.StringSliceVar(&f.systems, "systems", peerSystems, "which, in this order")
	flags.StringSliceVar(&f.commits, "commit", []string{"replicated", "durable"}, "replicated: nothing waits for a disk, directories on "+
		"tmpfs; durable: an answer is on the disks of a majority")
	flags.StringSliceVar(&f.series, "series", []string{"closed", "1000", "10000", "10000x20"}, "closed loop, or messages a second, or "+
		"messages a second x how many at once")
	flags.IntVar(&f.payload, "payload", 200, "bytes of a message")
	flags.IntVar(&f.window, "window", 256, "messages that may be unanswered")
	flags.Float64Var(&f.seconds, "seconds", 3, "measured time of a series")
	flags.Float64Var(&f.warmup, "warmup", 1, "seconds before that")
	flags.IntVar(&f.rounds, "rounds", 1, "rounds; the table has the median of each percentile")
	flags.StringVar(&f.dir, "dir", "", "where directories are made for durable (default: the temporary directory)")
	flags.StringVar(&f.jsonFile, "json", "", "write one JSON line a series and round to this file (- for standard output)")
	flags.StringVar(&f.source, "source", "", "the source tree with bench/peers (default: upwards from here, and from this program)")
	flags.StringVar(&f.binary, "binary", "", "a lockstep-peers that is built already")
	flags.StringSliceVar(&f.from, "from", nil, "measure nothing: print the table of these files of JSON lines")
	return c
}

// behindLimit is how far behind its schedule a system may fall before a series is over: it does not take that rate.
const behindLimit = time.Second

// plans checks the flags and turns the series into what to measure.
func (f *peersFlags) plans() (list []bench.Plan, err error) {
	for _, s := range f.systems {
		if !slices.Contains(peerSystems, s) {
			return nil, fmt.Errorf("%w: --systems %q: want some of %s", errUsage, s, strings.Join(peerSystems, ", "))
		}
	}
	for _, c := range f.commits {
		if c != "replicated" && c != "durable" {
			return nil, fmt.Errorf("%w: --commit %q: want replicated, durable or both", errUsage, c)
		}
	}
	if len(f.systems) == 0 || len(f.commits) == 0 || len(f.series) == 0 || f.rounds < 1 {
		return nil, fmt.Errorf("%w: want one or more --systems, --commit and --series, and --rounds 1 or more", errUsage)
	}
	for _, s := range f.series {
		p := bench.Plan{Level: wire.LevelApplied, Loop: bench.Closed, Burst: 1, Payload: f.payload, Flow: bench.FlowEcho,
			Warmup: seconds(f.warmup), Measure: seconds(f.seconds), Window: f.window}
		if s != string(bench.Closed) {
			if p.Rate, p.Burst, err = parseSeries(s); err != nil {
				return nil, err
			}
			p.Loop, p.Behind = bench.Open, behindLimit
		}
		if err := p.Check(); err != nil {
			return nil, fmt.Errorf("%w: --series %s: %w", errUsage, s, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// parseSeries reads RATE or RATExBURST.
func parseSeries(s string) (rate float64, burst int, err error) {
	at, many, burst1 := strings.Cut(s, "x")
	burst = 1
	if rate, err = strconv.ParseFloat(at, 64); err == nil && burst1 {
		burst, err = strconv.Atoi(many)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%w: --series %q: want closed, a rate as 10000, or a rate and a burst as 10000x20", errUsage, s)
	}
	return rate, burst, nil
}

// sourceTree finds the source tree that has the module.
func (f *peersFlags) sourceTree() (string, error) {
	if f.source != "" {
		if _, err := os.Stat(filepath.Join(f.source, peersModule)); err != nil {
			return "", fmt.Errorf("%w: --source: no %s there: want the top of Lockstep's source tree", errUsage, peersModule)
		}
		return f.source, nil
	}
	here, _ := os.Getwd()
	program, _ := os.Executable()
	for _, dir := range []string{here, filepath.Dir(program)} {
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, peersModule)); err == nil {
				return dir, nil
			}
		}
	}
	return "", fmt.Errorf("%w: bench peers needs Lockstep's source tree, with %s: run it there, or name it with --source, or name "+
		"what was built from it with --binary", errUsage, peersModule)
}

// peersModule is the module's file in the source tree.
const peersModule = "bench/peers/go.mod"

// build makes the module's program, unless it is there already.
func (f *peersFlags) build(ctx context.Context, say io.Writer) (binary string, err error) {
	if f.binary != "" {
		if binary, err = exec.LookPath(f.binary); err != nil {
			return "", fmt.Errorf("%w: --binary: %w", errUsage, err)
		}
		return filepath.Abs(binary)
	}
	tree, err := f.sourceTree()
	if err != nil {
		return "", err
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("bench peers builds bench/peers with Go, which is not in PATH: install it (https://go.dev/dl), or build "+
			"lockstep-peers elsewhere and name it with --binary: %w", err)
	}
	if binary, err = filepath.Abs(filepath.Join(tree, "bin", "lockstep-peers")); err != nil {
		return "", err
	}
	fmt.Fprintf(say, "building %s from bench/peers; the first time that fetches what the other systems depend on\n", binary)
	cmd := exec.CommandContext(ctx, goCommand, "build", "-mod=mod", "-trimpath", "-o", binary, ".")
	cmd.Dir, cmd.Env = filepath.Join(tree, "bench", "peers"), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("build bench/peers: %w: %s", err, strings.TrimSpace(string(out))), ctx.Err())
	}
	return binary, nil
}
