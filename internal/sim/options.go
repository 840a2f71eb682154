package sim

import (
	"math/rand/v2"

	"lockstep/service"
)

// Options are one world's: drawn from its seed.
type Options struct {
	Profile   Profile
	Nodes     int    // voters
	Learners  int    // beside them
	Rule      string // commit rule
	Unlimited bool   // faults beyond the budget: only safety is checked
	SafetyNs  int64  // virtual time in which everything fails
	MTU       int
	Network   NetworkOptions
	Disk      DiskOptions
	Clock     ClockOptions
	Clients   ClientOptions
	Faults    FaultOptions
	Store     StoreOptions

	TimeoutMinMs, TimeoutMaxMs, HeartbeatMs int64
	HungMs, ClockSkewMs                     int64 // when a disk counts as hung, a clock as wrong; 0: never
	IdleTickNs                              int64 // an agent with nothing to do looks again after this at the latest
	BusyTickNs                              int64 // an agent that did something has its next turn within this
	SegmentBytes, RingBytes                 int64
	SyncIntervalUs                          int64
	Window                                  int // of sessions, as nodes grant it
	SessionNs                               int64
	Sessions                                int // open at once
	Acks                                    int // acknowledgements outstanding
	AdmitPerS, MessagesPerS, Assemblies     int // 0: the defaults
}

// NetworkOptions are probabilities, and times in nanoseconds.
type NetworkOptions struct {
	Loss, Duplicate, Reorder, Replay, Corrupt float64
	DelayMinNs, DelayMeanNs                   int64
	Short                                     float64 // a turn receives a part of what is there, or sends nothing
	Capacity                                  int     // packets in flight, for each link
}

// DiskOptions say how a disk behaves.
type DiskOptions struct {
	DelayNs int64 // mean time from a demand to the journal's turn
	Direct  bool
}

// ClockOptions bound how far the nodes' clocks are off.
type ClockOptions struct {
	DriftPPM     int64
	WallOffsetNs int64
}

// ClientOptions describe the load.
type ClientOptions struct {
	Clients   int
	Messages  int   // of each, all its sessions together
	PauseNs   int64 // mean time between two sends
	Burst     int
	Window    uint32
	Payload   int   // longest
	Books     int   // percent of messages to the order book
	Alarms    int   // percent of messages that set timers
	Mixed     int   // percent of messages to the services that internal/mixflow draws for, and transactions
	Long      int   // percent of messages that fit no datagram
	LongBytes int   // longest of these
	OutcomeNs int64 // after which a message that is still open is said to be unknown; 0: the client's default
	GiveUpNs  int64 // the same, after which a session without a node ends
	Levels    uint8
	Reconnect bool // sessions end and new ones begin
}

// FaultOptions say which faults happen, and how often.
type FaultOptions struct {
	EveryNs int64 // mean time between two
	Kinds   uint32
}

// limits are the build's limits in a small world.
var limits = struct {
	Service service.Limits
}{service.Limits{KeptResponses: 256, KeptBytes: 64 << 10, Timers: 16, HashEvery: 8 << 10}}

// Draw draws the options of a seed.
func Draw(seed uint64) Options { return DrawAs(seed, ProfileAny) }

// DrawAs draws the options of a seed that are to have a profile.
func DrawAs(seed uint64, profile Profile) Options {
	r := fork(seed, "options")
	o := draw(r)
	if drawn := r.IntN(4 * drawnProfiles); profile == ProfileAny && drawn < drawnProfiles {
		profile = Profile(drawn)
	}
	store := fork(seed, "store")
	if profile == ProfileAny && store.IntN(16) == 0 {
		profile = ProfileStore
	}
	o.as(profile, r)
	alarms := fork(seed, "alarms")
	o.Clients.Alarms = pick(alarms, 0, 0, 5, 20)
	if o.Clients.Mixed = pick(fork(seed, "mixed"), 0, 0, 30, 80); profile == ProfileServices {
		o.Clients.Mixed = 95
	}
	unfit := fork(seed, "unfit")
	if learner := fork(seed, "learner"); o.Nodes > 1 && learner.IntN(6) == 0 {
		o.Learners = 1
	}
	o.HungMs, o.ClockSkewMs = pick[int64](unfit, 0, 100, 500), pick[int64](unfit, 0, 0, 200, 5000)
	o.Clients.Payload = min(o.Clients.Payload, o.MTU-200)
	o.Store = drawStore(profile, store)
	long := fork(seed, "long")
	o.Clients.Long, o.Clients.LongBytes = pick(long, 0, 0, 0, 4, 20), pick(long, 3000, 12000)
	waits := fork(seed, "waits")
	o.Clients.OutcomeNs, o.Clients.GiveUpNs = pick[int64](waits, 0, 300e6), pick[int64](waits, 0, 0, 2e9)
	o.AdmitPerS, o.MessagesPerS = pick(waits, 0, 0, 10), pick(waits, 0, 0, 0, 300)
	o.Assemblies = pick(waits, 0, 1)
	table := fork(seed, "table")
	o.Sessions, o.Acks = pick(table, 12, 12, o.Clients.Clients), pick(table, 1024, 1024, 64)
	return o
}

func draw(r *rand.Rand) Options {
	o := Options{
		Rule: pick(r, "durable", "durable", "replicated"), SafetyNs: between(r, 1500e6, 4000e6),
		MTU: pick(r, 1472, 1472, 1472, 640), IdleTickNs: pick[int64](r, 500e3, 1e6, 4e6),
		BusyTickNs: pick[int64](r, 2e3, 20e3, 100e3), SegmentBytes: pick[int64](r, 128<<10, 256<<10),
		RingBytes: pick[int64](r, 128<<10, 128<<10, 256<<10), SyncIntervalUs: pick[int64](r, 200, 1000, 10000),
		Window: pick(r, 16, 64, 256), SessionNs: pick[int64](r, 600e6, 2e9, 10e9),
	}
	switch n := r.IntN(100); {
	case n < 8:
		o.Nodes, o.Rule = 1, "durable"
	case n < 75:
		o.Nodes = 3
	default:
		o.Nodes = 5
	}
	o.Unlimited = o.Nodes > 1 && r.IntN(8) == 0
	o.TimeoutMinMs = pick[int64](r, 50, 100, 150)
	o.TimeoutMaxMs, o.HeartbeatMs = o.TimeoutMinMs*2, o.TimeoutMinMs/pick[int64](r, 5, 10)
	o.Network = drawNetwork(r)
	o.Disk = DiskOptions{DelayNs: pick[int64](r, 5e3, 50e3, 500e3, 3e6), Direct: r.IntN(3) > 0}
	if r.IntN(2) == 0 {
		o.Clock = ClockOptions{DriftPPM: pick[int64](r, 50, 500, 20000), WallOffsetNs: pick[int64](r, 1e6, 1e9, 100e9)}
	}
	o.Clients = ClientOptions{
		Clients: 1 + r.IntN(4), Messages: 30 + r.IntN(pick(r, 100, 250, 400, 1500)),
		Burst: pick(r, 1, 1, 8, 40), Window: pick[uint32](r, 4, 32, 64), Payload: pick(r, 40, 300, 1200),
		Books: pick(r, 0, 20, 60), Levels: uint8(r.IntN(3)), Reconnect: r.IntN(3) == 0,
	}
	// The load lasts as long as the faults, as a rule.
	perBurst := o.SafetyNs * int64(1+o.Clients.Burst) / 2 / int64(o.Clients.Messages)
	o.Clients.PauseNs = max(perBurst/pick[int64](r, 1, 1, 10), 1)
	if r.IntN(8) == 0 { // much more than the rings hold
		o.RingBytes, o.Clients.Payload, o.Clients.Window = 64<<10, 1200, 64
		o.Clients.Messages, o.Clients.Books, o.Clients.Burst = 700, 0, 8
	}
	o.Faults.EveryNs = pick[int64](r, 20e6, 60e6, 60e6, 200e6, 1e12)
	for k := range numFaults {
		if r.IntN(2) == 0 {
			o.Faults.Kinds |= 1 << k
		}
	}
	return o
}

func drawNetwork(r *rand.Rand) NetworkOptions {
	n := NetworkOptions{DelayMinNs: pick[int64](r, 1e3, 20e3, 200e3), DelayMeanNs: pick[int64](r, 1e3, 20e3, 200e3, 2e6),
		Capacity: pick(r, 8, 64, 512)}
	some := func(p ...float64) float64 {
		if r.IntN(2) == 0 {
			return 0
		}
		return pick(r, p...)
	}
	n.Loss, n.Duplicate = some(0.001, 0.02, 0.1, 0.3), some(0.01, 0.1)
	n.Reorder, n.Replay, n.Corrupt = some(0.01, 0.2), some(0.01, 0.1, 0.4), some(0.001, 0.01)
	n.Short = some(0.02, 0.2)
	return n
}

// fork makes a source of chance for one part of a world: what one part draws changes nothing for the others.
func fork(seed uint64, part string) *rand.Rand {
	h := service.MixBytes(service.Mix(0x6c6f636b, seed), []byte(part))
	return rand.New(rand.NewPCG(seed, h))
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func between(r *rand.Rand, lo, hi int64) int64 { return lo + r.Int64N(hi-lo) }
