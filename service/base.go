package service

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// base is a snapshot that a driver may begin from, opened, its head read.
type base struct {
	io.ReadCloser
	in   *chunkReader
	head SnapshotHead
}

// openBase opens the newest snapshot at or below limit; nil: there is none, and the log begins at position 0.
func (d *Driver) openBase(limit wire.Position) (*base, error) {
	if d.o.Base == nil {
		return nil, nil
	}
	from, err := d.o.Base(limit)
	if err != nil {
		return nil, fmt.Errorf("service: find a snapshot to begin from: %w", err)
	}
	if from == nil {
		return nil, nil
	}
	b := &base{ReadCloser: from, in: newChunkReader(from)}
	if err := b.in.head(&b.head); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if at := b.head.Chain.Position; at > limit {
		return nil, errors.Join(fmt.Errorf("%w: it was taken at position %d, behind %d", ErrSnapshot, at, limit), b.Close())
	}
	return b, nil
}

// begin has a new driver begin from the newest snapshot, or from position 0. If the opened log holds a skip record that
// names a record which that snapshot has applied, an older one is taken, if there is one: that record may have to be
// passed over.
func (d *Driver) begin() error {
	b, err := d.openBase(nowhere)
	if err != nil {
		return err
	}
	var named []wire.Position // by skip records that the opened log need not hold: it may begin at that snapshot
	if b != nil {
		named = b.head.Passed
	}
	if at, ok := d.appliedIn(b); ok {
		if older, err := d.openBase(at); err == nil {
			err = b.Close()
			b = older
			if err != nil {
				return err
			}
		} else {
			d.noOlder = err
		}
	}
	if err := d.restore(b); err != nil {
		return err
	}
	if d.base > 0 {
		d.done = d.base
		d.progress.setApplied(d.done)
		d.progress.state.set(d.done, d.stateHash())
	}
	d.ahead.begin(d.o.Skips, named, d.chain.Position)
	return nil
}

// appliedIn finds the first record that a snapshot has applied although a skip record behind it names it.
func (d *Driver) appliedIn(b *base) (first wire.Position, found bool) {
	first = nowhere
	for i := range d.o.Skips {
		x := &d.o.Skips[i]
		if b == nil || x.Position >= b.head.Chain.Position || x.End <= b.head.Chain.Position {
			continue
		}
		if _, passed := slices.BinarySearch(b.head.Passed, x.Position); !passed {
			first = min(first, x.Position)
		}
	}
	return first, first != nowhere
}

// restore replaces the whole state by that of a snapshot (nil: by nothing, at position 0), and closes it. The services
// have seen nothing. After an error the driver must not be used.
func (d *Driver) restore(b *base) (err error) {
	d.table.reset()
	d.closed.reset()
	d.timers.Reset()
	d.stage.reset()
	d.places.count = 0
	d.history, d.hash, d.base = history{}, 0, 0
	if b == nil {
		d.restart(wire.Chain{})
		d.setVersion(FirstVersion)
		return nil
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	h := &b.head
	if err := d.suits(h); err != nil {
		return err
	}
	d.restart(h.Chain)
	d.setVersion(h.Version)
	d.hash, d.base = h.Hash, h.Chain.Position
	if simbug.On(simbug.RestoreNoHash) {
		d.hash = 0
	}
	d.history = history{
		terms: h.Terms, configs: h.Configs, moreConfigs: h.MoreConfigs, passed: h.Passed,
		verified: point{h.Verified, h.VerifiedDigest},
	}
	if err := d.read(b.in, h); err != nil {
		return fmt.Errorf("at position %d: %w", h.Chain.Position, err)
	}
	digest, err := d.restoredDigest()
	if err != nil {
		return err
	}
	if digest != h.Digest {
		return fmt.Errorf("%w: at position %d: digest %016x after restoring, %016x when it was written", ErrSnapshot,
			h.Chain.Position, digest, h.Digest)
	}
	d.ownPoint(d.base, digest)
	d.tellVerified()
	d.meters.position.Set(uint64(d.base))
	d.meters.sessions.Set(uint64(d.table.count()))
	d.meters.timers.Set(uint64(d.timers.Len()))
	return nil
}

// restoredDigest takes the digest of a state that a service may not bear.
func (d *Driver) restoredDigest() (digest uint64, err error) {
	defer func() {
		if d.calling == None {
			return
		}
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: at position %d: service %s panicked: %v", ErrSnapshot, d.base,
				d.o.Services[d.calling].Name(), p)
			d.calling = None
		}
	}()
	return d.digest(), nil
}
