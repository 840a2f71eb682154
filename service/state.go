package service

import (
	"errors"
	"fmt"
	"slices"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// digest tells the whole state apart, as far as that can be had without going through all of it: what was put out (the
// chained hash), what the services say of themselves, sessions and timers.
func (d *Driver) digest() uint64 {
	h := Mix(d.hash, uint64(d.context.version))
	h = Mix(h, d.stateHash())
	h = Mix(h, uint64(d.table.count()))
	for _, s := range d.table.ascending() {
		if simbug.On(simbug.IgnoreSessions) {
			break
		}
		h = Mix(Mix(Mix(h, uint64(s.id)), s.token), uint64(s.window))
		h = Mix(Mix(Mix(h, s.correlation), s.kept.acked), s.kept.last)
		h = MixBytes(Mix(h, s.refused.count), s.name)
		h = Mix(h, uint64(s.largest)|uint64(s.most)<<32)
	}
	if !simbug.On(simbug.ForgetClosed) {
		h = d.closed.hash(h)
	}
	return Mix(Mix(h, uint64(d.timers.Len())), d.timers.sum())
}

// sum tells two sets of timers apart, in whatever way they came about.
func (t *Timers) sum() (sum uint64) {
	for i := range t.heap {
		x := &t.heap[i]
		sum += Mix(Mix(Mix(0, uint64(x.Service)), x.ID), x.Deadline)
	}
	return sum
}

// sort puts the heap in the order in which the timers fire, so that equal sets lie there alike. It is a heap still.
func (t *Timers) sort() {
	slices.SortFunc(t.heap, func(a, b timerNode) int { return a.compare(&b.Timer) })
	for i := range t.heap {
		t.slots[t.heap[i].slot] = int32(i + 1)
	}
}

// write writes a snapshot of the state as it is, which h describes.
func (d *Driver) write(w *chunkWriter, h *SnapshotHead) error {
	w.head(h)
	d.writeSessions(w)
	d.writeTimers(w)
	for i, s := range &d.o.Services {
		if s == nil || w.err != nil {
			continue
		}
		w.enter(sectionService, uint16(i))
		if err := d.writeService(w, uint16(i), s); err != nil && w.err == nil {
			w.err = err
		}
		w.end()
	}
	w.enter(sectionEnd, None)
	w.end()
	return w.err
}

// writeService has a service write its state. If it panics there the snapshot fails, and nothing else: the state is
// what it was, and a leader, which takes no snapshot, would go on as well.
func (d *Driver) writeService(w *chunkWriter, number uint16, s Service) (err error) {
	defer func() {
		d.calling = None
		if p := recover(); p != nil {
			err = fmt.Errorf("service %s panicked: %v", s.Name(), p)
		}
	}()
	d.calling = number
	if err := s.Snapshot(w); err != nil {
		return fmt.Errorf("service %s: %w", s.Name(), err)
	}
	return nil
}

func (d *Driver) writeSessions(w *chunkWriter) {
	w.enter(sectionSessions, None)
	w.uint32(uint32(d.table.count()))
	for _, s := range d.table.ascending() {
		if w.err != nil {
			return
		}
		w.uint64(uint64(s.id))
		w.uint64(s.token)
		w.uint32(s.window)
		w.uint64(s.correlation)
		w.uint8(uint8(len(s.name)))
		w.Write(s.name)
		w.refused(&s.refused)
		w.kept(&s.kept)
		w.uint32(s.largest)
		w.uint32(s.most)
	}
	w.closed(&d.closed)
	w.end()
}

func (w *chunkWriter) refused(r *refused) {
	w.uint64(r.count)
	for n := r.first(); n < r.count; n++ {
		w.uint64(r.at(n).correlation)
		w.uint16(uint16(r.at(n).code))
	}
}

func (w *chunkWriter) kept(k *kept) {
	w.uint64(k.acked)
	w.uint64(k.last)
	for n := k.acked + 1; n <= k.last; n++ {
		x := k.at(n)
		last := byte(0)
		if x.last {
			last = 1
		}
		w.uint64(x.correlation)
		w.uint64(x.sequence)
		w.uint64(uint64(x.position))
		w.uint64(x.timestamp)
		w.uint16(x.service)
		w.uint8(last)
		w.uint32(x.length)
		at := int(x.from & uint64(len(k.bytes)-1))
		first := min(int(x.length), len(k.bytes)-at)
		w.Write(k.bytes[at : at+first])
		w.Write(k.bytes[:int(x.length)-first])
	}
}

func (d *Driver) writeTimers(w *chunkWriter) {
	d.timers.sort()
	w.enter(sectionTimers, None)
	w.uint32(uint32(d.timers.Len()))
	for i := range d.timers.heap {
		x := &d.timers.heap[i]
		w.uint16(x.Service)
		w.uint64(x.ID)
		w.uint64(x.Deadline)
	}
	w.end()
}

// read replaces the state behind the head, which has been read, by that of a snapshot. The driver's state is as of
// nothing before; after an error it must not be used.
func (d *Driver) read(r *chunkReader, h *SnapshotHead) error {
	d.readSessions(r, h.Chain.Timestamp)
	d.readTimers(r)
	for i, s := range &d.o.Services {
		if s != nil && r.err == nil && r.enter(sectionService, uint16(i)) == nil {
			d.readService(r, uint16(i), s)
		}
	}
	if r.err == nil && r.enter(sectionEnd, None) == nil && r.leave() == nil {
		return r.finish()
	}
	return r.err
}

// readService has a service restore its state. It is given bytes that it need not have written itself: a panic means
// that they are unusable.
func (d *Driver) readService(r *chunkReader, number uint16, s Service) {
	defer func() {
		d.calling = None
		if p := recover(); p != nil {
			r.fail("service %s panicked: %v", s.Name(), p)
		}
	}()
	d.calling = number
	err := s.Restore(r)
	switch {
	case err == nil:
		r.leave()
	case errors.Is(err, ErrUnsuited) && r.err == nil:
		r.err = fmt.Errorf("service %s: %w", s.Name(), err)
	default:
		r.fail("service %s: %w", s.Name(), err)
	}
}

func (d *Driver) readSessions(r *chunkReader, last uint64) {
	r.enter(sectionSessions, None)
	n := r.uint32()
	if n > uint32(d.o.Limits.Sessions) {
		r.fail("%d sessions, and %d may be open", n, d.o.Limits.Sessions)
	}
	before := wire.SessionID(0)
	for range n {
		if before = d.readSession(r, before); r.err != nil {
			return
		}
	}
	r.closed(d, last)
	r.leave()
}

func (d *Driver) readSession(r *chunkReader, before wire.SessionID) wire.SessionID {
	id, token, window, correlation := wire.SessionID(r.uint64()), r.uint64(), r.uint32(), r.uint64()
	var b [wire.MaxName]byte
	length := int(r.uint8())
	if id <= before || length > len(b) {
		r.fail("session %x behind session %x, with a name of %d bytes", id, before, length)
	}
	if r.err != nil {
		return id
	}
	if name := r.bytes(b[:length]); r.err == nil {
		s := d.table.open(id, token, window, name)
		s.correlation = correlation
		r.refused(s)
		r.kept(s)
		s.largest, s.most = r.uint32(), r.uint32()
		s.spoil()
	}
	return id
}

// spoil forgets what a planted bug forgets.
func (s *session) spoil() {
	if simbug.On(simbug.ForgetRefused) {
		s.refused.count = 0
	}
	if simbug.On(simbug.IgnoreSessions) {
		s.correlation = 0
	}
	if simbug.On(simbug.ForgetKept) {
		s.kept.acked = s.kept.last
	}
}

func (r *chunkReader) refused(s *session) {
	x := &s.refused
	if x.count = r.uint64(); x.count > s.correlation {
		r.fail("session %x: %d messages without effect, of %d", s.id, x.count, s.correlation)
	}
	if n := min(x.count, uint64(x.most.KeptResponses)); n > 0 && r.err == nil {
		x.grow(n)
	}
	for n := x.first(); n < x.count && r.err == nil; n++ {
		*x.at(n) = refusal{r.uint64(), wire.Refusal(r.uint16())}
	}
}

func (r *chunkReader) kept(s *session) {
	k := &s.kept
	acked, last := r.uint64(), r.uint64()
	if most := k.most.KeptResponses; last < acked || last-acked > uint64(most) {
		r.fail("session %x: responses %d to %d are kept, and %d may be", s.id, acked+1, last, most)
		return
	}
	k.acked, k.last = acked, acked
	for k.last < last && r.err == nil {
		x := keptResponse{
			correlation: r.uint64(), sequence: r.uint64(), position: wire.Position(r.uint64()), timestamp: r.uint64(),
			service: r.uint16(), last: r.flag(), length: r.uint32(), from: k.to,
		}
		if x.length > MaxResponse || !k.admits(int(x.length)) {
			r.fail("session %x: response %d has %d bytes, behind %d bytes: more than are kept", s.id, k.last+1, x.length, k.to)
			return
		}
		x.from = k.to
		*k.add() = x
		r.bytes(k.bytes[k.to : k.to+uint64(x.length)])
		k.to += uint64(x.length)
	}
}

func (d *Driver) readTimers(r *chunkReader) {
	if r.err != nil || r.enter(sectionTimers, None) != nil {
		return
	}
	n := r.uint32()
	if n > uint32(d.o.Limits.Timers+deadlineTimers) {
		r.fail("%d timers, and %d may be pending", n, d.o.Limits.Timers)
	}
	var before Timer
	for i := uint32(0); i < n && r.err == nil; i++ {
		x := Timer{Service: r.uint16(), ID: r.uint64(), Deadline: r.uint64()}
		known := x.Service < MaxServices && d.o.Services[x.Service] != nil
		_, twice := d.timers.Deadline(x.Service, x.ID)
		if simbug.On(simbug.ForgetSnapshotTimers) {
			continue
		}
		if !known || twice || i > 0 && x.compare(&before) <= 0 || !d.timers.Set(x) {
			r.fail("timer %d of service %d, deadline %d", x.ID, x.Service, x.Deadline)
		}
		before = x
	}
	r.leave()
}

// describe fills in a head for the state as it is.
func (d *Driver) describe(h *SnapshotHead, digest uint64) {
	l := &d.o.Limits
	*h = SnapshotHead{
		Chain: d.chain, Hash: d.hash, Digest: digest, Version: d.context.version,
		Verified: d.verified.at, VerifiedDigest: d.verified.digest,
		Terms: d.terms, Configs: d.configs, MoreConfigs: d.moreConfigs, Passed: d.passed,
		Limits: Limits{Sessions: l.Sessions, KeptResponses: l.KeptResponses, KeptBytes: l.KeptBytes, Timers: l.Timers},
	}
	for i, s := range &d.o.Services {
		if s != nil {
			h.Services[i] = s.Name()
		}
	}
}

// suits tells whether this driver can go on from a snapshot: it must have the same services, limits and behaviour.
func (d *Driver) suits(h *SnapshotHead) error {
	var own SnapshotHead
	d.describe(&own, 0)
	switch {
	case h.Services != own.Services:
		return fmt.Errorf("%w: its services are %q, ours are %q", ErrUnsuited, h.Services, own.Services)
	case h.Limits != own.Limits:
		return fmt.Errorf("%w: its limits are %+v, ours are %+v", ErrUnsuited, h.Limits, own.Limits)
	case h.Version > d.o.Version:
		return fmt.Errorf("%w: behaviour version %d is in force there, and this build has %d: run a build that has it",
			ErrUnsuited, h.Version, d.o.Version)
	}
	return nil
}
