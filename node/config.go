package node

import (
	_ "embed"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"lockstep/transport"
	"lockstep/wire"
)

// Sample is a complete config file: every key there is, with its default and what it means.
//
//go:embed sample.toml
var Sample string

// ErrConfig marks an error that the user mends in the config file; every error of Load and Validate wraps it.
var ErrConfig = errors.New("config")

// Config is what a node's TOML file says. Every key is documented in sample.toml; unknown keys are refused by name.
type Config struct {
	Node      int             `toml:"node"`
	Dir       string          `toml:"dir"`
	Counters  string          `toml:"counters"`
	Cluster   ClusterConfig   `toml:"cluster"`
	Transport TransportConfig `toml:"transport"`
	Journal   JournalConfig   `toml:"journal"`
	Snapshot  SnapshotConfig  `toml:"snapshot"`
	Retention RetentionConfig `toml:"retention"`
	Election  ElectionConfig  `toml:"election"`
	Threads   ThreadsConfig   `toml:"threads"`
	Limits    LimitsConfig    `toml:"limits"`
	Tuning    TuningConfig    `toml:"tuning"`
}

// ClusterConfig is the same on every node; what of it the log's config record holds must agree with it.
type ClusterConfig struct {
	Rule      string       `toml:"rule"`
	Group     string       `toml:"group"`
	RingBytes int64        `toml:"ring_bytes"`
	Sessions  int          `toml:"sessions"`
	Responses int          `toml:"kept_responses"`
	KeptBytes int          `toml:"kept_bytes"`
	Nodes     []NodeConfig `toml:"nodes"`
}

// NodeConfig is one node.
type NodeConfig struct {
	ID      int    `toml:"id"`
	Learner bool   `toml:"learner"`
	Data    string `toml:"data"`
	Control string `toml:"control"`
}

// TransportConfig chooses how datagrams move.
type TransportConfig struct {
	Kind         string `toml:"kind"`
	Interface    string `toml:"interface"`
	XDPMode      string `toml:"xdp_mode"`
	Queue        int    `toml:"queue"`
	Steering     string `toml:"steering"`
	FrameBytes   int    `toml:"frame_bytes"`
	TxBudget     int    `toml:"tx_budget"`
	BusyPollUs   int    `toml:"busy_poll_us"`
	MulticastTTL int    `toml:"multicast_ttl"`
}

// JournalConfig bounds the journal's files and its syncs.
type JournalConfig struct {
	SegmentBytes   int64 `toml:"segment_bytes"`
	SyncIntervalUs int64 `toml:"sync_interval_us"`
	SyncBytes      int64 `toml:"sync_bytes"`
	HungMs         int64 `toml:"hung_ms"`
	ScrubBytesPerS int64 `toml:"scrub_bytes_per_s"`
}

// SnapshotConfig says when snapshots are taken.
type SnapshotConfig struct {
	EveryBytes int64 `toml:"every_bytes"`
}

// RetentionConfig says how much log is kept beyond what a start needs.
type RetentionConfig struct {
	Bytes            int64 `toml:"bytes"`
	AgeS             int64 `toml:"age_s"`
	ArchiveWaitBytes int64 `toml:"archive_wait_bytes"`
}

// ElectionConfig holds the time-outs of consensus.
type ElectionConfig struct {
	TimeoutMinMs int64 `toml:"timeout_min_ms"`
	TimeoutMaxMs int64 `toml:"timeout_max_ms"`
	HeartbeatMs  int64 `toml:"heartbeat_ms"`
	ClockSkewMs  int64 `toml:"clock_skew_ms"`
}

// ThreadsConfig lays agents out on threads.
type ThreadsConfig struct {
	Layout string `toml:"layout"`
	Idle   string `toml:"idle"`
	Cores  []int  `toml:"cores"`
}

// LimitsConfig bounds what clients can take.
type LimitsConfig struct {
	Window       int `toml:"window"`
	AdmitPerS    int `toml:"admit_per_s"`
	MessagesPerS int `toml:"messages_per_s"`
}

// TuningConfig says what of the host is asked for.
type TuningConfig struct {
	Profile     string `toml:"profile"`
	RefuseBelow int    `toml:"refuse_below"`
	HoldLatency string `toml:"hold_cpu_latency"`
}

// Defaults is a config with everything but the node, its directory and the cluster's nodes.
func Defaults() Config {
	return Config{
		Cluster: ClusterConfig{Rule: "durable", Group: "239.77.0.1:7401", RingBytes: 16 << 20,
			Sessions: 16384, Responses: 4096, KeptBytes: 1 << 20},
		Transport: TransportConfig{Kind: "auto", XDPMode: "auto", Steering: "auto", MulticastTTL: 1},
		Journal: JournalConfig{SegmentBytes: 64 << 20, SyncIntervalUs: 10_000, SyncBytes: 1 << 20, HungMs: 1000,
			ScrubBytesPerS: 1 << 20},
		Snapshot:  SnapshotConfig{EveryBytes: 1 << 30},
		Retention: RetentionConfig{Bytes: 4 << 30},
		Election:  ElectionConfig{TimeoutMinMs: 150, TimeoutMaxMs: 225, HeartbeatMs: 20, ClockSkewMs: 1000},
		Threads:   ThreadsConfig{Layout: "shared", Idle: "auto"},
		Limits:    LimitsConfig{Window: 4096, AdmitPerS: 10_000},
		Tuning:    TuningConfig{Profile: "auto", HoldLatency: "auto"},
	}
}

// Load reads a config file over the defaults and validates it.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c, err := Parse(string(text))
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse reads a config from text over the defaults and validates it.
func Parse(text string) (Config, error) {
	c := Defaults()
	meta, err := toml.Decode(text, &c)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return Config{}, fmt.Errorf("%w: unknown key %q%s", ErrConfig, unknown[0], nearestKey(unknown[0].String()))
	}
	return c, c.Validate()
}

// Merge reads more TOML over a config, without validating it: it may still lack what differs between nodes.
func Merge(c *Config, text string) error {
	if _, err := toml.Decode(text, c); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// Validate says what is wrong with a config, naming the key.
func (c *Config) Validate() error {
	for _, check := range []func() error{c.checkCluster, c.checkTransport, c.checkJournal, c.checkRetention,
		c.checkElection, c.checkThreads, c.checkLimits, c.checkTuning} {
		if err := check(); err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	return nil
}

func (c *Config) checkCluster() error {
	if c.Dir == "" {
		return errors.New(`key "dir" is missing: the node's directory, as made by lockstep format`)
	}
	if _, err := c.Rule(); err != nil {
		return err
	}
	group, err := transport.ParseAddr(c.Cluster.Group)
	if err != nil {
		return fmt.Errorf(`key "cluster.group": %w`, err)
	}
	if !group.IsMulticast() {
		return fmt.Errorf(`key "cluster.group": %s is not a multicast group (224.0.0.0/4)`, group)
	}
	if c.Cluster.RingBytes < 1<<20 || bits.OnesCount64(uint64(c.Cluster.RingBytes)) != 1 {
		return fmt.Errorf(`key "cluster.ring_bytes" is %d: want a power of two, 1 MiB (1048576) or more`, c.Cluster.RingBytes)
	}
	if err := c.checkSessions(); err != nil {
		return err
	}
	return c.checkNodes()
}

func (c *Config) checkSessions() error {
	k := &c.Cluster
	if k.Sessions < 1 || k.Sessions > 65536 {
		return fmt.Errorf(`key "cluster.sessions" is %d: want 1 to 65536`, k.Sessions)
	}
	if k.Responses < 16 || k.Responses > 65536 || bits.OnesCount(uint(k.Responses)) != 1 {
		return fmt.Errorf(`key "cluster.kept_responses" is %d: want a power of two, 16 to 65536`, k.Responses)
	}
	if k.KeptBytes < 64<<10 || k.KeptBytes > 64<<20 || bits.OnesCount(uint(k.KeptBytes)) != 1 {
		return fmt.Errorf(`key "cluster.kept_bytes" is %d: want a power of two, 65536 to 67108864`, k.KeptBytes)
	}
	return nil
}

func (c *Config) checkNodes() error {
	if n := len(c.Cluster.Nodes); n < 1 || n > wire.MaxNodes {
		return fmt.Errorf(`key "cluster.nodes" lists %d nodes: want 1 to %d`, n, wire.MaxNodes)
	}
	var ids []int
	var addrs []string
	for _, n := range c.Cluster.Nodes {
		if n.ID < 1 || n.ID > wire.MaxNodes {
			return fmt.Errorf(`key "cluster.nodes": id %d is outside 1..%d`, n.ID, wire.MaxNodes)
		}
		if _, err := transport.ParseAddr(n.Data); err != nil {
			return fmt.Errorf(`key "cluster.nodes", node %d, "data": %w`, n.ID, err)
		}
		if _, err := transport.ParseAddr(n.Control); err != nil {
			return fmt.Errorf(`key "cluster.nodes", node %d, "control": %w`, n.ID, err)
		}
		if slices.Contains(ids, n.ID) {
			return fmt.Errorf(`key "cluster.nodes": id %d is given twice`, n.ID)
		}
		if slices.Contains(addrs, n.Data) {
			return fmt.Errorf(`key "cluster.nodes": address %s is given twice`, n.Data)
		}
		ids, addrs = append(ids, n.ID), append(addrs, n.Data)
	}
	if c.voters() == 0 {
		return errors.New(`key "cluster.nodes" lists learners only: somebody has to lead`)
	}
	if !slices.Contains(ids, c.Node) {
		return fmt.Errorf(`key "node" is %d, which "cluster.nodes" does not list`, c.Node)
	}
	return nil
}

func (c *Config) checkTransport() error {
	t := &c.Transport
	if err := oneOf("transport.kind", t.Kind, "auto", "xdp", "udp"); err != nil {
		return err
	}
	if err := oneOf("transport.xdp_mode", t.XDPMode, "auto", "native", "generic", "zero-copy"); err != nil {
		return err
	}
	if err := oneOf("transport.steering", t.Steering, "auto", "ntuple", "hash", "channels", "manual", "off"); err != nil {
		return err
	}
	if t.Kind == "xdp" && t.Interface == "" {
		return errors.New(`key "transport.interface" is missing: AF_XDP needs to know which interface`)
	}
	if t.FrameBytes != 0 && t.FrameBytes != 2048 && t.FrameBytes != 4096 {
		return fmt.Errorf(`key "transport.frame_bytes" is %d: want 0, 2048 or 4096`, t.FrameBytes)
	}
	if t.TxBudget != 0 && (t.TxBudget < 32 || t.TxBudget > 2048) {
		return fmt.Errorf(`key "transport.tx_budget" is %d: want 0 or 32 to 2048`, t.TxBudget)
	}
	if t.Queue < 0 || t.BusyPollUs < 0 || t.MulticastTTL < 1 || t.MulticastTTL > 255 {
		return errors.New(`keys "transport.queue" and "transport.busy_poll_us" must be 0 or more, "transport.multicast_ttl" 1 to 255`)
	}
	return nil
}

func (c *Config) checkJournal() error {
	j := &c.Journal
	if j.SegmentBytes < 1<<20 || j.SegmentBytes%4096 != 0 {
		return fmt.Errorf(`key "journal.segment_bytes" is %d: want a multiple of 4096, 1 MiB (1048576) or more`, j.SegmentBytes)
	}
	if j.SyncIntervalUs < 100 || j.SyncIntervalUs > 1_000_000 {
		return fmt.Errorf(`key "journal.sync_interval_us" is %d: want 100 to 1000000`, j.SyncIntervalUs)
	}
	if j.SyncBytes < 4096 || j.SyncBytes > c.Cluster.RingBytes/4 {
		return fmt.Errorf(`key "journal.sync_bytes" is %d: want 4096 to a quarter of cluster.ring_bytes`, j.SyncBytes)
	}
	if j.HungMs != 0 && (j.HungMs < 100 || j.HungMs > 60_000) {
		return fmt.Errorf(`key "journal.hung_ms" is %d: want 100 to 60000, or 0: a disk that hangs is waited for`, j.HungMs)
	}
	if j.ScrubBytesPerS < 0 || j.ScrubBytesPerS > 1<<30 {
		return fmt.Errorf(`key "journal.scrub_bytes_per_s" is %d: want 0 (off) to 1 GiB (1073741824)`, j.ScrubBytesPerS)
	}
	return nil
}

func (c *Config) checkRetention() error {
	if every := c.Snapshot.EveryBytes; every != 0 && (every < 1<<20 || every > 1<<40) {
		return fmt.Errorf(`key "snapshot.every_bytes" is %d: want 1 MiB (1048576) to 1 TiB (1099511627776), or 0: snapshots are `+
			"taken only when asked for", every)
	}
	r := &c.Retention
	if r.Bytes < 0 || r.Bytes > 1<<50 {
		return fmt.Errorf(`key "retention.bytes" is %d: want 0 to 1 PiB (1125899906842624)`, r.Bytes)
	}
	if r.AgeS < 0 || r.AgeS > 100*365*86400 {
		return fmt.Errorf(`key "retention.age_s" is %d: want 0 to 3153600000`, r.AgeS)
	}
	if r.ArchiveWaitBytes < 0 || r.ArchiveWaitBytes > 1<<50 {
		return fmt.Errorf(`key "retention.archive_wait_bytes" is %d: want 0 (archives are not waited for) to 1 PiB `+
			"(1125899906842624)", r.ArchiveWaitBytes)
	}
	return nil
}

func (c *Config) checkElection() error { return c.Election.Check() }

// Check says which time cannot be: too short to be safe on a machine that others use too, or out of proportion.
func (e *ElectionConfig) Check() error {
	// A stop-the-world waits for the safe point of a pinned thread (10 ms): nothing below five of those.
	if e.TimeoutMinMs < 50 || e.TimeoutMaxMs < e.TimeoutMinMs*3/2 || e.TimeoutMaxMs > 60_000 {
		return fmt.Errorf(`keys "election.timeout_min_ms" and "election.timeout_max_ms" are %d and %d: `+
			"want 50 or more, and the second 1.5 times the first or more, at most 60000", e.TimeoutMinMs, e.TimeoutMaxMs)
	}
	if e.HeartbeatMs < 1 || e.HeartbeatMs*3 > e.TimeoutMinMs {
		return fmt.Errorf(`key "election.heartbeat_ms" is %d: want 1 to a third of election.timeout_min_ms`, e.HeartbeatMs)
	}
	if e.ClockSkewMs != 0 && (e.ClockSkewMs < 50 || e.ClockSkewMs > 3_600_000) {
		return fmt.Errorf(`key "election.clock_skew_ms" is %d: want 50 to 3600000, or 0: clocks are not compared`,
			e.ClockSkewMs)
	}
	return nil
}

func (c *Config) checkThreads() error {
	if err := oneOf("threads.layout", c.Threads.Layout, "shared", "dedicated"); err != nil {
		return err
	}
	if err := oneOf("threads.idle", c.Threads.Idle, "auto", "spin", "yield", "park"); err != nil {
		return err
	}
	if want := c.hotThreads(); len(c.Threads.Cores) != 0 && len(c.Threads.Cores) != want {
		return fmt.Errorf(`key "threads.cores" lists %d cores: layout %s wants %d, or none (not pinned)`,
			len(c.Threads.Cores), c.Threads.Layout, want)
	}
	return nil
}

func (c *Config) checkTuning() error {
	t := &c.Tuning
	if err := oneOf("tuning.profile", t.Profile, "auto", "leader", "follower", "client", "lab"); err != nil {
		return err
	}
	if err := oneOf("tuning.hold_cpu_latency", t.HoldLatency, "auto", "on", "off"); err != nil {
		return err
	}
	if t.RefuseBelow < 0 || t.RefuseBelow > 100 {
		return fmt.Errorf(`key "tuning.refuse_below" is %d: want 0 to 100`, t.RefuseBelow)
	}
	return nil
}

func (c *Config) checkLimits() error {
	l := &c.Limits
	if l.Window < 1 || l.Window > 4096 {
		return fmt.Errorf(`key "limits.window" is %d: want 1 to 4096`, l.Window)
	}
	if l.AdmitPerS < 10 || l.AdmitPerS > 10_000_000 {
		return fmt.Errorf(`key "limits.admit_per_s" is %d: want 10 to 10000000`, l.AdmitPerS)
	}
	if l.MessagesPerS < 0 || l.MessagesPerS > 10_000_000 {
		return fmt.Errorf(`key "limits.messages_per_s" is %d: want 1 to 10000000, or 0: as many as go`, l.MessagesPerS)
	}
	return nil
}

// hotThreads is how many threads the layout keeps busy, and so how many cores it can be given.
func (c *Config) hotThreads() int {
	if c.Threads.Layout == "dedicated" {
		return 4
	}
	return 1
}

// Rule is the commit rule as the wire has it.
func (c *Config) Rule() (wire.CommitRule, error) {
	switch c.Cluster.Rule {
	case "durable":
		return wire.RuleDurable, nil
	case "replicated":
		return wire.RuleReplicated, nil
	}
	return 0, fmt.Errorf(`key "cluster.rule" is %q: want "durable" or "replicated"`, c.Cluster.Rule)
}

// voters is how many nodes vote.
func (c *Config) voters() (count int) {
	for _, n := range c.Cluster.Nodes {
		if !n.Learner {
			count++
		}
	}
	return count
}

// Self is this node's own entry.
func (c *Config) Self() NodeConfig {
	i := slices.IndexFunc(c.Cluster.Nodes, func(n NodeConfig) bool { return n.ID == c.Node })
	return c.Cluster.Nodes[i]
}

// Encode writes the config as TOML.
func (c *Config) Encode() (string, error) {
	var b strings.Builder
	if err := toml.NewEncoder(&b).Encode(c); err != nil {
		return "", err
	}
	return b.String(), nil
}

func oneOf(key, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("key %q is %q: want one of %s", key, value, strings.Join(allowed, ", "))
}

// nearestKey proposes the known key that differs least from a misspelt one; empty when none is near.
func nearestKey(unknown string) string {
	best, bestDistance := "", 4
	for _, key := range Keys() {
		if d := editDistance(unknown, key); d < bestDistance {
			best, bestDistance = key, d
		}
	}
	if best == "" {
		return " (lockstep node --print-config shows every key there is)"
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// Keys lists every key of the config file, dotted.
func Keys() []string {
	var sample map[string]any
	meta, err := toml.Decode(Sample, &sample)
	if err != nil {
		panic("node: sample.toml does not parse: " + err.Error())
	}
	var keys []string
	for _, k := range meta.Keys() {
		if s := k.String(); !slices.Contains(keys, s) {
			keys = append(keys, s)
		}
	}
	return keys
}

// editDistance is the Levenshtein distance.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
