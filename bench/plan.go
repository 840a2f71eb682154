package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"lockstep/agent"
	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/wire"
)

// Flows that a plan can send.
const (
	FlowEcho     = "echo"     // payloads of a fixed size to the echo service
	FlowOrders   = "orders"   // a seeded order flow to the order book
	FlowRecorded = "recorded" // a recorded one
)

// flowSeed makes every run send the same orders.
const flowSeed = 1

// drainLimit bounds the wait for the last answers of a round: longer than any failover.
const drainLimit = 10 * time.Second

// Plan is one series to measure.
type Plan struct {
	Level   wire.Level
	Loop    Loop
	Rate    float64
	Burst   int
	Payload int
	Flow    string
	// Recording is what FlowRecorded plays. With a speed its times take the place of Rate and Burst.
	Recording *Recording
	Warmup    time.Duration
	Measure   time.Duration
	Window    int
	Stages    bool // ask where each message's time went, and fail if that does not add up
	// Behind: as in LoadOptions.
	Behind time.Duration
	// Clients are in one process, on one thread; in an open loop Rate is that of all together. 0: one.
	Clients int
	// Progress, if set, is told how far it is.
	Progress *Progress `json:"-"`
}

// Check says what is wrong with a plan.
func (p *Plan) Check() error {
	switch {
	case p.Loop != Closed && p.Loop != Open:
		return fmt.Errorf("bench: loop %q: want closed or open", p.Loop)
	case p.Loop == Open && (p.Rate <= 0 || p.Burst < 1):
		return fmt.Errorf("bench: rate %g, burst %d: an open loop wants both above 0", p.Rate, p.Burst)
	case p.Flow != FlowEcho && p.Flow != FlowOrders && p.Flow != FlowRecorded:
		return fmt.Errorf("bench: flow %q: want echo, orders or recorded", p.Flow)
	case (p.Flow == FlowRecorded) != (p.Recording != nil):
		return fmt.Errorf("bench: flow %s: want a file with flow recorded, and with no other", p.Flow)
	case p.Recording != nil && p.Recording.Speed > 0 && p.Loop != Open:
		return fmt.Errorf("bench: a recorded flow at the speed of its times: want an open loop; a closed one sends when it is answered")
	case p.Level == wire.LevelNone:
		return fmt.Errorf("bench: level none is never acknowledged: want one of %v", LevelNames)
	case p.Payload < 0 || p.Payload > wire.MaxMessage:
		return fmt.Errorf("bench: payload of %d bytes: want 0 to %d", p.Payload, wire.MaxMessage)
	case p.Clients < 0 || p.Clients > MaxClients || p.Clients > 1 && p.Stages:
		return fmt.Errorf("bench: %d clients: want 1 to %d, and one alone for stages", p.Clients, MaxClients)
	case p.Measure <= 0 || p.Warmup < 0 || p.Behind < 0 || p.Window < 1 || p.Window > 4096:
		return fmt.Errorf("bench: want a measured time above 0 and a window of 1 to 4096")
	}
	return nil
}

// LoadOptions makes the load of a plan.
func (p *Plan) LoadOptions() LoadOptions { return p.loadOptions(0) }

// loadOptions makes the load of one of several clients, which have orders of their own.
func (p *Plan) loadOptions(client int) LoadOptions {
	o := LoadOptions{Level: p.Level, Loop: p.Loop, Rate: p.Rate, Burst: p.Burst, Warmup: p.Warmup, Measure: p.Measure,
		Drain: drainLimit, Stages: p.Stages, Behind: p.Behind, Progress: p.Progress}
	if p.Recording != nil {
		players, _ := p.Recording.split(1) // of one session: all there is
		p.Recording.play(&o, players[0])
		return o
	}
	if p.Flow == FlowOrders {
		flow := orderflow.New(orderflow.Options{Seed: flowSeed + uint64(client)})
		o.Service = service.OrderBook
		o.Next = func() []byte { payload, _ := flow.Next(); return payload }
		return o
	}
	payload := make([]byte, p.Payload)
	for i := range payload {
		payload[i] = byte(i)
	}
	o.Service = service.Echo
	o.Next = func() []byte { return payload }
	return o
}

// Measure runs a plan against a target from this process and returns its row, conditions of the cluster left blank.
func Measure(ctx context.Context, t *Target, p *Plan) (Row, error) {
	if p.Clients > 1 {
		return measureClients(ctx, t, p)
	}
	clock, idle := agent.System{}, agent.Yield{}
	tr, mode, err := t.OpenTransport()
	if err != nil {
		return Row{}, err
	}
	defer tr.Close()
	load := NewLoad(p.LoadOptions(), clock, idle)
	asking := *t
	asking.Stages = p.Stages
	c, err := asking.Connect(ctx, tr, "bench", uint32(p.Window), load, clock, idle)
	if err != nil {
		return Row{}, err
	}
	if p.Recording != nil {
		if err := load.ask(c, p.Recording.beforehand(c.Session())); err != nil {
			return Row{}, err
		}
	}
	before := ReadCPUTimes()
	result, err := load.Run(c)
	if err == nil && p.Recording != nil {
		err = load.ask(c, p.Recording.afterwards(c.Session()))
	}
	CloseSession(c, clock, idle)
	if err != nil {
		return Row{}, err
	}
	row := NewRow("rtt", t.Transport, mode, p, result)
	if result.Stages != nil {
		if err := result.Stages.Check(); err != nil {
			return Row{}, err
		}
		row.Stages = result.Stages.Rows()
	}
	row.StealPct = StealPct(before, ReadCPUTimes())
	row.MTU = tr.MaxPayload() + 28
	row.SetNIC(t.nicDriver())
	return row, nil
}

// NewRow fills a row with what a plan asked for and a result says.
func NewRow(scenario, transportKind, mode string, p *Plan, r *Result) Row {
	host := ThisHost()
	row := Row{
		Scenario: scenario, Transport: transportKind, Mode: mode, Level: p.Level.String(), Loop: string(p.Loop),
		Rate: p.Rate, Burst: p.Burst, Payload: p.Payload, Sent: r.Sent, Acked: r.Acked, Lost: r.Lost(),
		Duplicated: r.Duplicated, Reordered: r.Reordered, PerSec: r.PerSec(), Clients: 1, Window: p.Window,
		Kernel: host.Kernel, Cores: host.Cores, Host: host.Host, Conditions: ThisConditions(),
	}
	row.Flow, row.Rejected = p.Flow, r.Rejected
	if p.Recording != nil {
		row.FlowFile, row.FlowSpeed = p.Recording.Flow.Name, p.Recording.Speed
	}
	row.SetTimes(r.Histogram)
	row.SetNIC(Unknown)
	if r.Timeline != nil {
		row.Timeline = r.Timeline.Points()
	}
	return row
}

// Median returns the row of the medians: each percentile's median over the rounds, the sums of the counts. Its histogram has the
// times of all rounds; a timeline it has none.
func Median(rows []Row) Row {
	m := rows[0]
	m.Hist, m.Timeline, m.Marks = mergedHistogram(rows), nil, nil
	m.Scenario = rows[0].Scenario + "-median"
	field := func(get func(*Row) *float64) {
		values := make([]float64, len(rows))
		for i := range rows {
			values[i] = *get(&rows[i])
		}
		*get(&m) = medianOf(values)
	}
	for _, get := range []func(*Row) *float64{
		func(r *Row) *float64 { return &r.MinUs }, func(r *Row) *float64 { return &r.P50Us },
		func(r *Row) *float64 { return &r.P90Us }, func(r *Row) *float64 { return &r.P99Us },
		func(r *Row) *float64 { return &r.P999Us }, func(r *Row) *float64 { return &r.P9999Us },
		func(r *Row) *float64 { return &r.MaxUs }, func(r *Row) *float64 { return &r.FloorP50Us },
		func(r *Row) *float64 { return &r.RatioP50 }, func(r *Row) *float64 { return &r.PerSec },
		func(r *Row) *float64 { return &r.Rate },
		func(r *Row) *float64 { return &r.StealPct }, func(r *Row) *float64 { return &r.JitterP99Us },
	} {
		field(get)
	}
	if m.Stages != nil {
		var rounds [][]StageRow
		for i := range rows {
			rounds = append(rounds, rows[i].Stages)
		}
		m.Stages = medianStages(rounds)
	}
	medianFigures(&m, rows)
	m.Sent, m.Acked, m.Lost, m.Duplicated, m.Reordered = 0, 0, 0, 0, 0
	for i := range rows {
		m.Sent += rows[i].Sent
		m.Acked += rows[i].Acked
		m.Lost += rows[i].Lost
		m.Duplicated += rows[i].Duplicated
		m.Reordered += rows[i].Reordered
	}
	return m
}

// mergedHistogram has the times of all rows; empty unless all of them that have times have a histogram.
func mergedHistogram(rows []Row) string {
	all := NewHistogram()
	for i := range rows {
		h, err := DecodeHistogram(rows[i].Hist)
		switch {
		case err != nil || h == nil && rows[i].MaxUs > 0:
			return ""
		case h != nil: // none: nothing was answered in that round
			all.Merge(h)
		}
	}
	return EncodeHistogram(all)
}

// medianOf is the median of values, which it sorts, to a thousandth.
func medianOf(values []float64) float64 {
	slices.Sort(values)
	middle := values[len(values)/2]
	if len(values)%2 == 0 {
		middle = (values[len(values)/2-1] + middle) / 2
	}
	return math.Round(middle*1000) / 1000
}
