package journal

import (
	"fmt"

	"lockstep/wire"
)

// Recovered is what Open found.
type Recovered struct {
	Outcome Outcome
	Chain   wire.Chain       // the end of the good log: what the next record must fit
	Terms   []wire.TermStart // where each leadership's records begin, oldest first; those up to Base as it says
	// Configs are the config records, oldest first: the newest MaxConfigs of them.
	Configs     []wire.ConfigAt
	MoreConfigs bool // the log holds older ones
	// Verified is what the newest snapshot records behind Base call verified, oldest first. It is true whether the record is
	// committed or not: a leader says so of what a majority has told it.
	Verified   []wire.SnapshotRecord
	Skips      []wire.SkipAt // all skip records behind Base, oldest first: apply must know of them before it comes there
	Floor      wire.Position // where the first record that is held begins
	Base       wire.Position // of the snapshot from which the log was read; 0: from its first record on
	Records    uint64        // how many were read: those behind Base
	Generation uint64        // of the last cut
	Watermark  wire.Position // 0 as well when it is not known
	// EndBefore is where the log ended that Open found: Chain.Position, but for a log that was dropped (Options.Install).
	// What a clean end is held against.
	EndBefore wire.Position

	// Where the log breaks and why, for an operator: file in the directory, offset in it. Empty with OutcomeIntact.
	Segment string
	Offset  int64
	Cause   string
	// Resumes is where good records go on behind damage, 0 when nowhere.
	Resumes wire.Position
	// MendedHeaders is how many damaged segment headers were rewritten from what the segment before them says.
	MendedHeaders int
	// MendedBytes is how many bytes of damage were replaced by those of other nodes (Journal.Mend).
	MendedBytes uint64
	// Marked says why this node is recovering since an earlier start (MarkRecovering); empty when it is not.
	Marked string
}

// MaxConfigs is how many config records Open remembers.
const MaxConfigs = 8

// Forgot says whether this node may have forgotten what it promised, now or at an earlier start: it must not vote or be
// counted before the cluster has admitted it again.
func (r *Recovered) Forgot() bool { return r.Outcome.Forgot() || r.Marked != "" }

// String is one line for an operator.
func (r *Recovered) String() string {
	line := fmt.Sprintf("log of %d records", r.Records)
	if r.Base > 0 {
		line += fmt.Sprintf(" behind the snapshot at position %d", r.Base)
	}
	line += fmt.Sprintf(" up to position %d, term %d: %s", r.Chain.Position, r.Chain.Term, r.Outcome)
	if r.Outcome != OutcomeIntact {
		line += fmt.Sprintf(" at %s offset %d: %s", r.Segment, r.Offset, r.Cause)
	}
	if r.Marked != "" {
		line += "; recovering since an earlier start: " + r.Marked
	}
	return line
}

// maxVerified is how many records Recovered.Verified has at most.
const maxVerified = 8

// recovered puts the result of a scan beside the watermark. ErrBase with OutcomeUnfit.
func (s *scanned) recovered(watermark wire.Position, known bool) (*Recovered, error) {
	e := s.evidence | s.standing
	switch {
	case !known:
		e |= evNoMark
	case s.chain.Position < watermark:
		e |= evBelow
	}
	d := decide(e)
	if d.outcome == OutcomeUnfit {
		return nil, s.unfit(d)
	}
	r := &Recovered{
		Outcome: d.outcome, Chain: s.chain, Terms: s.terms, Configs: s.configs, MoreConfigs: s.moreConfigs,
		Skips: s.skips, Verified: s.verified,
		Floor: s.floor, Records: s.records, Generation: s.generation, Watermark: watermark,
		EndBefore: s.chain.Position,
	}
	r.Base = s.basePosition()
	switch {
	case d.outcome == OutcomeIntact:
	case s.standing&evStanding != 0:
		r.Segment, r.Offset, r.EndBefore, r.Resumes = s.where, s.offset, s.endBefore, s.resumes
		r.Cause = fmt.Sprintf("%s at position %d (watermark %d; the log ends at %d)", d.cause, r.Base, watermark, s.endBefore)
	default:
		r.Segment, r.Offset = s.place(s.chain.Position)
		r.Cause = fmt.Sprintf("%s (watermark %d; %s)", d.cause, watermark, s.breakCause())
		r.Resumes = s.resumes
	}
	return r, nil
}
