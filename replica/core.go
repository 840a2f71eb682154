package replica

import (
	"math"

	"lockstep/wire"
)

// Core is one node's part in consensus: a pure state machine. It does no I/O, reads no clock and starts nothing;
// Step changes its state and leaves what is to be done. One thread owns it.
type Core struct {
	o        Options
	voter    [wire.MaxNodes + 1]bool
	learner  [wire.MaxNodes + 1]bool
	nodes    []wire.NodeID // voters and learners; never changed, clones share it
	majority int
	digest   uint32 // of the config that the options make

	s     state
	terms termIndex

	next    int64 // no deadline lies before this
	out     []Output
	page    [AlignPage]wire.TermStart // of the ALIGN in out
	refused [NumRefusals]uint64
	unicast uint64
}

// state is everything that a core remembers, but the term index: a value, compared with ==.
type state struct {
	nowNs   int64 // of the newest Step
	stopped bool  // OutStop was left: nothing more is done

	self   Peer
	role   Role
	term   wire.Term
	vote   wire.NodeID // in term; 0 nobody
	leader wire.NodeID // 0 unknown
	rng    uint64

	// Persistence. Nothing that carries a term leaves before the term is stored; a vote, and vote requests, wait for
	// the pair.
	stored    stored // what the state file has
	storing   bool   // an OutPersist is under way; at most one
	voteOwed  bool   // VOTE to s.vote waits for the state file
	asked     bool   // candidate: VOTE-REQUEST went out
	announced announced

	// The log.
	append     wire.Position // end of the log: complete records, verified
	received   wire.Position // bytes without a hole, >= append
	window     window        // bytes beyond a hole
	durable    wire.Position
	generation uint64
	commit     wire.Position
	lastTerm   wire.Term
	checksum   uint32
	floor      wire.Position // where the log begins
	applied    wire.Position
	points     [numGuards]points // at which this node has reported hashes
	verified   wire.Position     // newest snapshot that the applied log calls verified

	configs  configHistory
	amnesia  bool // recovering: the directory may have forgotten; until this very run is admitted
	unlisted bool // recovering: a config did not list this incarnation; until one does
	diskFull bool
	diskHung bool
	skewed   bool // the wall clock is too far from the others'

	follow    follow
	lead      lead
	peers     [wire.MaxNodes + 1]peer
	timers    [numTimers]int64
	timeoutNs int64 // election time-out, drawn anew with every wait
	heardNs   int64 // when a live leader was heard last
	oldTermNs int64 // not before this is LOG of an old term answered again
	transfer  bool  // this candidacy has the leader's consent

	order wire.Config // Members > 0: an operator's order to lead, which lists the processes that were asked
}

type stored struct {
	term wire.Term
	vote wire.NodeID
}

type announced struct {
	role   Role
	term   wire.Term
	leader wire.NodeID
}

// follow is a follower's view of the leader of its term.
type follow struct {
	from    Peer          // who sent LOG in this term; Node 0: nobody yet
	nonce   uint64        // of the alignment asked for or in force; 0 none
	aligned bool          // the alignment is in force
	page    uint32        // of the term index that the leader wants
	cutting bool          // OutCut is under way
	cutTo   wire.Position // where to
	append  wire.Position // the leader's
	commit  wire.Position // the leader's
	floor   wire.Position // of the leader's ring
	syncTo  wire.Position
	gapAt   wire.Position // the hole that the NAK timer is for begins here
	catchUp catchUp
}

// catchUp is a transfer over HTTP of what the leader's ring no longer holds.
type catchUp struct {
	generation uint64 // counts them
	active     bool
	until      wire.Position
	failed     uint32 // failures in a row: the next goes to another node
	notBefore  int64
}

// peer is what is known of another voter.
type peer struct {
	incarnation uint64
	run         uint32
	identityNs  int64 // when this identity was heard last
	admitted    bool  // the config lists this incarnation
	answered    bool  // this canvass or candidacy
	granted     bool

	// Of a leader: progress in this term.
	nonce     uint64 // of the alignment that was answered; 0 none
	reported  bool   // a STATUS of that alignment was taken
	counted   bool
	unfit     bool   // it says that it must not lead
	version   uint32 // highest behaviour version that its build has; 0: not heard
	append    wire.Position
	durable   wire.Position
	lagAppend wire.Position // append when the lag timer last fired
	heardNs   int64         // when it was last counted

	points  [numGuards]points        // at which it has reported hashes, since its alignment
	wrongAt [numGuards]wire.Position // where it differs from a majority; 0: it does not

	// Kept from term to term: what its disk was seen to hold.
	seenGeneration uint64
	seenDurable    wire.Position

	sent sent // what was retransmitted to it
}

// sent is a range that was sent again.
type sent struct {
	atNs        int64
	from, until wire.Position
}

// lead is a leader's bookkeeping.
type lead struct {
	countFrom   wire.Position // commit moves only to here and beyond; 0 while the own term record is not appended
	streamed    wire.Position
	replicated  wire.Position // a majority holds it
	durable     wire.Position // a majority has synced it
	appendOf    [wire.MaxNodes + 1]wire.Position
	durableOf   [wire.MaxNodes + 1]wire.Position
	asked       bool                     // OutAppendConfig is under way
	disputed    [numGuards]wire.Position // where no majority agrees about the services; 0: nowhere
	agreed      point                    // newest snapshot about which a majority agrees
	said        wire.Position            // newest snapshot that this leadership has called verified
	askedAt     wire.Position            // end of the log when this leadership last asked for a snapshot
	lagAppend   wire.Position
	group       sent        // what was retransmitted to the group
	target      wire.NodeID // of the hand-over under way; 0: there is none
	transferred bool        // TRANSFER went out; again with the next look for laggards
	failed      wire.NodeID // the last target, which did not take over
}

// The timers, in the order in which those that are due at once are handled.
const (
	timerQuorum = iota // leader: is a majority still there?
	timerElection
	timerHandOver
	timerHeartbeat
	timerEcho
	timerLag
	timerRetry
	timerNak
	timerStatus
	numTimers
)

// never is the deadline of a timer that is off.
const never = math.MaxInt64

var timerHandlers = [numTimers]func(*Core){
	timerQuorum:    (*Core).onQuorumTimer,
	timerElection:  (*Core).onElectionTimer,
	timerHandOver:  (*Core).onHandOverTimer,
	timerHeartbeat: (*Core).onHeartbeatTimer,
	timerEcho:      (*Core).onHeartbeatTimer,
	timerLag:       (*Core).onLagTimer,
	timerRetry:     (*Core).onRetryTimer,
	timerNak:       (*Core).onNakTimer,
	timerStatus:    (*Core).sendStatus,
}

// NewCore returns the core of a node that starts at nowNs from what its directory holds. The options must pass Check,
// and CheckConfig against r; it panics otherwise.
func NewCore(o Options, r Restored, nowNs int64) *Core {
	if err := o.Check(); err != nil {
		panic(err)
	}
	if err := o.CheckConfig(&r); err != nil {
		panic(err)
	}
	o.setDefaults()
	c := &Core{o: o, majority: len(o.Voters)/2 + 1, nodes: o.nodes(), out: make([]Output, 0, 32)}
	for _, n := range o.Voters {
		c.voter[n] = true
	}
	for _, n := range o.Learners {
		c.learner[n] = true
	}
	config := o.Config()
	c.digest = config.Digest()
	c.terms = append(c.terms, r.Terms...)
	s := &c.s
	*s = state{
		nowNs:      nowNs,
		self:       Peer{Node: o.Self, Incarnation: r.Incarnation, Run: r.Run},
		term:       r.Term,
		vote:       r.VotedFor,
		stored:     stored{r.Term, r.VotedFor},
		rng:        mix(o.Seed ^ mix(r.Incarnation^mix(uint64(r.Run)<<8|uint64(o.Self)))),
		append:     r.End,
		received:   r.End,
		durable:    min(r.Durable, r.End),
		commit:     min(max(r.Committed, r.Floor), r.End),
		generation: r.Generation,
		lastTerm:   r.LastTerm,
		checksum:   r.Checksum,
		floor:      r.Floor,
		amnesia:    r.Recovering && !c.learner[o.Self], // nothing of a learner counts: it can forget nothing that does
		heardNs:    math.MinInt64 / 2,
	}
	if s.lastTerm > s.term {
		s.term, s.vote = s.lastTerm, 0
	}
	s.announced.term = s.term
	for t := range s.timers {
		s.timers[t] = never
	}
	s.configs.restore(&r)
	c.applyConfig()
	c.awaitLeader()
	if c.majority == 1 && c.fit() {
		c.set(timerElection, nowNs)
	}
	c.next = nowNs
	return c
}

// Step gives the core one input and returns what is to be done, in order. Deadlines that have passed come first. The
// outputs, and all they point to, are good until the next Step. A nowNs behind an earlier one counts as that one.
func (c *Core) Step(nowNs int64, in *Input) []Output {
	c.out = c.out[:0]
	s := &c.s
	if s.stopped {
		return nil
	}
	if nowNs > s.nowNs {
		s.nowNs = nowNs
	}
	if s.nowNs >= c.next {
		c.expire()
	}
	if in.Kind < numInputs {
		if cell := &cells[s.role][in.Kind]; cell.handle != nil {
			cell.handle(c, in)
		} else {
			c.refuse(cell.refusal)
		}
	} else {
		c.refuse(RefusedMalformed)
	}
	if !s.storing && s.stored != (stored{s.term, s.vote}) {
		c.persist()
	}
	if s.role != s.announced.role || s.leader != s.announced.leader || s.term != s.announced.term {
		c.announce()
	}
	return c.out
}

// expire handles the deadlines that have passed.
func (c *Core) expire() {
	s := &c.s
	for t := range s.timers {
		if s.timers[t] <= s.nowNs {
			s.timers[t] = never
			timerHandlers[t](c)
		}
	}
	c.next = c.NextDeadline()
}

func (c *Core) set(timer int, atNs int64) {
	c.s.timers[timer] = atNs
	if atNs < c.next {
		c.next = atNs
	}
}

func (c *Core) after(timer int, delayNs int64) { c.set(timer, c.s.nowNs+delayNs) }

func (c *Core) off(timer int) { c.s.timers[timer] = never }

// emit makes room for one output. Fields that its kind does not use keep what was there: clearing all of them costs
// more than a Step.
func (c *Core) emit(kind OutputKind) *Output {
	n := len(c.out)
	if n == cap(c.out) {
		c.out = append(c.out, Output{})
	} else {
		c.out = c.out[:n+1]
	}
	out := &c.out[n]
	out.Kind = kind
	return out
}

// send emits a datagram.
func (c *Core) send(kind wire.DatagramKind, to wire.NodeID, term wire.Term) *Output {
	out := c.emit(OutSend)
	out.Message, out.To, out.Term = kind, to, term
	return out
}

// announce tells the outside what this node is now.
func (c *Core) announce() {
	s := &c.s
	s.announced = announced{s.role, s.term, s.leader}
	out := c.emit(OutRole)
	out.Role, out.Term, out.Leader = s.role, s.term, s.leader
}

// stop ends this node: an invariant is broken, and going on could break others.
func (c *Core) stop(reason string) {
	c.s.stopped = true
	out := c.emit(OutStop)
	out.Reason, out.Diverged = reason, wire.Diverged{}
}

func (c *Core) refuse(r Refusal) { c.refused[r]++ }

// persist has term and vote stored. One request is under way at a time: what changes meanwhile follows it.
func (c *Core) persist() {
	s := &c.s
	s.storing = true
	out := c.emit(OutPersist)
	out.Term, out.Node = s.term, s.vote
}

// termStored says whether the current term is in the state file.
func (c *Core) termStored() bool { return c.s.stored.term == c.s.term }

// onPersisted goes on with what waited for the state file.
func (c *Core) onPersisted(in *Input) {
	s := &c.s
	if !s.storing || in.Term < s.stored.term {
		c.refuse(RefusedReport)
		return
	}
	s.storing = false
	s.stored = stored{in.Term, in.Node}
	if !c.termStored() {
		return
	}
	if s.stored.vote == s.vote {
		c.onVoteStored()
	}
	if s.role == Follower && s.follow.from.Node != 0 {
		c.startAlignment()
	}
}

// draw returns the next number of the seeded source (splitmix64).
func (c *Core) draw() uint64 {
	c.s.rng += 0x9e3779b97f4a7c15
	return mix(c.s.rng)
}

// between draws from [lo, hi).
func (c *Core) between(lo, hi int64) int64 { return lo + int64(c.draw()%uint64(hi-lo)) }

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// onTick does nothing: the deadlines have been handled.
func (c *Core) onTick(*Input) {}
