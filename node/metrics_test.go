package node

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A name with several labels must export: Prometheus refuses a whole scrape over two help texts of one name.
func TestMetricsOfANodeCanBeGathered(t *testing.T) {
	c := newCluster(t, 1, "durable", t.TempDir())
	registry := prometheus.NewRegistry()
	registry.MustRegister(counterCollector{c.nodes[0].counters})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range families {
		found[f.GetName()] = true
		if f.GetName() == "lockstep_journal_write_seconds" {
			h := f.GetMetric()[0].GetHistogram()
			if h == nil || h.GetSampleCount() == 0 || len(h.GetBucket()) < 20 {
				t.Errorf("%s is no histogram of the writes so far: %v", f.GetName(), f.GetMetric()[0])
			}
		}
	}
	for _, name := range []string{"lockstep_term", "lockstep_datagrams_dropped_total", "lockstep_messages_ignored_total",
		"lockstep_journal_write_seconds"} {
		if !found[name] {
			t.Errorf("%s is not exported", name)
		}
	}
}
