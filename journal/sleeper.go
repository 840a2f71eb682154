package journal

import (
	"sync/atomic"

	"lockstep/agent"
)

// sleeper is how a thread of this package blocks until there is something to do. Without a parker (Options.Inline) it
// never does.
type sleeper struct {
	parker  *agent.Parker
	noTimer atomic.Bool // blocked, or about to, without a time-out: even what can wait must wake it
}

// wake ends the block of a thread that is blocked or about to. Any thread.
func (s *sleeper) wake() {
	if s.parker != nil {
		s.parker.WakeIfParked()
	}
}

// untimed says whether the thread sleeps with no timer set. Any thread.
func (s *sleeper) untimed() bool { return s.noTimer.Load() }

// sleep blocks until woken, at most timeoutNs (negative: no limit), unless look, the second look at every source,
// finds something to do. Own thread only.
func (s *sleeper) sleep(timeoutNs int64, look func() (int, error)) (int, error) {
	if s.parker == nil || timeoutNs == 0 {
		return 0, nil
	}
	s.noTimer.Store(timeoutNs < 0)
	s.parker.Announce()
	work, err := look()
	if work > 0 || err != nil {
		s.parker.Withdraw()
	} else {
		s.parker.Block(timeoutNs)
	}
	s.noTimer.Store(false)
	return work, err
}
