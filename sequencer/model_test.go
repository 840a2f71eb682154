package sequencer

import (
	"testing"

	"lockstep/transport"
	"lockstep/wire"
	"pgregory.net/rapid"
)

// order is the model of one session: what its client has sent, and what the leader has to have made of it.
type order struct {
	from      transport.Addr
	token     uint64
	id        wire.SessionID
	next      uint64 // correlation that the leader takes next
	committed uint64 // highest that a datagram may name
	gone      bool   // the address was not proven to this leader yet
}

// Whatever clients send in whatever order, each session's messages are sequenced densely, each once; an answer never
// speaks of what was not sequenced, and what is committed is never overstated.
func TestSessionOrderModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := newLeader(t, Limits{Window: 16, Acks: 32, Sessions: 4}, 1024)
		sessions := []*order{{from: addr(2), token: 1, next: 1}, {from: addr(3), token: 2, next: 1}}
		for _, s := range sessions {
			s.id = l.open(s.from, s.token)
		}
		term := wire.Term(1)
		all := wire.LevelsOf(1, 2, 3, 4, 5)
		r.Repeat(map[string]func(*rapid.T){
			"": func(r *rapid.T) {
				for _, s := range sessions {
					s.check(r, l)
				}
			},
			"send": func(r *rapid.T) {
				s := sessions[rapid.IntRange(0, 1).Draw(r, "session")]
				first := uint64(max(1, int64(s.next)+rapid.Int64Range(-6, 3).Draw(r, "offset")))
				var list []message
				for c := range uint64(rapid.IntRange(1, 5).Draw(r, "count")) {
					list = append(list, data(first+c, all, byte(first+c)))
				}
				l.messages(s.from, s.id, 0, list...)
				if s.gone || first > s.next {
					return
				}
				x := l.s.table.find(s.id)
				if x.next < s.next || x.next > max(s.next, first+uint64(len(list))) {
					r.Fatalf("next is %d after %d..%d at %d", x.next, first, first+uint64(len(list))-1, s.next)
				}
				if !x.busy && x.next != max(s.next, first+uint64(len(list))) {
					r.Fatalf("next is %d, want %d: nothing was busy", x.next, first+uint64(len(list)))
				}
				s.next = x.next
			},
			"fragment": func(r *rapid.T) {
				s := sessions[rapid.IntRange(0, 1).Draw(r, "session")]
				c := uint64(max(1, int64(s.next)+rapid.Int64Range(-2, 1).Draw(r, "offset")))
				at := rapid.IntRange(0, 2).Draw(r, "part") * 1000
				l.messages(s.from, s.id, 0, part(c, all, long(3000, byte(c)), at, 1000))
				if s.gone {
					return
				}
				x := l.s.table.find(s.id)
				if x.next > s.next && (c != s.next || x.next > s.next+1) {
					r.Fatalf("next is %d after a fragment of %d at %d", x.next, c, s.next)
				}
				s.next = x.next
			},
			"cycle": func(*rapid.T) { l.cycle() },
			"hold": func(*rapid.T) {
				l.part(l.s.replicated, l.s.durable, l.s.log.commit)
			},
			"lead": func(r *rapid.T) {
				term++
				l.lead(term, l.s.Resign())
				l.cycle()
				l.cycle()
				for _, s := range sessions {
					s.gone = true
				}
			},
			"resume": func(r *rapid.T) {
				s := sessions[rapid.IntRange(0, 1).Draw(r, "session")]
				l.prove(s.from, l.proof(s.from, s.token, s.id))
				s.gone = false
			},
		})
		l.cycle()
		seen := map[wire.SessionID]uint64{}
		for _, rec := range l.records() {
			if rec.Kind != wire.RecordMessage {
				continue
			}
			if seen[rec.Session]++; rec.Correlation != seen[rec.Session] {
				r.Fatalf("session %x: record %d in place %d", rec.Session, rec.Correlation, seen[rec.Session])
			}
		}
		for _, s := range sessions {
			if seen[s.id] != s.next-1 {
				r.Fatalf("%d records, want %d", seen[s.id], s.next-1)
			}
		}
	})
}

// check reads what the client was told and compares it with what may be said.
func (s *order) check(r *rapid.T, l *leader) {
	for _, g := range l.received(s.from) {
		if g.kind == wire.DatagramAnswers && (g.committed >= s.next || g.committed < s.committed) {
			r.Fatalf("told that %d is committed after %d, with %d next", g.committed, s.committed, s.next)
		}
		if g.kind == wire.DatagramAnswers {
			s.committed = g.committed
		} else {
			continue
		}
		for _, a := range g.answers {
			switch {
			case a.Kind == wire.AnswerAck && a.Correlation >= s.next:
				r.Fatalf("acknowledged %d, with %d next", a.Correlation, s.next)
			case a.Kind == wire.AnswerGap && a.Correlation > s.next:
				r.Fatalf("asked for %d, with %d next", a.Correlation, s.next)
			}
		}
	}
}
