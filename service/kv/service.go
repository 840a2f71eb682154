package kv

import (
	"bytes"

	"lockstep/internal/simbug"
	"lockstep/internal/watch"
	"lockstep/service"
	"lockstep/wire"
)

// Name implements service.Service.
func (s *Store) Name() string { return "kv" }

// Hash implements service.Service.
func (s *Store) Hash() uint64 {
	return service.Mix(service.Mix(service.Mix(0, uint64(s.tree.Len())), s.watches.Hash()), s.sum)
}

// Memory is how many bytes the store counts, of how many.
func (s *Store) Memory() (used, limit uint64) { return s.bytes, s.options.MaxBytes }

// OnSession ends the watches of a session that ends.
func (s *Store) OnSession(_ *service.Context, session wire.SessionID, opened bool) {
	if !opened {
		s.watches.Forget(session)
	}
}

// Apply implements service.Service.
func (s *Store) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	q := &s.request
	if refusal := s.judge(ctx, r, payload); refusal != nil {
		ctx.Respond(r.Session, refusal)
		return
	}
	e := s.find(q.Key)
	switch q.Command {
	case Get:
		s.get(ctx, r, e)
	case Put, CompareAndSet:
		previous := uint64(0)
		if e != nil {
			previous = e.version
		}
		e = s.set(e, q.Key, q.Value, r.Sequence)
		ctx.Respond(r.Session, encodeStored(s.builder, e.version, previous))
		view := e.view()
		s.tell(ctx, &view, false)
	case Delete:
		s.delete(ctx, r, e)
	case Range:
		s.list = s.list[:0]
		ctx.Respond(r.Session, s.span(ctx, q))
	case Watch:
		if w := (watch.Watch{Session: r.Session, Key: q.Key}); q.On {
			s.watches.Add(w)
		} else {
			s.watches.Remove(w)
		}
		ctx.Respond(r.Session, encodeWatching(s.builder, q.On, r.Sequence))
	}
}

// Check implements service.Checker.
func (s *Store) Check(ctx *service.Context, r *wire.Record, payload []byte) (refusal []byte) {
	return s.judge(ctx, r, payload)
}

// judge reads a request, and returns why it is refused, or what it conflicts with; nil: it is carried out.
func (s *Store) judge(ctx *service.Context, r *wire.Record, payload []byte) (refusal []byte) {
	q := &s.request
	ctx.Count(1)
	if !DecodeRequest(payload, q) {
		return encodeRefused(s.builder, ReasonMalformed)
	}
	if reason := s.sound(r.Session, q); reason != ReasonNone {
		return encodeRefused(s.builder, reason)
	}
	if q.Command != Put && q.Command != CompareAndSet && q.Command != Delete {
		return nil
	}
	e := s.find(q.Key)
	version := uint64(0)
	if e != nil {
		version = e.version
	}
	if q.Command == CompareAndSet && q.Version != version && !simbug.On(simbug.IgnoreVersion) ||
		q.Command == Delete && q.Version != 0 && q.Version != version {
		if e == nil {
			return encodeConflict(s.builder, nil, 0)
		}
		return encodeConflict(s.builder, e.value(), version)
	}
	if q.Command != Delete {
		if reason := s.fits(e, q.Key, q.Value); reason != ReasonNone {
			return encodeRefused(s.builder, reason)
		}
	}
	return nil
}

// sound says what is wrong with a request, whatever keys there are.
func (s *Store) sound(session wire.SessionID, q *Request) Reason {
	switch q.Command {
	case Range:
		if max(len(q.From), len(q.To), len(q.After)) > MaxKey {
			return ReasonBadKey
		}
	case Watch:
		if len(q.Key) > MaxKey {
			return ReasonBadKey
		}
		if q.On && !s.watches.Fits(watch.Watch{Session: session, Key: q.Key}) {
			return ReasonTooManyWatches
		}
	default:
		if len(q.Key) == 0 || len(q.Key) > MaxKey {
			return ReasonBadKey
		}
		if len(q.Value) > MaxValue {
			return ReasonValueTooLong
		}
	}
	return ReasonNone
}

func (s *Store) get(ctx *service.Context, r *wire.Record, e *entry) {
	if e == nil {
		ctx.Respond(r.Session, encodeAbsent(s.builder))
		return
	}
	ctx.Respond(r.Session, encodeFound(s.builder, e.value(), e.version))
}

func (s *Store) delete(ctx *service.Context, r *wire.Record, e *entry) {
	if e == nil {
		ctx.Respond(r.Session, encodeDeleted(s.builder, 0))
		return
	}
	ctx.Respond(r.Session, encodeDeleted(s.builder, e.version))
	view := e.view()
	view.Version = r.Sequence
	s.tell(ctx, &view, true)
	s.remove(e)
}

// tell tells all who watch of a change.
func (s *Store) tell(ctx *service.Context, e *Entry, deleted bool) {
	ctx.Count(s.watches.Len())
	watching := s.watches.Concerned(e.Key)
	if watching == 0 {
		return
	}
	leftOut := !deleted && watching*(len(e.Key)+len(e.Value)+entryBytes) > maxEventBytes
	event := encodeChanged(s.builder, e, deleted, leftOut)
	for session := s.watches.After(0, e.Key); session != 0; session = s.watches.After(session, e.Key) {
		ctx.Respond(session, event)
	}
}

// span lists the keys that a Range asks for.
func (s *Store) span(ctx *service.Context, q *Request) []byte {
	limit := MaxRange
	if q.Limit != 0 && q.Limit < MaxRange {
		limit = int(q.Limit)
	}
	from := q.From
	if bytes.Compare(q.After, from) > 0 {
		from = q.After
	}
	s.builder.Reset()
	size, more := 0, false
	c := s.tree.Seek(from)
	for ; ; c.Next() {
		id, ok := c.ID()
		if !ok {
			break
		}
		ctx.Count(1)
		e := s.entries[id].view()
		if len(q.After) > 0 && bytes.Equal(e.Key, q.After) {
			continue
		}
		if len(q.To) > 0 && bytes.Compare(e.Key, q.To) >= 0 {
			break
		}
		if q.KeysOnly {
			e.Value = nil
		}
		size += len(e.Key) + len(e.Value) + entryBytes
		if len(s.list) == limit || size > maxRangeBytes && len(s.list) > 0 {
			more = true
			break
		}
		s.list = appendEntry(s.builder, s.list, &e, q.KeysOnly)
	}
	return endEntries(s.builder, s.list, more)
}
