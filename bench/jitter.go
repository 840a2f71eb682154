package bench

import (
	"lockstep/tuning/jitter"
)

// ScenarioJitter names the rows of pauses: one for each core, with the percentiles of its pauses.
const ScenarioJitter = "jitter"

// JitterFigures are what a row of pauses has beside their percentiles.
type JitterFigures struct {
	Core        int            `json:"core"`
	Isolated    bool           `json:"isolated"`
	ThresholdUs float64        `json:"threshold_us"`
	MeanUs      float64        `json:"mean_us"`
	PausedPct   float64        `json:"paused_pct"` // of the time that was looked at
	SeenPct     float64        `json:"seen_pct"`   // of the time
	WaitedPct   float64        `json:"waited_pct"` // of the time another thread had the core
	Causes      []jitter.Cause `json:"causes"`     // what was counted meanwhile, most frequent first; of a median none
}

// JitterRows are the rows of a report, in the order of its cores. Sent and acked are pauses, per_sec how many a second.
func JitterRows(r *jitter.Report) (rows []Row) {
	host := ThisHost()
	for i := range r.Cores {
		c := &r.Cores[i]
		row := Row{Scenario: ScenarioJitter, Sent: c.Count, Acked: c.Count, PerSec: c.PerSec, StealPct: c.StealPct,
			JitterP99Us: c.P99Us, Kernel: host.Kernel, Cores: host.Cores, Host: host.Host, Conditions: ThisConditions()}
		row.SetNIC("")
		row.SetTimes(c.Pauses)
		row.Jitter = &JitterFigures{Core: c.Core, Isolated: c.Isolated, ThresholdUs: c.ThresholdUs, MeanUs: c.MeanUs,
			PausedPct: c.PausedPct, SeenPct: c.SeenPct, WaitedPct: c.WaitedPct, Causes: c.Causes}
		rows = append(rows, row)
	}
	return rows
}

// MedianJitter is the row of the medians of one core's rows.
func MedianJitter(rows []Row) Row {
	m := Median(rows)
	figures := *rows[0].Jitter
	for _, get := range []func(*JitterFigures) *float64{
		func(f *JitterFigures) *float64 { return &f.ThresholdUs }, func(f *JitterFigures) *float64 { return &f.MeanUs },
		func(f *JitterFigures) *float64 { return &f.PausedPct }, func(f *JitterFigures) *float64 { return &f.SeenPct },
		func(f *JitterFigures) *float64 { return &f.WaitedPct },
	} {
		var values []float64
		for i := range rows {
			values = append(values, *get(rows[i].Jitter))
		}
		*get(&figures) = medianOf(values)
	}
	figures.Causes = nil
	m.Jitter = &figures
	return m
}
