package wire

import "lockstep/wire/fb"

// Sizes of the payloads of the cluster's own records, in bytes; of SessionOpen without the name.
const (
	TermRecordSize   = 24
	ConfigHeaderSize = 32
	ConfigMemberSize = 16
	MaxConfigSize    = ConfigHeaderSize + MaxNodes*ConfigMemberSize
	SessionOpenSize  = 16
	ReasonSize       = 2
	TimerRecordSize  = 16
	SkipRecordSize   = 8

	SnapshotRecordSize = 24
)

// ConfigAt is a config record and where it ends in the log.
type ConfigAt struct {
	End    Position
	Config Config
}

// SkipAt is a skip record: where it ends in the log, and what it names.
type SkipAt struct {
	End      Position
	Position Position // of the first byte of the record to be passed over
}

// TermRecord is the payload of a term record.
type TermRecord struct {
	Leader      NodeID
	Version     uint32 // behaviour version of the leader
	Incarnation uint64 // of the leader
	Run         uint32 // of the leader
}

// Put writes the payload.
func (x *TermRecord) Put(b []byte) int {
	var w fb.TermRecord
	w.Init(b[:TermRecordSize], 0)
	w.MutateLeader(uint32(x.Leader))
	w.MutateVersion(x.Version)
	w.MutateIncarnation(x.Incarnation)
	w.MutateRun(x.Run)
	w.MutateReserved(0)
	return TermRecordSize
}

// Decode reads the payload.
func (x *TermRecord) Decode(b []byte) bool {
	if len(b) != TermRecordSize {
		return false
	}
	var w fb.TermRecord
	w.Init(b, 0)
	x.Leader = NodeID(w.Leader())
	x.Version = w.Version()
	x.Incarnation = w.Incarnation()
	x.Run = w.Run()
	return x.Leader.Valid() && w.Reserved() == 0
}

// Config is the payload of a config record: what must be the same on every node.
type Config struct {
	RingBytes  uint64 // size of the log ring on every node
	Rule       CommitRule
	ByOperator bool   // an operator ordered it, when a majority might have forgotten
	MaxMessage uint32 // longest client message, bytes
	Version    uint32 // behaviour version in force from this record on
	Limits     ConfigLimits
	Members    uint8 // how many of Member are in use
	Member     [MaxNodes]ConfigMember
}

// ConfigLimits are limits that change what services put out, and so must be the same on every node.
type ConfigLimits struct {
	Sessions      uint32 // open at once
	KeptResponses uint32 // of one session
	KeptBytes     uint32 // of one session
}

// ConfigMember is one voter.
type ConfigMember struct {
	Node        NodeID
	Run         uint32 // at admission; 0 while not admitted
	Incarnation uint64 // admitted; 0 while not admitted
}

// Put writes the payload.
func (c *Config) Put(b []byte) int {
	n := ConfigHeaderSize + int(c.Members)*ConfigMemberSize
	b = b[:n]
	var w fb.ConfigHeader
	w.Init(b, 0)
	w.MutateRingBytes(c.RingBytes)
	w.MutateRule(uint8(c.Rule))
	w.MutateMembers(c.Members)
	w.MutateByOperator(flag(c.ByOperator))
	w.MutateReserved0(0)
	w.MutateMaxMessage(c.MaxMessage)
	w.MutateVersion(c.Version)
	w.MutateSessions(c.Limits.Sessions)
	w.MutateKeptResponses(c.Limits.KeptResponses)
	w.MutateKeptBytes(c.Limits.KeptBytes)
	for i := range c.Member[:c.Members] {
		var m fb.ConfigMember
		m.Init(b[ConfigHeaderSize+i*ConfigMemberSize:], 0)
		m.MutateNode(uint32(c.Member[i].Node))
		m.MutateRun(c.Member[i].Run)
		m.MutateIncarnation(c.Member[i].Incarnation)
	}
	return n
}

// Decode reads the payload, which must be exactly one config: a rule that exists, 1 to MaxNodes members, each node id
// valid and there once. Unused entries of Member become zero, so that equal configs compare equal.
func (c *Config) Decode(b []byte) bool {
	*c = Config{}
	if len(b) < ConfigHeaderSize {
		return false
	}
	var w fb.ConfigHeader
	w.Init(b, 0)
	members := int(w.Members())
	if members < 1 || members > MaxNodes || len(b) != ConfigHeaderSize+members*ConfigMemberSize || w.Reserved0() != 0 ||
		w.ByOperator() > 1 {
		return false
	}
	c.RingBytes = w.RingBytes()
	c.Rule = CommitRule(w.Rule())
	c.ByOperator = w.ByOperator() == 1
	c.MaxMessage = w.MaxMessage()
	c.Version = w.Version()
	c.Limits = ConfigLimits{Sessions: w.Sessions(), KeptResponses: w.KeptResponses(), KeptBytes: w.KeptBytes()}
	c.Members = uint8(members)
	var seen [MaxNodes + 1]bool
	for i := range c.Member[:members] {
		var m fb.ConfigMember
		m.Init(b[ConfigHeaderSize+i*ConfigMemberSize:], 0)
		id := NodeID(m.Node())
		if !id.Valid() || seen[id] {
			return false
		}
		seen[id] = true
		c.Member[i] = ConfigMember{Node: id, Run: m.Run(), Incarnation: m.Incarnation()}
	}
	return c.Rule.Valid()
}

// Digest is a CRC-32C over the rule, the ring size, the longest message, the limits and the voters' node ids: what
// every node's config file must agree on. Admissions (incarnation, run), the order of members, the version and who
// ordered the record do not change it. It is never 0: 0 stands for "no config record yet".
func (c *Config) Digest() uint32 {
	sum := ^uint32(0)
	sum = digestUint64(sum, uint64(c.Rule))
	sum = digestUint64(sum, c.RingBytes)
	sum = digestUint64(sum, uint64(c.MaxMessage))
	sum = digestUint64(sum, uint64(c.Limits.Sessions))
	sum = digestUint64(sum, uint64(c.Limits.KeptResponses))
	sum = digestUint64(sum, uint64(c.Limits.KeptBytes))
	var voter [MaxNodes + 1]bool
	for i := range c.Member[:c.Members] {
		if id := c.Member[i].Node; id.Valid() {
			voter[id] = true
		}
	}
	for id, is := range voter {
		if is {
			sum = digestUint64(sum, uint64(id))
		}
	}
	if sum = ^sum; sum == 0 {
		return 1
	}
	return sum
}

// digestUint64 feeds the eight bytes of v, low byte first, to a CRC-32C in its inner form.
func digestUint64(sum uint32, v uint64) uint32 {
	for range 8 {
		sum = castagnoli[byte(sum)^byte(v)] ^ sum>>8
		v >>= 8
	}
	return sum
}

// SessionOpen is the payload of a session-open record; the record's Session is the new session.
type SessionOpen struct {
	Token  uint64 // random, chosen by the client: who repeats CONNECT finds its session
	Window uint32 // messages the client may have unanswered
	Name   []byte // after Decode a view of the payload
}

// Put writes the payload, name included.
func (x *SessionOpen) Put(b []byte) int {
	var w fb.SessionOpen
	w.Init(b[:SessionOpenSize], 0)
	w.MutateToken(x.Token)
	w.MutateWindow(x.Window)
	w.MutateNameLength(uint16(len(x.Name)))
	w.MutateReserved(0)
	return SessionOpenSize + copy(b[SessionOpenSize:SessionOpenSize+len(x.Name)], x.Name)
}

// Decode reads the payload; the name must fill the rest of it.
func (x *SessionOpen) Decode(b []byte) bool {
	if len(b) < SessionOpenSize {
		return false
	}
	var w fb.SessionOpen
	w.Init(b, 0)
	x.Token = w.Token()
	x.Window = w.Window()
	x.Name = b[SessionOpenSize:]
	return len(x.Name) == int(w.NameLength()) && w.Reserved() == 0
}

// Reason is the payload of a session-close record, and of a message record for service 0, which takes the place of a
// message that was refused for good or voided.
type Reason struct {
	Code Refusal // why; RefusalNone when the client asked for it
}

// Put writes the payload.
func (x *Reason) Put(b []byte) int {
	var w fb.Reason
	w.Init(b[:ReasonSize], 0)
	w.MutateCode(uint16(x.Code))
	return ReasonSize
}

// Decode reads the payload; an empty one stands for RefusalNone.
func (x *Reason) Decode(b []byte) bool {
	x.Code = RefusalNone
	if len(b) == 0 {
		return true
	}
	if len(b) != ReasonSize {
		return false
	}
	var w fb.Reason
	w.Init(b, 0)
	x.Code = Refusal(w.Code())
	return true
}

// TimerRecord is the payload of a timer record: a timer of the header's Service is to fire.
type TimerRecord struct {
	ID       uint64 // the service's name for it
	Deadline uint64 // ns since the Unix epoch; the record's timestamp is not below it
}

// Put writes the payload.
func (x *TimerRecord) Put(b []byte) int {
	var w fb.TimerRecord
	w.Init(b[:TimerRecordSize], 0)
	w.MutateId(x.ID)
	w.MutateDeadline(x.Deadline)
	return TimerRecordSize
}

// Decode reads the payload.
func (x *TimerRecord) Decode(b []byte) bool {
	if len(b) != TimerRecordSize {
		return false
	}
	var w fb.TimerRecord
	w.Init(b, 0)
	x.ID, x.Deadline = w.Id(), w.Deadline()
	return true
}

// SkipRecord is the payload of a skip record: apply passes over the record that begins at Position.
type SkipRecord struct{ Position Position }

// Put writes the payload.
func (x *SkipRecord) Put(b []byte) int {
	var w fb.SkipRecord
	w.Init(b[:SkipRecordSize], 0)
	w.MutatePosition(uint64(x.Position))
	return SkipRecordSize
}

// Decode reads the payload.
func (x *SkipRecord) Decode(b []byte) bool {
	if len(b) != SkipRecordSize {
		return false
	}
	var w fb.SkipRecord
	w.Init(b, 0)
	x.Position = Position(w.Position())
	return true
}

// SnapshotRecord is the payload of a snapshot record: it asks for a snapshot at its end, or says which earlier one a
// majority of the voters agrees about, or both.
type SnapshotRecord struct {
	Verified Position // end of an earlier snapshot record: a majority has Digest there; 0: it says nothing
	Digest   uint64   // of the state of all services there
	Take     bool     // every follower takes a snapshot at the end of this record
	Leader   bool     // the leader takes one, too
}

// Put writes the payload.
func (x *SnapshotRecord) Put(b []byte) int {
	var w fb.SnapshotRecord
	w.Init(b[:SnapshotRecordSize], 0)
	w.MutateVerified(uint64(x.Verified))
	w.MutateDigest(x.Digest)
	w.MutateTake(flag(x.Take))
	w.MutateLeader(flag(x.Leader))
	w.MutateReserved0(0)
	w.MutateReserved1(0)
	return SnapshotRecordSize
}

// Decode reads the payload.
func (x *SnapshotRecord) Decode(b []byte) bool {
	if len(b) != SnapshotRecordSize {
		return false
	}
	var w fb.SnapshotRecord
	w.Init(b, 0)
	x.Verified, x.Digest = Position(w.Verified()), w.Digest()
	x.Take, x.Leader = w.Take() == 1, w.Leader() == 1
	return w.Take() <= 1 && w.Leader() <= 1 && w.Reserved0() == 0 && w.Reserved1() == 0
}
