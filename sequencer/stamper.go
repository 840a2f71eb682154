package sequencer

import "lockstep/internal/simbug"

// slewPPM bounds how fast the leader's clock is drawn towards the wall clock: 500 microseconds a second.
const slewPPM = 500

// slewHorizonNs is how long one correction is spread over, and how long it holds: the clock then runs at its own rate
// until the next Adjust.
const slewHorizonNs = int64(1e9)

// Stamper gives out the timestamps of records: strictly increasing nanoseconds since the Unix epoch. Its clock starts
// at the wall clock, runs with monotonic time and is slewed to the wall clock at a bounded rate, so that no step of the
// wall clock reaches the log.
type Stamper struct {
	baseNs   int64 // what the clock showed
	baseAt   int64 // at this monotonic time
	ratePPM  int64 // -slewPPM .. slewPPM
	last     uint64
	lastAtNs int64
	clamps   uint64
}

// Start sets the clock to the wall clock, and last to the timestamp of the log's last record.
func (s *Stamper) Start(nowNs, wallNs int64, last uint64) {
	*s = Stamper{baseNs: wallNs, baseAt: nowNs, last: last, lastAtNs: never, clamps: s.clamps}
}

// Adjust tells the stamper what the wall clock shows now; to be called about once a second.
func (s *Stamper) Adjust(nowNs, wallNs int64) {
	s.baseNs, s.baseAt = s.Clock(nowNs), nowNs
	// The rate that would take the whole difference away within the horizon.
	rate := (wallNs - s.baseNs) / (slewHorizonNs / 1e6)
	s.ratePPM = max(-slewPPM, min(slewPPM, rate))
}

// Clock is what the slewed clock shows at nowNs, in nanoseconds since the Unix epoch.
func (s *Stamper) Clock(nowNs int64) int64 {
	elapsedNs := nowNs - s.baseAt
	return s.baseNs + elapsedNs + min(elapsedNs, slewHorizonNs)*s.ratePPM/1e6
}

// Next is what Stamp would return.
func (s *Stamper) Next(nowNs int64) uint64 { return max(uint64(max(s.Clock(nowNs), 0)), s.last+1) }

// Stamp returns the timestamp of the next record: the clock, or one past the last stamp when the clock is not beyond
// it. The latter is counted as a clamp, except between records of one duty cycle, which share its nowNs.
func (s *Stamper) Stamp(nowNs int64) uint64 {
	clock := uint64(max(s.Clock(nowNs), 0))
	if clock > s.last || simbug.On(simbug.StampByWallClock) {
		s.last = clock
	} else {
		s.last++
		if nowNs != s.lastAtNs {
			s.clamps++
		}
	}
	s.lastAtNs = nowNs
	return s.last
}

// Clamps is how often the clock was behind the log.
func (s *Stamper) Clamps() uint64 { return s.clamps }
