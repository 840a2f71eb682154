package timer

import (
	"bytes"
	"unicode/utf8"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/simbug"
	"lockstep/internal/watch"
	"lockstep/service"
	"lockstep/service/timer/fb"
	"lockstep/wire"
)

// What one record does before it leaves the rest to the next: timers, bytes of responses, looks at subscriptions.
const (
	maxDue      = 512
	maxDueBytes = 512 << 10
	maxDueLooks = 16384
)

// Service is the timer service.
type Service struct {
	state
	options  Options
	due      *service.Deadlines
	request  Request
	response Response
	builder  *flatbuffers.Builder
	refused  *flatbuffers.Builder // of Check
	sent     int                  // bytes of responses that the record has caused
}

// New returns the service without any timer.
func New(o Options) (*Service, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	return &Service{
		state: newState(&o), options: o, due: service.NewDeadlines(0, o.Timers, maxDue),
		builder: flatbuffers.NewBuilder(32 << 10), refused: flatbuffers.NewBuilder(256),
		response: Response{Timers: make([]Timer, 0, MaxBatch)},
	}, nil
}

// Name implements service.Service.
func (s *Service) Name() string { return "timer" }

// Hash implements service.Service.
func (s *Service) Hash() uint64 { return s.hash() }

// Memory implements service.Sized: how many timers are pending, and how many may be.
func (s *Service) Memory() (used, limit uint64) {
	return uint64(s.pool.Used()), uint64(s.options.Timers)
}

// Check implements service.Checker.
func (s *Service) Check(ctx *service.Context, r *wire.Record, payload []byte) []byte {
	reason, id := s.read(ctx, r, payload)
	if reason == fb.ReasonNone {
		return nil
	}
	return EncodeResponse(s.refused, &Response{Kind: Refused, Reason: reason, ID: id})
}

// read reads a request and says why it cannot be carried out, ReasonNone if it can: then nothing of it fails. id is the
// timer that is in the way.
func (s *Service) read(ctx *service.Context, r *wire.Record, payload []byte) (reason fb.Reason, id uint64) {
	q := &s.request
	if !DecodeRequest(payload, q) {
		return fb.ReasonMalformed, 0
	}
	switch q.Kind {
	case Start:
		return s.refuseStart(q, ctx.Timestamp())
	case Cancel:
		switch {
		case !validName(q.Name, false):
			return fb.ReasonBadName, 0
		case s.find(q.Name) == 0:
			return fb.ReasonUnknownTimer, 0
		}
	case List:
		if q.Max > MaxBatch {
			return fb.ReasonBadCount, 0
		}
	case Subscribe:
		if !validName(q.Name, q.Prefix) {
			return fb.ReasonBadName, 0
		}
		if !q.Off && !s.watches.Fits(watchOf(r.Session, q)) {
			return fb.ReasonTooManySubscribers, 0
		}
	}
	return fb.ReasonNone, 0
}

// validName says whether a timer may have a name, or what names begin with may be that.
func validName(name []byte, prefix bool) bool {
	if len(name) == 0 && !prefix || len(name) > MaxName || !prefix && !utf8.Valid(name) {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func (s *Service) refuseStart(q *Request, now uint64) (reason fb.Reason, id uint64) {
	_, ok := firstDue(q, now)
	i := uint32(0)
	switch {
	case !validName(q.Name, false):
		return fb.ReasonBadName, 0
	case len(q.Payload) > MaxPayload:
		return fb.ReasonBadPayload, 0
	case !ok:
		return fb.ReasonBadTime, 0
	case q.Count > 0 && q.IntervalMs == 0:
		return fb.ReasonBadCount, 0
	}
	if i = s.find(q.Name); i != 0 && !q.Replace {
		return fb.ReasonExists, s.entries[i].id
	}
	if i == 0 && s.pool.Free() == 0 {
		return fb.ReasonTooManyTimers, 0
	}
	all := s.firings + firings(q.IntervalMs)
	if i != 0 { // in its place
		all -= s.entries[i].firings()
	}
	if q.IntervalMs > 0 && all > uint64(s.options.Firings) {
		return fb.ReasonTooManyFirings, 0
	}
	return fb.ReasonNone, 0
}

// firstDue is when a timer is due first, never before now; it reports false when its times cannot be.
func firstDue(q *Request, now uint64) (due uint64, ok bool) {
	if q.At > 0 && q.AfterMs > 0 || q.At > maxStamp || q.AfterMs > maxSpanMs || q.IntervalMs > maxSpanMs {
		return 0, false
	}
	every := q.IntervalMs * nsPerMs
	switch {
	case q.At == 0 && q.AfterMs == 0:
		due = now + every
	case q.At == 0:
		due = now + q.AfterMs*nsPerMs
	case q.At >= now:
		due = q.At
	case every == 0:
		due = now
	default: // periods that are over are not counted
		due = q.At + (now-q.At+every-1)/every*every
	}
	return due, due <= maxStamp
}

// Apply implements service.Service.
func (s *Service) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	s.due.Rearm(ctx) // the record of its timer may have been passed over
	reason, id := s.read(ctx, r, payload)
	if reason != fb.ReasonNone {
		out := s.answer(Refused)
		out.Reason, out.ID = reason, id
		s.respond(ctx, r.Session)
		return
	}
	switch q := &s.request; q.Kind {
	case Start:
		s.start(ctx, r.Session, q)
	case Cancel:
		i := s.find(q.Name)
		s.answer(Canceled).ID = s.entries[i].id
		s.due.Cancel(ctx, s.entries[i].id)
		s.takeOut(i)
	case List:
		s.list(ctx, q)
	case Subscribe:
		s.subscribe(r.Session, q)
	}
	s.respond(ctx, r.Session)
}

// answer is the response to be filled in next.
func (s *Service) answer(kind ReportKind) *Response {
	s.response = Response{Kind: kind, Timers: s.response.Timers[:0]}
	return &s.response
}

func (s *Service) respond(ctx *service.Context, session wire.SessionID) {
	ctx.Respond(session, EncodeResponse(s.builder, &s.response))
}

func (s *Service) start(ctx *service.Context, session wire.SessionID, q *Request) {
	if i := s.find(q.Name); i != 0 {
		s.due.Cancel(ctx, s.entries[i].id)
		s.takeOut(i)
	}
	due, _ := firstDue(q, ctx.Timestamp())
	e := entry{id: ctx.Sequence(), due: due, intervalNs: q.IntervalMs * nsPerMs, number: 1, count: q.Count}
	if !q.Kept {
		e.session = session
	}
	s.add(&e, q.Name, q.Payload)
	s.due.Set(ctx, e.id, due)
	out := s.answer(Started)
	out.ID, out.Due = e.id, due
}

func (s *Service) list(ctx *service.Context, q *Request) {
	out := s.answer(Listed)
	most := int(q.Max)
	if most == 0 {
		most = MaxBatch
	}
	from, _ := s.rank(q.Name)
	if bytes.Compare(q.After, q.Name) >= 0 && len(q.After) > 0 {
		behind, there := s.rank(q.After)
		if there {
			behind++
		}
		from = behind
	}
	for _, i := range s.ordered[from:] {
		e := &s.entries[i]
		if len(out.Timers) == most || !bytes.HasPrefix(e.text(), q.Name) {
			break
		}
		out.Timers = append(out.Timers, Timer{
			Name: e.text(), ID: e.id, Due: e.due, IntervalMs: e.intervalNs / nsPerMs, Number: e.number, Count: e.count,
			Owner: uint64(e.session),
		})
		ctx.Count(1)
	}
}

func watchOf(session wire.SessionID, q *Request) watch.Watch {
	return watch.Watch{Session: session, Exact: !q.Prefix, Key: q.Name}
}

func (s *Service) subscribe(session wire.SessionID, q *Request) {
	s.answer(Subscribed)
	if q.Off {
		s.watches.Remove(watchOf(session, q))
	} else {
		s.watches.Add(watchOf(session, q))
	}
}

// OnSession forgets the timers of a session that ends, but for those that are kept, and what it has subscribed to.
func (s *Service) OnSession(ctx *service.Context, session wire.SessionID, opened bool) {
	if opened {
		return
	}
	s.endTimers(ctx, session)
	s.watches.Forget(session)
}

func (s *Service) endTimers(ctx *service.Context, session wire.SessionID) {
	at := s.byOwner.Find(hashNumber(uint64(session)))
	if at == 0 {
		return
	}
	s.due.Hold() // the list is not in an order that is the same everywhere
	for n := s.owners[at].timers.Len; n > 0; n-- {
		i := s.owners[at].timers.Head
		s.due.Cancel(ctx, s.entries[i].id)
		s.remove(i)
		ctx.Count(1)
	}
	s.due.Rearm(ctx)
	left := 0
	for _, i := range s.ordered {
		if s.entries[i].id != 0 {
			s.ordered[left] = i
			left++
		}
	}
	s.ordered = s.ordered[:left]
}

// OnTimer implements service.Timed: it fires what has fallen due, and leaves the rest to a next timer when that is
// much.
func (s *Service) OnTimer(ctx *service.Context, _, _ uint64) {
	s.sent = 0
	for looks := 0; s.sent < maxDueBytes && looks < maxDueLooks; looks += s.watches.Len() {
		id, _, ok := s.due.Next(ctx)
		if !ok {
			break
		}
		s.fire(ctx, s.byID.Find(hashNumber(id)))
	}
	s.due.Rearm(ctx)
}

// fire has a timer fire that is due.
func (s *Service) fire(ctx *service.Context, i uint32) {
	e := &s.entries[i]
	out := s.answer(Fired)
	skipped := uint64(0)
	if e.intervalNs > 0 {
		skipped = (ctx.Timestamp() - e.due) / e.intervalNs
	}
	if e.count > 0 {
		skipped = min(skipped, e.count-e.number)
	}
	out.Name, out.ID, out.Payload = e.text(), e.id, e.payload[:e.payloadLength]
	out.Number, out.Skipped, out.Due = e.number+skipped, skipped, e.due+skipped*e.intervalNs
	next := out.Due + e.intervalNs
	if simbug.On(simbug.TimerDrifts) {
		next = ctx.Timestamp() + e.intervalNs
	}
	out.Last = e.intervalNs == 0 || out.Number == e.count || next > maxStamp
	s.tell(ctx, e)
	if out.Last {
		s.takeOut(i)
		return
	}
	s.sum -= e.hash()
	e.due, e.number = next, out.Number+1
	s.sum += e.hash()
	s.due.Set(ctx, e.id, next)
}

// tell sends the response to the owner of a timer, and to each other session that has subscribed to it, once.
func (s *Service) tell(ctx *service.Context, e *entry) {
	ctx.Count(s.watches.Len())
	payload := EncodeResponse(s.builder, &s.response)
	if e.session != 0 {
		ctx.Respond(e.session, payload)
		s.sent += len(payload)
	}
	name := e.text()
	for to := s.watches.After(0, name); to != 0; to = s.watches.After(to, name) {
		if to == e.session {
			continue
		}
		ctx.Respond(to, payload)
		s.sent += len(payload)
	}
}
