package service

import "lockstep/internal/counters"

// meters are the driver's counters, visible from outside in the node's counters file.
type meters struct {
	position, records, messages, responses *counters.Counter
	duplicates, strays, lost, badAcks      *counters.Counter
	sessions, refused, slow                *counters.Counter
	egressFull, journalReads, halted       *counters.Counter
	skipped                                *counters.Counter
	snapshots, snapshotsAborted            *counters.Counter
	snapshotBytes, pauseLast, pauseMax     *counters.Counter
	timers, timersFired, timersIgnored     *counters.Counter
	timersRefused                          *counters.Counter
	workMax, workHigh, committed           *counters.Counter
	outputsMax, outputBytesMax             *counters.Counter
	worst, mostOutputs, mostBytes          int

	// Since they were last told: once a batch. A counter that others can read costs as much as applying a small record does.
	recordsNew, messagesNew, responsesNew uint64
}

// ignored is the one help text of a name with several labels.
const ignored = "Records in the log that changed nothing: not their session's next, or of a session that is not open, " +
	"or opening one that is"

const pauseHelp = "How long apply stood still for a snapshot: the last one, whole or not, and the longest"

// newMeters registers the counters in f; without one nobody outside sees them.
func newMeters(f *counters.File) meters {
	counter := func(name, help string) *counters.Counter {
		if f == nil {
			return new(counters.Counter)
		}
		return f.Counter(name, help)
	}
	return meters{
		position:  counter("lockstep_apply_position", "Position of the record being applied or last applied"),
		records:   counter("lockstep_applied_records_total", "Records applied, of all kinds"),
		messages:  counter("lockstep_applied_messages_total", "Messages given to a service"),
		responses: counter("lockstep_responses_total", "Responses numbered and kept"),
		duplicates: counter("lockstep_messages_ignored_total{reason=\"correlation\"}",
			ignored),
		strays: counter("lockstep_messages_ignored_total{reason=\"session\"}",
			ignored),
		lost:     counter("lockstep_responses_lost_total", "Responses to a session that is closed"),
		badAcks:  counter("lockstep_acks_ignored_total", "Response acknowledgements out of range"),
		sessions: counter("lockstep_sessions", "Sessions open"),
		refused:  counter("lockstep_sessions_refused_total", "Session-open records refused"),
		slow:     counter("lockstep_sessions_slow_total", "Sessions closed as slow consumers"),
		egressFull: counter("lockstep_egress_full_total",
			"Times that apply waited because the ingress did not read its egress"),
		journalReads: counter("lockstep_apply_journal_reads_total",
			"Reads of the journal because the ring had moved past the applied position"),
		halted:      counter("lockstep_apply_halted", "1 when apply has halted"),
		timers:      counter("lockstep_timers", "Timers of services that are pending"),
		timersFired: counter("lockstep_timers_fired_total", "Timers that a record fired"),
		timersIgnored: counter("lockstep_timers_ignored_total",
			"Timer records that changed nothing: the timer was fired, cancelled or set anew before"),
		timersRefused: counter("lockstep_timers_refused_total", "Timers that a service could not set: too many are pending"),
		snapshots:     counter("lockstep_snapshots_total", "Snapshots of the services' state written in whole"),
		snapshotsAborted: counter("lockstep_snapshots_aborted_total",
			"Snapshots that the log asked for and that came to nothing"),
		snapshotBytes: counter("lockstep_snapshot_bytes", "Size of the newest snapshot written"),
		pauseLast:     counter("lockstep_snapshot_pause_ns{of=\"last\"}", pauseHelp),
		pauseMax:      counter("lockstep_snapshot_pause_ns{of=\"max\"}", pauseHelp),
		workMax:       counter("lockstep_record_work_max", "Units of work that the costliest record took; 65536 halt apply"),
		workHigh:      counter("lockstep_records_heavy_total", "Records that took more than half of the work that halts apply"),
		outputsMax: counter("lockstep_record_outputs_max",
			"Responses and changes of timers that one record caused, the most so far; more than 8192 halt apply"),
		outputBytesMax: counter("lockstep_record_output_bytes_max",
			"Bytes of responses that one record caused, the most so far; more than 1 MiB halt apply"),
		committed: counter("lockstep_transactions_committed_total", "Messages whose commands for several services were applied"),
		skipped:   counter("lockstep_applied_skipped_total", "Records passed over because a skip record names them"),
	}
}

// tell makes visible what a batch has counted.
func (m *meters) tell() {
	m.records.Add(m.recordsNew)
	m.messages.Add(m.messagesNew)
	m.responses.Add(m.responsesNew)
	m.recordsNew, m.messagesNew, m.responsesNew = 0, 0, 0
}

// count takes in what a record cost.
func (m *meters) count(work int) {
	if work > m.worst {
		m.worst = work
		m.workMax.Set(uint64(work))
	}
	if work > MaxWork/2 {
		m.workHigh.Inc()
	}
}

// caused takes in what a record, or one command of a transaction, caused.
func (m *meters) caused(outputs, bytes int) {
	if outputs > m.mostOutputs {
		m.mostOutputs = outputs
		m.outputsMax.Set(uint64(outputs))
	}
	if bytes > m.mostBytes {
		m.mostBytes = bytes
		m.outputBytesMax.Set(uint64(bytes))
	}
}
