package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"lockstep/bench"
)

// nodes is a leader and two followers.
const nodes = 3

// Plan says what is measured.
type Plan struct {
	Payload  int           // bytes of a message
	Batches  []int         // messages that are sent at once and answered before the next
	Sessions []int         // open at once, whose turns follow each other
	Journal  []int64       // bytes of log that there are already
	Orders   []int         // open in the book
	Measure  time.Duration // of each row and batch, all rounds together
	Rounds   int           // turns that two rows which are compared take
	Revision string
}

// Check says what is wrong with a plan.
func (p *Plan) Check() error {
	switch {
	case p.Payload < 0 || p.Payload > 1300:
		return fmt.Errorf("pipeline: payload of %d bytes: want 0 to 1300", p.Payload)
	case len(p.Batches) == 0 || slices.Min(p.Batches) < 1 || slices.Max(p.Batches) > window:
		return fmt.Errorf("pipeline: batches %v: want one or more of 1 to %d messages", p.Batches, window)
	case slices.ContainsFunc(p.Sessions, func(n int) bool { return n < 1 || n > 16384 }):
		return fmt.Errorf("pipeline: sessions %v: want 1 to 16384", p.Sessions)
	case slices.ContainsFunc(p.Journal, func(n int64) bool { return n < 0 || n > 1<<40 }):
		return errors.New("pipeline: a journal has 0 bytes to 1 TiB")
	case slices.ContainsFunc(p.Orders, func(n int) bool { return n < 1 || n > 3_000_000 }):
		return fmt.Errorf("pipeline: open orders %v: want 1 to 3000000", p.Orders)
	case p.Measure <= 0 || p.Rounds < 1:
		return errors.New("pipeline: want a measured time above 0, and one round or more")
	}
	return nil
}

// Scenarios of rows.
const (
	Batches      = "pipeline"
	ManySessions = "pipeline-sessions"
	LongJournal  = "pipeline-journal"
	OpenOrders   = "pipeline-orders"
)

// kind is one kind of world.
type kind struct {
	scenario string
	payload  int
	sessions int
	journal  int64
	orders   int
}

// families are the kinds of worlds that a plan compares with each other: each with the first of its family.
func (p *Plan) families() [][]kind {
	base := kind{scenario: Batches, payload: p.Payload, sessions: 1}
	families := [][]kind{{base}}
	add := func(scenario string, n int, set func(k *kind, i int)) {
		family := make([]kind, n)
		for i := range family {
			family[i] = base
			family[i].scenario = scenario
			set(&family[i], i)
		}
		if n > 0 {
			families = append(families, family)
		}
	}
	add(ManySessions, len(p.Sessions), func(k *kind, i int) { k.sessions = p.Sessions[i] })
	add(LongJournal, len(p.Journal), func(k *kind, i int) { k.journal = p.Journal[i] })
	add(OpenOrders, len(p.Orders), func(k *kind, i int) {
		k.orders = p.Orders[i]
		k.sessions = (k.orders + ordersEach - 1) / ordersEach
	})
	return families
}

// Row is one series: one JSON line. Its round trip is that of a whole batch, in process.
type Row struct {
	bench.Row
	NsPerMsgPerNode float64 `json:"ns_per_msg_per_node"` // of all agents of the nodes; median of the rounds
	AllocsPerMsg    float64 `json:"allocs_per_msg"`      // of nodes and clients together
	CyclesPerMsg    float64 `json:"cycles_per_msg"`      // duty cycles of each node
	// InstructionsPerMsgPerNode is null where the kernel gives no hardware counters: InstructionsWhy says so.
	InstructionsPerMsgPerNode *float64 `json:"instructions_per_msg_per_node"`
	InstructionsWhy           string   `json:"instructions_why,omitempty"`
	RatioFirst                float64  `json:"ratio_first"`      // ns over those of the first of its kind, in turn with it
	LogBytes                  uint64   `json:"log_bytes"`        // before it was measured
	JournalSegments           int      `json:"journal_segments"` // of one node
	OpenOrders                int      `json:"open_orders"`      //
	HeapBytes                 int64    `json:"heap_bytes"`       // that the cluster's state has added to an empty process, clients included
}

// Write writes the row as one compact JSON line.
func (r *Row) Write(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// newRow fills in what does not depend on the measurement.
func newRow(p *Plan, l *load, k *kind, batch int) Row {
	host := bench.ThisHost()
	r := Row{Row: bench.Row{Scenario: k.scenario, Transport: "memory", Mode: "in-process", Nodes: nodes, Commit: "replicated",
		Level: "applied", Loop: string(bench.Closed), Burst: batch, Payload: k.payload, Fsync: "none", Layout: "shared, one goroutine",
		Cores: host.Cores, Kernel: host.Kernel, Host: host.Host, Clients: k.sessions, Window: window, MTU: 1500, Revision: p.Revision},
		LogBytes: l.logBytes(), OpenOrders: k.orders}
	r.JournalSegments, _ = l.journal()
	if k.orders > 0 {
		r.Payload = 0 // what an order takes
	}
	return r
}

// medianOf is the median of values, which it sorts.
func medianOf(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	middle := values[len(values)/2]
	if len(values)%2 == 0 {
		middle = (middle + values[len(values)/2-1]) / 2
	}
	return math.Round(middle*1000) / 1000
}
