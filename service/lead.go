package service

import (
	"lockstep/internal/simbug"
	"lockstep/wire"
)

// leading is what a driver does for the ingress of a leader.
//
//	              CommandLead          term record applied          dump written
//	following ------------------> waiting ----------------> dumping ------------> live
//	    ^------------------------------ CommandResign ------------------------------'
//
// Only while live does the driver write what it applies; before, the dump will show it.
type leading struct {
	term    wire.Term // of CommandLead; 0: following
	leadAt  wire.Position
	live    bool
	dumping bool
	dump    []*session // what is still to be dumped
	refusal uint64     // of the first of them: the next of its messages without effect, if it is dumped itself
	ended   uint64     // the next session that is over to be dumped
	place   uint64     // the next place to be dumped
	timer   int        // the next timer to be dumped
	opened  bool       // the first of them is dumped itself
	replay  replay
}

// replay is a CommandReplay being carried out: responses next .. last of a session.
type replay struct {
	session    *session // nil: none
	next, last uint64
	missing    wire.SessionID // a session that is not there: to be said
}

// takeCommands carries out what the ingress wants. A replay waits until everything before it is written; leading
// and resigning do not wait, because nobody may be reading any more.
func (d *Driver) takeCommands() (n int) {
	for {
		c := d.commands.Peek()
		if c == nil {
			break
		}
		if c.Kind == CommandReplay && d.live && (d.pending() || d.chain.Position < d.quiet) {
			break
		}
		switch c.Kind {
		case CommandLead:
			d.resign()
			d.term, d.leadAt = c.Term, c.Position
			if d.dumpDue() {
				d.startDump()
			}
		case CommandResign:
			d.resign()
		case CommandReplay:
			if d.live {
				d.startReplay(c)
			}
		}
		d.commands.Advance()
		n++
		if d.pending() && !d.sendPending() {
			break
		}
	}
	if n > 0 {
		d.commands.Release()
		d.publish()
	}
	return n
}

// resign drops everything that was to be written.
func (d *Driver) resign() {
	d.leading = leading{}
	d.stage.reset()
	d.done = max(d.done, d.chain.Position)
	d.progress.setApplied(d.done)
}

// dumpDue tells whether the own term record is applied and the dump has not begun.
func (d *Driver) dumpDue() bool {
	return d.term != 0 && !d.live && !d.dumping && d.chain.Position >= d.leadAt
}

func (d *Driver) startDump() {
	d.stage.reset() // what was applied before the dump is in it
	d.dumping = true
	d.dump = d.table.ascending()
	d.place, d.ended = d.places.first(), d.closed.first()
	if simbug.On(simbug.ForgetClosed) {
		d.ended = d.closed.count
	}
}

func (d *Driver) startReplay(c *Command) {
	s := d.table.find(c.Session)
	if s == nil {
		d.replay = replay{missing: c.Session}
		return
	}
	d.replay = replay{session: s, next: max(s.kept.acked+1, c.Response), last: s.kept.last}
}

// pending tells whether something is to be written before more may be applied.
func (d *Driver) pending() bool {
	return d.live && !d.stageSent() || d.dumping || d.replay.session != nil || d.replay.missing != 0
}

// flush writes what is pending. It reports false when the ring had no room for all of it.
func (d *Driver) flush() bool {
	if !d.pending() {
		return true
	}
	all := d.sendPending()
	d.publish()
	return all
}

func (d *Driver) sendPending() bool {
	if d.live && !d.sendStage() {
		return false
	}
	if d.dumping && !d.sendDump() {
		return false
	}
	return d.sendReplay()
}

// stageSent tells whether all that the last record caused is written, as far as it is to be.
func (d *Driver) stageSent() bool { return !d.live || d.stage.sent == len(d.stage.items) }

// sendStage writes what the last record caused.
func (d *Driver) sendStage() bool {
	st := d.stage
	for ; st.sent < len(st.items); st.sent++ {
		it := &st.items[st.sent]
		if it.head.Kind == 0 {
			continue
		}
		payload := st.payload(it)
		b := d.claim(len(payload))
		if b == nil {
			return false
		}
		copy(b[it.head.Put(b):], payload)
		d.commit()
	}
	return true
}

// sendDump writes what is left to dump: sessions, those that are over, places, timers, and that the dump is complete.
func (d *Driver) sendDump() bool {
	for len(d.dump) > 0 {
		if !d.sendSession(d.dump[0]) {
			return false
		}
		d.dump, d.opened = d.dump[1:], false
	}
	if !d.sendClosed() || !d.sendPlaces() || !d.sendTimers() {
		return false
	}
	b := d.claim(0)
	if b == nil {
		return false
	}
	head := Egress{Kind: EgressReady, Term: d.term, Position: d.chain.Position}
	head.Put(b)
	d.commit()
	d.dumping, d.live, d.dump = false, true, nil
	return true
}

// sendSession writes one session of the dump, then which of its messages took no effect.
func (d *Driver) sendSession(s *session) bool {
	if !d.opened {
		b := d.claim(len(s.name))
		if b == nil {
			return false
		}
		head := Egress{
			Kind: EgressSession, Term: d.term, Session: s.id, Token: s.token, Window: s.window,
			Correlation: s.correlation, Response: s.kept.last,
		}
		s.tell(&head)
		copy(b[head.Put(b):], s.name)
		d.commit()
		d.opened, d.refusal = true, s.refused.first()
	}
	for ; d.refusal < s.refused.count; d.refusal++ {
		b := d.claim(0)
		if b == nil {
			return false
		}
		x := s.refused.at(d.refusal)
		head := Egress{Kind: EgressRefused, Term: d.term, Session: s.id, Correlation: x.correlation, Code: x.code}
		head.Put(b)
		d.commit()
	}
	return true
}

// sendReplay writes the responses that are left to repeat, or that there is no such session.
func (d *Driver) sendReplay() bool {
	r := &d.replay
	if r.session == nil && r.missing == 0 {
		return true
	}
	for ; r.session != nil && r.next <= r.last; r.next++ {
		k := r.session.kept.at(r.next)
		b := d.claim(int(k.length))
		if b == nil {
			return false
		}
		head := Egress{
			Kind: EgressResponse, Last: k.last, Term: d.term, Session: r.session.id, Service: k.service,
			Correlation: k.correlation, Response: r.next,
			Sequence: k.sequence, Position: k.position, Timestamp: k.timestamp,
		}
		r.session.tell(&head)
		r.session.kept.payload(k, b[head.Put(b):])
		d.commit()
	}
	if r.missing != 0 {
		b := d.claim(0)
		if b == nil {
			return false
		}
		head := Egress{Kind: EgressClosed, Term: d.term, Session: r.missing, Code: wire.RefusalUnknownSession}
		head.Put(b)
		d.commit()
	}
	*r = replay{}
	return true
}

// claim returns room for a header and n bytes behind it, or nil, counted, when the egress ring is full.
func (d *Driver) claim(n int) []byte {
	b := d.egress.Claim(EgressHeaderSize + n)
	if b == nil {
		d.meters.egressFull.Inc()
	}
	return b
}

func (d *Driver) commit() {
	d.egress.Commit()
	d.written++
}
