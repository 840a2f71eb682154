package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/wire"
)

// sweepFlags say what is swept over.
type sweepFlags struct {
	benchFlags
	payloads []int
	bursts   []int
}

// sweepOpenBytes bounds what one client of a sweep has unanswered: half of what the cluster keeps for a client, so that none is
// closed as a slow consumer.
const sweepOpenBytes = 512 << 10

// sweepBehind is how far the schedule of a sweep may fall behind before its rest counts as lost, in seconds.
const sweepBehind = 2

func benchSweepCommand() *cobra.Command {
	var f sweepFlags
	c := &cobra.Command{
		Use:   "sweep",
		Short: "Round trips over sizes of messages and of bursts",
		Long: `Measure every payload of --payloads as bench rtt does, on the same cluster, one after the other: in a closed loop (ping-pong), and in
an open loop at --rate messages a second with each of --bursts. --loop closed or --loop open measures only one of them. A row each, and a
table. A message that fits no datagram goes in fragments, there and back. The window is as large as --window says, but no
larger than half a MiB of payloads.`,
		Example: `  lockstep bench sweep --lab --commit replicated --dir /dev/shm --json sweep.json
  lockstep bench sweep --lab --commit replicated --payloads 125,250,500,1000,2000 --loop closed
  lockstep bench sweep --at 10.0.0.1:7400,10.0.0.2:7400 --cluster 5f3c... --interface eth0 --payloads 200,65536 --bursts 1,20`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			plans, err := f.plans()
			if err != nil {
				return err
			}
			return runSweep(c.Context(), &f, plans)
		},
	}
	f.register(c)
	defaults(c, map[string]string{"loop": "both", "rate": "2000", "seconds": "2", "warmup": "0.5"})
	hide(c, "payload", "burst", "flow", "flow-file", "flow-format", "flow-messages", "flow-speed", "flow-first", "with-floor")
	c.Flags().Lookup("loop").Usage = "closed, open, or both"
	c.Flags().IntSliceVar(&f.payloads, "payloads", []int{125, 250, 500, 1000, 2000, 8000, 32000}, "bytes of a message")
	c.Flags().IntSliceVar(&f.bursts, "bursts", []int{1, 20}, "open loop: messages due at the same instant")
	return c
}

// plans are what the flags ask for.
func (f *sweepFlags) plans() (plans []bench.Plan, err error) {
	if err := f.refuseFloor(); err != nil {
		return nil, err
	}
	if f.flow != bench.FlowEcho || f.recording.file != "" {
		return nil, fmt.Errorf("%w: bench sweep sends echoes of so many bytes: orders have sizes of their own; want no --flow", errUsage)
	}
	both := f.loop
	closed, open := both == "both" || both == string(bench.Closed), both == "both" || both == string(bench.Open)
	if !closed && !open || len(f.payloads) == 0 || open && (len(f.bursts) == 0 || slices.Min(f.bursts) < 1) {
		return nil, fmt.Errorf("%w: want --loop closed, open or both, and --payloads, and --bursts of 1 or more", errUsage)
	}
	for _, f.payload = range f.payloads {
		if f.payload < 0 || f.payload > wire.MaxMessage {
			return nil, fmt.Errorf("%w: --payloads %d: want 0 to %d bytes", errUsage, f.payload, wire.MaxMessage)
		}
		bursts := []int{}
		if closed {
			bursts = append(bursts, 0)
		}
		if open {
			bursts = append(bursts, f.bursts...)
		}
		for _, burst := range bursts {
			f.loop, f.burst, f.behind = string(bench.Open), burst, sweepBehind
			if burst == 0 {
				f.loop, f.behind = string(bench.Closed), 0
			}
			plan, err := f.plan()
			if err != nil {
				return nil, err
			}
			plan.Window = max(1, min(plan.Window, sweepOpenBytes/max(1, plan.Payload)))
			plans = append(plans, plan)
		}
	}
	return plans, f.checkTarget()
}

func runSweep(ctx context.Context, f *sweepFlags, plans []bench.Plan) error {
	r, done, err := newBenchRun(&f.benchFlags)
	if err != nil {
		return err
	}
	defer done()
	r.scenario = "sweep"
	if !f.useLab {
		return r.direct(ctx, plans)
	}
	for _, dir := range f.dirs() {
		columns, err := r.series(ctx, dir, []string{f.lab.Transport}, plans)
		if err != nil {
			return err
		}
		sweepTable(r.text, columns[0].rows)
	}
	return nil
}

// sweepTable prints a line a payload and way of sending; with several rounds it has the medians.
func sweepTable(w io.Writer, rows [][]bench.Row) {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "bytes\tloop\tburst\tp50 us\tp90\tp99\tp99.9\tmax\tanswered/s\tMB/s\tlost\t\n")
	for _, same := range rows {
		m := bench.Median(same)
		burst := "-"
		if m.Loop == string(bench.Open) {
			burst = fmt.Sprint(m.Burst)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.2f\t%d\t\n", m.Payload, m.Loop, burst, m.P50Us, m.P90Us,
			m.P99Us, m.P999Us, m.MaxUs, m.PerSec, m.PerSec*float64(m.Payload)/1e6, m.Lost)
	}
	_ = table.Flush() // to the terminal or nowhere
}
