package journal

import (
	"fmt"

	"lockstep/wire"
)

// Recovered is what Open found.
type Recovered struct {
	Outcome Outcome
	Chain   wire.Chain       // the end of the good log: what the next record must fit
	Terms   []wire.TermStart // where each leadership's records begin, oldest first
	// Configs are the config records, oldest first: the newest MaxConfigs of them.
	Configs     []wire.ConfigAt
	MoreConfigs bool          // the log holds older ones
	Skips       []wire.SkipAt // all skip records, oldest first: apply must know of them before it comes to what they name
	Floor       wire.Position // where the first record that is held begins
	Records     uint64        // how many are held
	Generation  uint64        // of the last cut
	Watermark   wire.Position // 0 as well when it is not known
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
	line := fmt.Sprintf("log of %d records up to position %d, term %d: %s",
		r.Records, r.Chain.Position, r.Chain.Term, r.Outcome)
	if r.Outcome != OutcomeIntact {
		line += fmt.Sprintf(" at %s offset %d: %s", r.Segment, r.Offset, r.Cause)
	}
	if r.Marked != "" {
		line += "; recovering since an earlier start: " + r.Marked
	}
	return line
}

// recovered puts the result of a scan beside the watermark.
func (s *scanned) recovered(watermark wire.Position, known bool) *Recovered {
	e := s.evidence
	switch {
	case !known:
		e |= evNoMark
	case s.chain.Position < watermark:
		e |= evBelow
	}
	d := decide(e)
	r := &Recovered{
		Outcome: d.outcome, Chain: s.chain, Terms: s.terms, Configs: s.configs, MoreConfigs: s.moreConfigs,
		Skips: s.skips,
		Floor: s.floor, Records: s.records, Generation: s.generation, Watermark: watermark,
		EndBefore: s.chain.Position,
	}
	if d.outcome != OutcomeIntact {
		r.Segment, r.Offset = s.place(s.chain.Position)
		r.Cause = fmt.Sprintf("%s (watermark %d; %s)", d.cause, watermark, s.breakCause())
		r.Resumes = s.resumes
	}
	return r
}
