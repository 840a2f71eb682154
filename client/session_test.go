package client_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"lockstep/client"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

var allLevels = []wire.Level{
	wire.LevelReceived, wire.LevelSequenced, wire.LevelReplicated, wire.LevelDurable, wire.LevelApplied,
}

// Each level is acknowledged when it is true and not before.
func TestEachLevelIsAcknowledgedWhenItIsTrue(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{ResendNs: 1e9, ResendMaxNs: 1e9, SilenceNs: 10e9})
	w.holdReplicated, w.holdDurable, w.holdDriver = true, true, true
	byLevel := map[wire.Level]uint64{}
	for _, level := range allLevels {
		byLevel[level] = c.send(service.Echo, wire.LevelsOf(level), []byte(level.String()))
	}
	none := c.send(service.Echo, 0, []byte("none"))

	check := func(stage string, upTo wire.Level) {
		t.Helper()
		w.run(10e6)
		for _, level := range allLevels {
			if got, want := c.acked(byLevel[level], level), level <= upTo; got != want {
				t.Errorf("%s: acknowledged as %v: %v, want %v", stage, level, got, want)
			}
		}
	}
	check("appended", wire.LevelSequenced)
	w.holdReplicated = false
	check("replicated", wire.LevelReplicated)
	w.holdDurable = false
	check("durable", wire.LevelDurable)
	w.holdDriver = false
	check("applied", wire.LevelApplied)
	w.until("nothing is open", c.idle)

	if len(c.acks[none]) != 0 {
		t.Errorf("a message that asked for nothing was acknowledged: %v", c.acks[none])
	}
	var before client.Ack
	for _, level := range allLevels {
		a := c.acks[byLevel[level]][0]
		if a.Sequence == 0 || a.Position <= before.Position || a.Timestamp <= before.Timestamp || a.Term != 1 {
			t.Errorf("%+v does not follow %+v", a, before)
		}
		before = a
	}
	if len(c.payloads) != 6 || c.payloads[5] != "none" {
		t.Errorf("responses: %q", c.payloads)
	}
}

// A message may ask for two levels: the early one and the end.
func TestTwoLevelsOfOneMessage(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{})
	n := c.send(service.Echo, wire.LevelsOf(wire.LevelSequenced, wire.LevelApplied), []byte("x"))
	w.until("nothing is open", c.idle)
	if a := c.acks[n]; len(a) != 2 || a[0].Level != wire.LevelSequenced || a[1].Level != wire.LevelApplied ||
		a[0].Position != a[1].Position || a[0].Sequence != a[1].Sequence {
		t.Fatalf("acknowledgements: %+v", a)
	}
}

// C1, N1: loss, duplication, reordering and delay, several leaders, lost tails: every message is applied exactly once
// and in order, every acknowledgement asked for comes, every response comes once.
func TestC1ExactlyOnceUnderFaultsAndFailover(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 5))
			w := newWorld(t, config{nodes: 3, net: transport.MemoryOptions{Seed: seed, Faults: transport.Faults{
				Loss: rng.Float64() * 0.2, Duplicate: rng.Float64() * 0.2, Reorder: rng.Float64() * 0.2,
				DelayMaxNs: rng.Int64N(2e6),
			}}})
			w.lead(1)
			clients := []*tester{
				w.newTester(101, client.Options{Window: 8}), w.newTester(102, client.Options{Window: 64}),
			}
			const messages = 400
			sent := make([]uint64, len(clients))
			levels := make([][]wire.Levels, len(clients))
			failAt := map[int]bool{}
			for range 4 {
				failAt[1000+rng.IntN(20000)] = true
			}
			done := func() bool {
				for i, c := range clients {
					if sent[i] < messages || c.client.Open() > 0 {
						return false
					}
				}
				return true
			}
			for step := 0; !done(); step++ {
				if step > 3_000_000 {
					t.Fatal("does not come to an end")
				}
				for i, c := range clients {
					if sent[i] == messages || rng.IntN(20) > 0 {
						continue
					}
					l := wire.Levels(0)
					for range rng.IntN(3) {
						l |= wire.LevelsOf(wire.Level(rng.IntN(wire.NumLevels)))
					}
					if n, err := c.client.Send(w.nowNs, sink, l, number(sent[i]+1)); err == nil {
						sent[i]++
						levels[i] = append(levels[i], l)
						if n != sent[i] {
							t.Fatalf("correlation %d for message %d", n, sent[i])
						}
					}
				}
				w.holdReplicated = rng.IntN(50) == 0 || w.holdReplicated && rng.IntN(20) > 0
				w.holdDurable = rng.IntN(50) == 0 || w.holdDurable && rng.IntN(20) > 0
				if failAt[step] {
					if rng.IntN(2) == 0 {
						w.crash()
					} else {
						w.resign()
					}
					w.run(rng.Int64N(50e6))
					w.lead(wire.NodeID(1 + rng.IntN(3)))
				}
				w.step()
			}
			for i, c := range clients {
				c.checkComplete(t, messages, levels[i])
			}
			t.Logf("net %+v", w.net.Stats())
			t.Logf("client %+v", clients[0].client.Stats())
		})
	}
}

// checkComplete checks the state of a client that sent the numbers 1 to n to the sink, and waited.
func (c *tester) checkComplete(t *testing.T, n uint64, levels []wire.Levels) {
	t.Helper()
	c.w.run(2e9) // responses that nobody waited for
	applied := c.w.sink.applied[c.client.Session()]
	if uint64(len(applied)) != n {
		t.Fatalf("%d messages applied, want %d", len(applied), n)
	}
	for i, got := range applied {
		if got != uint64(i)+1 {
			t.Fatalf("message %d applied in place %d", got, i+1)
		}
	}
	var want []string
	for i := range n {
		for k := range (i + 1) % 3 {
			want = append(want, string(number((i+1)*10+k)))
		}
		if levels == nil {
			continue
		}
		highest := wire.LevelNone
		for _, level := range allLevels {
			if levels[i].Has(level) {
				highest = level
			}
		}
		if highest != wire.LevelNone && !c.acked(i+1, highest) {
			t.Errorf("message %d was not acknowledged as %v", i+1, highest)
		}
	}
	if len(c.payloads) != len(want) {
		t.Fatalf("%d responses, want %d", len(c.payloads), len(want))
	}
	for i := range want {
		if c.payloads[i] != want[i] {
			t.Fatalf("response %d is %x, want %x", i+1, c.payloads[i], want[i])
		}
	}
	if c.count(client.EventClosed) != 0 {
		t.Errorf("closed: %+v", c.events)
	}
}

// C2: what was acknowledged as sequenced and then lost with its leader is sent again under the same number, and applied
// once.
func TestC2TailLostWithItsLeaderIsAppliedOnce(t *testing.T) {
	w := newWorld(t, config{nodes: 3})
	w.lead(1)
	c := w.connected(101, client.Options{})
	w.holdReplicated, w.holdDurable = true, true
	for n := range uint64(20) {
		c.send(sink, wire.LevelsOf(wire.LevelSequenced), number(n+1))
	}
	w.until("all are sequenced", func() bool { return len(c.acks) == 20 })
	w.crash()
	w.nodes[0].dead = true
	w.holdReplicated, w.holdDurable = false, false
	w.run(50e6)
	w.lead(2)
	w.until("nothing is open", c.idle)
	c.checkComplete(t, 20, nil)
	if c.count(client.EventLeaderChanged) != 1 || c.count(client.EventDisconnected) == 0 {
		t.Errorf("events: %+v", c.events)
	}
	if leader, term := c.client.Leader(); leader != 2 || term != 2 {
		t.Errorf("leader %d in term %d", leader, term)
	}
}

// A message that is applied, and whose answers were all lost with the leader, is answered by the next one without being
// applied again.
func TestC1RepeatOfAnAppliedMessageAtTheNextLeader(t *testing.T) {
	w := newWorld(t, config{nodes: 2})
	w.lead(1)
	c := w.connected(101, client.Options{})
	w.net.SetFilter(func(from, to transport.Addr, _ []byte) bool { return to != addrOf(101) })
	for i, level := range allLevels {
		c.send(sink, wire.LevelsOf(level), number(uint64(i)+1))
	}
	voided := c.send(sink, wire.LevelsOf(wire.LevelApplied), number(6))
	w.until("all are applied", func() bool { return len(w.sink.applied[c.client.Session()]) == 6 })
	w.lead(2)
	w.run(10e6)
	if err := c.client.Void(voided); err != nil {
		t.Fatal(err)
	}
	w.net.SetFilter(nil)
	w.until("nothing is open", c.idle)
	c.checkComplete(t, 6, []wire.Levels{1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 5})
	if a := c.acks[voided]; len(a) != 1 || a[0].Code != wire.RefusalNone {
		t.Errorf("the void of an applied message was answered with %+v", a)
	}
}

// An answer of an earlier term, from somebody else, or to an earlier session of this address changes nothing.
func TestC4AnswersOfAnOlderTermAreIgnored(t *testing.T) {
	w := newWorld(t, config{nodes: 2})
	w.lead(1)
	w.lead(2)
	c := w.connected(101, client.Options{})
	w.holdReplicated, w.holdDurable = true, true
	n := c.send(service.Echo, wire.LevelsOf(wire.LevelDurable), nil)
	w.run(5e6)
	forge := func(from *node, term wire.Term, session wire.SessionID) {
		b := from.sender.Next()
		k := wire.DatagramHeaderSize
		k += (&wire.Answers{Session: session, Committed: n}).Put(b[k:])
		k += wire.PutAnswer(b[k:], &wire.Answer{Kind: wire.AnswerAck, Correlation: n, Level: wire.LevelDurable}, nil)
		h := wire.Header{
			Kind: wire.DatagramAnswers, Cluster: clusterID, Sender: uint64(from.id), Incarnation: 77, Run: 1, Term: term,
		}
		wire.Seal(b[:k], &h)
		from.sender.Commit(k, addrOf(101))
	}
	session := c.client.Session()
	forge(w.nodes[1], 1, session)   // the right node, the wrong term
	forge(w.nodes[0], 2, session)   // the right term, the wrong node
	forge(w.nodes[1], 2, session+1) // another session
	w.run(5e6)
	if len(c.acks[n]) != 0 || c.client.Open() != 1 {
		t.Fatalf("acknowledged by a forgery: %+v", c.acks[n])
	}
	if s := c.client.Stats(); s.Stale == 0 || s.Dropped == 0 {
		t.Errorf("not counted: %+v", s)
	}
	forge(w.nodes[1], 2, session) // so that the test would notice
	w.run(5e6)
	if len(c.acks[n]) != 1 {
		t.Error("the forgery of the right node and term should pass")
	}
}

// The leader of the same term at the same address resumes a session after a silence.
func TestResumeAfterSilence(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{})
	session := c.client.Session()
	w.net.SetFilter(func(from, to transport.Addr, _ []byte) bool { return false })
	for n := range uint64(30) {
		c.send(sink, 0, number(n+1))
	}
	w.until("the client gives up on the leader", func() bool { return c.count(client.EventDisconnected) > 0 })
	w.run(1e9)
	w.net.SetFilter(nil)
	w.until("nothing is open", c.idle)
	c.checkComplete(t, 30, nil)
	if c.client.Session() != session || c.count(client.EventConnected) != 2 || c.count(client.EventLeaderChanged) != 0 {
		t.Errorf("session %x then %x, events %+v", session, c.client.Session(), c.events)
	}
}

// A node that is elected again has to see the client's address anew, and the session goes on.
func TestResumeWithTheSameNodeInALaterTerm(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{})
	c.send(sink, wire.LevelsOf(wire.LevelApplied), number(1))
	w.until("nothing is open", c.idle)
	w.lead(1)
	c.send(sink, wire.LevelsOf(wire.LevelApplied), number(2))
	w.until("nothing is open", c.idle)
	c.checkComplete(t, 2, []wire.Levels{1 << 5, 1 << 5})
	if c.count(client.EventLeaderChanged) != 1 {
		t.Errorf("events %+v", c.events)
	}
}

// N7: the leader asks for what is missing; nothing is skipped.
func TestN7GapIsFilled(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{ResendNs: 5e9, ResendMaxNs: 5e9, SilenceNs: 60e9})
	dropped := false
	w.net.SetFilter(func(from, _ transport.Addr, _ []byte) bool {
		if from == addrOf(101) && !dropped {
			dropped = true
			return false
		}
		return true
	})
	started := w.nowNs
	for n := range uint64(5) {
		c.send(sink, wire.LevelsOf(wire.LevelApplied), number(n+1))
		w.step()
	}
	w.until("nothing is open", c.idle)
	c.checkComplete(t, 5, nil)
	if c.client.Stats().Gaps == 0 {
		t.Error("no gap was asked for")
	}
	if took := w.nowNs - started; took > 4e9 {
		t.Errorf("the gap was filled by waiting: %d ns", took)
	}
}

// Level none with nothing else to say: the client hears what is committed all the same, and can go on.
func TestWindowOfUnacknowledgedMessagesMovesOn(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{Window: 16})
	for n := uint64(0); n < 16; n++ {
		c.send(sink, 0, number(3*(n+1))) // without responses
	}
	if _, err := c.client.Send(w.nowNs, sink, 0, number(1)); err != client.ErrWindow {
		t.Fatalf("the 17th message: %v", err)
	}
	w.until("nothing is open", c.idle)
	if s := c.client.Stats(); s.Resent != 0 {
		t.Errorf("%d messages were sent again", s.Resent)
	}
}

// What a silent client has received reaches the log, so that the cluster may forget it.
func TestSilentReceiverIsNotASlowConsumer(t *testing.T) {
	w := newWorld(t, config{
		limits:  sequencer.Limits{AcksEvery: 32},
		service: service.Limits{KeptResponses: 128},
	})
	w.lead(1)
	c := w.connected(101, client.Options{Window: 4})
	for n := uint64(1); n <= 1000; n++ {
		c.send(sink, 0, number(3*n+2)) // two responses
		w.until("nothing is open", c.idle)
	}
	c.w.run(1e9)
	if c.count(client.EventClosed) != 0 || len(c.responses) != 2000 {
		t.Fatalf("%d responses, events %+v", len(c.responses), c.events)
	}
}

// A client that has nothing to send tells what responses it has without asking for those that are on their way.
func TestResponsesAreToldWithoutAskingForMore(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{KeepaliveNs: 60e9, SilenceNs: 60e9})
	told, asked := 0, 0
	w.net.SetFilter(func(from, _ transport.Addr, b []byte) bool {
		switch {
		case from == addrOf(101) && kindIs(b, wire.DatagramKeepalive):
			asked++
		case from == addrOf(101) && kindIs(b, wire.DatagramMessages) && len(b) == wire.DatagramHeaderSize+wire.MessagesHeaderSize:
			told++
		}
		return true
	})
	for range 200 {
		c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), make([]byte, 200))
	}
	w.until("all are answered", func() bool { return c.idle() && len(c.responses) == 200 })
	if told == 0 || asked != 0 || c.client.Stats().Duplicates != 0 {
		t.Errorf("told %d times, asked %d times, %+v", told, asked, c.client.Stats())
	}
}
