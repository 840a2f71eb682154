package sim

import (
	"fmt"
	"io"
	"runtime/debug"

	"lockstep/wire"
)

// The things that must happen now and then, or the worlds are too tame.
const (
	sometimesElections = iota
	sometimesRoleChanges
	sometimesCuts
	sometimesRetransmits
	sometimesCatchUps
	sometimesRecovering
	sometimesRepeats
	sometimesResumed
	sometimesRedirects
	sometimesExpired
	sometimesGaps
	sometimesReplays
	sometimesDiskFull
	sometimesSegments
	sometimesFetches
	sometimesClamps
	sometimesBusyLog
	sometimesBusyAcks
	sometimesBusySessions
	sometimesBusyStarting
	sometimesBusyHandOver
	sometimesVoided
	sometimesVoidedLate
	sometimesEnded
	sometimesUnknown
	sometimesBusyConnecting
	sometimesBusyRate
	sometimesBusyAssemblies
	sometimesFragments
	sometimesAssembled
	sometimesRingFull
	sometimesHandOvers
	sometimesStepDowns
	sometimesTorn
	sometimesDamaged
	sometimesMisdirected
	sometimesTimers
	sometimesTimersIgnored
	sometimesTimersRefused
	sometimesAsked
	sometimesTaken
	sometimesAborted
	sometimesPublished
	sometimesVerified
	sometimesBegun
	sometimesInstalled
	sometimesFetched
	sometimesRemoved
	sometimesDropped
	sometimesSetAside
	sometimesScrubs
	sometimesScrubErrors
	sometimesMended
	sometimesSpoiltCatchUps
	sometimesHistory
	sometimesPorcupine
	sometimesSearchedKV
	sometimesCommitted
	sometimesTransactionsAborted
	sometimesKVChanged
	sometimesKVConflicts
	sometimesKVTold
	sometimesQueueDone
	sometimesQueueAgain
	sometimesQueueOnce
	sometimesQueueRepeats
	sometimesQueueReturned
	sometimesQueueDead
	sometimesQueueDrops
	sometimesLockGrants
	sometimesLockRefusals
	sometimesLockExpiries
	sometimesLockWaited
	sometimesLockLates
	sometimesLocksHeld
	sometimesTimersOfClients
	sometimesTimersSkipped
	numSometimes
)

var sometimesNames = [numSometimes]string{
	"elections", "role-changes", "cuts", "retransmitted-bytes", "caught-up-bytes", "recovering", "repeats",
	"resumed", "redirects", "expired", "gaps", "replays", "disk-full", "segments", "fetches", "stamp-clamps",
	"busy-log", "busy-acks", "busy-sessions", "busy-starting", "busy-hand-over", "voided", "voided-too-late",
	"told-how-it-ended", "unknown",
	"busy-connecting", "busy-rate", "busy-assemblies", "fragments", "assembled", "ring-full", "hand-overs", "step-downs", "torn-tails", "damaged-logs", "misdirected-writes",
	"timers-fired", "timers-ignored", "timers-refused", "snapshots-asked", "snapshots-taken", "snapshots-aborted",
	"snapshots-published", "snapshots-verified", "begun-from-snapshots", "installed", "snapshots-fetched",
	"snapshots-removed", "log-dropped", "snapshots-set-aside", "scrub-passes", "scrub-errors", "mended-bytes",
	"spoilt-catch-ups", "operations-checked", "histories-searched", "stores-searched",
	"transactions", "transactions-aborted", "kv-changed", "kv-conflicts", "kv-watched", "queue-done", "queue-handed-again",
	"queue-handed-once", "queue-repeats", "queue-returned", "queue-dead", "queue-dropped",
	"lock-grants", "lock-refusals", "lock-expiries", "lock-waited", "lock-waited-in-vain", "locks-held", "timer-fired", "timer-skipped"}

// sometimesCounters are the nodes' own counters behind them, "" where the simulator counts.
var sometimesCounters = [numSometimes]string{
	sometimesRoleChanges:    "lockstep_role_changes_total",
	sometimesCuts:           "lockstep_cuts_total",
	sometimesRetransmits:    "lockstep_retransmitted_bytes_total",
	sometimesCatchUps:       "lockstep_caught_up_bytes_total",
	sometimesRepeats:        "lockstep_sequencer_repeats_total",
	sometimesResumed:        "lockstep_sequencer_sessions_resumed_total",
	sometimesExpired:        "lockstep_sequencer_sessions_expired_total",
	sometimesGaps:           "lockstep_sequencer_gaps_total",
	sometimesReplays:        "lockstep_sequencer_replays_total",
	sometimesDiskFull:       "lockstep_journal_full_total",
	sometimesSegments:       "lockstep_journal_segments_total",
	sometimesClamps:         "lockstep_sequencer_stamp_clamps_total",
	sometimesBusyLog:        `lockstep_sequencer_refused_total{reason="busy-log"}`,
	sometimesBusyAcks:       `lockstep_sequencer_refused_total{reason="busy-acks"}`,
	sometimesBusySessions:   `lockstep_sequencer_refused_total{reason="busy-sessions"}`,
	sometimesBusyStarting:   `lockstep_sequencer_refused_total{reason="busy-starting"}`,
	sometimesBusyHandOver:   `lockstep_sequencer_refused_total{reason="busy-hand-over"}`,
	sometimesBusyConnecting: `lockstep_sequencer_refused_total{reason="busy-connecting"}`,
	sometimesBusyRate:       `lockstep_sequencer_refused_total{reason="busy-rate"}`,
	sometimesBusyAssemblies: `lockstep_sequencer_refused_total{reason="busy-assemblies"}`,
	sometimesFragments:      "lockstep_sequencer_fragments_total",
	sometimesAssembled:      "lockstep_sequencer_assembled_total",
	sometimesRingFull:       "lockstep_ring_full_total",
	sometimesTimers:         "lockstep_timers_fired_total",
	sometimesTimersIgnored:  "lockstep_timers_ignored_total",
	sometimesTimersRefused:  "lockstep_timers_refused_total",
	sometimesTaken:          "lockstep_snapshots_total",
	sometimesAborted:        "lockstep_snapshots_aborted_total",
	sometimesPublished:      "lockstep_snapshots_published_total",
	sometimesFetched:        "lockstep_snapshots_fetched_total",
	sometimesRemoved:        "lockstep_snapshots_removed_total",
	sometimesDropped:        "lockstep_log_dropped_bytes_total",
	sometimesSetAside:       "lockstep_snapshots_set_aside_total",
	sometimesScrubs:         "lockstep_scrub_passes_total",
	sometimesScrubErrors:    "lockstep_scrub_errors_total",
	sometimesMended:         "lockstep_journal_mended_bytes_total",
	sometimesSpoiltCatchUps: "lockstep_caught_up_spoilt_total",
}

func (w *World) sometimes(what int) { w.count.Sometimes[what]++ }

// collect adds up a process's counters when it ends.
func (w *World) collect(p *process) {
	for i, name := range sometimesCounters {
		if name != "" {
			w.count.Sometimes[i] += p.in.Counters.Counter(name, "").Load()
		}
	}
	for r := wire.RefusalNone + 1; r < wire.NumRefusals; r++ {
		w.count.Refused[r] += p.in.Counters.Counter(`lockstep_sequencer_refused_total{reason="`+r.Name()+`"}`, "").Load()
	}
}

// counter is a node's own.
func (m *member) counter(name string) uint64 { return m.process.in.Counters.Counter(name, "").Load() }

// Result is what became of a run.
type Result struct {
	Seed     uint64
	Options  Options
	Counts   Counts
	Hash     uint64 // over all events: the same seed gives the same
	Failure  error
	settleNs int64
}

// Run runs the world of a seed.
func Run(seed uint64) *Result { return RunWith(seed, Draw(seed)) }

// RunWith runs a world with other options than its seed has.
func RunWith(seed uint64, o Options) *Result {
	w := newWorld(seed, o)
	w.trace.silent = true
	if w.failure == nil {
		w.guarded()
	}
	w.count.Sometimes[sometimesElections] = w.count.Leaders
	w.count.Sometimes[sometimesRecovering] = w.count.Recovered
	w.count.Sometimes[sometimesFetches] = w.count.Fetches
	return &Result{Seed: seed, Options: o, Counts: w.count, Hash: w.trace.hash, Failure: w.failure,
		settleNs: w.check.settleNs}
}

// guarded runs a world; a panic outside the agents, in a client, is a failure like any other.
func (w *World) guarded() {
	defer func() {
		if p := recover(); p != nil {
			w.fail("panic: %v\n%s", p, debug.Stack())
		}
	}()
	w.run()
}

// Trace runs the world once more and prints its last events, one a line, and what the nodes said to operators last.
func (r *Result) Trace(out io.Writer, most int) {
	w := newWorld(r.Seed, r.Options)
	if w.failure == nil {
		w.guarded()
	}
	w.trace.write(out, most)
	for _, m := range w.members {
		text := m.log.Bytes()
		fmt.Fprintf(out, "node %d said last:\n%s\n", m.id, text[max(0, len(text)-10*most):])
	}
	if w.trace.hash != r.Hash {
		fmt.Fprintln(out, "this run was not the one that failed: something in it is not deterministic")
	}
}
