package node

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// minimal is the least that a config file can say.
const minimal = `
node = 1
dir = "/var/lib/lockstep"
[[cluster.nodes]]
id = 1
data = "10.0.0.1:7400"
control = "10.0.0.1:7500"
`

// three has three nodes, this one among them.
func three() Config {
	c := Defaults()
	c.Node, c.Dir = 2, "/tmp/node2"
	c.Cluster.Nodes = []NodeConfig{
		{ID: 1, Data: "10.0.0.1:7400", Control: "10.0.0.1:7500"},
		{ID: 2, Data: "10.0.0.2:7400", Control: "10.0.0.2:7500"},
		{ID: 3, Data: "10.0.0.3:7400", Control: "10.0.0.3:7500"},
	}
	return c
}

func TestMinimalFileTakesTheDefaults(t *testing.T) {
	got, err := Parse(minimal)
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Node, want.Dir = 1, "/var/lib/lockstep"
	want.Cluster.Nodes = []NodeConfig{{ID: 1, Data: "10.0.0.1:7400", Control: "10.0.0.1:7500"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestSampleIsTheDefaults keeps what --print-config shows true.
func TestSampleIsTheDefaults(t *testing.T) {
	sample, err := Parse(Sample)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse(minimal)
	if err != nil {
		t.Fatal(err)
	}
	if len(sample.Threads.Cores) == 0 {
		sample.Threads.Cores = nil // an empty list is no list
	}
	if !reflect.DeepEqual(sample, want) {
		t.Errorf("the sample says %+v\nthe defaults are %+v", sample, want)
	}
}

func TestEveryKeyIsInTheSample(t *testing.T) {
	fields := fieldKeys(reflect.TypeFor[Config](), "")
	sample := Keys()
	slices.Sort(fields)
	slices.Sort(sample)
	if !slices.Equal(fields, sample) {
		t.Errorf("the config has  %v\nthe sample has %v", fields, sample)
	}
}

// fieldKeys lists the keys that a struct is read from, tables included.
func fieldKeys(of reflect.Type, prefix string) []string {
	var keys []string
	for i := range of.NumField() {
		f := of.Field(i)
		key := prefix + f.Tag.Get("toml")
		keys = append(keys, key)
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			keys = append(keys, fieldKeys(inner, key+".")...)
		}
	}
	return keys
}

// TestEveryKeyIsExplained wants prose right above every key of the sample; keys that stand together share it.
func TestEveryKeyIsExplained(t *testing.T) {
	explained := false
	for line := range strings.Lines(Sample) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			explained = true
		case line == "":
			explained = false
		case strings.HasPrefix(line, "["):
			// A table's first key has prose of its own, or the table has it for all.
		case !explained:
			t.Errorf("nothing explains %q", line)
		}
	}
}

func TestUnknownKeyIsRefusedByName(t *testing.T) {
	cases := []struct{ text, names, proposes string }{
		{"ndoe = 1\n", `"ndoe"`, `did you mean "node"?`},
		{minimal + "[transport]\nknd = \"udp\"\n", `"transport.knd"`, `did you mean "transport.kind"?`},
		{minimal + "[journal]\nsegment_byte = 1\n", `"journal.segment_byte"`, `did you mean "journal.segment_bytes"?`},
		{minimal + "[elections]\ntimeout_min_ms = 150\n", `"elections"`, `did you mean "election"?`},
		{strings.Replace(minimal, "data =", "date =", 1), `"cluster.nodes.date"`, `did you mean "cluster.nodes.data"?`},
		{minimal + "[metrics]\nendpoint = \"x\"\n", `"metrics"`, "lockstep node --print-config"},
	}
	for _, c := range cases {
		_, err := Parse(c.text)
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.names) ||
			!strings.Contains(err.Error(), c.proposes) {
			t.Errorf("got %v\nwant an error that names %s and says %s", err, c.names, c.proposes)
		}
	}
}

func TestWrongTypeNamesTheKey(t *testing.T) {
	_, err := Parse(strings.Replace(minimal, "node = 1", `node = "one"`, 1))
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), `"node"`) {
		t.Errorf("got %v, want an error that names the key node", err)
	}
}

func TestValidationNamesTheKey(t *testing.T) {
	cases := []struct {
		key    string
		damage func(c *Config)
	}{
		{"node", func(c *Config) { c.Node = 4 }},
		{"dir", func(c *Config) { c.Dir = "" }},
		{"cluster.rule", func(c *Config) { c.Cluster.Rule = "majority" }},
		{"cluster.group", func(c *Config) { c.Cluster.Group = "239.77.0.1" }},
		{"cluster.group", func(c *Config) { c.Cluster.Group = "10.0.0.9:7401" }},
		{"cluster.ring_bytes", func(c *Config) { c.Cluster.RingBytes = 3 << 20 }},
		{"cluster.ring_bytes", func(c *Config) { c.Cluster.RingBytes = 1 << 19 }},
		{"cluster.sessions", func(c *Config) { c.Cluster.Sessions = 0 }},
		{"cluster.kept_responses", func(c *Config) { c.Cluster.Responses = 100 }},
		{"cluster.kept_bytes", func(c *Config) { c.Cluster.KeptBytes = 1 }},
		{"cluster.nodes", func(c *Config) { c.Cluster.Nodes = nil }},
		{"cluster.nodes", func(c *Config) {
			for i := range c.Cluster.Nodes {
				c.Cluster.Nodes[i].Learner = true
			}
		}},
		{"cluster.nodes", func(c *Config) { c.Cluster.Nodes[0].ID = 8 }},
		{"cluster.nodes", func(c *Config) { c.Cluster.Nodes[0].ID = 2 }},
		{"cluster.nodes", func(c *Config) { c.Cluster.Nodes[0].Data = c.Cluster.Nodes[1].Data }},
		{"data", func(c *Config) { c.Cluster.Nodes[2].Data = "node3:7400" }},
		{"control", func(c *Config) { c.Cluster.Nodes[2].Control = "" }},
		{"transport.kind", func(c *Config) { c.Transport.Kind = "tcp" }},
		{"transport.xdp_mode", func(c *Config) { c.Transport.XDPMode = "fast" }},
		{"transport.steering", func(c *Config) { c.Transport.Steering = "magic" }},
		{"transport.interface", func(c *Config) { c.Transport.Kind = "xdp" }},
		{"transport.frame_bytes", func(c *Config) { c.Transport.FrameBytes = 1500 }},
		{"transport.tx_budget", func(c *Config) { c.Transport.TxBudget = 31 }},
		{"transport.queue", func(c *Config) { c.Transport.Queue = -1 }},
		{"transport.busy_poll_us", func(c *Config) { c.Transport.BusyPollUs = -1 }},
		{"transport.multicast_ttl", func(c *Config) { c.Transport.MulticastTTL = 0 }},
		{"journal.segment_bytes", func(c *Config) { c.Journal.SegmentBytes = 1<<20 + 1 }},
		{"journal.sync_interval_us", func(c *Config) { c.Journal.SyncIntervalUs = 0 }},
		{"journal.sync_bytes", func(c *Config) { c.Journal.SyncBytes = c.Cluster.RingBytes }},
		{"snapshot.every_bytes", func(c *Config) { c.Snapshot.EveryBytes = 1<<20 - 1 }},
		{"retention.bytes", func(c *Config) { c.Retention.Bytes = -1 }},
		{"retention.age_s", func(c *Config) { c.Retention.AgeS = -1 }},
		{"retention.archive_wait_bytes", func(c *Config) { c.Retention.ArchiveWaitBytes = -1 }},
		{"election.timeout_min_ms", func(c *Config) { c.Election.TimeoutMinMs = 10 }},
		{"election.timeout_max_ms", func(c *Config) { c.Election.TimeoutMaxMs = c.Election.TimeoutMinMs }},
		{"election.heartbeat_ms", func(c *Config) { c.Election.HeartbeatMs = 100 }},
		{"threads.layout", func(c *Config) { c.Threads.Layout = "one" }},
		{"threads.idle", func(c *Config) { c.Threads.Idle = "sleep" }},
		{"threads.cores", func(c *Config) { c.Threads.Cores = []int{1, 2} }},
		{"limits.window", func(c *Config) { c.Limits.Window = 5000 }},
		{"limits.admit_per_s", func(c *Config) { c.Limits.AdmitPerS = 1 }},
		{"limits.messages_per_s", func(c *Config) { c.Limits.MessagesPerS = -1 }},
		{"tuning.profile", func(c *Config) { c.Tuning.Profile = "boss" }},
		{"tuning.refuse_below", func(c *Config) { c.Tuning.RefuseBelow = 101 }},
		{"tuning.hold_cpu_latency", func(c *Config) { c.Tuning.HoldLatency = "yes" }},
	}
	for _, c := range cases {
		config := three()
		if err := config.Validate(); err != nil {
			t.Fatalf("before any damage: %v", err)
		}
		c.damage(&config)
		err := config.Validate()
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), `"`+c.key+`"`) {
			t.Errorf("damage to %s: %v, want an error that names the key", c.key, err)
		}
	}
}

func TestEncodeAndParseAgree(t *testing.T) {
	want := three()
	want.Cluster.Rule, want.Cluster.Group, want.Cluster.RingBytes = "replicated", "239.1.2.3:9999", 4<<20
	want.Transport = TransportConfig{Kind: "xdp", Interface: "eth1", XDPMode: "native", Queue: 3,
		Steering: "ntuple", FrameBytes: 4096, BusyPollUs: 20, MulticastTTL: 2}
	want.Journal = JournalConfig{SegmentBytes: 8 << 20, SyncIntervalUs: 500, SyncBytes: 8192}
	want.Election = ElectionConfig{TimeoutMinMs: 100, TimeoutMaxMs: 400, HeartbeatMs: 10}
	want.Threads = ThreadsConfig{Layout: "dedicated", Idle: "spin", Cores: []int{2, 3, 4, 5}}
	want.Limits = LimitsConfig{Window: 64, AdmitPerS: 500, MessagesPerS: 7}
	want.Tuning = TuningConfig{Profile: "lab", RefuseBelow: 40, HoldLatency: "off"}
	text, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	_, err := Load("/nonexistent/node.toml")
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "node.toml") {
		t.Errorf("a file that is not there: %v", err)
	}
	file := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(file, []byte(minimal+"[limits]\nwindow = 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), file) {
		t.Errorf("a bad file: %v, want an error that names %s", err, file)
	}
}
