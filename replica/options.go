package replica

import (
	"errors"
	"fmt"
	"slices"

	"lockstep/wire"
)

// Options are the fixed parameters of a core. Zero times and sizes take the defaults; Self, Voters, Rule, RingBytes
// and MaxMessage have none.
type Options struct {
	Self       wire.NodeID
	Voters     []wire.NodeID // all of them, never changed after NewCore; Self is here, or among
	Learners   []wire.NodeID // those that receive everything, and neither vote, nor count, nor lead
	Rule       wire.CommitRule
	RingBytes  uint64            // size of the log ring, the same on every node
	MaxMessage uint32            // longest client message, bytes, the same on every node
	Limits     wire.ConfigLimits // of services, the same on every node
	Version    uint32            // highest behaviour version that this build has; 0: FirstVersion

	ElectionTimeoutMinNs int64 // silence of the leader after which nobody defends it
	ElectionTimeoutMaxNs int64 // time-outs are drawn from [min, max)
	HeartbeatNs          int64 // longest silence of a leader
	StatusNs             int64 // longest silence of an aligned follower
	RetryNs              int64 // canvasses, vote requests and ALIGNs that find no answer are repeated
	NakDelayMinNs        int64 // a hole is asked for after a delay drawn from [min, max)
	NakDelayMaxNs        int64
	NakRetryNs           int64  // and again after this
	RetransmitLingerNs   int64  // a range sent again is not sent again to the same node within this
	CommitEchoNs         int64  // a commit that moves in silence is told after at most this
	WindowBytes          uint64 // bytes beyond a hole that are kept: the reorder window
	NakBytes             uint64 // most that one NAK asks for
	SnapshotBytes        uint64 // a leader asks for a snapshot each time that the log has grown by so much; 0: only when told
	Seed                 uint64 // of time-outs, delays and nonces; mixed with Self, incarnation and run
}

// Restored is what a node starts from: its directory, as found.
type Restored struct {
	Incarnation    uint64
	Run            uint32
	Term           wire.Term   // of the state file
	VotedFor       wire.NodeID // of the state file; 0 nobody
	End            wire.Position
	LastTerm       wire.Term // of the last record
	Checksum       uint32    // of the last record
	Durable        wire.Position
	Generation     uint64
	Terms          []wire.TermStart // oldest first
	Floor          wire.Position    // where the log begins: 0, or the snapshot's position
	Committed      wire.Position    // known to be committed: what apply begins with is a snapshot taken there; 0: nothing
	Config         wire.Config      // the newest config record; Members 0: none
	ConfigPosition wire.Position    // end of that record
	Earlier        []wire.ConfigAt  // config records before it, oldest first, as far as known
	EarlierAll     bool             // Earlier and Config are all that the log has
	Recovering     bool             // it may have forgotten bytes or votes
}

// ErrConfig says that a node's file and the log's config record differ.
var ErrConfig = errors.New("replica: the config file and the log's config record differ")

// ErrVersion says that the log is at a behaviour version that this build does not have.
var ErrVersion = errors.New("replica: this build is too old for the log")

// FirstVersion is the behaviour version that a log begins with.
const FirstVersion = 1

func (o *Options) setDefaults() {
	o.Version = max(o.Version, FirstVersion)
	set(&o.ElectionTimeoutMinNs, 150e6)
	set(&o.ElectionTimeoutMaxNs, 2*o.ElectionTimeoutMinNs)
	set(&o.HeartbeatNs, o.ElectionTimeoutMinNs/10)
	set(&o.StatusNs, o.HeartbeatNs)
	set(&o.RetryNs, o.HeartbeatNs)
	set(&o.NakDelayMinNs, 20e3)
	set(&o.NakDelayMaxNs, max(100e3, 2*o.NakDelayMinNs))
	set(&o.NakRetryNs, 1e6)
	set(&o.RetransmitLingerNs, o.NakRetryNs/2)
	set(&o.CommitEchoNs, 200e3)
	if o.WindowBytes == 0 {
		o.WindowBytes = o.RingBytes / 4
	}
	if o.NakBytes == 0 {
		o.NakBytes = min(64<<10, o.WindowBytes)
	}
}

func set(ns *int64, value int64) {
	if *ns == 0 {
		*ns = value
	}
}

// Check says what is wrong with the options, nil if nothing is. Cold.
func (o Options) Check() error {
	o.setDefaults()
	self := false
	var seen [wire.MaxNodes + 1]bool
	for _, n := range o.nodes() {
		if !n.Valid() || seen[n] {
			return fmt.Errorf("replica: voters %v, learners %v: want node ids from 1 to %d, each once", o.Voters, o.Learners,
				wire.MaxNodes)
		}
		seen[n] = true
		self = self || n == o.Self
	}
	switch {
	case !self:
		return fmt.Errorf("replica: node %d is neither among the voters %v nor the learners %v", o.Self, o.Voters, o.Learners)
	case len(o.Voters) == 0:
		return errors.New("replica: no voters: somebody has to lead")
	case !o.Rule.Valid():
		return fmt.Errorf("replica: commit rule %d: want durable or replicated", o.Rule)
	case o.RingBytes == 0 || o.MaxMessage == 0:
		return errors.New("replica: the ring size and the longest message must be given")
	case o.ElectionTimeoutMaxNs <= o.ElectionTimeoutMinNs || o.HeartbeatNs*2 > o.ElectionTimeoutMinNs:
		return fmt.Errorf("replica: election time-out [%d, %d) ns, heartbeat %d ns: "+
			"want a range, at least two heartbeats long", o.ElectionTimeoutMinNs, o.ElectionTimeoutMaxNs, o.HeartbeatNs)
	case o.NakDelayMaxNs <= o.NakDelayMinNs:
		return fmt.Errorf("replica: NAK delay [%d, %d) ns: want a range", o.NakDelayMinNs, o.NakDelayMaxNs)
	}
	return nil
}

// nodes are the voters and the learners.
func (o *Options) nodes() []wire.NodeID { return slices.Concat(o.Voters, o.Learners) }

// Config is the config record that these options would make: nobody admitted.
func (o *Options) Config() wire.Config {
	c := wire.Config{RingBytes: o.RingBytes, Rule: o.Rule, MaxMessage: o.MaxMessage, Version: FirstVersion, Limits: o.Limits,
		Members: uint8(len(o.Voters))}
	for i, n := range o.Voters {
		c.Member[i].Node = n
	}
	return c
}

// CheckConfig refuses a start whose options differ from the config record in the log (consensus rules 7, 14 and 15).
func (o *Options) CheckConfig(r *Restored) error {
	if has := max(o.Version, FirstVersion); r.Config.Version > has {
		return fmt.Errorf("%w: behaviour version %d is in force, and this build has %d: run the build that the other nodes run",
			ErrVersion, r.Config.Version, has)
	}
	want := o.Config()
	if r.Config.Members == 0 || r.Config.Digest() == want.Digest() {
		return nil
	}
	return fmt.Errorf("%w: the log says %s; the file says %s: correct the file of this node", ErrConfig, sayConfig(&r.Config),
		sayConfig(&want))
}

// sayConfig is what must be the same on every node, for people.
func sayConfig(c *wire.Config) string {
	return fmt.Sprintf("rule %s, ring_bytes %d, messages of up to %d bytes, sessions %d, kept_responses %d, kept_bytes %d, "+
		"voters %v", c.Rule, c.RingBytes, c.MaxMessage, c.Limits.Sessions, c.Limits.KeptResponses, c.Limits.KeptBytes, votersOf(c))
}

// votersOf lists the node ids of a config.
func votersOf(c *wire.Config) (ids []wire.NodeID) {
	for i := range c.Member[:c.Members] {
		ids = append(ids, c.Member[i].Node)
	}
	return ids
}
