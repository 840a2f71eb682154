package sequencer

import (
	"bytes"
	"slices"
	"testing"

	"lockstep/ringbuf"
	"lockstep/transport"
	"lockstep/wire"
)

// long is a payload that no other has: the talker does not answer it.
func long(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8)*31 + byte(i) + seed
	}
	b[0] = 0
	return b
}

// parts cuts a message into fragments of so many bytes.
func parts(correlation uint64, levels wire.Levels, payload []byte, size int) (list []message) {
	for at := 0; at < len(payload); at += size {
		list = append(list, part(correlation, levels, payload, at, size))
	}
	return list
}

// part is the fragment of a message that begins at a place and has so many bytes, if there are so many.
func part(correlation uint64, levels wire.Levels, payload []byte, at, size int) message {
	m := data(correlation, levels, payload[at:min(at+size, len(payload))]...)
	m.Kind, m.Fragment = wire.MessageFragment, wire.Fragment{Total: uint32(len(payload)), Offset: uint32(at)}
	return m
}

// logged is the payload of the only message record of a correlation, nil when there is none.
func (l *leader) logged(correlation uint64) (r wire.Record, payload []byte) {
	l.t.Helper()
	for _, x := range l.records() {
		if x.Kind != wire.RecordMessage || x.Correlation != correlation {
			continue
		}
		if payload != nil {
			l.t.Fatalf("message %d is in the log twice", correlation)
		}
		r, payload = x, wire.Payload(l.ring.View(uint64(x.Position), uint64(x.End())), &x)
	}
	return r, payload
}

// expect checks kind, correlation and code of all answers that have arrived at an address.
func (l *leader) expect(a transport.Addr, want ...wire.Answer) {
	l.t.Helper()
	var have []wire.Answer
	for _, g := range l.received(a) {
		for _, x := range g.answers {
			have = append(have, wire.Answer{Kind: x.Kind, Correlation: x.Correlation, Code: x.Code, Level: x.Level})
		}
	}
	if !slices.Equal(have, want) {
		l.t.Errorf("answered %+v, want %+v", have, want)
	}
}

func gapAt(correlation uint64) wire.Answer {
	return wire.Answer{Kind: wire.AnswerGap, Correlation: correlation}
}

func busyAt(correlation uint64, code wire.Refusal) wire.Answer {
	return wire.Answer{Kind: wire.AnswerBusy, Correlation: correlation, Code: code}
}

func refusedAt(correlation uint64, code wire.Refusal) wire.Answer {
	return wire.Answer{Kind: wire.AnswerRefused, Correlation: correlation, Code: code}
}

func receivedAt(correlation uint64) wire.Answer {
	return wire.Answer{Kind: wire.AnswerAck, Correlation: correlation, Level: wire.LevelReceived}
}

// Fragments become one record, whatever stands before and behind them, and it is answered once.
func TestFragmentsBecomeOneRecord(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	payload := long(5000, 1)
	list := append([]message{data(1, received)}, parts(2, received, payload, 1300)...)
	for _, m := range append(list, data(3, received)) {
		l.messages(addr(2), id, 0, m)
	}
	l.cycle()
	if _, got := l.logged(2); !bytes.Equal(got, payload) {
		t.Errorf("the record holds %d bytes", len(got))
	}
	l.expect(addr(2), receivedAt(1), receivedAt(2), receivedAt(3))
	if got := l.talker.order; !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("applied %v", got)
	}
	if len(l.s.assemblies.free) != len(l.s.assemblies.all) || l.count("lockstep_sequencer_assembled_total") != 1 {
		t.Error("the place is not given back, or nothing is counted")
	}
}

// N7: lost, repeated and reordered fragments, and others cuts of the same message: nothing is skipped, what is there
// is kept, and what is missing is asked for.
func TestN7LostFragmentsAreAskedFor(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	payload := long(6000, 1)
	p := parts(1, received, payload, 1000)
	send := func(list ...message) {
		l.nowNs += l.s.o.Limits.GapNs
		for _, m := range list {
			l.messages(addr(2), id, 0, m)
		}
		l.cycle()
	}
	send(p[1])                   // the first is late
	send(p[0], p[0], p[1], p[0]) // twice
	send(p[3])
	send(data(2, 0)) // what is behind it does not get past
	l.expect(addr(2), gapAt(1), gapAt(1), gapAt(1))
	send(p[5], p[4]) // in reverse
	l.expect(addr(2), gapAt(1))
	if n := len(l.records()); n != 2 {
		t.Fatalf("%d records", n)
	}
	send(part(1, received, payload, 1500, 700), part(1, received, payload, 2100, 1700)) // cut elsewhere
	if _, got := l.logged(1); !bytes.Equal(got, payload) {
		t.Errorf("the record holds %d bytes", len(got))
	}
	send(p...) // all of it again: one answer
	l.expect(addr(2), receivedAt(1), receivedAt(1))
	send(data(2, received))
	l.expect(addr(2), receivedAt(2))
}

// What is found missing right after the client was asked is asked for later, if it is missing still: the client may have
// nothing else to send.
func TestGapFoundTooSoonIsAskedForLater(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	p := parts(1, received, long(4000, 1), 1000)
	l.messages(addr(2), id, 0, p[1])
	l.messages(addr(2), id, 0, p[0])
	l.messages(addr(2), id, 0, p[3])
	l.cycle()
	l.expect(addr(2), gapAt(1))
	l.nowNs += l.s.o.Limits.GapNs
	l.cycle()
	l.expect(addr(2), gapAt(1))
	l.nowNs += l.s.o.Limits.GapNs
	l.cycle()
	l.nothing(addr(2)) // once
	l.messages(addr(2), id, 0, data(3, received))
	l.messages(addr(2), id, 0, data(4, received))
	l.messages(addr(2), id, 0, p[2])
	l.nowNs += l.s.o.Limits.GapNs
	l.cycle()
	l.expect(addr(2), gapAt(1), receivedAt(1)) // and not what has come by then
}

// A leader that knows nothing of the fragments that the one before had asks for all of them.
func TestLeaderChangeInTheMiddleOfAMessage(t *testing.T) {
	l := newLeader(t, Limits{Assemblies: 1}, 0)
	id := l.open(addr(2), 1)
	payload := long(3000, 1)
	p := parts(1, received, payload, 1000)
	l.messages(addr(2), id, 0, p[0])
	l.messages(addr(2), id, 0, p[1])
	l.lead(2, l.s.Resign())
	l.cycle()
	l.cycle()
	l.prove(addr(2), l.proof(addr(2), 1, id))
	l.received(addr(2))
	l.messages(addr(2), id, 0, p[2])
	l.cycle()
	l.expect(addr(2), gapAt(1))
	l.messages(addr(2), id, 0, p[0])
	l.messages(addr(2), id, 0, p[1])
	l.cycle()
	l.expect(addr(2), receivedAt(1))
	if _, got := l.logged(1); !bytes.Equal(got, payload) {
		t.Errorf("the record holds %d bytes", len(got))
	}
}

// BUSY for a message that is all there consumes nothing and throws nothing away: any fragment of it is enough then.
func TestBusyInTheMiddleOfAMessage(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	payload := long(3000, 1)
	p := parts(1, received, payload, 1000)
	l.messages(addr(2), id, 0, p[0])
	l.messages(addr(2), id, 0, p[1])
	l.s.Hold(wire.RefusalBusyHandOver)
	l.messages(addr(2), id, 0, p[2])
	l.cycle()
	l.expect(addr(2), busyAt(1, wire.RefusalBusyHandOver))
	l.messages(addr(2), id, 0, p[0])
	l.cycle()
	l.expect(addr(2), busyAt(1, wire.RefusalBusyHandOver))
	l.s.Hold(wire.RefusalNone)
	l.messages(addr(2), id, 0, p[0])
	l.cycle()
	l.expect(addr(2), receivedAt(1))
	if _, got := l.logged(1); !bytes.Equal(got, payload) {
		t.Errorf("the record holds %d bytes", len(got))
	}
}

// A service that has halted is said at the first fragment, not when everything was sent in vain.
func TestHaltIsSaidAtTheFirstFragment(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.s.Disputed(true)
	l.messages(addr(2), id, 0, part(1, received, long(3000, 1), 0, 1000))
	l.cycle()
	l.expect(addr(2), busyAt(1, wire.RefusalBusyDiverged))
	if len(l.s.assemblies.free) != len(l.s.assemblies.all) {
		t.Error("a place was taken")
	}
}

// Too long, of an unknown service, and of fragments that do not fit one another: refused for good, once and whenever a
// repeat of the last fragment asks. It takes the correlation, and what follows goes on.
func TestFragmentsRefusedForGood(t *testing.T) {
	payload := long(3000, 1)
	otherTotal := part(1, received, long(3001, 1), 1000, 2001)
	unknown := part(1, received, payload, 0, 2000)
	unknown.Service = talker + 1
	for name, x := range map[string]struct {
		list []message
		code wire.Refusal
	}{
		"too long":        {[]message{part(1, received, long(testMaxMessage+1, 1), 0, 1000)}, wire.RefusalTooLong},
		"unknown service": {[]message{unknown}, wire.RefusalUnknownService},
		"another total":   {[]message{part(1, received, payload, 0, 1000), otherTotal}, wire.RefusalMalformed},
	} {
		l := newLeader(t, Limits{}, 0)
		id := l.open(addr(2), 1)
		for range 2 { // the second time it is a repeat
			for _, m := range x.list {
				l.messages(addr(2), id, 0, m)
			}
			l.cycle()
		}
		last := x.list[len(x.list)-1]
		last.Fragment.Offset = last.Fragment.Total - uint32(len(last.payload))
		l.messages(addr(2), id, 0, last)
		l.messages(addr(2), id, 0, data(2, received))
		l.cycle()
		want := []wire.Answer{refusedAt(1, x.code), refusedAt(1, x.code), receivedAt(2)}
		if last.Fragment.Offset == x.list[len(x.list)-1].Fragment.Offset { // it was the last one all the time
			want = slices.Insert(want, 0, want[0])
		}
		l.expect(addr(2), want...)
		if r, why := l.logged(1); r.Service != 0 || len(why) != wire.ReasonSize {
			t.Errorf("%s: the record is for service %d, %d bytes", name, r.Service, len(why))
		}
		if !slices.Equal(l.talker.order, []uint64{2}) || len(l.s.assemblies.free) != len(l.s.assemblies.all) {
			t.Errorf("%s: applied %v, or a place is not given back", name, l.talker.order)
		}
	}
}

// A message that no ring of this size ever admits is refused for good: BUSY would go on for ever. The longest one below
// is taken, and ACCEPT has said so.
func TestLongestMessageThatTheRingAdmits(t *testing.T) {
	const size = 1 << 14
	if got := longestAdmitted(ringbuf.NewLogRing(make([]byte, 2<<20), 1<<20, false)); got < wire.MaxMessage {
		t.Errorf("a ring of 1 MiB admits %d bytes", got)
	}
	l := newLeaderOver(t, Limits{}, 0, size, wire.MaxMessage)
	id := l.open(addr(2), 1)
	longest := size/4 - wire.RecordHeaderSize
	if l.s.o.MaxMessage != uint32(longest) {
		t.Fatalf("messages of %d bytes are granted, want %d", l.s.o.MaxMessage, longest)
	}
	for _, m := range parts(1, received, long(longest, 1), 1000) {
		l.messages(addr(2), id, 0, m)
	}
	l.cycle()
	l.messages(addr(2), id, 0, part(2, received, long(longest+1, 1), 0, 1000))
	l.cycle()
	l.expect(addr(2), receivedAt(1), refusedAt(2, wire.RefusalTooLong))
}

// A void takes the place of a message of which fragments are there.
func TestVoidOfAMessageInFragments(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	payload := long(3000, 1)
	l.messages(addr(2), id, 0, part(1, received, payload, 0, 1000))
	l.messages(addr(2), id, 0, void(1, received), data(2, received))
	l.cycle()
	l.expect(addr(2), wire.Answer{Kind: wire.AnswerAck, Correlation: 1, Code: wire.RefusalVoided, Level: wire.LevelReceived},
		receivedAt(2))
	if len(l.s.assemblies.free) != len(l.s.assemblies.all) {
		t.Error("the place is not given back")
	}
}

// There are so many places and no more: a session that gets on keeps its own, one that does not loses it after a
// second, and asks for all of it again. Closing gives it back.
func TestAssembliesAreLimited(t *testing.T) {
	l := newLeader(t, Limits{Assemblies: 2}, 0)
	payload := long(3000, 1)
	var ids [3]wire.SessionID
	for i := range ids {
		ids[i] = l.open(addr(byte(2+i)), uint64(1+i))
	}
	send := func(i, at int) {
		l.messages(addr(byte(2+i)), ids[i], 0, part(1, received, payload, at, 1000))
		l.cycle()
	}
	send(0, 0)
	send(1, 0)
	send(2, 0)
	l.expect(addr(4), busyAt(1, wire.RefusalBusyAssemblies))
	l.nowNs += assemblyIdleNs / 2
	send(1, 1000)
	l.nowNs += assemblyIdleNs / 2
	send(2, 0)
	l.expect(addr(4))
	send(0, 1000)
	l.expect(addr(2), busyAt(1, wire.RefusalBusyAssemblies))
	send(1, 2000)
	l.expect(addr(3), receivedAt(1))
	send(0, 0)
	l.expect(addr(2))
	l.bare(wire.DatagramDisconnect, addr(4), ids[2], 0)
	l.cycle()
	if len(l.s.assemblies.free) != 1 {
		t.Errorf("%d places free, want 1", len(l.s.assemblies.free))
	}
}

// Fragments both ways go without an allocation, once the buffers are there.
func TestNoAllocationPerFragment(t *testing.T) {
	l := newLeader(t, Limits{}, 1024)
	id := l.open(addr(2), 1)
	payload := append(talk(1, 6000), long(6000, 1)...)
	h := wire.Header{Kind: wire.DatagramMessages, Sender: uint64(id)}
	body := make([]byte, 1400)
	next, given := uint64(1), uint64(0)
	l.talker.order = make([]uint64, 0, 1<<20)
	l.talker.scratch = make([]byte, 8192)
	var rx [16]transport.Received
	end := l.ends[addr(2)]
	cycle := func() {
		for at := 0; at < len(payload); at += 1300 {
			n := (&wire.Messages{Received: given}).Put(body)
			m := wire.Message{Correlation: next, Kind: wire.MessageFragment, Service: talker,
				Fragment: wire.Fragment{Total: uint32(len(payload)), Offset: uint32(at)}}
			n += wire.PutMessage(body[n:], &m, payload[at:min(at+1300, len(payload))])
			l.s.OnClient(l.nowNs, &h, body[:n], addr(2))
		}
		l.cycle()
		given = l.s.table.find(id).responses
		next++
		for end.Receive(rx[:]) > 0 {
			end.Release()
		}
	}
	for range 300 {
		cycle()
	}
	if a := testing.AllocsPerRun(500, cycle); a != 0 {
		t.Errorf("%v allocations per message", a)
	}
	if x := l.s.table.find(id); x.applied != next-1 || x.responses != next-1 {
		t.Errorf("applied %d, answered %d of %d", x.applied, x.responses, next-1)
	}
}
