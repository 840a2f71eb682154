package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/client"
	"lockstep/wire"
)

// session is what a load sends through.
type session interface {
	bench.Session
	Err() error // why it came to an end before its time, nil: it did not
	Close() error
}

// loadOptions say how a client reaches a cluster.
type loadOptions struct {
	members []member
	fsync   bool
	window  int
	payload int
	answer  func(client.Ack) // told of every answer, on the load's goroutine
}

// failure is why a session came to an end before its time: the first of what went wrong.
type failure struct{ err error }

func (f *failure) set(err error) {
	if f.err == nil {
		f.err = err
	}
}

func runLoad(ctx context.Context, args []string) error {
	var o loadOptions
	p := bench.Plan{Level: wire.LevelApplied, Flow: bench.FlowEcho}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	name := flags.String("system", "", "whose cluster")
	members := flags.String("members", "", "as its nodes have it")
	flags.BoolVar(&o.fsync, "fsync", false, "as its nodes have it")
	loop := flags.String("loop", "closed", "closed or open")
	flags.Float64Var(&p.Rate, "rate", 0, "open loop: messages a second")
	flags.IntVar(&p.Burst, "burst", 1, "open loop: messages due at the same instant")
	flags.IntVar(&p.Payload, "payload", 200, "bytes of a message")
	seconds := flags.Float64("seconds", 5, "measured time")
	warmup := flags.Float64("warmup", 1, "seconds before that")
	behind := flags.Float64("behind", 0, "open loop: seconds that the schedule may fall behind before the rest of it counts as lost")
	flags.IntVar(&p.Window, "window", 256, "messages that may be unanswered")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	p.Loop, p.Measure, p.Warmup, p.Behind = bench.Loop(*loop), duration(*seconds), duration(*warmup), duration(*behind)
	if err := p.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	s, err := systemNamed(*name)
	if err != nil {
		return err
	}
	if o.members, err = parseMembers(*members); err != nil {
		return err
	}
	o.window, o.payload = p.Window, p.Payload
	row, err := measure(ctx, s, &o, &p)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return row.Write(os.Stdout)
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// measure runs a plan against a cluster and returns its row.
func measure(ctx context.Context, s *system, o *loadOptions, p *bench.Plan) (bench.Row, error) {
	load := bench.NewLoad(p.LoadOptions(), agent.System{}, idle{})
	o.answer = load.OnAck
	session, err := s.dial(ctx, o)
	if err != nil {
		return bench.Row{}, err
	}
	before := bench.ReadCPUTimes()
	result, err := load.Run(session)
	if failed := session.Err(); failed != nil {
		err = failed
	}
	if closed := session.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return bench.Row{}, err
	}
	row := bench.NewRow("peers", "tcp", "kernel", p, result)
	row.System, row.Revision, row.Nodes = s.name, s.version(), len(o.members)
	row.Fsync, row.Sync = s.describe(o.fsync)
	row.Commit = "replicated"
	if o.fsync {
		row.Commit = "durable"
	}
	row.StealPct = bench.StealPct(before, bench.ReadCPUTimes())
	return row, nil
}
