package bench

import "sync/atomic"

// Progress is how far a measurement is: written by the thread that measures, read by one that tells people.
type Progress struct {
	phase, sent, acked atomic.Uint64
}

// ProgressReport is one look at it.
type ProgressReport struct {
	Phase int    `json:"phase"` // of a scene, from 0
	Sent  uint64 `json:"sent"`
	Acked uint64 `json:"acked"`
}

func (p *Progress) set(phase int, sent, acked uint64) {
	p.phase.Store(uint64(phase))
	p.sent.Store(sent)
	p.acked.Store(acked)
}

// Look reads it. Any thread.
func (p *Progress) Look() ProgressReport {
	return ProgressReport{Phase: int(p.phase.Load()), Sent: p.sent.Load(), Acked: p.acked.Load()}
}
