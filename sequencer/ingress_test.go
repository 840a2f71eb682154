package sequencer

import (
	"testing"

	"lockstep/transport"
	"lockstep/wire"
)

var (
	received = wire.LevelsOf(wire.LevelReceived)
	applied  = wire.LevelsOf(wire.LevelApplied)
)

// acks collects correlation and level of the acknowledgements in some datagrams.
func acksIn(all []got) (list [][2]uint64) {
	for _, g := range all {
		for _, a := range g.answers {
			if a.Kind == wire.AnswerAck {
				list = append(list, [2]uint64{a.Correlation, uint64(a.Level)})
			}
		}
	}
	return list
}

func equal(a, b [][2]uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Answers of one cycle to one client share a datagram, and say what is committed.
func TestAnswersArePackedPerClient(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	one, two := l.open(addr(2), 1), l.open(addr(3), 2)
	l.messages(addr(2), one, 0, data(1, received|applied), data(2, received, talk(1, 10)...), data(3, 0))
	l.messages(addr(3), two, 0, data(1, received))
	l.messages(addr(2), one, 0, data(4, received))
	l.cycle()
	g := l.one(addr(2))
	if len(g.answers) != 5 || g.committed != 4 {
		t.Errorf("%+v", g)
	}
	if want := [][2]uint64{{1, 1}, {2, 1}, {4, 1}, {1, 5}}; !equal(acksIn([]got{g}), want) {
		t.Errorf("%v, want %v", acksIn([]got{g}), want)
	}
	if g := l.one(addr(3)); len(g.answers) != 1 || g.committed != 1 {
		t.Errorf("%+v", g)
	}
}

// What does not fit one datagram goes into several, none longer than MaxPayload.
func TestAnswersFillSeveralDatagrams(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.messages(addr(2), id, 0, data(1, applied, talk(10, 600)...))
	l.cycle()
	all := l.received(addr(2))
	n := uint64(0)
	for _, g := range all {
		for i, a := range g.answers {
			n++
			if a.Response != n || len(g.payloads[i]) != 600 || (a.Level == wire.LevelApplied) != (n == 10) {
				t.Errorf("response %d: %+v", n, a)
			}
		}
	}
	if n != 10 || len(all) != 5 {
		t.Errorf("%d responses in %d datagrams", n, len(all))
	}
}

// A full transmit side delays responses and loses none; acknowledgements it may lose.
func TestFullTransmitSideDelaysResponses(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	giveBack := l.takeAllFrames()
	l.messages(addr(2), id, 0, data(1, applied, talk(20, 600)...))
	for range 5 {
		l.cycle()
	}
	l.nothing(addr(2))
	giveBack()
	for range 3 {
		l.cycle()
	}
	n := uint64(0)
	for _, g := range l.received(addr(2)) {
		for _, a := range g.answers {
			if n++; a.Response != n {
				t.Fatalf("response %d after %d", a.Response, n-1)
			}
		}
	}
	if n != 20 {
		t.Errorf("%d responses", n)
	}
	if l.count("lockstep_sequencer_send_full_total") == 0 {
		t.Error("not counted")
	}
}

// Order: a repeat takes no number, what is beyond a gap is not taken, and the gap is asked for, but not each time.
func TestRepeatsAndGaps(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.messages(addr(2), id, 0, data(1, received), data(1, received), data(3, received), data(2, received))
	l.messages(addr(2), id, 0, data(4, received))
	l.cycle()
	g := l.one(addr(2))
	if len(g.answers) != 3 || g.answers[2].Kind != wire.AnswerGap || g.answers[2].Correlation != 2 {
		t.Fatalf("%+v", g.answers)
	}
	if g.answers[0] != g.answers[1] {
		t.Errorf("the repeat was acknowledged differently: %+v", g.answers)
	}
	l.nowNs += l.s.o.Limits.GapNs
	l.messages(addr(2), id, 0, data(4, received))
	l.cycle()
	if g := l.one(addr(2)); len(g.answers) != 1 || g.answers[0].Kind != wire.AnswerGap {
		t.Errorf("%+v", g.answers)
	}
	if n := l.kinds(wire.RecordMessage); n != 1 || len(l.talker.order) != 1 {
		t.Errorf("%d records, applied %v", n, l.talker.order)
	}
}

// A repeat is answered with the levels that are true by now, from the same place in the log.
func TestC1RepeatIsAnsweredByWhatIsTrue(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	before := l.s.Chain().Position
	all := wire.LevelsOf(wire.LevelReceived, wire.LevelSequenced, wire.LevelReplicated, wire.LevelDurable,
		wire.LevelApplied)
	l.messages(addr(2), id, 0, data(1, all))
	l.part(before, before, before)
	first := l.one(addr(2))
	end := l.s.Chain().Position
	stages := []struct {
		move func()
		live int // acknowledgements given because something moved
		want uint64
	}{
		{func() { l.part(before, before, before) }, 0, 2},
		{func() { l.part(end, before, before) }, 1, 3},
		{func() { l.part(end, end, end) }, 1, 4},
		{func() { l.cycle() }, 1, 5},
	}
	for _, x := range stages {
		x.move()
		if got := acksIn(l.received(addr(2))); len(got) != x.live {
			t.Errorf("level %d: %v", x.want, got)
		}
		l.messages(addr(2), id, 0, data(1, all))
		l.part(l.s.replicated, l.s.durable, l.s.log.commit)
		g := l.one(addr(2))
		if n := uint64(len(g.answers)); n != x.want {
			t.Errorf("%d acknowledgements, want %d: %+v", n, x.want, g.answers)
		}
		for i, a := range g.answers {
			if a.Level != wire.Level(i+1) || a.Sequence != first.answers[0].Sequence ||
				a.Position != first.answers[0].Position || a.Timestamp != first.answers[0].Timestamp {
				t.Errorf("%+v", a)
			}
		}
	}
	if l.kinds(wire.RecordMessage) != 1 {
		t.Error("sequenced again")
	}
}

// A lost response is replayed when the client repeats its message, or says what it has; not more often than allowed.
func TestReplayOfLostResponses(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.messages(addr(2), id, 0, data(1, applied, talk(2, 8)...), data(2, applied, talk(1, 8)...))
	l.cycle()
	l.received(addr(2)) // and suppose that they were lost
	l.messages(addr(2), id, 0, data(1, applied, talk(2, 8)...), data(2, applied, talk(1, 8)...))
	l.cycle()
	g := l.one(addr(2))
	if len(g.answers) != 3 || g.answers[0].Response != 1 || g.answers[2].Response != 3 || g.answers[2].Level != 5 {
		t.Errorf("%+v", g.answers)
	}
	l.bare(wire.DatagramKeepalive, addr(2), id, 1)
	l.cycle()
	if g := l.one(addr(2)); len(g.answers) != 0 {
		t.Errorf("too soon: %+v", g.answers)
	}
	if l.count("lockstep_sequencer_replays_held_total") == 0 {
		t.Error("not counted")
	}
	l.nowNs += l.s.o.Limits.ReplayNs
	l.bare(wire.DatagramKeepalive, addr(2), id, 1)
	l.cycle()
	if g := l.one(addr(2)); len(g.answers) != 2 || g.answers[0].Response != 2 {
		t.Errorf("%+v", g.answers)
	}
	if got := len(l.talker.order); got != 2 {
		t.Errorf("applied %d times", got)
	}
}

// BUSY consumes nothing, and drops what is behind it in the session without calling it a gap.
func TestBusyConsumesNothing(t *testing.T) {
	l := newLeader(t, Limits{Acks: 2}, 0)
	id := l.open(addr(2), 1)
	before := l.s.Chain().Position
	l.messages(addr(2), id, 0, data(1, received), data(2, received), data(3, received), data(4, received))
	l.messages(addr(2), id, 0, data(5, received))
	l.part(before, before, before)
	g := l.one(addr(2))
	if len(g.answers) != 3 || g.answers[2].Kind != wire.AnswerBusy || g.answers[2].Code != wire.RefusalBusyAcks ||
		g.answers[2].Correlation != 3 {
		t.Fatalf("%+v", g.answers)
	}
	l.cycle()
	l.received(addr(2))
	l.messages(addr(2), id, 0, data(3, received), data(4, received))
	l.cycle()
	if got := acksIn(l.received(addr(2))); !equal(got, [][2]uint64{{3, 1}, {4, 1}}) {
		t.Errorf("%v", got)
	}
}

// The client may not be further ahead of what is committed than its window, nor the log of what is applied.
func TestBusyWindow(t *testing.T) {
	l := newLeader(t, Limits{Window: 4}, 0)
	id := l.open(addr(2), 1)
	before := l.s.Chain().Position
	for c := uint64(1); c <= 5; c++ {
		l.messages(addr(2), id, 0, data(c, 0))
	}
	l.part(before, before, before)
	if g := l.one(addr(2)); len(g.answers) != 1 || g.answers[0].Code != wire.RefusalBusyWindow ||
		g.answers[0].Correlation != 5 {
		t.Fatalf("%+v", g.answers)
	}
	for c := uint64(5); c <= 9; c++ { // committed, never applied
		end := l.s.Chain().Position
		l.part(end, end, end)
		l.messages(addr(2), id, 0, data(c, 0))
	}
	l.part(before, before, before)
	all := l.received(addr(2))
	last := all[len(all)-1]
	if len(last.answers) != 1 || last.answers[0].Code != wire.RefusalBusyWindow || last.answers[0].Correlation != 9 {
		t.Fatalf("%+v", last)
	}
	l.cycle()
	l.messages(addr(2), id, 0, data(9, 0))
	l.cycle()
	if n := len(l.talker.order); n != 9 {
		t.Errorf("%d applied", n)
	}
}

// Clients may fill a quarter of the ring beyond what is committed; the cluster's own records may go on.
func TestBusyLogLeavesRoomForTheCluster(t *testing.T) {
	l := newLeader(t, Limits{Window: 4096}, 0)
	p := l.proof(addr(2), 1, 0)
	p.Window = 4096
	l.prove(addr(2), p)
	l.cycle()
	id := l.one(addr(2)).accept.Session
	before := l.s.Chain().Position
	for c := uint64(1); ; c++ {
		l.messages(addr(2), id, 0, data(c, 0, make([]byte, 400)...))
		if l.s.table.find(id).busy {
			break
		}
	}
	if used := uint64(l.s.Chain().Position - before); used > l.ring.Size()/4 || used < l.ring.Size()/4-1000 {
		t.Errorf("clients filled %d of %d bytes", used, l.ring.Size())
	}
	l.part(before, before, before)
	if g := l.one(addr(2)); g.answers[0].Code != wire.RefusalBusyLog {
		t.Errorf("%+v", g.answers)
	}
	if !l.s.AppendConfig(l.nowNs, &wire.Config{Rule: wire.RuleDurable, Members: 1}) {
		t.Error("no room for a config record")
	}
	want := wire.SnapshotRecord{Verified: 8, Digest: 7, Take: true}
	if !l.s.AppendSnapshot(l.nowNs, want) {
		t.Error("no room for a snapshot record")
	}
	records := l.records()
	last := &records[len(records)-1]
	var got wire.SnapshotRecord
	payload := wire.Payload(l.ring.View(uint64(last.Position), uint64(last.End())), last)
	if last.Kind != wire.RecordSnapshot || !got.Decode(payload) || got != want {
		t.Errorf("the last record is %+v, %+v", last, got)
	}
}

// A gate that does not move stops the log at its limit, and nothing panics.
func TestFullRingRefusesRecords(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	for range 1 << 14 {
		if !l.s.AppendConfig(l.nowNs, &wire.Config{Rule: wire.RuleDurable, Members: 1}) {
			break
		}
	}
	// Without a gate the writer's own published end is the limit.
	if got := uint64(l.s.Chain().Position); got > l.ring.Limit() {
		t.Errorf("the log ends at %d, the limit is %d", got, l.ring.Limit())
	}
	if l.s.AppendTerm(l.nowNs, wire.TermRecord{Leader: 1}) {
		t.Error("a record beyond the limit")
	}
}

// A final refusal and a void take their place in the log by a record for no service, and what follows goes on.
func TestRefusedAndVoidedTakeTheirPlace(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	nobody := data(1, applied)
	nobody.Service = 5
	l.messages(addr(2), id, 0, nobody, void(2, applied|received), data(3, applied))
	l.messages(addr(2), id, 0, nobody)
	l.cycle()
	g := l.one(addr(2))
	want := []wire.Answer{
		{Kind: wire.AnswerRefused, Correlation: 1, Code: wire.RefusalUnknownService},
		{Kind: wire.AnswerAck, Correlation: 2, Code: wire.RefusalVoided, Level: wire.LevelReceived},
		{Kind: wire.AnswerRefused, Correlation: 1, Code: wire.RefusalUnknownService},
		{Kind: wire.AnswerAck, Correlation: 2, Code: wire.RefusalVoided, Level: wire.LevelApplied},
		{Kind: wire.AnswerAck, Correlation: 3, Level: wire.LevelApplied},
	}
	if len(g.answers) != len(want) {
		t.Fatalf("%+v", g.answers)
	}
	for i, a := range g.answers {
		a.Sequence, a.Position, a.Timestamp, a.Service = 0, 0, 0, 0
		if a != want[i] {
			t.Errorf("%+v, want %+v", a, want[i])
		}
	}
	if g.committed != 3 || len(l.talker.order) != 1 || l.kinds(wire.RecordMessage) != 3 {
		t.Errorf("committed %d, applied %v, %d records", g.committed, l.talker.order, l.kinds(wire.RecordMessage))
	}
}

// Everything from a client's datagram to its last answer goes without an allocation.
func TestNoAllocationPerMessage(t *testing.T) {
	l := newLeader(t, Limits{}, 1024)
	id := l.open(addr(2), 1)
	all := wire.LevelsOf(1, 2, 3, 4, 5)
	body := make([]byte, 1024)
	h := wire.Header{Kind: wire.DatagramMessages, Sender: uint64(id)}
	payload := make([]byte, 4) // no response: the talker's own memory is not what is tested
	next, n := uint64(1), 0
	l.talker.order = make([]uint64, 0, 1<<20)
	var rx [16]transport.Received
	end := l.ends[addr(2)]
	cycle := func() {
		n = (&wire.Messages{}).Put(body)
		for range 4 {
			m := wire.Message{Correlation: next, Kind: wire.MessageData, Levels: all, Service: talker}
			n += wire.PutMessage(body[n:], &m, payload)
			next++
		}
		l.s.OnClient(l.nowNs, &h, body[:n], addr(2))
		l.cycle()
		for end.Receive(rx[:]) > 0 {
			end.Release()
		}
	}
	for range 500 {
		cycle()
	}
	if a := testing.AllocsPerRun(1000, cycle); a != 0 {
		t.Errorf("%v allocations per cycle of 4 messages", a)
	}
	if x := l.s.table.find(id); x.applied != next-1 || l.count("lockstep_sequencer_messages_total") != next-1 {
		t.Errorf("applied %d of %d", x.applied, next-1)
	}
}
