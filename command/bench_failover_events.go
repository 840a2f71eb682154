package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/bench"
	"lockstep/node"
)

// note records one outage.
func (r *failoverRun) note(scenario string, d time.Duration) {
	h := r.times[scenario]
	if h == nil {
		h = bench.NewHistogram()
		r.times[scenario] = h
		r.order = append(r.order, scenario)
	}
	_ = h.RecordValue(d.Nanoseconds())
}

// mark says on the client's timeline that something is done now.
func (r *failoverRun) mark(what string) {
	r.marks = append(r.marks, bench.Mark{AtS: float64(time.Since(r.started).Milliseconds()) / 1e3, What: what})
}

// beCalm looks at the cluster while nothing is done to it.
func (r *failoverRun) beCalm(ctx context.Context) error {
	if err := r.calmly(ctx, "calm", bench.WatchEase); err != nil || r.f.inFlight == 0 {
		return err
	}
	if err := r.calmly(ctx, "calm-full", bench.WatchFill); err != nil {
		return err
	}
	_, err := r.client.ask(bench.WatchEase)
	return err
}

// calmly has the client send in one way and looks.
func (r *failoverRun) calmly(ctx context.Context, scenario, how string) error {
	if _, err := r.client.ask(how); err != nil {
		return err
	}
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	if _, err := r.client.look(); err != nil {
		return err
	}
	started, answers := time.Now(), uint64(0)
	for range int(seconds(r.f.calm) / calmWindow) {
		if err := sleep(ctx, calmWindow); err != nil {
			return err
		}
		o, err := r.client.look()
		if err != nil {
			return err
		}
		r.note(scenario, time.Duration(o.LongestNs))
		answers += o.Total
		r.perSec[scenario] = float64(answers) / time.Since(started).Seconds()
	}
	return nil
}

// ready waits until the cluster is whole, and has the sessions send as they are to while something is done to it.
func (r *failoverRun) ready(ctx context.Context) (leader node.Status, err error) {
	if leader, err = wholeLab(ctx, r.lab); err != nil {
		return leader, err
	}
	if r.f.inFlight > 0 {
		if _, err := r.client.ask(bench.WatchFill); err != nil {
			return leader, err
		}
		if err := sleep(ctx, fillTime); err != nil {
			return leader, err
		}
	}
	o, err := r.client.look()
	if r.open < 0 || o.Open < r.open {
		r.open = o.Open
	}
	return leader, err
}

// event does something to the leader, waits until the sessions are served by another one, and notes their outage.
func (r *failoverRun) event(ctx context.Context, what string, n, of int, do, undo func(node int) error) error {
	leader, err := r.ready(ctx)
	if err != nil {
		return err
	}
	r.mark(fmt.Sprintf("%s of leader, node %d", what, leader.Node))
	if err := do(leader.Node); err != nil {
		return err
	}
	r.changes++
	// Nothing is asked of the nodes meanwhile: on a small machine that alone would make it longer.
	if err := sleep(ctx, 2*time.Duration(r.f.timeoutMax)*time.Millisecond); err != nil {
		return err
	}
	outage, err := r.untilServed(ctx)
	if err != nil {
		return err
	}
	r.note(what, outage)
	fmt.Fprintf(r.text, "%s %d of %d: node %d, outage %.1f ms\n", what, n+1, of, leader.Node, ms(outage))
	if _, err := r.client.ask(bench.WatchEase); err != nil {
		return err
	}
	return undo(leader.Node)
}

// killLeaders kills leaders.
func (r *failoverRun) killLeaders(ctx context.Context) error {
	for n := range r.f.kills {
		if err := r.event(ctx, "kill", n, r.f.kills, r.lab.Kill, r.lab.Start); err != nil {
			return err
		}
	}
	return nil
}

// cutLeaders takes leaders off the network, and puts them back when another one leads.
func (r *failoverRun) cutLeaders(ctx context.Context) error {
	for n := range r.f.cuts {
		if err := r.event(ctx, "cut", n, r.f.cuts, r.lab.Cut, r.lab.Heal); err != nil {
			return err
		}
	}
	return nil
}

// transferLeaders has leaders hand over.
func (r *failoverRun) transferLeaders(ctx context.Context) error {
	if r.f.transfers > 0 {
		if _, err := r.ready(ctx); err != nil {
			return err
		}
	}
	var controls []string
	for _, n := range r.lab.Nodes() {
		controls = append(controls, n.Control)
	}
	client := r.lab.HTTPClient()
	for n, refused := 0, 0; n < r.f.transfers; {
		if _, err := r.client.look(); err != nil {
			return err
		}
		r.mark("hand-over")
		o, err := node.OperateLeader(ctx, client, controls, node.TransferPath, transferPatience)
		if errors.Is(err, node.ErrOperation) && refused < 20 {
			refused++
			fmt.Fprintf(r.text, "hand-over %d of %d: %v\n", n+1, r.f.transfers, err)
			err = sleep(ctx, calmWindow)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		n++
		r.changes++
		if err := sleep(ctx, transferPause); err != nil {
			return err
		}
		outage, err := r.untilServed(ctx)
		if err != nil {
			return err
		}
		r.note("transfer", outage)
		r.note("transfer-by-leader", time.Duration(o.TookUs)*time.Microsecond)
	}
	return nil
}

// untilServed waits until every session is being answered and returns the longest time that one was without.
func (r *failoverRun) untilServed(ctx context.Context) (time.Duration, error) {
	longest := int64(0)
	limit := time.Now().Add(wholeLimit)
	for first := true; ; first = false {
		o, err := r.client.look()
		if err != nil {
			return 0, err
		}
		longest = max(longest, o.LongestNs)
		switch {
		// What came before the first look may have been the old leader's.
		case o.Answers > 0 && (o.SilentNs < answersAgain.Nanoseconds() || !first):
			return time.Duration(longest), nil
		case time.Now().After(limit):
			return 0, fmt.Errorf("not every session is served within %v", wholeLimit)
		}
		if err := sleep(ctx, answersAgain); err != nil {
			return 0, err
		}
	}
}
