package node

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"lockstep/agent"
	"lockstep/internal/counters"
)

func TestAMinuteForgets(t *testing.T) {
	var m minute
	if m.longest() != 0 || m.grown() != 0 {
		t.Error("an empty minute holds something")
	}
	for i := range uint64(30) {
		m.add(100 - i)
	}
	if m.longest() != 100 {
		t.Errorf("the longest of 30 seconds is %d", m.longest())
	}
	m = minute{}
	for i := range uint64(200) {
		m.add(3 * i)
		if want := 3 * min(i, 59); m.grown() != want {
			t.Fatalf("second %d: grown by %d, want %d", i, m.grown(), want)
		}
	}
	m.add(0)
	for range 59 {
		m.add(7)
	}
	if m.longest() != 7 {
		t.Errorf("the longest of a minute is %d, want 7", m.longest())
	}
}

func TestProcessAlarms(t *testing.T) {
	const limit = 37_500_000
	for name, c := range map[string]struct {
		process ProcessStatus
		want    string // part of the one alarm; empty: none
	}{
		"nothing":        {ProcessStatus{GapLimitNs: limit, GCMinute: gcAlarmMinute, GCCycles: 1 << 20}, ""},
		"collecting":     {ProcessStatus{GCMinute: gcAlarmMinute + 1, Heap: 3 << 20, MemoryLimit: 9 << 20}, "61 garbage collections"},
		"swapped":        {ProcessStatus{Swapped: 4096, Memory: "not locked: x"}, "4 KiB of the process are swapped out (memory is not locked: x)"},
		"short gaps":     {ProcessStatus{GapLimitNs: limit, Threads: []ThreadStatus{{Name: "node", GapMinute: limit, GapMax: 1e9}}}, ""},
		"a long gap":     {ProcessStatus{GapLimitNs: limit, Threads: []ThreadStatus{{Name: "node", GapMinute: limit + 1}}}, "thread node did not run for 38ms"},
		"old long gap":   {ProcessStatus{GapLimitNs: limit, Threads: []ThreadStatus{{Name: "node", GapMax: 1e9}}}, ""},
		"blocking ones":  {ProcessStatus{GapLimitNs: limit, Threads: []ThreadStatus{{Name: "journal"}}}, ""},
		"a moved thread": {ProcessStatus{Threads: []ThreadStatus{{Name: "core", Core: "2", Cores: "0-3"}}}, "core may run on cores 0-3, its own is 2"},
		"one in place":   {ProcessStatus{Threads: []ThreadStatus{{Name: "core", Core: "2", Cores: "2"}, {Name: "ended", Core: "3"}}}, ""},
		"without limits": {ProcessStatus{}, ""},
	} {
		s := Status{Process: c.process}
		got := s.Alarms()
		if c.want == "" && len(got) != 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTheLongestPauseIsTheLastBucketThatHoldsSomething(t *testing.T) {
	inf := math.Inf(1)
	for want, h := range map[uint64]*metrics.Float64Histogram{
		0:         {Counts: []uint64{0, 0}, Buckets: []float64{0, 1, 2}},
		1_000_000: {Counts: []uint64{3, 1, 0}, Buckets: []float64{0, 0.0005, 0.001, 1}},
		2_000_000: {Counts: []uint64{3, 1}, Buckets: []float64{0, 0.002, inf}},
	} {
		if got := longestNs(h); got != want {
			t.Errorf("%v: %d, want %d", h, got, want)
		}
	}
}

// TestTheWatchCountsWhatTheProcessDoes: collections, memory, and a hot thread's gap and page faults.
func TestTheWatchCountsWhatTheProcessDoes(t *testing.T) {
	file, err := counters.Create("", 64)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	hot := &thread{agent: agent.NewComposite("hot"), hot: true}
	hot.runner = agent.NewRunner(hot.agent, agent.RunnerOptions{CPU: agent.NoCPU, Idle: agent.Yield{}, Clock: agent.System{}, Gaps: file})
	n := &Node{counters: file, threads: []thread{*hot, {agent: agent.NewComposite("journal")}}}
	w := newWatch(n)
	if err := hot.runner.Start(); err != nil {
		t.Fatal(err)
	}
	w.look()
	if err := hot.runner.Stop(); err != nil {
		t.Fatal(err)
	}
	file.Counter(agent.GapCounter("hot", "second"), "").Set(5e9)
	w.look() // the thread is gone: what it had stays
	for name, least := range map[string]uint64{
		`lockstep_thread_gap_ns{thread="hot",of="minute"}`: 5e9, "lockstep_memory_resident_bytes": 1 << 20,
		"lockstep_heap_bytes": 1 << 10,
	} {
		if got := n.gauge(name); got < least {
			t.Errorf("%s is %d, want %d or more", name, got, least)
		}
	}
}

// freePorts finds a port that nobody has at the moment, for each of UDP and TCP.
func freePorts(t *testing.T) (data, control string) {
	t.Helper()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	return udp.LocalAddr().String(), tcp.Addr().String()
}

// runAlone runs a cluster of one node on this machine until the test ends, and returns its control address.
func runAlone(t *testing.T, edit func(*Config)) string {
	t.Helper()
	config := Defaults()
	config.Node, config.Dir, config.Counters = 1, t.TempDir(), t.TempDir()+"/counters"
	config.Cluster.RingBytes, config.Journal.SyncBytes = 1<<20, 1<<18
	data, control := freePorts(t)
	config.Cluster.Nodes = []NodeConfig{{ID: 1, Data: data, Control: control}}
	edit(&config)
	if _, err := Format(t.Context(), config.Dir, 1, 0, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, Real(), config, io.Discard) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return control
}

// TestStatusTellsHowTheProcessIsHeldToItsWork on a node that runs, in both layouts.
func TestStatusTellsHowTheProcessIsHeldToItsWork(t *testing.T) {
	for layout, hot := range map[string]string{"shared": "node", "dedicated": "core network service"} {
		t.Run(layout, func(t *testing.T) {
			control := runAlone(t, func(c *Config) { c.Threads.Layout, c.Threads.Idle = layout, "park" })
			var p ProcessStatus
			looked := false
			for deadline := time.Now().Add(time.Minute); !looked && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
				if s, err := FetchStatus(t.Context(), control); err == nil {
					p = s.Process
				}
				looked = p.Resident > 0 && len(p.Threads) > 0 && p.Threads[len(p.Threads)-1].Cores != "" &&
					strings.Contains(fetchMetrics(t, control), "lockstep_memory_resident_bytes ")
			}
			if !looked || !strings.Contains(p.Memory, "locked") || p.Processors < 3 || p.GapLimitNs != 37_500_000 {
				t.Fatalf("the status says %+v", p)
			}
			parts := map[string]bool{}
			for _, m := range p.Mapped {
				if parts[m.What] = true; m.Bytes < 1<<20 || m.Pages == "" || (m.Kind == "small") != (m.Large == 0) {
					t.Errorf("memory %+v", m)
				}
			}
			if !parts["log ring"] || !parts["answers"] || !parts["journal"] || parts["received"] != (layout == "dedicated") {
				t.Errorf("memory is mapped for %v", parts)
			}
			text := fetchMetrics(t, control)
			for _, x := range p.Threads {
				if x.Hot != strings.Contains(" "+hot+" ", " "+x.Name+" ") {
					t.Errorf("thread %s: hot %v", x.Name, x.Hot)
				}
				name := fmt.Sprintf(`lockstep_thread_gap_ns{of="max",thread=%q} `, x.Name)
				if _, after, told := strings.Cut(text, name); told != x.Hot || x.Hot && strings.HasPrefix(after, "0\n") {
					t.Errorf("metrics have %q: %v, with %.10q", name, told, after)
				}
				if x.Hot && (x.GapMax == 0 || x.Idle != "park" || x.Pinned) || !x.Hot && x.Idle != "blocks" || x.Cores == "" {
					t.Errorf("thread %+v", x)
				}
			}
		})
	}
}

func fetchMetrics(t *testing.T, control string) string {
	t.Helper()
	response, err := http.Get("http://" + control + pathMetrics)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
