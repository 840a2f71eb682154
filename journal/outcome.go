package journal

import "math/bits"

// Outcome is what opening found at the end of the log.
type Outcome uint8

// The outcomes.
const (
	// OutcomeIntact: nothing follows the last record.
	OutcomeIntact Outcome = 1 + iota
	// OutcomeTorn: what follows the last record was never promised to be there: leftovers of a write that the crash
	// cut short, or of a cut. It is cut off.
	OutcomeTorn
	// OutcomeDamaged: bytes that had been synced are bad or gone, and the log goes on behind them: the range between
	// can be fetched from a peer.
	OutcomeDamaged
	// OutcomeRecovering: bytes that had been synced are bad or gone, and nothing here tells how far.
	OutcomeRecovering
	// OutcomeReplaced: the log did not reach the snapshot that was installed, or held other records there. It was dropped,
	// and begins at the snapshot now.
	OutcomeReplaced
	// OutcomeUnfit: log and snapshot are not of one piece (ErrBase). Nothing was changed.
	OutcomeUnfit
)

var outcomeNames = [...]string{"invalid", "intact", "torn", "damaged", "recovering", "replaced", "unfit"}

// String is the outcome's name.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown outcome"
}

// Forgot says whether bytes that this node had promised may be missing: it must start recovering (or not at all,
// when it is alone).
func (o Outcome) Forgot() bool { return o == OutcomeDamaged || o == OutcomeRecovering }

// evidence is what is known about the place where the chain of records ends, one bit a question.
type evidence uint16

const (
	// evFollows: something other than zeros stands behind the last good record.
	evFollows evidence = 1 << iota
	// evBelow: the log ends below the watermark.
	evBelow
	// evUnreadable: the device refuses to read behind the last good record, or a file is short or missing.
	evUnreadable
	// evSector: the broken record would end in the sector that the last good one ends in. That sector was only ever
	// rewritten with a superset of itself, as a whole, so a write that was cut short does not look like this.
	evSector
	// evBeyond: a good record of this or a later term stands more than one batch further on. Batches are synced one
	// after the other, so what is missing before it had been synced.
	evBeyond
	// evNoMark: the watermark is unreadable: nobody knows what was promised.
	evNoMark
	// evResumes: a good record of this or a later term stands somewhere behind the break.
	evResumes

	// How the log stands to the snapshot from which it is opened (Options.Base). None of these: it reaches the snapshot,
	// and the chain is the same there; or there is no snapshot. What the bits above say is then said of what follows it.

	// evShort: no records lead up to the snapshot: the log ends before it.
	evShort
	// evOther: the log holds other records at the snapshot.
	evOther
	// evLate: the log begins behind the snapshot.
	evLate
	// evInstall: the snapshot came from another node, because this log ends before it.
	evInstall

	numEvidence = 11

	evStanding = evShort | evOther | evLate
)

// decision is a row of the table: the evidence bits it looks at, what they must be, and what follows.
type decision struct {
	looks, are evidence
	outcome    Outcome
	cause      string
}

// decisions is the decision table for a log that reaches the snapshot from which it is opened, or has none. For every
// combination of evidence that can be, exactly one row fits.
var decisions = []decision{
	// Nothing follows the log, and nothing that was promised is missing: the usual end.
	{evFollows | evBelow | evUnreadable | evNoMark, 0,
		OutcomeIntact, "the log ends here"},

	// The log goes on, but nothing says that what is broken had ever been synced.
	{evFollows | evBelow | evUnreadable | evSector | evBeyond | evNoMark, evFollows,
		OutcomeTorn, "a write that was not synced ends here"},

	// From here on something that had been synced is bad or gone. If the log goes on behind it, a peer's bytes can be
	// checked from both ends; the rows differ in what gave it away, the surest first.
	{evBelow | evResumes, evBelow | evResumes,
		OutcomeDamaged, "a record below the watermark is damaged"},
	{evBelow | evResumes | evFollows, evBelow | evFollows,
		OutcomeRecovering, "the log is damaged below the watermark, and no good record follows"},
	{evBelow | evResumes | evFollows, evBelow,
		OutcomeRecovering, "the log ends below the watermark: synced records are gone"},

	{evBelow | evBeyond | evResumes, evBeyond | evResumes,
		OutcomeDamaged, "a record is damaged that good records of later batches follow"},

	{evBelow | evBeyond | evUnreadable | evResumes, evUnreadable | evResumes,
		OutcomeDamaged, "a record cannot be read back"},
	{evBelow | evUnreadable | evResumes, evUnreadable,
		OutcomeRecovering, "the end of the log cannot be read back"},

	{evBelow | evBeyond | evUnreadable | evFollows | evSector | evResumes, evFollows | evSector | evResumes,
		OutcomeDamaged, "a record is damaged in a sector that had been synced"},
	{evBelow | evUnreadable | evFollows | evSector | evResumes, evFollows | evSector,
		OutcomeRecovering, "a record is damaged in a sector that had been synced, and no good record follows"},

	// Nothing is wrong but that the watermark is gone.
	{evBelow | evBeyond | evUnreadable | evSector | evNoMark | evFollows | evResumes, evNoMark | evFollows | evResumes,
		OutcomeDamaged, "the watermark is unreadable, and the log is broken"},
	{evBelow | evUnreadable | evSector | evNoMark | evFollows | evResumes, evNoMark | evFollows,
		OutcomeRecovering, "the watermark is unreadable, and the log is broken"},
	{evBelow | evUnreadable | evNoMark | evFollows, evNoMark,
		OutcomeRecovering, "the watermark is unreadable: how much was promised is not known"},
}

// standings is the table for a log that does not reach the snapshot from which it is opened. As in the other one, exactly
// one row fits.
var standings = []decision{
	// A snapshot is published when the log is durable up to it, so a log that ends before it has lost what was synced. By
	// the chain, bytes that lead from the snapshot to a good record behind it are the right ones.
	{evShort | evInstall | evResumes, evShort | evResumes,
		OutcomeDamaged, "the log does not reach the snapshot, and goes on behind it"},
	{evShort | evInstall | evResumes, evShort,
		OutcomeRecovering, "the log ends before the snapshot: synced records are gone"},

	// But if it came from elsewhere because this log is behind, all that is dropped is committed, and in the snapshot.
	// Unless something says that this log had been longer: then promises are forgotten.
	{evShort | evInstall | evBelow | evUnreadable | evNoMark | evResumes, evShort | evInstall,
		OutcomeReplaced, "the log ends before the snapshot that was installed"},
	{evShort | evInstall | evResumes, evShort | evInstall | evResumes,
		OutcomeDamaged, "the log does not reach the snapshot that was installed, and goes on behind it"},
	{evShort | evInstall | evBelow | evResumes, evShort | evInstall | evBelow,
		OutcomeRecovering, "the log does not reach the snapshot that was installed, and the watermark is behind that"},
	{evShort | evInstall | evBelow | evUnreadable | evResumes, evShort | evInstall | evUnreadable,
		OutcomeRecovering, "what stands behind the snapshot that was installed cannot be read back"},
	{evShort | evInstall | evBelow | evUnreadable | evNoMark | evResumes, evShort | evInstall | evNoMark,
		OutcomeRecovering, "the watermark is unreadable, and the log does not reach the snapshot that was installed"},

	// What the cluster has committed stands in an installed snapshot: other records there were never committed.
	{evOther | evInstall, evOther | evInstall,
		OutcomeReplaced, "the log holds other records than the snapshot that was installed"},
	{evOther | evInstall, evOther,
		OutcomeUnfit, "the log holds other records at the snapshot's position"},
	{evLate, evLate,
		OutcomeUnfit, "the log begins behind the snapshot"},
}

// possible says whether a combination of evidence can come up: a broken sector, and records further on, are something
// that follows; a record beyond a batch is one that the log resumes with; a lost watermark has nothing below it; a log
// stands to a snapshot in one way, and has an end whose sector can be looked at only if it reaches that.
func (e evidence) possible() bool {
	switch {
	case e&(evSector|evResumes) != 0 && e&evFollows == 0:
		return false
	case e&evBeyond != 0 && e&evResumes == 0:
		return false
	case e&evBelow != 0 && e&evNoMark != 0:
		return false
	case e&evStanding != 0 && (e&evSector != 0 || bits.OnesCount16(uint16(e&evStanding)) > 1):
		return false
	}
	return true
}

// decide looks the evidence up.
func decide(e evidence) *decision {
	table := decisions
	if e&evStanding != 0 {
		table = standings
	}
	for i := range table {
		if d := &table[i]; e&d.looks == d.are {
			return d
		}
	}
	panic("journal: the decision table has no row for this evidence")
}
