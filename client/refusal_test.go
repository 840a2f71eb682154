package client_test

import (
	"errors"
	"testing"

	"lockstep/client"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// ended waits for EventClosed and returns it.
func (c *tester) ended() client.Event {
	c.w.t.Helper()
	c.w.until("the session is closed", c.client.Closed)
	return c.events[len(c.events)-1]
}

// A message that is refused for good keeps its place, says why, whatever its level, and what follows goes on.
func TestMessagesRefusedForGood(t *testing.T) {
	for _, levels := range []wire.Levels{0, wire.LevelsOf(wire.LevelReceived), wire.LevelsOf(wire.LevelApplied)} {
		w := newWorld(t, config{})
		w.lead(1)
		c := w.newTester(101, client.Options{})
		tooLong := c.send(service.Echo, levels, make([]byte, 1025)) // before the client knows better
		unknown := c.send(9, levels, []byte("nobody there"))
		beyond := c.send(60000, levels, nil)
		good := c.send(service.Echo, levels, []byte("good"))
		w.until("nothing is open", c.idle)
		for n, want := range map[uint64]wire.Refusal{
			tooLong: wire.RefusalTooLong, unknown: wire.RefusalUnknownService, beyond: wire.RefusalUnknownService,
		} {
			if a := c.acks[n]; len(a) != 1 || a[0].Code != want || a[0].Level != wire.LevelNone {
				t.Errorf("levels %b, message %d: %+v, want %v", levels, n, a, want)
			}
		}
		if len(c.payloads) != 1 || c.payloads[0] != "good" || c.responses[0].Correlation != good {
			t.Errorf("levels %b: responses %+v", levels, c.responses)
		}
		if _, err := c.client.Send(w.nowNs, service.Echo, 0, make([]byte, 1025)); !errors.Is(err, client.ErrTooLong) {
			t.Errorf("a message that is too long: %v", err)
		}
	}
}

// A refusal whose answer was lost is given again.
func TestRefusalIsRepeated(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{})
	w.net.SetFilter(func(from, to transport.Addr, _ []byte) bool { return to != addrOf(101) })
	n := c.send(9, wire.LevelsOf(wire.LevelApplied), []byte("nobody there"))
	w.run(5e6)
	w.net.SetFilter(nil)
	w.until("nothing is open", c.idle)
	if a := c.acks[n]; len(a) != 1 || a[0].Code != wire.RefusalUnknownService {
		t.Errorf("acknowledgements: %+v", a)
	}
}

// BUSY consumes nothing: everything arrives once there is room, in order.
func TestBusyIsAnsweredWithPatience(t *testing.T) {
	busy := wire.Refusal(0)
	see := func(_, to transport.Addr, b []byte) bool {
		var v wire.Validator
		v.Cluster = clusterID
		var h wire.Header
		body, drop := v.Validate(b, &h)
		if drop != wire.DropNone || h.Kind != wire.DatagramAnswers {
			return true
		}
		var a wire.Answer
		for rest := body[wire.AnswersHeaderSize:]; len(rest) > 0; {
			_, rest, _ = wire.NextAnswer(rest, &a)
			if a.Kind == wire.AnswerBusy {
				busy = a.Code
			}
		}
		return true
	}
	holdLog := func(w *world, on bool) { w.holdReplicated, w.holdDurable = on, on }
	for _, x := range []struct {
		code   wire.Refusal
		ring   int
		limits sequencer.Limits
		hold   func(w *world, on bool)
	}{
		{wire.RefusalBusyLog, 64 << 10, sequencer.Limits{}, holdLog},
		{wire.RefusalBusyAcks, 64 << 10, sequencer.Limits{Acks: 16}, func(w *world, on bool) { w.holdDurable = on }},
		{wire.RefusalBusyWindow, 1 << 20, sequencer.Limits{}, func(w *world, on bool) { w.holdDriver = on }},
	} {
		t.Run(x.code.Name(), func(t *testing.T) {
			busy = 0
			w := newWorld(t, config{ringBytes: x.ring, limits: x.limits})
			w.net.SetFilter(see)
			w.lead(1)
			c := w.connected(101, client.Options{Window: 256})
			x.hold(w, true)
			sent := uint64(0)
			for range 1000 {
				for {
					_, err := c.client.Send(w.nowNs, sink, 0, append(number(sent+1), make([]byte, 100)...))
					if err != nil {
						break
					}
					sent++
				}
				w.step()
			}
			if busy != x.code || c.client.Stats().Busy == 0 {
				t.Fatalf("told %v, %+v", busy, c.client.Stats())
			}
			x.hold(w, false)
			w.until("nothing is open", c.idle)
			c.checkComplete(t, sent, nil)
		})
	}
}

// A leader that has not applied its own term record yet takes nothing, and says so.
func TestBusyStarting(t *testing.T) {
	w := newWorld(t, config{})
	w.holdDriver = true
	w.lead(1)
	c := w.newTester(101, client.Options{})
	w.run(300e6)
	if len(c.events) != 0 {
		t.Fatalf("events: %+v", c.events)
	}
	w.holdDriver = false
	w.until("the client is connected", c.client.Connected)
}

// A cluster with as many sessions as it can hold lets the next client wait.
func TestBusySessions(t *testing.T) {
	w := newWorld(t, config{limits: sequencer.Limits{Sessions: 1}, service: service.Limits{Sessions: 1}})
	w.lead(1)
	first := w.connected(101, client.Options{})
	second := w.newTester(102, client.Options{})
	w.run(2e9)
	if len(second.events) != 0 {
		t.Fatalf("events: %+v", second.events)
	}
	first.client.Close(w.nowNs)
	w.until("the second client is connected", second.client.Connected)
	if e := first.ended(); e.Code != wire.RefusalSessionClosed {
		t.Errorf("the first one: %+v", e)
	}
}

// The client closes its session; what was not answered is named with what the cluster says about it.
func TestCloseNamesWhatIsOpen(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{})
	c.send(sink, wire.LevelsOf(wire.LevelApplied), number(1))
	w.until("nothing is open", c.idle)
	w.net.SetFilter(func(from, _ transport.Addr, b []byte) bool {
		return from != addrOf(101) || wire.DatagramKind(b[13]) != wire.DatagramMessages
	})
	c.send(sink, 0, number(2))
	c.send(sink, 0, number(3))
	w.step()
	c.client.Close(w.nowNs)
	e := c.ended()
	if e.Code != wire.RefusalSessionClosed || e.First != 2 || e.Last != 3 || !e.Settled || e.Applied != 1 {
		t.Errorf("%+v", e)
	}
	if _, err := c.client.Send(w.nowNs, sink, 0, number(4)); err != client.ErrClosed {
		t.Errorf("send: %v", err)
	}
	if err := c.client.Void(2); err != client.ErrClosed {
		t.Errorf("void: %v", err)
	}
	c.client.Close(w.nowNs) // does nothing
}

// Closing ends although nobody answers.
func TestCloseWithoutAnswer(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{})
	w.net.SetFilter(func(from, to transport.Addr, _ []byte) bool { return false })
	c.client.Close(w.nowNs)
	if e := c.ended(); e.Code != wire.RefusalNone || e.Settled {
		t.Errorf("%+v", e)
	}
	never := w.newTester(102, client.Options{})
	never.client.Close(w.nowNs)
	if e := never.ended(); e.Session != 0 {
		t.Errorf("%+v", e)
	}
}

// A session whose client is silent for too long is closed, and the client hears of it when it comes back.
func TestExpiredSession(t *testing.T) {
	for _, linger := range []int64{60e9, 1} {
		w := newWorld(t, config{limits: sequencer.Limits{SessionNs: 1e9, ClosedNs: linger}})
		w.lead(1)
		c := w.connected(101, client.Options{})
		w.net.SetFilter(func(from, to transport.Addr, _ []byte) bool { return false })
		c.send(sink, 0, number(1))
		w.run(2e9)
		w.net.SetFilter(nil)
		want := wire.RefusalExpired
		if linger == 1 {
			want = wire.RefusalUnknownSession // forgotten by now
		}
		e := c.ended()
		if e.Code != want || e.First != 1 || e.Last != 1 || len(w.sink.applied) != 0 || e.Settled != (linger > 1) {
			t.Errorf("linger %d: %+v", linger, e)
		}
	}
}

// C3: how a session ended is known to every later leader: its last message that was applied is told to a client that was
// cut off meanwhile and comes back.
func TestC3EndOfASessionIsToldByTheNextLeader(t *testing.T) {
	w := newWorld(t, config{nodes: 2, limits: sequencer.Limits{SessionNs: 1e9}})
	w.lead(1)
	c := w.connected(101, client.Options{})
	c.send(sink, wire.LevelsOf(wire.LevelApplied), number(1))
	w.until("the first is applied", func() bool { return len(c.acks) == 1 })
	w.net.SetFilter(func(from, to transport.Addr, _ []byte) bool { return from != addrOf(101) && to != addrOf(101) })
	c.send(sink, wire.LevelsOf(wire.LevelApplied), number(2))
	w.run(3e9)
	w.resign()
	w.lead(2)
	w.run(1e9)
	w.net.SetFilter(nil)
	e := c.ended()
	if e.Code != wire.RefusalExpired || !e.Settled || e.Applied != 1 || e.First != 2 || e.Last != 2 {
		t.Errorf("%+v", e)
	}
}

// A client that keeps itself alive is not closed.
func TestKeepaliveKeepsTheSession(t *testing.T) {
	w := newWorld(t, config{limits: sequencer.Limits{SessionNs: 1e9}})
	w.lead(1)
	c := w.connected(101, client.Options{})
	w.run(5e9)
	if !c.client.Connected() || len(c.events) != 1 {
		t.Errorf("events %+v", c.events)
	}
}

// A client whose acknowledgements do not arrive is closed as a slow consumer, and told so.
func TestSlowConsumer(t *testing.T) {
	w := newWorld(t, config{limits: sequencer.Limits{ReplayNs: 60e9}, service: service.Limits{KeptResponses: 16}})
	w.lead(1)
	c := w.connected(101, client.Options{Window: 64, SilenceNs: 60e9})
	w.net.SetFilter(func(_, to transport.Addr, b []byte) bool { return to != addrOf(101) || len(b) < 200 })
	for range 17 {
		c.send(service.Echo, 0, make([]byte, 100))
	}
	if e := c.ended(); e.Code != wire.RefusalSlowConsumer || !e.Settled || e.Applied == 0 {
		t.Errorf("%+v", e)
	}
}

// A void takes the place of a message that was not sequenced, and then that never takes effect.
func TestVoidBeforeTheMessage(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{})
	w.net.SetFilter(func(from, _ transport.Addr, _ []byte) bool { return from != addrOf(101) })
	n := c.send(sink, 0, number(1))
	w.run(5e6)
	if err := c.client.Void(n); err != nil {
		t.Fatal(err)
	}
	w.net.SetFilter(nil)
	w.until("nothing is open", c.idle)
	if a := c.acks[n]; len(a) != 1 || a[0].Code != wire.RefusalVoided || a[0].Level != wire.LevelApplied {
		t.Errorf("%+v", a)
	}
	if got := w.sink.applied[c.client.Session()]; len(got) != 0 {
		t.Errorf("applied: %v", got)
	}
	if err := c.client.Void(n); err != client.ErrNotOpen {
		t.Errorf("void of a message that is not open: %v", err)
	}
}

// A void that comes after its message changes nothing, and says so.
func TestVoidAfterTheMessage(t *testing.T) {
	for _, n := range []uint64{3, 1} { // without and with a response
		w := newWorld(t, config{})
		w.lead(1)
		c := w.connected(101, client.Options{})
		w.net.SetFilter(func(_, to transport.Addr, _ []byte) bool { return to != addrOf(101) })
		c.send(sink, wire.LevelsOf(wire.LevelDurable), number(n))
		w.run(5e6)
		if err := c.client.Void(1); err != nil {
			t.Fatal(err)
		}
		w.net.SetFilter(nil)
		w.until("nothing is open", c.idle)
		if a := c.acks[1]; len(a) != 1 || a[0].Code != wire.RefusalNone || a[0].Sequence == 0 {
			t.Errorf("message %d: %+v", n, a)
		}
		if got := w.sink.applied[c.client.Session()]; len(got) != 1 {
			t.Errorf("applied: %v", got)
		}
	}
}

// A session that the cluster does not know any more ends; nothing is moved to another one.
func TestUnknownSession(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{})
	other := newWorld(t, config{net: transport.MemoryOptions{}})
	other.lead(1)
	// The same cluster id and address, another log.
	w.nodes[0].seq, w.leader = other.nodes[0].seq, nil
	relayed := 0
	forward := other.join(addrOf(101))
	c.send(sink, 0, number(1))
	for !c.client.Closed() {
		other.step()
		w.nowNs += stepNs
		w.net.SetNow(w.nowNs)
		relayed += relay(w.nodes[0].transport, forward, addrOf(1))
		relayed += relay(forward, w.nodes[0].transport, addrOf(101))
		c.client.Poll(w.nowNs)
	}
	if e := c.ended(); e.Code != wire.RefusalUnknownSession || e.First != 1 || e.Last != 1 {
		t.Errorf("after %d datagrams: %+v", relayed, e)
	}
}

// relay carries what arrived at one end point out of another.
func relay(from, through transport.Transport, to transport.Addr) int {
	var rx [16]transport.Received
	n := from.Receive(rx[:])
	s := transport.NewSender(through, 16)
	for i := range n {
		s.Commit(copy(s.Next(), rx[i].Payload), to)
	}
	s.Flush()
	from.Release()
	return n
}
