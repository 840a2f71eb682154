package replica

import (
	"errors"
	"testing"

	"lockstep/internal/counters"
	"lockstep/journal"
	"lockstep/ringbuf"
	"lockstep/transport"
	"lockstep/wire"
)

// appended is a Leading that has appended a record since it was last asked to publish.
type appended struct {
	Leading
	ring  *ringbuf.LogRing
	chain wire.Chain
}

func (l *appended) Publish() wire.Chain {
	l.ring.Publish(uint64(l.chain.Position))
	return l.chain
}

func (l *appended) DiskBad(bool)          {}
func (l *appended) Hold(wire.Refusal)     {}
func (l *appended) SyncTo() wire.Position { return 0 }

// agentOf is the agent of a probe's core. If that leads, it has one record to publish.
func agentOf(t *testing.T, p *probe) *Agent {
	t.Helper()
	const bytes = 1 << 16
	ring := ringbuf.NewLogRing(make([]byte, 2*bytes), bytes, false)
	ring.Start(0, uint64(p.c.Append()))
	network, err := transport.NewMemory(transport.MemoryOptions{}).Join(transport.Addr{IP: [4]byte{10, 0, 0, 1}, Port: 1})
	if err != nil {
		t.Fatal(err)
	}
	file, err := counters.Create("", 256)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close(); network.Close() })
	chain := wire.Chain{Position: p.c.Append(), Term: 1}
	next := wire.Chain{Position: p.c.Append() + 128, Term: 1}
	a, _ := NewAgent(AgentOptions{Core: p.c, Self: Peer{1, 1000, 1}, Nodes: []wire.NodeID{1, 2, 3}, Transport: network,
		Sender: transport.NewSender(network, 16), Ring: ring, Chain: chain, Journal: journal.NewPort(),
		Operator: NewOperator(func() {}), Votes: NewVotePort(nil), Leading: &appended{ring: ring, chain: next}, Counters: file,
		Log: t.Logf, RingBytes: bytes})
	a.leading, a.ledTerm, a.nowNs = p.c.Role() == Leader, 1, p.now
	return a
}

// What a leader appended is stepped in before whatever makes it hand over: the two must not get into each other's way.
func TestWhatMakesALeaderHandOverIsNotLostToARecord(t *testing.T) {
	for what, happen := range map[string]func(a *Agent){
		"disk full": func(a *Agent) { a.onReport(&journal.Report{Kind: journal.ReportFull}) },
		"disk hung": func(a *Agent) {
			a.o.DiskHungNs, a.disk.movedNs, a.disk.durable, a.statusAtNs = 1, a.nowNs-1, a.core.s.durable, a.nowNs
			a.watchDisk()
		},
		"clock":    func(a *Agent) { a.onSkew(true, 1e9) },
		"operator": func(a *Agent) { a.o.Operator.Begin(OperatorRequest{Kind: OperatorHandOver}); a.pollOperator() },
	} {
		t.Run(what, func(t *testing.T) {
			p := newProbe(t, wire.RuleDurable, Restored{})
			p.lead()
			a := agentOf(t, p)
			happen(a)
			if a.err != nil {
				t.Fatal(a.err)
			}
			if a.core.Append() != firstConfig+128 {
				t.Errorf("the core's log ends at %d: the record at %d was not stepped in", a.core.Append(), firstConfig)
			}
			if !a.core.HandingOver() {
				t.Error("the leader does not hand over")
			}
		})
	}
}

// A leader that was replaced goes on for a while. What it says of the cluster's clock is not what the cluster says.
func TestOnlyTheLeaderTellsTheClock(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{Term: 1})
	p.step(heartbeat(2, 0, 0))
	p.persisted()
	a := agentOf(t, p)
	for _, x := range []struct {
		from wire.NodeID
		term wire.Term
		ok   bool
	}{{3, 1, false}, {2, 1, false}, {2, 2, true}} {
		log := wire.Log{Clock: 1}
		var body [wire.LogHeaderSize]byte
		log.Put(body[:])
		a.onNode(&wire.Header{Kind: wire.DatagramLog, Sender: uint64(x.from), Incarnation: uint64(x.from) * 1000, Run: 1,
			Term: x.term}, body[:])
		if a.err != nil || a.clock.heard != x.ok {
			t.Errorf("node %d in term %d is believed: %v, %v", x.from, x.term, a.clock.heard, a.err)
		}
	}
}

// recording is a Leading that has no room for snapshot records until it is told, and keeps those it was given.
type recording struct {
	appended
	room    bool
	records []wire.SnapshotRecord
}

func (l *recording) AppendSnapshot(_ int64, x wire.SnapshotRecord) bool {
	if !l.room {
		return false
	}
	l.records = append(l.records, x)
	l.chain.Position += 88
	return true
}

func (l *recording) Chain() wire.Chain { return l.chain }

func (l *recording) Resign() wire.Chain { return l.chain }

// services is a Services that is told things and says nothing.
type services struct{ Services }

func (services) Resign()              {}
func (services) Commit(wire.Position) {}

func recordingAgent(t *testing.T) (*Agent, *recording) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	a := agentOf(t, p)
	l := &recording{appended: *a.o.Leading.(*appended)}
	a.o.Leading, a.o.Services = l, services{}
	return a, l
}

// While the ring has no room a snapshot record waits; what is owed meanwhile goes into the same one, and what is said of
// a snapshot is said of the newest.
func TestSnapshotRecordsThatWaitBecomeOne(t *testing.T) {
	a, l := recordingAgent(t)
	a.oweSnapshot(&wire.SnapshotRecord{Verified: 100, Digest: 1})
	a.appendOwing()
	a.oweSnapshot(&wire.SnapshotRecord{Take: true})
	a.oweSnapshot(&wire.SnapshotRecord{Verified: 300, Digest: 3})
	a.oweSnapshot(&wire.SnapshotRecord{Verified: 200, Digest: 2})
	a.appendOwing()
	if len(l.records) != 0 || a.askedAt != 0 {
		t.Fatalf("without room: %+v, asked at %d", l.records, a.askedAt)
	}
	l.room = true
	a.appendOwing()
	a.appendOwing()
	if want := (wire.SnapshotRecord{Verified: 300, Digest: 3, Take: true}); len(l.records) != 1 || l.records[0] != want {
		t.Errorf("appended: %+v, want %+v", l.records, want)
	}
	if a.askedAt != l.chain.Position || a.core.Append() != l.chain.Position || a.err != nil {
		t.Errorf("asked at %d, the core's log ends at %d, want %d; %v", a.askedAt, a.core.Append(), l.chain.Position, a.err)
	}
}

// What waits when leadership ends is forgotten: the next leader says and asks it by itself.
func TestSnapshotRecordsThatWaitEndWithTheLeadership(t *testing.T) {
	a, l := recordingAgent(t)
	a.oweSnapshot(&wire.SnapshotRecord{Take: true})
	a.resign()
	l.room = true
	a.appendOwing()
	if len(l.records) != 0 {
		t.Errorf("appended: %+v", l.records)
	}
}

// An operator's request that finds no room waits, and is answered when its record is committed, or leadership lost.
func TestOperatorsSnapshotWaitsForRoomAndCommit(t *testing.T) {
	for _, resigns := range []bool{false, true} {
		a, l := recordingAgent(t)
		a.core.Step(a.nowNs, &Input{Kind: InApplied, Position: firstConfig})
		a.publishAppended()
		call := a.o.Operator.Begin(OperatorRequest{Kind: OperatorSnapshot, Leader: true})
		for range 3 {
			a.pollOperator()
		}
		l.room = true
		a.appendOwing()
		for range 3 {
			a.pollOperator()
		}
		end := l.chain.Position
		if len(l.records) != 1 || l.records[0] != (wire.SnapshotRecord{Take: true, Leader: true}) || len(call.Done()) > 0 {
			t.Fatalf("appended %+v; answered before it is committed: %v", l.records, len(call.Done()) > 0)
		}
		if resigns {
			a.resign()
		} else {
			for n := wire.NodeID(1); n <= 2; n++ {
				a.core.count(n, end, end)
			}
		}
		a.pollOperator()
		answer := <-call.Done()
		if resigns != errors.Is(answer.Err, ErrOperatorLate) || !resigns && answer.At != end {
			t.Errorf("resigns %v: %+v, the record ends at %d", resigns, answer, end)
		}
	}
}

// moving is a Services that stands where it is told.
type moving struct {
	services
	now Applied
}

func (m *moving) Applied(x *Applied) (moved bool) {
	moved = x.Position != m.now.Position
	*x = m.now
	return moved
}

// The core hears of the service when it has moved, and only then; neither costs an allocation.
func TestPollServices(t *testing.T) {
	a := agentOf(t, newProbe(t, wire.RuleDurable, Restored{}))
	m := &moving{}
	a.o.Services = m
	allocs := testing.AllocsPerRun(100, func() {
		m.now.Position += 64
		m.now.SnapshotPosition, m.now.SnapshotDigest = m.now.Position, 1
		a.pollServices()
		a.pollServices()
	})
	if a.core.s.applied != m.now.Position || a.applied != m.now || a.err != nil {
		t.Errorf("the core has %d, want %d; %v", a.core.s.applied, m.now.Position, a.err)
	}
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// Whoever has the answer may ask again at once: the mailbox is empty by then.
func TestTheMailboxIsEmptyOnceAnswered(t *testing.T) {
	a := agentOf(t, newProbe(t, wire.RuleDurable, Restored{}))
	request := OperatorRequest{Kind: OperatorHandOver}
	call := a.o.Operator.Begin(request)
	a.answer(call, ErrNotLeading, "")
	if answer := <-call.Done(); answer.Err != ErrNotLeading || a.o.Operator.Begin(request) == nil {
		t.Errorf("answered %v, and the mailbox is not empty", answer.Err)
	}
}

// LOG that arrived together is verified together, and acknowledged with one STATUS; what arrived behind it of another kind meets
// a core that knows how far the log is.
func TestABatchOfLogIsAcknowledgedOnce(t *testing.T) {
	p := newProbe(t, wire.RuleReplicated, Restored{Term: 1})
	p.follow()
	a := agentOf(t, p)
	a.o.Services = services{}
	network := transport.NewMemory(transport.MemoryOptions{})
	var ends [2]transport.Transport
	for i := range ends {
		at := transport.Addr{IP: [4]byte{10, 0, 0, byte(i + 1)}, Port: 1}
		end, err := network.Join(at)
		if err != nil {
			t.Fatal(err)
		}
		defer end.Close()
		ends[i], a.o.Peers[i+1] = end, at
	}
	a.o.Transport, a.o.Sender = ends[0], transport.NewSender(ends[0], 16)
	leader := transport.NewSender(ends[1], 16)
	chain, record := a.chain, [256]byte{}
	for range 5 {
		from := chain.Position
		n := chain.Append(record[:], &wire.Record{Kind: wire.RecordMessage, Term: 1, Timestamp: chain.Timestamp + 1, Session: 1}, make([]byte, 100))
		b := leader.Next()
		log := wire.Log{Position: from, Append: chain.Position}
		at := wire.DatagramHeaderSize + log.Put(b[wire.DatagramHeaderSize:])
		at += copy(b[at:], record[:n])
		wire.Seal(b[:at], &wire.Header{Kind: wire.DatagramLog, Sender: 2, Incarnation: 2000, Run: 1, Term: 1})
		leader.Commit(at, a.o.Peers[1])
	}
	leader.Flush()
	if n := a.receive(); n != 5 || a.err != nil {
		t.Fatalf("%d datagrams taken, %v", n, a.err)
	}
	a.o.Sender.Flush()
	if a.core.Append() != chain.Position {
		t.Errorf("the log ends at %d, want %d", a.core.Append(), chain.Position)
	}
	if n := ends[1].Receive(make([]transport.Received, 16)); n != 1 {
		t.Errorf("%d datagrams for five of LOG, want one STATUS", n)
	}
}
