package bench

import (
	"math"
	"time"
)

// RateSearch finds the largest rate that a cluster sustains: it doubles a rate until one is not sustained, and then halves
// what is between the largest that is and the smallest that is not. A rate that is not sustained is tried again: a pause of
// the machine is no limit of the cluster.
type RateSearch struct {
	From  float64 // messages a second: tried first
	Most  float64 // never tried above
	Close float64 // the search ends when what is sustained and what is not are so close, as a part of what is sustained
	Tries int     // of a rate

	sustained, failed float64 // largest and smallest so far; 0: none
	tries             int     // of the rate that Next names
}

// leastRate is where a search that finds nothing sustained ends, in messages a second.
const leastRate = 100

// Next is the rate to be tried next; false when there is none.
func (s *RateSearch) Next() (rate float64, ok bool) {
	switch {
	case s.failed == 0 && s.sustained == 0:
		return s.From, true
	case s.failed == 0:
		return min(2*s.sustained, s.Most), s.sustained < s.Most
	case s.sustained == 0:
		return math.Round(s.failed / 2), s.failed/2 >= leastRate
	}
	return math.Round((s.sustained + s.failed) / 2), s.failed-s.sustained > s.Close*s.sustained
}

// Tried says how the rate that Next names came out.
func (s *RateSearch) Tried(sustained bool) {
	rate, _ := s.Next()
	s.tries++
	switch {
	case sustained:
		s.sustained, s.tries = rate, 0
	case s.tries >= s.Tries:
		s.failed, s.tries = rate, 0
	}
}

// Sustained is the largest rate that was sustained, 0: none.
func (s *RateSearch) Sustained() float64 { return s.sustained }

// Sustained says whether a row of an open loop shows a rate that was kept to: everything answered once and in order, and
// in less than a limit, counted from when each message was due, for 99 in a hundred.
func (r *Row) Sustained(p99 time.Duration) bool {
	return r.Acked > 0 && r.Lost == 0 && r.Duplicated == 0 && r.Reordered == 0 && r.P99Us < float64(p99.Nanoseconds())/1e3
}
