package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/wire"
)

// Times of a storm.
const (
	stormLimit = 90 * time.Second // until all sessions are back
	stormLook  = 50 * time.Millisecond
)

// stormRun is a storm under way.
type stormRun struct {
	*sessionsRun
	plan  bench.Plan
	lab   *lab.Lab
	watch *watchingClient
	crowd *child
	rows  []bench.Row
	mode  string // of the clients' transport
	storm bench.StormFigures
	acks  string
}

// stormIn kills the leader of a cluster with all sessions there.
func (r *sessionsRun) stormIn(ctx context.Context, l *lab.Lab) error {
	s := &stormRun{sessionsRun: r, plan: r.plan, lab: l, acks: l.Options.Dir + "/acks"}
	s.plan.Loop, s.plan.Rate, s.plan.Burst, s.plan.Level, s.plan.Window = bench.Open, r.f.stormRate, 1, wire.LevelApplied, 4096
	others := slices.Max(r.f.open) - 1
	var err error
	opened := bench.CrowdState{}
	if s.crowd, opened, err = startCrowd(ctx, l, others); err != nil {
		return err
	}
	s.mode = opened.Mode
	if s.watch, err = startWatching(ctx, l, &s.plan, 1, s.acks); err == nil {
		err = s.run(ctx)
	}
	if err != nil {
		s.crowd.kill()
		if s.watch != nil {
			_ = s.watch.kill()
		}
		return err
	}
	watched, err := s.watch.end()
	err = errors.Join(err, s.crowd.end())
	for i := range s.rows {
		row := &s.rows[i]
		row.Storm, row.Lost = &s.storm, watched.Sent-watched.Acked
		row.Duplicated, row.Reordered = watched.Duplicated+watched.Wrong, watched.Reordered
		err = errors.Join(err, s.emit(row))
	}
	fmt.Fprintf(s.text, "storm of %d sessions: outage of the working session %.1f ms; the others were back from %.0f to %.0f ms after "+
		"the kill, %.0f a second admitted, %d a second at the most; lost %d, messages unanswered %d, twice %d\n", s.storm.Sessions,
		s.storm.OutageMs, s.storm.FirstMs, s.storm.AllMs, s.storm.AdmittedPerSec, s.storm.PeakPerSec, s.storm.Closed,
		s.storm.Unanswered, s.storm.Wrong)
	if err == nil && (s.storm.Closed > 0 || s.storm.Unanswered+s.storm.Wrong > 0 || watched.Sent != watched.Acked ||
		watched.Duplicated+watched.Reordered+watched.Wrong > 0) {
		err = fmt.Errorf("a session or a message was lost: %+v, %+v", s.storm, watched)
	}
	return err
}

// run is the time before the storm, the storm, and the time after.
func (s *stormRun) run(ctx context.Context) error {
	if err := sleep(ctx, crowdSettles); err != nil {
		return err
	}
	if err := s.phase(ctx, "before", s.calm); err != nil {
		return err
	}
	leader, err := s.lab.Leader(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.text, "killing node %d with %d sessions there\n", leader, slices.Max(s.f.open))
	if err := s.lab.Kill(leader); err != nil {
		return err
	}
	if _, err := s.crowd.ask(bench.CrowdMark); err != nil {
		return err
	}
	// The working session's own outage is no part of what a storm does to those who are served.
	if err := s.untilServed(ctx); err != nil {
		return err
	}
	if err := s.phase(ctx, "during", s.allBack); err != nil {
		return err
	}
	return s.phase(ctx, "after", s.calm)
}

// phase has the working session measured while something goes on.
func (s *stormRun) phase(ctx context.Context, name string, what func(context.Context) error) error {
	if _, err := s.watch.look(); err != nil {
		return err
	}
	before, started := bench.ReadCPUTimes(), time.Now()
	if err := what(ctx); err != nil {
		return err
	}
	o, err := s.watch.look()
	if err != nil {
		return err
	}
	row := bench.NewRow("storm-"+name, s.lab.Options.Transport, s.mode, &s.plan,
		&bench.Result{Histogram: bench.NewHistogram(), Acked: o.Total, Sent: o.Total, Elapsed: time.Since(started)})
	row.Use(o.Rtt)
	conditions(ctx, s.lab, &row)
	row.Clients, row.StealPct = slices.Max(s.f.open), bench.StealPct(before, bench.ReadCPUTimes())
	s.rows = append(s.rows, row)
	return nil
}

func (s *stormRun) calm(ctx context.Context) error { return sleep(ctx, s.plan.Measure) }

// untilServed waits until the working session is answered again.
func (s *stormRun) untilServed(ctx context.Context) error {
	if err := sleep(ctx, stormLook); err != nil {
		return err
	}
	for limit := time.Now().Add(wholeLimit); ; {
		o, err := s.watch.look()
		if err != nil {
			return err
		}
		s.storm.OutageMs = max(s.storm.OutageMs, float64(o.LongestNs)/1e6)
		switch {
		case o.Answers > 0 && o.SilentNs < answersAgain.Nanoseconds() && s.storm.OutageMs > ms(stormLook):
			return nil
		case time.Now().After(limit):
			return fmt.Errorf("the working session is not served within %v", wholeLimit)
		}
		if err := sleep(ctx, stormLook); err != nil {
			return err
		}
	}
}

// allBack waits until every session of the crowd is there, and all of its messages are answered.
func (s *stormRun) allBack(ctx context.Context) error {
	for limit := time.Now().Add(stormLimit); ; {
		state, err := s.crowd.look()
		if err != nil {
			return err
		}
		if state.Error != "" {
			return errors.New(state.Error)
		}
		s.storm.Sessions, s.storm.Closed, s.storm.Unanswered, s.storm.Wrong = state.Sessions, state.Closed, state.Sent-state.Acked, state.Wrong
		s.storm.FirstMs, s.storm.AllMs, s.storm.PeakPerSec = float64(state.FirstNs)/1e6, float64(state.LastNs)/1e6, state.PeakPerS
		if took := state.LastNs - state.FirstNs; took > 0 {
			s.storm.AdmittedPerSec = float64(state.Joined) / (float64(took) / 1e9)
		}
		switch {
		// Every session had a message to send when the leader was gone. One may have been back before that was noted.
		case state.Connected == state.Sessions && state.Sent >= uint64(state.Sessions) && s.storm.Unanswered == 0:
			return nil
		case time.Now().After(limit):
			return fmt.Errorf("%d of %d sessions are back after %v, %d messages unanswered", state.Connected, state.Sessions, stormLimit,
				s.storm.Unanswered)
		}
		if err := sleep(ctx, stormLook); err != nil {
			return err
		}
	}
}
