package replica

// Role is what a node is at the moment.
type Role uint8

// The roles.
const (
	Follower   Role = iota // takes LOG, votes
	Canvassing             // asks whether it would be elected, without a new term (pre-vote)
	Candidate              // asks for votes in a term of its own
	Leader                 // appends and replicates
	numRoles
)

var roleNames = [numRoles]string{"follower", "canvassing", "candidate", "leader"}

// String is the role's name.
func (r Role) String() string {
	if r < numRoles {
		return roleNames[r]
	}
	return "unknown role"
}

// VoteRefusal says why a ballot was refused: BallotAnswer.Reason.
type VoteRefusal uint8

// The reasons. They travel: a number never changes its meaning.
const (
	VoteGranted     VoteRefusal = iota // not refused
	VoteLeaderAlive                    // the voter hears a leader, or is it
	VoteTermOld                        // the voter's term is higher already
	VoteTaken                          // the voter's vote of that term is another's
	VoteLogOlder                       // the voter's log is newer
	VoteConfig                         // the voter's config is another
	VoteRecovering                     // the voter may have forgotten votes or bytes
	numVoteRefusals
)

var voteRefusalNames = [numVoteRefusals]string{
	"granted", "leader alive", "term old", "vote taken", "log older", "other config", "recovering",
}

// String is the reason's name.
func (v VoteRefusal) String() string {
	if v < numVoteRefusals {
		return voteRefusalNames[v]
	}
	return "unknown reason"
}

// Refusal says why the core did nothing with an input. Each is counted (Core.Refused).
type Refusal uint8

// The reasons.
const (
	RefusedNone           Refusal = iota // not refused
	RefusedSender                        // not from another voter
	RefusedIncarnation                   // of an incarnation that is not the admitted one: heard, not counted
	RefusedRun                           // of a run older than one already seen
	RefusedOldTerm                       // of a term that is over
	RefusedTermAhead                     // of a term that this message cannot begin
	RefusedNotLeader                     // only a leader takes it
	RefusedLeading                       // a leader does not take it
	RefusedNotFollower                   // only a follower takes it
	RefusedNotCanvassing                 // only a canvassing node takes it
	RefusedNotCandidate                  // only a candidate takes it
	RefusedNotFromLeader                 // not from the leader of this term
	RefusedUnaligned                     // this node is not aligned yet
	RefusedAligned                       // this node is aligned already
	RefusedNonce                         // of an alignment that is not the one in force
	RefusedCutting                       // a cut is under way
	RefusedConfig                        // the sender's config is another
	RefusedMalformed                     // its fields contradict each other
	RefusedReport                        // a report that goes back: late or repeated
	RefusedDurableRegress                // a durable position lower than one seen from it before it started again
	RefusedGeneration                    // of a generation that is over
	RefusedWindow                        // beyond what may be stored, or no room in the reorder window
	RefusedLeaderAlive                   // a vote request while a leader lives
	RefusedRecovering                    // this node may have forgotten: it neither votes nor leads
	RefusedUnfit                         // this node cannot lead now: no disk space, or a clock too far off
	RefusedBehind                        // this node or the target holds too little
	RefusedRepeated                      // answered a moment ago
	RefusedNotAdmitted                   // a vote of an incarnation that the config does not list
	RefusedLearner                       // this node, or the sender, is a learner: it has no say
	NumRefusals
)

var refusalNames = [NumRefusals]string{
	"none", "sender", "incarnation", "run", "old_term", "term_ahead", "not_leader", "leading", "not_follower",
	"not_canvassing", "not_candidate", "not_from_leader", "unaligned", "aligned", "nonce", "cutting", "config",
	"malformed", "report", "durable_regress", "generation", "window", "leader_alive", "recovering", "unfit", "behind",
	"repeated", "not_admitted", "learner",
}

// String is the reason's name as counters spell it.
func (r Refusal) String() string {
	if r < NumRefusals {
		return refusalNames[r]
	}
	return "unknown refusal"
}
