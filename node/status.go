package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/agent/tsc"
	"lockstep/internal/counters"
	"lockstep/replica"
	"lockstep/tuning"
)

// Status is what /status answers.
type Status struct {
	Node        int               `json:"node"`
	Cluster     string            `json:"cluster"`
	Incarnation string            `json:"incarnation"`
	Run         uint32            `json:"run"`
	Revision    string            `json:"revision"`
	Uptime      string            `json:"uptime"`
	Role        string            `json:"role"` // of consensus; learner: a follower without a say
	Term        uint64            `json:"term"`
	Leader      int               `json:"leader"`
	LeaderSince *time.Time        `json:"leader_since,omitempty"`
	Recovering  string            `json:"recovering,omitempty"`
	DiskFull    bool              `json:"disk_full"`
	LastTerm    uint64            `json:"last_term"`
	LastCheck   uint32            `json:"last_checksum"`
	DiskHung    bool              `json:"disk_hung"`
	ClockSkewed bool              `json:"clock_skewed"`
	ClockOffset uint64            `json:"clock_offset_us"`
	Append      uint64            `json:"append"`
	Durable     uint64            `json:"durable"`
	Commit      uint64            `json:"commit"`
	Applied     uint64            `json:"applied"`
	StateAt     uint64            `json:"state_position"`
	StateHash   string            `json:"state_hash"`
	Halted      string            `json:"halted,omitempty"`
	Version     uint32            `json:"version"`             // highest behaviour version of the build
	InForce     uint32            `json:"version_in_force"`    // as the services act here
	Followers   []Follower        `json:"followers,omitempty"` // of a leader: what it heard of the others
	Rule        string            `json:"rule"`
	Transport   string            `json:"transport"`
	Journal     string            `json:"journal"`
	Damage      []string          `json:"damage,omitempty"`
	LogFloor    uint64            `json:"log_floor"`
	LogDisk     uint64            `json:"log_disk_bytes"`
	Snapshots   []SnapshotStatus  `json:"snapshots,omitempty"`
	Fetch       *Download         `json:"fetch,omitempty"`     // of a snapshot
	Installed   uint64            `json:"installed,omitempty"` // another node's snapshot that this run began at
	DiskWrite   Latency           `json:"disk_write"`
	DiskSync    Latency           `json:"disk_sync"`
	Stages      []StageStatus     `json:"stages,omitempty"` // of messages that this node led
	Stamps      string            `json:"stamps"`           // the clock that they are stamped with
	Layout      string            `json:"layout"`
	Idle        string            `json:"idle"`
	Dropped     map[string]uint64 `json:"dropped"`
	Counters    string            `json:"counters"` // the mapped file
	GCCycles    uint64            `json:"gc_cycles"`
	HostScore   uint64            `json:"host_score"`
	Host        []tuning.Finding  `json:"host"` // what was not as wanted at start
	Services    []ServiceStatus   `json:"services"`
	WorkMax     uint64            `json:"work_max"`    // of one record, since the start: units of work
	OutputsMax  uint64            `json:"outputs_max"` // responses and changes of timers
	OutputBytes uint64            `json:"output_bytes_max"`

	Process ProcessStatus `json:"process"`

	SnapshotRecord   uint64 `json:"snapshot_record"`   // end of the newest one that asks for a snapshot, as applied here
	SnapshotVerified uint64 `json:"snapshot_verified"` // newest position that a majority has verified, as known here
}

// Follower is how far another node is, as the leader heard it in its term.
type Follower struct {
	Node    int    `json:"node"`
	Learner bool   `json:"learner,omitempty"`
	Append  uint64 `json:"append"`
	Durable uint64 `json:"durable"`
	Counts  bool   `json:"counts"` // towards a majority
}

// roleLearner is the role that status shows of a learner.
const roleLearner = "learner"

// DroppedTotal is how many datagrams were dropped, whatever the reason.
func (s *Status) DroppedTotal() uint64 {
	total := uint64(0)
	for _, n := range s.Dropped {
		total += n
	}
	return total
}

// Status collects the status. Any goroutine.
func (n *Node) Status() Status {
	driver := n.driver.Status()
	s := Status{
		Node: n.config.Node, Cluster: ClusterString(n.identity.Cluster),
		Incarnation: fmt.Sprintf("%016x", n.identity.Incarnation), Run: n.identity.Run, Revision: Revision,
		Uptime: time.Since(n.startedAt).Round(time.Second).String(),
		Role:   replica.Role(n.gauge("lockstep_role")).String(), Term: n.gauge("lockstep_term"),
		Leader: int(n.gauge("lockstep_leader")), DiskFull: n.gauge("lockstep_disk_full") == 1,
		LastTerm: n.gauge("lockstep_last_term"), LastCheck: uint32(n.gauge("lockstep_last_checksum")),
		DiskHung: n.gauge("lockstep_disk_hung") == 1, ClockSkewed: n.gauge("lockstep_clock_skewed") == 1,
		ClockOffset: n.gauge("lockstep_clock_offset_us"),
		Append:      n.ring.Append(), Durable: n.durable.Load(), Commit: uint64(n.progress.Commit()),
		Applied: uint64(driver.Applied), StateAt: uint64(driver.StatePosition),
		StateHash: fmt.Sprintf("%016x", driver.StateHash), Rule: n.config.Cluster.Rule,
		Transport: n.transport.Describe(), Journal: n.journal.Describe(), Layout: n.config.Threads.Layout,
		Idle: fmt.Sprintf("%s (%s)", n.idle, n.idleWhy), Dropped: map[string]uint64{}, GCCycles: readGC().cycles,
		HostScore: n.gauge("lockstep_tuning_score"), Host: n.findings, Counters: n.counters.Path(), Version: n.version(), InForce: driver.Version,
	}
	snapshot, _ := n.progress.Snapshot()
	verified, _ := n.progress.Verified()
	s.SnapshotRecord, s.SnapshotVerified = uint64(snapshot), uint64(verified)
	if ms := n.gauge("lockstep_leader_since_ms"); ms != 0 {
		since := time.UnixMilli(int64(ms)).UTC()
		s.LeaderSince = &since
	}
	if n.config.Self().Learner {
		s.Role = roleLearner
	}
	if s.Role == replica.Leader.String() {
		s.Followers = n.followers()
	}

	s.Stages, s.Stamps = n.stageStatus(), tsc.Describe()
	n.addDisk(&s)
	n.addServices(&s)
	n.addProcess(&s)
	if n.gauge("lockstep_recovering") == 1 {
		s.Recovering = n.whyRecovering()
	}
	if driver.Halt != nil {
		s.Halted = driver.Halt.String()
	}
	n.counters.Each(func(name, _ string, value uint64) {
		if reason, ok := dropReason(name); ok && value > 0 {
			s.Dropped[reason] = value
		}
	})
	return s
}

// followers is what this leader heard of the others.
func (n *Node) followers() (list []Follower) {
	for _, peer := range n.config.Cluster.Nodes {
		if peer.ID == n.config.Node {
			continue
		}
		label := fmt.Sprintf(`{node="%d"}`, peer.ID)
		list = append(list, Follower{Node: peer.ID, Learner: peer.Learner,
			Append: n.gauge("lockstep_follower_append_position" + label), Counts: n.gauge("lockstep_follower_counts"+label) == 1,
			Durable: n.gauge("lockstep_follower_durable_position" + label)})
	}
	return list
}

// dropReason is the reason that a counter of dropped datagrams counts. What is longer than a frame arrives in fragments:
// AF_XDP leaves them to the kernel, which has nobody to give them to.
func dropReason(counter string) (reason string, ok bool) {
	if counter == `lockstep_xdp_program_total{decision="fragment"}` {
		return "fragment", true
	}
	for _, prefix := range []string{"lockstep_datagrams_dropped_total", "lockstep_transport_dropped_total"} {
		if reason, ok := strings.CutPrefix(counter, prefix+`{reason="`); ok {
			return strings.TrimSuffix(reason, `"}`), true
		}
	}
	return "", false
}

func (n *Node) gauge(name string) uint64 { return n.counters.Counter(name, "").Load() }

// FetchStatus asks a node's control plane.
func FetchStatus(ctx context.Context, control string) (Status, error) {
	return FetchStatusBy(ctx, http.DefaultClient, control)
}

// FetchStatusBy asks with a client of the caller's: one that dials from another place.
func FetchStatusBy(ctx context.Context, client *http.Client, control string) (Status, error) {
	var s Status
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	response, body, err := ask(ctx, client, http.MethodGet, control, pathStatus, nil)
	if err != nil {
		return s, err
	}
	if response.StatusCode != http.StatusOK {
		return s, fmt.Errorf("%s answers %s", control, response.Status)
	}
	return s, json.Unmarshal(body, &s)
}

// counterCollector exports the mapped counters to Prometheus.
type counterCollector struct{ file *counters.File }

// Describe implements prometheus.Collector: nothing in advance, counters come and go.
func (counterCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c counterCollector) Collect(out chan<- prometheus.Metric) {
	helpOf := map[string]string{} // one for all labels of a name
	c.file.Histograms(func(d counters.Distribution) {
		metric, err := prometheus.NewConstHistogram(prometheus.NewDesc(d.Name, d.Help, nil, nil),
			d.Count, float64(d.SumNs)/1e9, d.Cumulative())
		if err == nil {
			out <- metric
		}
	})
	c.file.Each(func(name, help string, value uint64) {
		if _, part := counters.HistogramOf(name); part {
			return
		}
		base, labels, values := splitName(name)
		if first, ok := helpOf[base]; ok {
			help = first
		}
		helpOf[base] = help
		kind := prometheus.GaugeValue
		if strings.HasSuffix(base, "_total") {
			kind = prometheus.CounterValue
		}
		metric, err := prometheus.NewConstMetric(prometheus.NewDesc(base, help, labels, nil), kind, float64(value), values...)
		if err == nil {
			out <- metric
		}
	})
}

// splitName takes `name{a="x",b="y"}` apart.
func splitName(name string) (base string, labels, values []string) {
	base, rest, found := strings.Cut(name, "{")
	if !found {
		return base, nil, nil
	}
	for pair := range strings.SplitSeq(strings.TrimSuffix(rest, "}"), ",") {
		label, value, _ := strings.Cut(pair, "=")
		labels, values = append(labels, label), append(values, strings.Trim(value, `"`))
	}
	return base, labels, values
}
