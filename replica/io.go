package replica

import "lockstep/wire"

// This file is the contract between the pure core and whoever runs it (the agent in production, the simulator, a
// script): every input the core can be given and every output it can leave. Log bytes never enter the core: it knows
// the log as positions, terms and checksums.

// Peer names the process a message came from: a node id, the incarnation of its directory, and its run.
type Peer struct {
	Node        wire.NodeID
	Incarnation uint64
	Run         uint32
}

// InputKind names an input.
type InputKind uint8

// The inputs. The comment after each names the fields of Input that it uses.
const (
	InTick          InputKind = iota // nothing: only deadlines are looked at
	InLog                            // From, Term, Log
	InStatus                         // From, Term, Status
	InNak                            // From, Term, Nak
	InAlign                          // From, Term, Align, Terms
	InAlignAnswer                    // From, Term, AlignAnswer
	InCanvass                        // From, Term (asked for), Ballot
	InCanvassAnswer                  // From, Term (the voter's own), Answer
	InVoteRequest                    // From, Term (asked for), Ballot
	InVote                           // From, Term (the voter's own), Answer
	InTransfer                       // From, Term, Position
	InPersisted                      // Term, Node (voted for; 0 none): the state file has it, both copies synced
	InAppended                       // Position, LastTerm, Checksum: the log ends there now, verified by this node
	InTermStart                      // Position, LastTerm: a term record begins there (given before its InAppended)
	InConfig                         // Position (end of the record), Config (given before its InAppended)
	InDurable                        // Position, Generation: synced to disk
	InCutDone                        // Position, Generation, Checksum (of the record before the cut): it is done
	InApplied                        // Position, and what the service reports there: Hash..., Snapshot..., Verified...
	InCaughtUp                       // Position, Generation: a catch-up has brought bytes up to here (stored, not verified)
	InCatchUpFailed                  // Generation: it came to an end without all bytes. Flag: what it brought is not the log
	InDiskFull                       // Flag: space for the next segment is missing (true), there again (false)
	InDiskHung                       // Flag: the disk has not done for too long what it was asked (true), it goes on (false)
	InClockSkew                      // Flag: this node's wall clock is too far from the others' (or no longer)
	InHandOver                       // Node: a leader lets it lead; 0: whoever is furthest
	InRecover                        // an operator's order to lead without votes. Term: the highest seen; LastTerm,
	// Position, Checksum: the log that was chosen, this one; Config: Member lists the processes that were asked
	InDiverged // From, Term, Diverged
	InSnapshot // an operator asks for a snapshot. Flag: the leader takes one, too
	numInputs
)

// Input is one event. It is a union: Kind says which fields count. The caller owns it; the core keeps nothing of it.
type Input struct {
	Kind         InputKind
	Flag         bool
	From         Peer
	Term         wire.Term
	LastTerm     wire.Term
	Node         wire.NodeID
	Checksum     uint32
	Position     wire.Position
	Generation   uint64
	HashPosition wire.Position
	Hash         uint64
	Log          wire.Log
	LogLength    int // bytes that follow the LOG header
	Status       wire.Status
	Nak          wire.Nak
	Align        wire.Align
	Terms        []wire.TermStart // ALIGN's page, newest first; read during Step only
	AlignAnswer  wire.AlignAnswer
	Ballot       wire.Ballot
	Answer       wire.BallotAnswer
	Config       wire.Config
	Diverged     wire.Diverged

	SnapshotPosition wire.Position // end of the newest snapshot record that asks for one, as this node applied it
	SnapshotDigest   uint64        // of the state of its services there
	Verified         wire.Position // the newest one that a record which this node has applied calls verified
	VerifiedDigest   uint64        // a majority's, as that record has it
}

// OutputKind names an output.
type OutputKind uint8

// The outputs, to be carried out in order.
const (
	// OutSend sends a datagram to node To (0: to the group). Message says which; its body is in the field of
	// that name (TRANSFER: Position). The datagram's term is Term. The core leaves out what it does not know:
	// of LOG SyncTo, Floor and Clock, of STATUS Window and Wall.
	OutSend OutputKind = iota
	// OutPersist stores (Term, Node) in the state file; InPersisted answers.
	OutPersist
	// OutStore takes the bytes [From, Until) of the LOG that was just stepped in into the ring. The carrier of
	// the output verifies what has become contiguous (up to Received) and reports InTermStart, InConfig, InAppended.
	OutStore
	// OutCompare compares the bytes [From, Until) of the LOG just stepped in with those held, as far as the ring
	// still has them; a difference stops the node (consensus rule 6).
	OutCompare
	// OutCut has everything from Position on forgotten: ring, chain, term index, journal; InCutDone answers with
	// Generation. Nothing is stored or appended in between.
	OutCut
	// OutRole says that this node's Role, Term or Leader changed. A leader takes no client message before it
	// has applied its own term record.
	OutRole
	// OutAppendTerm (leader, once a term) has the term record appended.
	OutAppendTerm
	// OutAppendConfig (leader) has a config record with Config appended. It is the last output of its Step.
	OutAppendConfig
	// OutAppendSnapshot (leader) has a snapshot record with Snapshot appended. Two that are owed may become one.
	OutAppendSnapshot
	// OutStream (leader) multicasts the log's bytes [From, Until) as LOG datagrams of Term, cut by the MTU, each
	// with what Log says of Append, Commit and ConfigDigest.
	OutStream
	// OutRetransmit (leader) sends the bytes [From, Until) in the same way to node To (0: to the group), as far as
	// the ring still holds them.
	OutRetransmit
	// OutCommit says that commit moved to Position. Replicated and Durable of the core may have moved as well.
	OutCommit
	// OutCatchUp has the bytes [From, Until) fetched over HTTP from node To, verified like any others, under
	// Generation (which InCaughtUp and InCatchUpFailed repeat; see CatchingUp). The server gives what it knows to
	// be committed, and more only while it leads Term. Every fetch ends: with Until reached, or with a failure.
	OutCatchUp
	// OutStop ends the process: an invariant is broken. Reason says which; Diverged has a Position if it is that this
	// node's services have come to something else than a majority's.
	OutStop
)

// Output is one effect. It is a union: Kind says which fields count.
type Output struct {
	Kind        OutputKind
	Message     wire.DatagramKind
	Role        Role
	To          wire.NodeID
	Node        wire.NodeID
	Leader      wire.NodeID
	Term        wire.Term
	Position    wire.Position
	From, Until wire.Position
	Generation  uint64
	Reason      string
	Log         wire.Log
	Status      wire.Status
	Nak         wire.Nak
	Align       wire.Align
	Terms       []wire.TermStart // of ALIGN: a view of memory of the core, good until the next Step
	AlignAnswer wire.AlignAnswer
	Ballot      wire.Ballot
	Answer      wire.BallotAnswer
	Config      wire.Config
	Snapshot    wire.SnapshotRecord
	Diverged    wire.Diverged
}

// AlignPage is how many entries of a term index one ALIGN carries.
const AlignPage = 16
