package node

import (
	"context"

	"lockstep/agent"
	"lockstep/agent/tsc"
	"lockstep/internal/counters"
	"lockstep/sequencer"
	"lockstep/wire"
)

// StageStatus is how long messages took to a stage from the one before, while this node led: nanoseconds, within 12.5 per cent.
type StageStatus struct {
	Stage string `json:"stage"`
	Count uint64 `json:"count"`
	P50   uint64 `json:"p50_ns"`
	P90   uint64 `json:"p90_ns"`
	P99   uint64 `json:"p99_ns"`
	Max   uint64 `json:"max_ns"`
}

// keepStamps has the clock that stages are stamped with read the processor's counter, and holds that against the kernel's clock
// while the node runs.
func (n *Node) keepStamps() {
	if _, real := n.machine.Clock.(agent.System); !real || n.machine.Inline {
		return
	}
	tsc.Start()
	n.logf("stages are stamped by the %s", tsc.Describe())
	ctx, cancel := context.WithCancel(context.Background())
	n.closers = append(n.closers, func() error { cancel(); return nil })
	go tsc.Keep(ctx)
}

// stageStatus is what the histograms of the stages hold; none before the first message.
func (n *Node) stageStatus() (list []StageStatus) {
	stages := map[string]wire.Stage{}
	for s := range wire.Stage(wire.NumStages) {
		stages[sequencer.StageHistogram(s)] = s
	}
	n.counters.Histograms(func(d counters.Distribution) {
		if s, ok := stages[d.Name]; ok && d.Count > 0 {
			list = append(list, StageStatus{Stage: s.String(), Count: d.Count, P50: d.Quantile(0.5), P90: d.Quantile(0.9),
				P99: d.Quantile(0.99), Max: d.MaxNs})
		}
	})
	return list
}
