package service

import (
	"errors"
	"fmt"
	"slices"

	"lockstep/wire"
)

// ErrPassedOver says that this node has applied a record that the cluster passes over. Started again, it replays its
// log without that record.
var ErrPassedOver = errors.New("service: this node has applied a record that is to be passed over")

// ErrNotFresh says that a service failed and cannot be made anew in this process. Started again, the node replays its
// log without the record.
var ErrNotFresh = errors.New("service: a record is to be passed over, and services cannot be made anew")

// nowhere is a position that no record has.
const nowhere = ^wire.Position(0)

// ahead is what is known of skip records before apply comes to them. A skip record counts once it is committed. Apply
// looks for them where a service has failed, and where the log, when it was opened, held one that may be committed.
type ahead struct {
	named []wire.Position // by committed skip records, ascending: apply passes over these records
	hints []wire.SkipAt   // maybe committed, maybe cut by now
	next  wire.Position   // the first place of both that apply has not passed
	scan  cursor          // how far the committed log was looked through, from where apply stands
}

// begin takes note of the skip records that the opened log holds, and of what committed ones are known to name; apply
// begins at from.
func (a *ahead) begin(hints []wire.SkipAt, named []wire.Position, from wire.Position) {
	a.hints = slices.Clone(hints)
	a.named = slices.Clone(named)
	a.find(from)
}

// find sets next to the first place at or behind a position.
func (a *ahead) find(from wire.Position) {
	a.next = nowhere
	for _, at := range a.named {
		if at >= from {
			a.next = min(a.next, at)
		}
	}
	for i := range a.hints {
		if at := a.hints[i].Position; at >= from {
			a.next = min(a.next, at)
		}
	}
}

func (a *ahead) names(at wire.Position) bool {
	_, found := slices.BinarySearch(a.named, at)
	return found
}

// lookAhead (halted) reads on in the committed log for a skip record that names the place where a service failed, and
// starts over without that record.
func (d *Driver) lookAhead() (looked int, err error) {
	h := d.status.at.Load()
	if !d.flush() || !h.Skippable() {
		return 0, nil
	}
	if looked, err = d.scanTo(nowhere, d.progress.Commit()); err != nil || !d.ahead.names(h.Position()) {
		return looked, err
	}
	return looked + 1, d.startOver()
}

// hinted finds out whether the record at hand, which a skip record of the opened log names, is to be passed over. wait
// is true while that is open: the skip record is not committed yet, and may be cut.
func (d *Driver) hinted(commit wire.Position) (wait bool, err error) {
	a, at := &d.ahead, d.chain.Position
	for i := 0; i < len(a.hints) && !a.names(at); {
		h := &a.hints[i]
		if h.Position != at {
			i++
			continue
		}
		if wire.Position(d.ring.Append()) >= h.End {
			if _, err := d.scanTo(h.End, commit); err != nil {
				return false, err
			}
			if a.scan.chain.Position < h.End {
				return !a.names(at), nil
			}
		}
		a.hints = slices.Delete(a.hints, i, i+1)
	}
	a.find(at)
	return false, nil
}

// scanTo looks through the committed log up to end, a batch at a time.
func (d *Driver) scanTo(end, commit wire.Position) (looked int, err error) {
	c := &d.ahead.scan
	if c.buf == nil {
		c.buf = make([]byte, readBytes)
	}
	if c.chain.Position < d.chain.Position {
		c.restart(d.chain)
	}
	for c.chain.Position < end && looked < d.o.Batch {
		payload, ok, err := d.next(c, commit)
		if err != nil || !ok {
			return looked, err
		}
		c.chain = c.after
		looked++
		if r := &c.record; r.Kind == wire.RecordSkip && r.Known() {
			if err := d.noteSkip(r, payload); err != nil {
				return looked, err
			}
		}
	}
	return looked, nil
}

// noteSkip takes note of a committed skip record that lies ahead.
func (d *Driver) noteSkip(r *wire.Record, payload []byte) error {
	at, ok := named(r, payload)
	if !ok || d.ahead.names(at) {
		return nil
	}
	if at < d.chain.Position {
		return d.passedOver(at, r)
	}
	i, _ := slices.BinarySearch(d.ahead.named, at)
	d.ahead.named = slices.Insert(d.ahead.named, i, at)
	d.ahead.find(d.chain.Position)
	return nil
}

// named is what a skip record names; ok is false when it is no record before it: then it changes nothing.
func named(r *wire.Record, payload []byte) (at wire.Position, ok bool) {
	var s wire.SkipRecord
	return s.Position, s.Decode(payload) && s.Position < r.Position
}

func (d *Driver) passedOver(at wire.Position, r *wire.Record) error {
	if at < d.base && d.noOlder != nil {
		return fmt.Errorf("%w: position %d, named by the skip record at position %d: it lies below the snapshot at position %d "+
			"from which this node began, and it cannot begin before (%w): `lockstep reseed`", ErrPassedOver, at, r.Position,
			d.base, d.noOlder)
	}
	return fmt.Errorf("%w: position %d, named by the skip record at position %d: start the node again: it then "+
		"replays its log without that record", ErrPassedOver, at, r.Position)
}

// applySkip comes to a skip record in its turn. What it names was passed over, or this node must stop: it has applied
// what the others pass over.
func (d *Driver) applySkip(r *wire.Record, payload []byte) error {
	at, ok := named(r, payload)
	switch {
	case !ok:
		d.meters.strays.Inc()
	case !d.ahead.names(at):
		return d.passedOver(at, r)
	}
	return nil
}

// startOver begins again, from the newest snapshot before the failure or at position 0, with services made anew: what a
// service that failed has left behind is not what it is on a node that never gave it the record. Nobody is told of what
// is applied a second time.
func (d *Driver) startOver() error {
	h := d.status.at.Load()
	if d.o.Fresh == nil {
		return fmt.Errorf("%w: position %d", ErrNotFresh, h.Position())
	}
	services, err := d.o.Fresh()
	if err != nil {
		return fmt.Errorf("%w: position %d: %w", ErrNotFresh, h.Position(), err)
	}
	d.useServices(services)
	d.quiet = max(d.quiet, d.chain.Position)
	b, err := d.openBase(h.Position())
	if err != nil {
		return err
	}
	if err := d.restore(b); err != nil {
		return err
	}
	d.ahead.scan.restart(d.chain)
	d.ahead.find(d.chain.Position)
	d.halt(nil)
	return nil
}
