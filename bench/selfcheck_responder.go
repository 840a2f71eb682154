package bench

import (
	"math"
	"slices"

	"lockstep/transport"
	"lockstep/wire"
)

// known is a cluster's way to answer, so that what a client must measure is known. Times are nanoseconds since the first message.
type known struct {
	latency  func(n uint64) int64 // of message n, from 1
	fromNs   int64                // when the responder stalls: it neither receives nor answers
	stallNs  int64                // for how long; 0: not at all
	silentNs int64                // from when on messages are never answered; 0: all are
}

// awake is the first instant from ns on at which the responder does something.
func (k *known) awake(ns int64) int64 {
	if ns >= k.fromNs && ns < k.fromNs+k.stallNs {
		return k.fromNs + k.stallNs
	}
	return ns
}

// answered is when message n is answered that was sent at an instant; ok is false if it never is.
func (k *known) answered(n uint64, sentNs int64) (ns int64, ok bool) {
	at := k.awake(sentNs)
	if k.silentNs != 0 && at >= k.silentNs {
		return 0, false
	}
	return k.awake(at + k.latency(n)), true
}

// responder stands in a cluster's place for clients with a session each, and answers as is known. It belongs to one thread.
type responder struct {
	known
	tr        transport.Transport
	sender    *transport.Sender
	validator wire.Validator
	cluster   uint64
	level     wire.Level

	startNs  int64 // of the first message; 0: none yet
	sessions []*responderSession
	waiting  []waiting
	nextNs   int64 // when the first of them is due
	lastNs   int64 // of the last step
	gapNs    int64 // longest time between two steps that were none of a stall
	rx       [64]transport.Received
}

// responderSession is one client's.
type responderSession struct {
	id        wire.SessionID // from 1
	token     uint64         // that it was opened with
	at        transport.Addr
	heard     uint64 // messages, in order
	committed uint64 // all up to here are answered
	over      map[uint64]bool
	due       []wire.Answer
}

// waiting is a message that is to be answered.
type waiting struct {
	session     *responderSession
	correlation uint64
	dueNs       int64
}

const (
	responderNode   = 1
	responderTerm   = 1
	responderWindow = 4096
)

func newResponder(tr transport.Transport, cluster uint64, level wire.Level, k known) *responder {
	return &responder{known: k, tr: tr, sender: transport.NewSender(tr, 64), cluster: cluster, level: level,
		validator: wire.Validator{Cluster: cluster, Self: responderNode}, nextNs: math.MaxInt64}
}

// step receives, answers what is due, and says how much that was.
func (r *responder) step(nowNs int64) (work int) {
	if r.startNs != 0 {
		if since := nowNs - r.startNs; r.awake(since) != since {
			r.lastNs = 0
			return 0
		}
	}
	if r.lastNs != 0 {
		r.gapNs = max(r.gapNs, nowNs-r.lastNs)
	}
	r.lastNs = nowNs
	got := r.tr.Receive(r.rx[:])
	for i := range got {
		var h wire.Header
		if body, drop := r.validator.Validate(r.rx[i].Payload, &h); drop == wire.DropNone {
			r.take(nowNs, &h, body, r.rx[i].From)
		}
	}
	r.tr.Release()
	if nowNs >= r.nextNs {
		work = r.answer(nowNs)
	}
	r.sender.Flush()
	return got + work
}

func (r *responder) take(nowNs int64, h *wire.Header, body []byte, from transport.Addr) {
	switch h.Kind {
	case wire.DatagramConnect:
		var c wire.Connect
		if c.Decode(body) {
			answer := wire.Challenge{Token: c.Token, Nonce: 1}
			r.send(wire.DatagramChallenge, answer.Put, from)
		}
		return
	case wire.DatagramProve:
		var p wire.Prove
		if p.Decode(body) {
			r.accept(&p, from)
		}
		return
	}
	if h.Sender == 0 || h.Sender > uint64(len(r.sessions)) {
		return
	}
	s := r.sessions[h.Sender-1]
	s.at = from
	switch h.Kind {
	case wire.DatagramMessages:
		r.messages(nowNs, s, body)
	case wire.DatagramKeepalive:
		r.answers(s, nil)
	case wire.DatagramDisconnect:
		r.answers(s, []wire.Answer{{Kind: wire.AnswerClosed, Correlation: s.committed}})
	}
}

// accept opens or resumes a session.
func (r *responder) accept(p *wire.Prove, from transport.Addr) {
	i := slices.IndexFunc(r.sessions, func(s *responderSession) bool { return s.token == p.Token || s.id == p.Session })
	if i < 0 {
		i = len(r.sessions)
		r.sessions = append(r.sessions, &responderSession{id: wire.SessionID(i + 1), token: p.Token, over: map[uint64]bool{}})
	}
	s := r.sessions[i]
	s.at = from
	answer := wire.Accept{Token: p.Token, Session: s.id, Correlation: s.committed, Leader: responderNode, Term: responderTerm,
		Window: responderWindow, MaxMessage: wire.MaxMessage}
	r.send(wire.DatagramAccept, answer.Put, from)
}

// messages notes when each message is to be answered. One that comes again after its answer gets it again.
func (r *responder) messages(nowNs int64, s *responderSession, body []byte) {
	if r.startNs == 0 {
		r.startNs = nowNs
	}
	var m wire.Message
	for rest := body[wire.MessagesHeaderSize:]; len(rest) > 0; {
		_, behind, ok := wire.NextMessage(rest, &m)
		if !ok {
			return
		}
		rest = behind
		switch answered, ok := r.answered(m.Correlation, nowNs-r.startNs); {
		case m.Correlation == s.heard+1:
			s.heard++
			if ok {
				r.wait(s, m.Correlation, r.startNs+answered)
			}
		case m.Correlation <= s.committed || s.over[m.Correlation]:
			r.wait(s, m.Correlation, nowNs)
		}
	}
}

func (r *responder) wait(s *responderSession, correlation uint64, dueNs int64) {
	r.waiting = append(r.waiting, waiting{s, correlation, dueNs})
	r.nextNs = min(r.nextNs, dueNs)
}

// answer answers what is due.
func (r *responder) answer(nowNs int64) (answered int) {
	left := r.waiting[:0]
	r.nextNs = math.MaxInt64
	for _, w := range r.waiting {
		if w.dueNs > nowNs {
			left = append(left, w)
			r.nextNs = min(r.nextNs, w.dueNs)
			continue
		}
		w.session.due = append(w.session.due, wire.Answer{Kind: wire.AnswerAck, Level: r.level, Correlation: w.correlation,
			Sequence: w.correlation, Position: wire.Position(w.correlation * wire.RecordHeaderSize)})
		if w.correlation > w.session.committed {
			w.session.over[w.correlation] = true
		}
	}
	r.waiting = left
	for _, s := range r.sessions {
		if len(s.due) == 0 {
			continue
		}
		for s.over[s.committed+1] {
			s.committed++
			delete(s.over, s.committed)
		}
		r.answers(s, s.due)
		answered += len(s.due)
		s.due = s.due[:0]
	}
	return answered
}

// answers sends a session answers, and how far all are answered; with none that alone.
func (r *responder) answers(s *responderSession, all []wire.Answer) {
	for first := true; first || len(all) > 0; first = false {
		r.send(wire.DatagramAnswers, func(b []byte) int {
			head := wire.Answers{Session: s.id, Committed: s.committed}
			n := head.Put(b)
			for len(all) > 0 {
				more := wire.PutAnswer(b[n:], &all[0], nil)
				if more == 0 {
					break
				}
				n, all = n+more, all[1:]
			}
			return n
		}, s.at)
	}
}

// send sends one datagram. Where the transmit side is full it is lost: the client asks again.
func (r *responder) send(kind wire.DatagramKind, put func(b []byte) int, to transport.Addr) {
	b := r.sender.Next()
	if b == nil {
		return
	}
	n := wire.DatagramHeaderSize + put(b[wire.DatagramHeaderSize:])
	head := wire.Header{Kind: kind, Cluster: r.cluster, Sender: responderNode, Incarnation: 1, Run: 1, Term: responderTerm}
	wire.Seal(b[:n], &head)
	r.sender.Commit(n, to)
}
