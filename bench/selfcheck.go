package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"lockstep/agent"
	"lockstep/transport"
	"lockstep/wire"
)

// ScenarioSelfCheck names the lines of a self check.
const ScenarioSelfCheck = "selfcheck"

// Clocks that a self check can run by.
const (
	ClockVirtual  = "virtual"  // moves when it is told to: network and threads take no time, errors are those of the measuring alone
	ClockLoopback = "loopback" // the machine's, over kernel UDP: responder and client are two threads
)

// SelfCheck is one figure that the harness came to about a cluster whose answers are known: a JSON line.
type SelfCheck struct {
	Scenario string  `json:"scenario"`
	Clock    string  `json:"clock"`
	Check    string  `json:"check"`
	Loop     Loop    `json:"loop"`
	What     string  `json:"what"`  // "p99_us", "sent", "lost" and so on
	Least    float64 `json:"least"` // of what is right
	Most     float64 `json:"most"`  // of what is right: the two are apart by twice the stated error, and what one message more or less makes
	Got      float64 `json:"got"`   // by the harness
	Right    bool    `json:"right"` // it lies between
}

// selfPlan is a cluster that is known, and how it is measured.
type selfPlan struct {
	name    string
	loop    Loop
	clients int     // 0: one, measured by Load; else so many in one process, by Scene
	rate    float64 // of all clients
	burst   int
	warmup  time.Duration
	measure time.Duration
	known
}

func fixed(d time.Duration) func(uint64) int64 { return func(uint64) int64 { return d.Nanoseconds() } }

// bimodal answers every so-manieth message late.
func bimodal(fast, slow time.Duration, every uint64) func(uint64) int64 {
	return func(n uint64) int64 {
		if n%every == 0 {
			return slow.Nanoseconds()
		}
		return fast.Nanoseconds()
	}
}

const (
	us = time.Microsecond
	ms = time.Millisecond
)

// virtualPlans are what is measured by the virtual clock. A stall is shorter than the time after which a client looks for
// another leader.
func virtualPlans() []selfPlan {
	stall := known{latency: fixed(100 * us), fromNs: (1 * time.Second).Nanoseconds(), stallNs: (150 * ms).Nanoseconds()}
	early := known{latency: fixed(100 * us), fromNs: (100 * ms).Nanoseconds(), stallNs: (150 * ms).Nanoseconds()}
	silent := known{latency: fixed(1 * ms), silentNs: (1800 * ms).Nanoseconds()}
	return []selfPlan{
		{name: "fixed 100 us", loop: Closed, measure: 2 * time.Second, known: known{latency: fixed(100 * us)}},
		{name: "fixed 5 ms", loop: Closed, measure: 2 * time.Second, known: known{latency: fixed(5 * ms)}},
		{name: "fixed 1 ms", loop: Open, rate: 5000, burst: 1, measure: 2 * time.Second, known: known{latency: fixed(1 * ms)}},
		{name: "fixed 1 ms, bursts", loop: Open, rate: 10000, burst: 20, measure: 2 * time.Second,
			known: known{latency: fixed(1 * ms)}},
		{name: "200 us, 3 in 100 10 ms", loop: Closed, measure: 2 * time.Second, known: known{latency: bimodal(200*us, 10*ms, 33)}},
		{name: "200 us, 3 in 100 10 ms", loop: Open, rate: 2000, burst: 1, measure: 2 * time.Second,
			known: known{latency: bimodal(200*us, 10*ms, 33)}},
		{name: "a stall of 150 ms", loop: Open, rate: 1000, burst: 1, measure: 5 * time.Second, known: stall},
		{name: "a stall of 150 ms", loop: Closed, measure: 5 * time.Second, known: stall},
		{name: "a stall in the warm-up", loop: Open, rate: 1000, burst: 1, warmup: 500 * ms, measure: 2 * time.Second, known: early},
		{name: "silent in the end", loop: Open, rate: 1000, burst: 1, measure: 2 * time.Second, known: silent},
		{name: "8 clients, fixed 1 ms", loop: Closed, clients: 8, measure: 2 * time.Second, known: known{latency: fixed(1 * ms)}},
		{name: "8 clients, fixed 1 ms", loop: Open, clients: 8, rate: 8000, burst: 1, measure: 2 * time.Second,
			known: known{latency: fixed(1 * ms)}},
		{name: "8 clients, 1 ms, 3 in 100 10 ms", loop: Open, clients: 8, rate: 8000, burst: 1, measure: 2 * time.Second,
			known: known{latency: bimodal(1*ms, 10*ms, 33)}},
		{name: "8 clients, a stall of 150 ms", loop: Open, clients: 8, rate: 1600, burst: 1, measure: 5 * time.Second, known: stall},
		{name: "8 clients, a stall of 150 ms", loop: Closed, clients: 8, measure: 5 * time.Second, known: stall},
		{name: "8 clients, silent in the end", loop: Open, clients: 8, rate: 1600, burst: 1, measure: 2 * time.Second, known: silent},
	}
}

// loopbackPlans are what is measured over kernel UDP, each for so long.
func loopbackPlans(measure time.Duration) []selfPlan {
	stall := known{latency: fixed(1 * ms), fromNs: measure.Nanoseconds() / 4, stallNs: min(150*ms, measure/4).Nanoseconds()}
	return []selfPlan{
		{name: "fixed 2 ms", loop: Closed, measure: measure, known: known{latency: fixed(2 * ms)}},
		{name: "fixed 2 ms", loop: Open, rate: 1000, burst: 1, measure: measure, known: known{latency: fixed(2 * ms)}},
		{name: "1 ms, 1 in 9 20 ms", loop: Open, rate: 500, burst: 1, measure: measure, known: known{latency: bimodal(1*ms, 20*ms, 9)}},
		{name: "a stall", loop: Open, rate: 1000, burst: 1, measure: measure, known: stall},
	}
}

// The virtual clock moves by leastStepNs between two polls of a client, and by up to mostStepNs towards the next instant at which
// something is due.
const (
	leastStepNs = 1_000
	mostStepNs  = 50_000
)

// truth is what must be measured: the latencies of the messages that count, ascending, and how many are lost. It is worked out
// message by message from what is known, not from anything that the harness does.
func (p *selfPlan) truth() (latencies []int64, lost int) {
	from := p.warmup.Nanoseconds()
	end := from + p.measure.Nanoseconds()
	sent := make([]uint64, max(1, p.clients)) // by client
	take := func(client int, dueNs int64) (answeredNs int64) {
		sent[client]++
		answeredNs, ok := p.answered(sent[client], dueNs)
		switch {
		case dueNs < from:
		case ok:
			latencies = append(latencies, answeredNs-dueNs)
		default:
			lost++
		}
		return answeredNs
	}
	if p.loop == Closed {
		for client := range sent {
			for at := int64(0); at < end; {
				at = take(client, at)
			}
		}
	} else {
		for burst := 0; ; burst++ { // clients take turns
			dueNs := int64(float64(burst) * float64(p.burst) / p.rate * 1e9)
			if dueNs >= end {
				break
			}
			for range p.burst {
				take(burst%len(sent), dueNs)
			}
		}
	}
	slices.Sort(latencies)
	return latencies, lost
}

// rankSlack is by how many messages a percentile may be off: where a count falls between two. By the machine's clock that goes for
// the shortest and the longest as well: a message may be due just before a stall and arrive in it.
const rankSlack = 2

// judge holds a result against the truth. Measured times may be shorter than true ones by lessNs and longer by moreNs, and by two
// thousandths, of which the histogram has one.
func (p *selfPlan) judge(clock string, r *Result, lessNs, moreNs int64) (checks []SelfCheck) {
	ends := 0
	if clock == ClockLoopback {
		ends = rankSlack
	}
	add := func(what string, least, most, got float64) {
		checks = append(checks, SelfCheck{Scenario: ScenarioSelfCheck, Clock: clock, Check: p.name, Loop: p.loop, What: what,
			Least: round(least), Most: round(most), Got: round(got), Right: round(least) <= round(got) && round(got) <= round(most)})
	}
	latencies, lost := p.truth()
	sent := float64(len(latencies) + lost)
	if p.loop == Open {
		add("sent", sent, sent, float64(r.Sent))
	} else {
		each := float64(p.measure.Nanoseconds()*int64(max(1, p.clients))) / sent
		add("sent", sent*each/(each+float64(moreNs))-float64(max(1, p.clients)), sent, float64(r.Sent))
	}
	add("lost", float64(lost), float64(lost), float64(r.Lost()))
	add("duplicated and reordered", 0, 0, float64(r.Duplicated+r.Reordered))
	add("recorded", float64(r.Acked), float64(r.Acked), float64(r.Histogram.TotalCount()))
	if r.Timeline != nil {
		p.judgeTimeline(r, add)
	}
	at := func(q float64, slack int) int64 {
		rank := int(math.Ceil(q/100*float64(len(latencies)))) - 1 + slack
		return latencies[max(0, min(len(latencies)-1, rank))]
	}
	for _, x := range []struct {
		what  string
		q     float64
		slack int
		got   int64
	}{
		{"min_us", 0, ends, r.Histogram.Min()},
		{"p50_us", 50, rankSlack, r.Histogram.ValueAtQuantile(50)},
		{"p90_us", 90, rankSlack, r.Histogram.ValueAtQuantile(90)},
		{"p99_us", 99, rankSlack, r.Histogram.ValueAtQuantile(99)},
		{"p999_us", 99.9, rankSlack, r.Histogram.ValueAtQuantile(99.9)},
		{"max_us", 100, ends, r.Histogram.Max()},
	} {
		least := float64(at(x.q, -x.slack)-lessNs) * 0.998
		most := float64(at(x.q, x.slack)+moreNs) * 1.002
		add(x.what, least/1e3, most/1e3, float64(x.got)/1e3)
	}
	return checks
}

// judgeTimeline wants every message in the timeline, and a stall where it was.
func (p *selfPlan) judgeTimeline(r *Result, add func(what string, least, most, got float64)) {
	count, worst := uint64(0), TimelinePoint{}
	for _, point := range r.Timeline.Points() {
		count += point.Count
		if point.MaxUs > worst.MaxUs {
			worst = point
		}
	}
	add("in the timeline", float64(r.Acked), float64(r.Acked), float64(count))
	if p.stallNs > 0 && p.fromNs >= p.warmup.Nanoseconds() {
		from := float64(p.fromNs-p.warmup.Nanoseconds()) / 1e9
		add("stall at_s", from-0.1, from+0.1, worst.AtS) // the interval of 100 ms that it begins in, or the one before
	}
}

// Wrong are the checks that did not come out right.
func Wrong(checks []SelfCheck) (wrong []SelfCheck) {
	for _, c := range checks {
		if !c.Right {
			wrong = append(wrong, c)
		}
	}
	return wrong
}

// load is the plan's load, as `bench rtt` makes it.
func (p *selfPlan) load() Plan {
	return Plan{Level: wire.LevelSequenced, Loop: p.loop, Rate: p.rate, Burst: cmp.Or(p.burst, 1), Payload: 200, Flow: FlowEcho,
		Warmup: p.warmup, Measure: p.measure, Window: responderWindow}
}

// selfCluster is the cluster id of responders.
const selfCluster = 0x5e1f

// CheckVirtual has the load generator and a real client measure responders by a virtual clock.
func CheckVirtual(ctx context.Context, on func([]SelfCheck)) error {
	for _, p := range virtualPlans() {
		result, err := p.runVirtual(ctx)
		if err != nil {
			return fmt.Errorf("bench: self check %s, %s loop: %w", p.name, p.loop, err)
		}
		// A message is taken up to a step late, and so is its answer; a message may be sent a step late, and nothing is early by
		// more than one.
		on(p.judge(ClockVirtual, result, leastStepNs, 3*leastStepNs))
	}
	return nil
}

// stepper is the idle strategy that makes time pass, for the responder as well.
type stepper struct {
	clock     *agent.Virtual
	responder *responder
	startNs   int64 // of the load
	everyNs   int64 // between bursts of an open loop; 0: closed
}

// Idle implements agent.Idle.
func (s *stepper) Idle(work int) {
	nowNs := s.clock.NowNs()
	s.responder.step(nowNs)
	next := s.responder.nextNs
	if s.everyNs != 0 {
		next = min(next, nowNs+s.everyNs-(nowNs-s.startNs)%s.everyNs)
	}
	if work > 0 { // what was answered has the client do something
		next = nowNs
	}
	s.clock.Advance(max(leastStepNs, min(mostStepNs, next-nowNs)))
	s.responder.step(s.clock.NowNs())
}

func (p *selfPlan) runVirtual(ctx context.Context) (*Result, error) {
	network := transport.NewMemory(transport.MemoryOptions{Alone: true})
	at := transport.Addr{IP: [4]byte{10, 0, 0, 1}, Port: 7400}
	server, err := network.Join(at)
	if err != nil {
		return nil, err
	}
	client, err := network.Join(transport.Addr{IP: [4]byte{10, 0, 0, 9}, Port: 7600})
	if err != nil {
		return nil, err
	}
	clock := agent.NewVirtual(1e9, 0)
	plan := p.load()
	r := newResponder(server, selfCluster, plan.Level, p.known)
	idle := &stepper{clock: clock, responder: r, startNs: clock.NowNs()}
	if p.loop == Open {
		idle.everyNs = int64(float64(p.burst) / p.rate * 1e9)
	}
	if p.clients > 0 {
		return p.play(ctx, client, at, idle)
	}
	return p.drive(ctx, client, at, clock, idle)
}

// play measures as measureClients does.
func (p *selfPlan) play(ctx context.Context, tr transport.Transport, at transport.Addr, idle *stepper) (*Result, error) {
	s := Scene{Name: "selfcheck", Plan: p.load(), InFlight: 1, Phases: []Phase{{Join: p.clients, For: p.measure}}, clock: idle.clock,
		idle: idle}
	s.Plan.Rate /= float64(p.clients)
	s.Target = Target{Nodes: []transport.Addr{at}, Cluster: selfCluster, open: func() (transport.Transport, error) { return tr, nil }}
	s.OnPhase = func(int) error {
		idle.startNs = idle.clock.NowNs()
		return nil
	}
	rows, err := s.Run(ctx)
	if err != nil {
		return nil, err
	}
	r := &Result{Sent: rows[0].Sent, Acked: rows[0].Acked, Duplicated: rows[0].Duplicated, Reordered: rows[0].Reordered}
	r.Histogram, err = DecodeHistogram(rows[0].Hist)
	return r, err
}

// drive measures as Measure does.
func (p *selfPlan) drive(ctx context.Context, tr transport.Transport, at transport.Addr, clock agent.Clock, idle agent.Idle) (*Result,
	error) {
	plan := p.load()
	load := NewLoad(plan.LoadOptions(), clock, idle)
	t := Target{Nodes: []transport.Addr{at}, Cluster: selfCluster}
	c, err := t.Connect(ctx, tr, "selfcheck", uint32(plan.Window), load, clock, idle)
	if err != nil {
		return nil, err
	}
	if s, ok := idle.(*stepper); ok {
		s.startNs = clock.NowNs()
	}
	result, err := load.Run(c)
	if err == nil {
		CloseSession(c, clock, idle)
	}
	return result, err
}

// CheckLoopback has them measure responders over kernel UDP by the machine's clock, each for so long.
func CheckLoopback(ctx context.Context, measure time.Duration, on func([]SelfCheck)) error {
	for _, p := range loopbackPlans(measure) {
		var checks []SelfCheck
		for range loopbackTries {
			result, errorNs, err := p.runLoopback(ctx)
			if err != nil {
				return fmt.Errorf("bench: self check %s, %s loop, over UDP: %w", p.name, p.loop, err)
			}
			if checks = p.judge(ClockLoopback, result, 0, errorNs); len(Wrong(checks)) == 0 {
				break
			}
		}
		on(checks)
	}
	return nil
}

// loopbackTries is how often a run over loopback is made until it is right: a machine that takes a thread off its core for long
// loses datagrams, and what is sent again is later than the error that is stated.
const loopbackTries = 3

// gapped yields, and notes the longest time between two turns.
type gapped struct{ lastNs, gapNs int64 }

// Idle implements agent.Idle.
func (g *gapped) Idle(work int) {
	agent.Yield{}.Idle(work)
	nowNs := agent.System{}.NowNs()
	if g.lastNs != 0 {
		g.gapNs = max(g.gapNs, nowNs-g.lastNs)
	}
	g.lastNs = nowNs
}

// pathNs is what the way over loopback and back may take.
const pathNs = 300_000

// runLoopback also says by how much what it measured may be too long: the way, and twice for each of both threads the longest time
// that it was kept off its core.
func (p *selfPlan) runLoopback(ctx context.Context) (result *Result, errorNs int64, err error) {
	local := transport.Addr{IP: [4]byte{127, 0, 0, 1}}
	server, err := transport.OpenUDP(transport.UDPOptions{Local: local})
	if err != nil {
		return nil, 0, err
	}
	client, err := transport.OpenUDP(transport.UDPOptions{Local: local})
	if err != nil {
		return nil, 0, errors.Join(err, server.Close())
	}
	plan := p.load()
	r := newResponder(server, selfCluster, plan.Level, p.known)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for {
			select {
			case <-stop:
				return
			default:
				agent.Yield{}.Idle(r.step(agent.System{}.NowNs()))
			}
		}
	}()
	idle := &gapped{}
	runtime.LockOSThread()
	result, err = p.drive(ctx, client, server.Local(), agent.System{}, idle)
	runtime.UnlockOSThread()
	close(stop)
	<-stopped
	return result, pathNs + 2*(r.gapNs+idle.gapNs), errors.Join(err, client.Close(), server.Close())
}
