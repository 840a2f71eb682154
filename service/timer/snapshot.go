package timer

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"lockstep/service"
	"lockstep/service/slab"
	"lockstep/wire"
)

// Layout of a snapshot, little-endian. Timers are in the order of their names, so that equal states give equal bytes.
//
//	magic u64 | timers, subscriptions, firings u32 (options)
//	count u32, times: name u8, bytes | id, due, interval ns, number, count, session u64 | payload u16 (as u32), bytes
//	subscriptions, as internal/watch writes them
//	hash u64 (as Hash has it)
const snapshotMagic = 0x33303052_454d4954 // "TIMER003"

// ErrSnapshot says that a snapshot cannot be restored.
var ErrSnapshot = errors.New("timer: unusable snapshot")

// Snapshot implements service.Service.
func (s *Service) Snapshot(to io.Writer) error {
	w := slab.NewWriter(to)
	w.Uint64(snapshotMagic)
	w.Uint32(uint32(s.options.Timers))
	w.Uint32(uint32(s.options.Subscriptions))
	w.Uint32(uint32(s.options.Firings))
	w.Uint32(uint32(len(s.ordered)))
	for _, i := range s.ordered {
		if w.Failed() {
			break
		}
		e := &s.entries[i]
		w.Uint8(e.length)
		w.Bytes(e.text())
		for _, n := range [...]uint64{e.id, e.due, e.intervalNs, e.number, e.count, uint64(e.session)} {
			w.Uint64(n)
		}
		w.Uint32(uint32(e.payloadLength))
		w.Bytes(e.payload[:e.payloadLength])
	}
	err := s.watches.Snapshot(w)
	w.Uint64(s.Hash())
	if err = cmp.Or(err, w.Flush()); err != nil {
		return fmt.Errorf("timer: snapshot: %w", err)
	}
	return nil
}

// Restore implements service.Service.
func (s *Service) Restore(from io.Reader) error {
	s.reset()
	s.due.Reset()
	r := slab.NewReader(from)
	if magic := r.Uint64(); r.Err == nil && magic != snapshotMagic {
		return fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	}
	timers, subscriptions, most := r.Uint32(), r.Uint32(), r.Uint32()
	if r.Err == nil && (timers != uint32(s.options.Timers) || subscriptions != uint32(s.options.Subscriptions) ||
		most != uint32(s.options.Firings)) {
		return fmt.Errorf("%w: %w: it is not one of timers with these options (%+v)", ErrSnapshot,
			service.ErrUnsuited, s.options)
	}
	s.readTimers(r)
	s.readSubscriptions(r)
	if hash := r.Uint64(); r.Err == nil && hash != s.Hash() {
		r.Fail(fmt.Errorf("hash %016x after restoring, %016x when it was written", s.Hash(), hash))
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return nil
}

func (s *Service) readTimers(r *slab.Reader) {
	var before, text [MaxName]byte
	var data [MaxPayload]byte
	length := 0
	for n := r.Uint32(); n > 0 && r.Err == nil; n-- {
		name := r.Bytes(text[:min(r.Uint8(), MaxName)])
		e := entry{id: r.Uint64(), due: r.Uint64(), intervalNs: r.Uint64(), number: r.Uint64(), count: r.Uint64()}
		e.session = wire.SessionID(r.Uint64())
		payload := r.Bytes(data[:min(r.Uint32(), MaxPayload)])
		if !validName(name, false) || bytes.Compare(name, before[:length]) <= 0 || e.id == 0 || e.id >= 1<<63 ||
			s.byID.Find(hashNumber(e.id)) != 0 || e.due > maxStamp || !e.sound() || s.pool.Free() == 0 ||
			e.intervalNs > 0 && s.firings+e.firings() > uint64(s.options.Firings) {
			r.Fail(fmt.Errorf("timer %q behind %q", name, before[:length]))
		}
		if r.Err != nil {
			return
		}
		length = copy(before[:], name)
		s.add(&e, name, payload)
		s.due.Put(e.id, e.due)
	}
}

// sound says whether interval, number and count go together.
func (e *entry) sound() bool {
	if e.intervalNs == 0 {
		return e.number == 1 && e.count == 0
	}
	return e.intervalNs <= maxSpanMs*nsPerMs && e.intervalNs%nsPerMs == 0 && e.number > 0 && (e.count == 0 ||
		e.number <= e.count)
}

func (s *Service) readSubscriptions(r *slab.Reader) {
	if r.Err != nil {
		return
	}
	r.Fail(s.watches.Restore(r))
	for i := range s.watches.Len() {
		if x := s.watches.At(i); !validName(x.Key, !x.Exact) {
			r.Fail(fmt.Errorf("a subscription to %q of session %x", x.Key, uint64(x.Session)))
		}
	}
}
