package journal

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
)

var outcomeNames = [...]string{"invalid", "intact", "torn", "damaged", "recovering"}

// String is the outcome's name.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown outcome"
}

// Forgot says whether bytes that this node had promised may be missing: it must start recovering (or not at all,
// when it is alone).
func (o Outcome) Forgot() bool { return o >= OutcomeDamaged }

// evidence is what is known about the place where the chain of records ends, one bit a question.
type evidence uint8

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

	numEvidence = 7
)

// decision is a row of the table: the evidence bits it looks at, what they must be, and what follows.
type decision struct {
	looks, are evidence
	outcome    Outcome
	cause      string
}

// decisions is the decision table. For every combination of evidence that can be, exactly one row fits.
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

// possible says whether a combination of evidence can come up: a broken sector, and records further on, are something
// that follows; a record beyond a batch is one that the log resumes with; a lost watermark has nothing below it.
func (e evidence) possible() bool {
	switch {
	case e&(evSector|evResumes) != 0 && e&evFollows == 0:
		return false
	case e&evBeyond != 0 && e&evResumes == 0:
		return false
	case e&evBelow != 0 && e&evNoMark != 0:
		return false
	}
	return true
}

// decide looks the evidence up.
func decide(e evidence) *decision {
	for i := range decisions {
		if d := &decisions[i]; e&d.looks == d.are {
			return d
		}
	}
	panic("journal: the decision table has no row for this evidence")
}
