package simbug

// Bug names a planted bug.
type Bug uint8

// The bugs.
const (
	None                 Bug = iota
	CommitOldTerm            // a leader commits bytes of older terms by counting them alone
	CommitMidRecord          // commit stops inside a record
	AckBeforeSync            // a follower reports what it holds as durable
	CountUnadmitted          // a node that the config does not list counts
	TakeReplayedAlign        // any answer to ALIGN is taken, whenever it was asked for
	VoteForOlderLog          // a candidate's log may be older than the voter's
	ReuseTerm                // a leader that stepped down leads its term again
	SkipStepDown             // a leader that hears nobody goes on
	ApplyPastCommit          // the service applies what is not committed
	ServeUncommitted         // anybody serves what it holds beyond commit
	ForgetVote               // term and vote stay in memory
	VoteOneCopy              // the second copy of the vote is not written
	IgnoreFailedSync         // a write or sync that failed counts as done
	ResurrectCutTail         // a cut leaves the bytes on the disk
	LeaveClean               // the marker of a clean end stays
	ForgetAmnesia            // a directory that was made anew does not say so
	SkipDedup                // a new leader takes the last message of a session again, and it is applied again
	ClientsBeforeApplied     // a new leader takes clients before it has applied its term record
	AcceptBeforeCommit       // a session is accepted before its record is committed
	AckBeforeCommit          // a message is acknowledged as durable when it is sequenced
	StampByWallClock         // stamps follow the wall clock back
	AnswersOfAnySession      // a client takes answers to an earlier session of its address
	RepeatResponses          // a client hands responses out again
	NumBugs
)

var names = [NumBugs]string{
	None:                 "none",
	CommitOldTerm:        "commit-old-term",
	CommitMidRecord:      "commit-mid-record",
	AckBeforeSync:        "ack-before-sync",
	CountUnadmitted:      "count-unadmitted",
	TakeReplayedAlign:    "take-replayed-align",
	VoteForOlderLog:      "vote-for-older-log",
	ReuseTerm:            "reuse-term",
	SkipStepDown:         "skip-step-down",
	ApplyPastCommit:      "apply-past-commit",
	ServeUncommitted:     "serve-uncommitted",
	ForgetVote:           "forget-vote",
	VoteOneCopy:          "vote-one-copy",
	IgnoreFailedSync:     "ignore-failed-sync",
	ResurrectCutTail:     "resurrect-cut-tail",
	LeaveClean:           "leave-clean",
	ForgetAmnesia:        "forget-amnesia",
	SkipDedup:            "skip-dedup",
	ClientsBeforeApplied: "clients-before-applied",
	AcceptBeforeCommit:   "accept-before-commit",
	AckBeforeCommit:      "ack-before-commit",
	StampByWallClock:     "stamp-by-wall-clock",
	AnswersOfAnySession:  "answers-of-any-session",
	RepeatResponses:      "repeat-responses",
}

// String is the bug's name.
func (b Bug) String() string {
	if b < NumBugs {
		return names[b]
	}
	return "unknown bug"
}
