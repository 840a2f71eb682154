package simbug

// Bug names a planted bug.
type Bug uint8

// The bugs. What upholds a rule twice is broken twice, as the comment then says.
const (
	None Bug = iota

	// Rules 1 to 3: terms, votes, elections.

	// ReuseTerm: a leader that stepped down leads its term again, and reuses its positions.
	ReuseTerm
	// ForgetVote: term and vote stay in memory.
	ForgetVote
	// VoteOneCopy: the second copy of the vote is not written.
	VoteOneCopy
	// VoteTwice: a vote may be given again in a term.
	VoteTwice
	// SendUnstored: a vote leaves before it is stored.
	SendUnstored
	// VoteForOlderLog: a candidate's log may be older than the voter's.
	VoteForOlderLog
	// IgnoreHigherTerm: a leader that hears of a higher term goes on.
	IgnoreHigherTerm
	// SkipStepDown: a leader that hears nobody goes on.
	SkipStepDown
	// ElectByWallClock: deadlines of elections and of check-quorum are on the wall clock.
	ElectByWallClock

	// Rules 4 to 7: alignment, the stream, commit.

	// CommitOldTerm: a leader commits bytes of older terms by counting them alone.
	CommitOldTerm
	// CommitMidRecord: commit stops inside a record.
	CommitMidRecord
	// CommitByMinority: one less than a majority commits.
	CommitByMinority
	// CommitUnaligned: a follower takes commit before it is aligned.
	CommitUnaligned
	// AckBeforeSync: a follower reports what it holds as durable.
	AckBeforeSync
	// CountStaleTerm: a STATUS of an older term counts. Its nonce and generation, which would give it away, are not
	// looked at.
	CountStaleTerm
	// CountBeforeCut: a follower reports, under the nonce of the alignment, before its cut is carried out.
	CountBeforeCut
	// KeepDurableOverCut: a durable report of before a cut stands behind it. Reports come in order, so that one
	// that comes late cannot be planted at the port: the core keeps the position.
	KeepDurableOverCut
	// TakeReplayedAlign: any answer to ALIGN is taken, whenever it was asked for.
	TakeReplayedAlign
	// TakeLateCatchUp: bytes of a catch-up are taken after the term or the alignment has changed.
	TakeLateCatchUp
	// ServeUncommitted: anybody serves what it holds beyond commit.
	ServeUncommitted
	// IgnoreNak: a leader sends nothing again.
	IgnoreNak

	// Rule 8: amnesia.

	// CountUnadmitted: a node that the config does not list, or that may have forgotten, counts.
	CountUnadmitted
	// CountForeignIncarnation: the vote of a directory that was made anew is given and counts. The voter refuses
	// and the candidate does not count: both are broken.
	CountForeignIncarnation
	// ForgetAmnesia: a directory that was made anew does not say so.
	ForgetAmnesia
	// LeaveClean: the marker of a clean end stays.
	LeaveClean

	// Rule 9 and clients.

	// ApplyPastCommit: the service applies what is not committed.
	ApplyPastCommit
	// SkipJournalRecords: messages that are read from the journal and not from the ring are not applied.
	SkipJournalRecords
	// SkipDedup: a new leader takes the last message of a session again, and it is applied again. The ingress and
	// apply both look for duplicates: both are broken.
	SkipDedup
	// KeepTables: a leader keeps the sessions of an earlier leadership.
	KeepTables
	// ClientsBeforeApplied: a new leader takes clients before it has applied its term record.
	ClientsBeforeApplied
	// AcceptBeforeCommit: a session is accepted before its record is committed.
	AcceptBeforeCommit
	// AckBeforeCommit: a message is acknowledged as durable when it is sequenced.
	AckBeforeCommit
	// AckUnreplicated: a message is acknowledged as replicated when the leader alone holds it.
	AckUnreplicated
	// StampByWallClock: stamps follow the wall clock back.
	StampByWallClock
	// ForgetClosed: which sessions are over is forgotten, so that a request to open one that comes late opens it anew. The
	// leader's table and apply both know: both are broken.
	ForgetClosed
	// AnswersOfAnySession: a client takes answers to an earlier session of its address.
	AnswersOfAnySession
	// RepeatResponses: a client hands responses out again.
	RepeatResponses
	// NoResend: a client sends no message twice.
	NoResend
	// FragmentSkipped: a leader takes a fragment although the one before it is missing.
	FragmentSkipped

	// The journal and the ring.

	// IgnoreFailedSync: a write or sync that failed counts as done.
	IgnoreFailedSync
	// RetryFailedSync: a sync that failed is tried again, and believed.
	RetryFailedSync
	// ResurrectCutTail: a cut leaves the bytes on the disk.
	ResurrectCutTail
	// KeepWatermark: a cut does not lower the watermark.
	KeepWatermark
	// MarkCleanUnsynced: a log that is not all synced is marked clean, and that is believed. The mark says where the
	// log ends, and is compared with it: both are broken.
	MarkCleanUnsynced
	// RingWithoutReserve: the ring does not keep what the journal has not written.
	RingWithoutReserve

	// FireStaleTimers: a timer record fires whatever is pending.
	FireStaleTimers
	// ForgetTimers: a new leader is not told which timers are pending.
	ForgetTimers

	// Rule 13: snapshots.

	// VerifyByMinority: one less than a majority of the voters verifies a snapshot.
	VerifyByMinority
	// CountStalePoint: the newest digest that a node has reported counts at whatever point is compared.
	CountStalePoint

	// Snapshots, installs, retention.

	// DropTooMuch: log goes below the newest snapshot that is held, verified or not.
	DropTooMuch
	// InstallUnverified: a snapshot that no majority has verified is fetched and installed.
	InstallUnverified
	// PublishEarly: a snapshot is published before the log is synced up to it.
	PublishEarly
	// ForgetKept: what is restored holds no responses. The digest does not go through them.
	ForgetKept
	// ForgetSnapshotTimers: timers are not restored.
	ForgetSnapshotTimers
	// ForgetRefused: which messages had no effect is not restored.
	ForgetRefused
	// RestoreNoHash: the chained hash begins anew behind a snapshot.
	RestoreNoHash
	// IgnoreSessions: the digest leaves sessions out, and how far each has come is not restored. The digest is what
	// notices: both are broken.
	IgnoreSessions
	// SkipInstallMark: a snapshot that the log does not reach is published without a word about it.
	SkipInstallMark
	// IgnorePins: what another node reads goes all the same.
	IgnorePins

	// What services promise.

	// IgnoreVersion: a compare-and-set sets whatever the version is.
	IgnoreVersion
	// ApplyHalf: a transaction that one service refuses is applied by the services before it.
	ApplyHalf
	// LeaseEndsEarly: a message comes back before the end of the lease that its consumer was told.
	LeaseEndsEarly
	// HandTwice: a message that was handed out at most once goes to the next one as well.
	HandTwice
	// KeepDeleted: a message that its consumer has done comes back.
	KeepDeleted
	// ForgetKeys: keys that are remembered, so that a message is put once, are not restored. The service's own sum of its
	// state would give it away: it is not looked at.
	ForgetKeys
	// ForgetLeases: when leases end is not restored.
	ForgetLeases
	// GrantTwice: a lock that is held is granted.
	GrantTwice
	// ReuseToken: who has waited for a lock gets the token of the place.
	ReuseToken
	// RenewInVain: a renewal changes nothing.
	RenewInVain
	// TimerDrifts: a periodic timer is due an interval after it fired, not after it was due.
	TimerDrifts
	// LoseFill: who is left with a part of an order is not told that the other part has executed.
	LoseFill

	NumBugs
)

var names = [NumBugs]string{
	None:                    "none",
	ReuseTerm:               "reuse-term",
	ForgetVote:              "forget-vote",
	VoteOneCopy:             "vote-one-copy",
	VoteTwice:               "vote-twice",
	SendUnstored:            "send-unstored",
	VoteForOlderLog:         "vote-for-older-log",
	IgnoreHigherTerm:        "ignore-higher-term",
	SkipStepDown:            "skip-step-down",
	ElectByWallClock:        "elect-by-wall-clock",
	CommitOldTerm:           "commit-old-term",
	CommitMidRecord:         "commit-mid-record",
	CommitByMinority:        "commit-by-minority",
	CommitUnaligned:         "commit-unaligned",
	AckBeforeSync:           "ack-before-sync",
	CountStaleTerm:          "count-stale-term",
	CountBeforeCut:          "count-before-cut",
	KeepDurableOverCut:      "keep-durable-over-cut",
	TakeReplayedAlign:       "take-replayed-align",
	TakeLateCatchUp:         "take-late-catch-up",
	ServeUncommitted:        "serve-uncommitted",
	IgnoreNak:               "ignore-nak",
	CountUnadmitted:         "count-unadmitted",
	CountForeignIncarnation: "count-foreign-incarnation",
	ForgetAmnesia:           "forget-amnesia",
	LeaveClean:              "leave-clean",
	ApplyPastCommit:         "apply-past-commit",
	SkipJournalRecords:      "skip-journal-records",
	SkipDedup:               "skip-dedup",
	KeepTables:              "keep-tables",
	ClientsBeforeApplied:    "clients-before-applied",
	AcceptBeforeCommit:      "accept-before-commit",
	AckBeforeCommit:         "ack-before-commit",
	AckUnreplicated:         "ack-unreplicated",
	StampByWallClock:        "stamp-by-wall-clock",
	ForgetClosed:            "forget-closed",
	AnswersOfAnySession:     "answers-of-any-session",
	RepeatResponses:         "repeat-responses",
	NoResend:                "no-resend",
	FragmentSkipped:         "fragment-skipped",
	IgnoreFailedSync:        "ignore-failed-sync",
	RetryFailedSync:         "retry-failed-sync",
	ResurrectCutTail:        "resurrect-cut-tail",
	KeepWatermark:           "keep-watermark",
	MarkCleanUnsynced:       "mark-clean-unsynced",
	RingWithoutReserve:      "ring-without-reserve",
	FireStaleTimers:         "fire-stale-timers",
	ForgetTimers:            "forget-timers",
	VerifyByMinority:        "verify-by-minority",
	CountStalePoint:         "count-stale-point",
	DropTooMuch:             "drop-too-much",
	InstallUnverified:       "install-unverified",
	PublishEarly:            "publish-early",
	ForgetKept:              "forget-kept",
	ForgetSnapshotTimers:    "forget-snapshot-timers",
	ForgetRefused:           "forget-refused",
	RestoreNoHash:           "restore-no-hash",
	IgnoreSessions:          "ignore-sessions",
	SkipInstallMark:         "skip-install-mark",
	IgnorePins:              "ignore-pins",
	IgnoreVersion:           "ignore-version",
	ApplyHalf:               "apply-half",
	LeaseEndsEarly:          "lease-ends-early",
	HandTwice:               "hand-twice",
	KeepDeleted:             "keep-deleted",
	ForgetKeys:              "forget-keys",
	ForgetLeases:            "forget-leases",
	GrantTwice:              "grant-twice",
	ReuseToken:              "reuse-token",
	RenewInVain:             "renew-in-vain",
	TimerDrifts:             "timer-drifts",
	LoseFill:                "lose-fill",
}

// String is the bug's name.
func (b Bug) String() string {
	if b < NumBugs {
		return names[b]
	}
	return "unknown bug"
}
