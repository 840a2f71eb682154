package command

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lockstep/bench"
	"lockstep/bench/recorded"
	"lockstep/service/orderbook/match"
)

// recordingFlags say which recorded flow is to be played, and how.
type recordingFlags struct {
	file     string
	format   string
	messages int
	speed    float64
	first    uint32
}

func (f *recordingFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "flow-file", "", "play the order flow that this file recorded: CSV or ITCH 5.0, gzip or not (implies --flow recorded)")
	flags.StringVar(&f.format, "flow-format", "auto", "of that file: csv, itch, or auto")
	flags.IntVar(&f.messages, "flow-messages", 1_000_000, "messages of it to play, at most; behind them it begins again")
	flags.Float64Var(&f.speed, "flow-speed", 0, "open loop: play it so many times as fast as it was recorded (0: at --rate)")
	flags.Uint32Var(&f.first, "flow-first", recorded.DefaultFirst, "number that its first instrument gets in the book")
}

// set makes a plan one that plays the file.
func (f *recordingFlags) set(p *bench.Plan) error {
	if f.file == "" {
		return nil
	}
	if p.Flow != bench.FlowEcho && p.Flow != bench.FlowRecorded {
		return fmt.Errorf("%w: --flow %s and --flow-file: want one of them", errUsage, p.Flow)
	}
	o := recorded.Options{Format: recorded.Format(f.format), Messages: f.messages, First: match.Instrument(f.first)}
	if o.Messages == 0 || o.First == 0 {
		return fmt.Errorf("%w: --flow-messages %d, --flow-first %d: want both above 0", errUsage, f.messages, f.first)
	}
	recording, err := bench.OpenRecording(f.file, o, f.speed)
	if err != nil {
		return fmt.Errorf("%w: --flow-file: %w", errUsage, err)
	}
	p.Flow, p.Recording = bench.FlowRecorded, recording
	if f.speed > 0 && p.Loop == bench.Open {
		p.Rate, p.Burst = math.Round(recording.Flow.PerSec()*f.speed), 1
	}
	return nil
}

// flowArgs say to a measuring process what a plan sends.
func flowArgs(p *bench.Plan) []string {
	args := []string{"--flow", p.Flow}
	r := p.Recording
	if r == nil {
		return args
	}
	return append(args, "--flow-file", r.Path, "--flow-format", string(r.Options.Format), "--flow-messages", strconv.Itoa(r.Options.Messages),
		"--flow-speed", fmt.Sprint(r.Speed), "--flow-first", fmt.Sprint(r.Options.First))
}

func benchFlowCommand() *cobra.Command {
	var read recorded.Options
	var sample recorded.SampleOptions
	var write, format string
	c := &cobra.Command{
		Use:   "flow [FILE]",
		Short: "Look at a recorded order flow before it is played, or make one up",
		Long: `Read a file of recorded order flow, as every load-making command does that is given it as --flow-file, and say what is in it: what
would be sent, what was left out and why, its instruments, and how fast it came. With --write make one up: the seeded order
flow of so many users, as a CSV file of what they asked for or as the ITCH 5.0 messages of a venue that carried it out.
docs/recorded-flows.md has both forms, field by field.`,
		Example: `  lockstep bench flow --write day.csv --messages 20000 --users 8
  lockstep bench flow --write day.itch --format itch --messages 20000
  lockstep bench flow day.csv
  lockstep bench rtt --lab --flow-file day.csv --loop open --flow-speed 1`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if (write == "") == (len(args) == 0) {
				return fmt.Errorf("%w: want a FILE to look at, or --write FILE", errUsage)
			}
			if write != "" {
				if sample.Format = recorded.Format(format); format == "auto" {
					sample.Format = recorded.CSV
				}
				return writeFlow(c.OutOrStdout(), write, sample)
			}
			read.Format, read.Messages = recorded.Format(format), recorded.MaxMessages
			flow, err := recorded.ReadFile(args[0], read)
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			printFlow(c.OutOrStdout(), flow)
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVar(&write, "write", "", "make up a flow and write it to this file")
	flags.StringVar(&format, "format", "auto", "csv, itch, or auto (of what is written: csv)")
	flags.IntVar(&sample.Messages, "messages", 100_000, "to make up")
	flags.IntVar(&sample.Users, "users", 8, "whose messages are made up")
	flags.IntVar(&sample.Instruments, "instruments", 8, "that they trade")
	flags.Float64Var(&sample.Rate, "rate", 20_000, "messages a second on average, by the times that are made up")
	flags.Uint64Var(&sample.Seed, "seed", 1, "the same seed makes up the same flow")
	return c
}

// writeFlow makes a file of a flow that is made up.
func writeFlow(w io.Writer, path string, o recorded.SampleOptions) error {
	if err := o.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := recorded.Sample(file, o); err != nil {
		_ = file.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %d messages of %d users as %s\n", path, o.Messages, o.Users, o.Format)
	return nil
}

// mostInstruments is how many are listed.
const mostInstruments = 20

// printFlow says what is in a flow.
func printFlow(w io.Writer, f *recorded.Flow) {
	news, cancels, replaces := f.Counts()
	fmt.Fprintf(w, "%s: %s, %d messages to send: %d new orders, %d cancels, %d replacements; %d users, at most %d orders open at once\n",
		f.Name, f.Format, f.Len(), news, cancels, replaces, f.Users, f.PeakOpen)
	if f.Cut {
		fmt.Fprintf(w, "the file goes on: %d messages are the limit\n", f.Len())
	}
	fmt.Fprintf(w, "recorded in %v: %.0f messages a second; at most %d in 1 ms, %d in 100 ms\n", f.Span(), f.PerSec(),
		f.Peak(time.Millisecond), f.Peak(100*time.Millisecond))
	if sessions := (f.PeakOpen + match.MaxOpen - 1) / match.MaxOpen; sessions > 1 {
		fmt.Fprintf(w, "an account has %d open orders at most: what one session sends beyond that is refused; want %d sessions or more\n",
			match.MaxOpen, sessions)
	}
	for _, s := range f.Skipped {
		fmt.Fprintf(w, "left out: %d %s\n", s.Count, s.Why)
	}
	fmt.Fprintf(w, "\n%-16s %9s %12s %14s %14s %12s\n", "instrument", "messages", "tick", "lowest", "highest", "largest")
	for i := range f.Instruments {
		if i == mostInstruments {
			fmt.Fprintf(w, "and %d more\n", len(f.Instruments)-i)
			break
		}
		in := &f.Instruments[i]
		fmt.Fprintf(w, "%-16s %9d %12s %14s %14s %12d\n", in.Symbol, in.Messages, in.Price(1), in.Price(in.Low), in.Price(in.High),
			in.Quantity)
	}
}
