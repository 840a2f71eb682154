package client_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"lockstep/client"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// long is a payload that no other has.
func long(n int, seed uint64) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// longWorld takes messages as long as there are any.
func longWorld(t testing.TB, cfg config) *world {
	cfg.maxMessage = wire.MaxMessage
	cfg.net.Slots = 4096
	return newWorld(t, cfg)
}

// wait has a client that resends so late that a test would see it.
var wait = client.Options{ResendNs: 5e9, ResendMaxNs: 5e9, SilenceNs: 60e9}

// C1, N1, N7: messages and responses of up to 64 KiB, with loss, duplication, reordering and delay, several leaders, lost
// tails: every one is applied once and in order, and its echo comes once, byte for byte.
func TestC1LongMessagesUnderFaultsAndFailover(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 8))
			w := longWorld(t, config{nodes: 3, ringBytes: 1 << 20, net: transport.MemoryOptions{Seed: seed,
				Faults: transport.Faults{Loss: rng.Float64() * 0.1, Duplicate: rng.Float64() * 0.1,
					Reorder: rng.Float64() * 0.1, DelayMaxNs: rng.Int64N(1e6)}}})
			w.lead(1)
			c := w.newTester(101, client.Options{Window: 6, WindowBytes: 200 << 10})
			const messages = 60
			var sent [][]byte
			failAt := map[int]bool{5: true, 20: true, 40: true}
			done := func() bool { return len(c.responses) == messages && c.idle() }
			for steps := 0; !done(); steps++ {
				if steps > 400_000 {
					t.Fatalf("does not come to an end: %d sent, %d answered, %+v", len(sent), len(c.responses), c.client.Stats())
				}
				w.step()
				if len(sent) < messages && rng.IntN(10) == 0 {
					p := long(1+rng.IntN(1500), uint64(len(sent)))
					if rng.IntN(2) == 0 {
						p = long(wire.MaxMessage-rng.IntN(50000), uint64(len(sent)))
					}
					if _, err := c.client.Send(w.nowNs, service.Echo, wire.LevelsOf(wire.LevelApplied), p); err == nil {
						sent = append(sent, p)
					}
				}
				if failAt[len(sent)] {
					delete(failAt, len(sent))
					w.run(rng.Int64N(5e6))
					w.crash()
					w.run(rng.Int64N(50e6))
					w.lead(wire.NodeID(1 + rng.IntN(3)))
				}
			}
			for i, p := range sent {
				if c.payloads[i] != string(p) || c.responses[i].Correlation != uint64(i)+1 {
					t.Fatalf("response %d: %d bytes to message %d, want %d bytes", i+1, len(c.payloads[i]),
						c.responses[i].Correlation, len(p))
				}
			}
			if c.count(client.EventClosed) != 0 {
				t.Errorf("closed: %+v", c.events)
			}
			t.Logf("client %+v", c.client.Stats())
		})
	}
}

// kindIs says whether a datagram is of a kind.
func kindIs(b []byte, kind wire.DatagramKind) bool { return wire.DatagramKind(b[13]) == kind }

// messagesOf counts the datagrams of messages from the client, and loses those with the numbers given.
func messagesOf(w *world, host byte, lose ...int) *int {
	n := new(int)
	w.net.SetFilter(func(from, _ transport.Addr, b []byte) bool {
		if from != addrOf(host) || !kindIs(b, wire.DatagramMessages) {
			return true
		}
		*n++
		for _, x := range lose {
			if *n == x {
				return false
			}
		}
		return true
	})
	return n
}

// N7: a fragment that is lost is asked for at once, and the message behind it is not taken before.
func TestN7LostFragmentIsAskedFor(t *testing.T) {
	w := longWorld(t, config{})
	w.lead(1)
	c := w.connected(101, wait)
	messagesOf(w, 101, 3, 50)
	started := w.nowNs
	first, second := long(20000, 1), long(30000, 2)
	c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), first)
	c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), second)
	w.until("nothing is open", c.idle)
	if len(c.payloads) != 2 || c.payloads[0] != string(first) || c.payloads[1] != string(second) {
		t.Errorf("%d responses", len(c.payloads))
	}
	if s := c.client.Stats(); s.Gaps == 0 || w.nowNs-started > 4e9 {
		t.Errorf("%+v after %d ns", s, w.nowNs-started)
	}
}

// A message of which the end is lost, or only the answer, is asked about with its last fragment alone.
func TestLastFragmentAloneIsSentAgain(t *testing.T) {
	for name, lose := range map[string]func(n int, from transport.Addr) bool{
		"end":    func(n int, from transport.Addr) bool { return from == addrOf(101) && n == 8 },
		"answer": func(n int, from transport.Addr) bool { return from == addrOf(1) && n == 8 },
	} {
		w := longWorld(t, config{})
		w.lead(1)
		c := w.connected(101, client.Options{ResendNs: 50e6, SilenceNs: 60e9})
		n := 0
		w.net.SetFilter(func(from, _ transport.Addr, b []byte) bool {
			if from == addrOf(101) && kindIs(b, wire.DatagramMessages) {
				n++
			}
			return !lose(n, from)
		})
		payload := long(10000, 1)
		c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), payload)
		w.until("nothing is open", c.idle)
		if n != 9 {
			t.Errorf("%s: %d datagrams for 8 fragments, want 9", name, n)
		}
		if got := len(c.payloads); got != 1 || c.payloads[0] != string(payload) {
			t.Errorf("%s: %d responses", name, got)
		}
	}
}

// N7: over a link that holds less than a message at once, what is there is not sent again and again.
func TestN7LongMessageOverAShortQueue(t *testing.T) {
	w := longWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{SilenceNs: 60e9})
	now, n := int64(0), 0
	w.net.SetFilter(func(from, _ transport.Addr, b []byte) bool {
		if from != addrOf(101) || !kindIs(b, wire.DatagramMessages) {
			return true
		}
		if now != w.nowNs {
			now, n = w.nowNs, 0
		}
		n++
		return n <= 8
	})
	payload := long(wire.MaxMessage, 1)
	c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), payload)
	w.until("nothing is open", c.idle)
	if len(c.payloads) != 1 || c.payloads[0] != string(payload) {
		t.Errorf("%d responses", len(c.payloads))
	}
}

// A leader that dies with some of a message's fragments: the next one is sent all of it.
func TestC2LeaderDiesInTheMiddleOfAMessage(t *testing.T) {
	w := longWorld(t, config{nodes: 2})
	w.lead(1)
	c := w.connected(101, client.Options{})
	n := 0
	w.net.SetFilter(func(from, _ transport.Addr, b []byte) bool {
		if from == addrOf(101) && kindIs(b, wire.DatagramMessages) {
			n++
		}
		return n <= 20
	})
	payload := long(wire.MaxMessage, 1)
	c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), payload)
	w.run(2e6)
	if n <= 20 || len(c.acks) != 0 {
		t.Fatalf("%d datagrams, %d acknowledgements", n, len(c.acks))
	}
	w.crash()
	w.nodes[0].dead = true
	w.net.SetFilter(nil)
	w.lead(2)
	w.until("nothing is open", c.idle)
	if len(c.payloads) != 1 || c.payloads[0] != string(payload) {
		t.Errorf("%d responses", len(c.payloads))
	}
}

// BUSY in the middle of a message costs a pause and nothing else.
func TestBusyInTheMiddleOfAMessage(t *testing.T) {
	w := longWorld(t, config{})
	w.lead(1)
	c := w.connected(101, wait)
	n := messagesOf(w, 101)
	payload := long(wire.MaxMessage, 1)
	c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), payload)
	w.leader.seq.Hold(wire.RefusalBusyHandOver)
	w.run(20e6)
	if s := c.client.Stats(); s.Busy == 0 || s.BusyCode != wire.RefusalBusyHandOver || *n > 500 {
		t.Fatalf("%+v, %d datagrams", s, *n)
	}
	w.leader.seq.Hold(wire.RefusalNone)
	w.until("nothing is open", c.idle)
	if len(c.payloads) != 1 || c.payloads[0] != string(payload) {
		t.Errorf("%d responses", len(c.payloads))
	}
}

// A long message that is voided while its fragments are under way.
func TestVoidOfAMessageInFragments(t *testing.T) {
	w := longWorld(t, config{})
	w.lead(1)
	c := w.connected(101, wait)
	messagesOf(w, 101, 10)
	n := c.send(service.Echo, 0, long(wire.MaxMessage, 1))
	w.step()
	if err := c.client.Void(n); err != nil {
		t.Fatal(err)
	}
	c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("next"))
	w.until("nothing is open", c.idle)
	if a := c.acks[n]; len(a) != 1 || a[0].Code != wire.RefusalVoided {
		t.Errorf("%+v", a)
	}
	if len(c.payloads) != 1 || c.payloads[0] != "next" {
		t.Errorf("responses %d", len(c.payloads))
	}
}

// More than the cluster takes, kept before the client knew: refused for good, and what follows goes on.
func TestFragmentsOfAMessageThatIsTooLong(t *testing.T) {
	w := newWorld(t, config{maxMessage: 5000})
	w.lead(1)
	c := w.newTester(101, client.Options{})
	n := c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), long(20000, 1))
	c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), long(5000, 2))
	w.until("nothing is open", c.idle)
	if a := c.acks[n]; len(a) != 1 || a[0].Code != wire.RefusalTooLong {
		t.Errorf("%+v", a)
	}
	if len(c.payloads) != 1 || len(c.payloads[0]) != 5000 || c.client.MaxMessage() != 5000 {
		t.Errorf("%d responses, at most %d bytes", len(c.payloads), c.client.MaxMessage())
	}
}

// The window is bounded by bytes as well; what is longer than all of it is too long.
func TestWindowOfBytes(t *testing.T) {
	w := longWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{WindowBytes: 40000})
	if c.client.MaxMessage() != 40000 {
		t.Errorf("at most %d bytes", c.client.MaxMessage())
	}
	if _, err := c.client.Send(w.nowNs, service.Echo, 0, make([]byte, 40001)); !errors.Is(err, client.ErrTooLong) {
		t.Errorf("a message longer than the window: %v", err)
	}
	c.send(service.Echo, 0, long(30000, 1))
	if _, err := c.client.Send(w.nowNs, service.Echo, 0, make([]byte, 20000)); !errors.Is(err, client.ErrWindow) {
		t.Errorf("a message beyond the window: %v", err)
	}
	w.until("nothing is open", c.idle)
	c.send(service.Echo, 0, long(40000, 2))
	w.until("nothing is open", c.idle)
}

// Parts of a response that are lost are asked for, and those that came are kept: with most of each attempt lost it still
// comes to an end.
func TestLostPartsOfAResponse(t *testing.T) {
	w := longWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{SilenceNs: 60e9})
	n, asked := 0, 0
	w.net.SetFilter(func(from, to transport.Addr, b []byte) bool {
		if to == addrOf(101) && len(b) > 1000 && kindIs(b, wire.DatagramAnswers) {
			n++
			return n%10 != 0 // of 46 parts
		}
		if from == addrOf(101) && kindIs(b, wire.DatagramKeepalive) {
			asked++
		}
		return true
	})
	payload := long(wire.MaxMessage, 1)
	c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), payload)
	w.until("nothing is open", c.idle)
	if len(c.payloads) != 1 || c.payloads[0] != string(payload) {
		t.Errorf("%d responses", len(c.payloads))
	}
	if s := c.client.Stats(); s.Holes == 0 || asked == 0 || asked > 20 {
		t.Errorf("%+v, asked %d times", s, asked)
	}
}

// Responses that the client has are told by bytes as well as by number, so that a client that says nothing else is no slow
// consumer for a few long ones.
func TestLongResponsesAreAcknowledgedByBytes(t *testing.T) {
	w := longWorld(t, config{limits: sequencer.Limits{AcksEvery: 1}, service: service.Limits{KeptBytes: 256 << 10}})
	w.lead(1)
	c := w.connected(101, client.Options{KeepaliveNs: 60e9, SilenceNs: 60e9})
	for range 20 {
		c.send(service.Echo, 0, make([]byte, wire.MaxMessage))
		w.until("it is answered", func() bool { return c.idle() && len(c.responses) == int(c.client.Stats().Sent) })
	}
	if c.count(client.EventClosed) != 0 {
		t.Errorf("closed: %+v", c.events)
	}
}

// Long messages both ways go without an allocation, once buffers have grown.
func TestNoAllocationPerLongMessage(t *testing.T) {
	w := longWorld(t, config{})
	w.lead(1)
	d := &discard{}
	c, err := client.New(client.Options{
		Cluster: clusterID, Nodes: []transport.Addr{addrOf(1)}, Name: "allocations", Seed: 1,
		Transport: w.join(addrOf(101)),
	}, d)
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 20000)
	step := func() {
		if _, err := c.Send(w.nowNs, service.Echo, wire.LevelsOf(wire.LevelApplied), payload); err != nil {
			t.Fatal(err)
		}
		for c.Poll(w.nowNs); c.Open() > 0; c.Poll(w.nowNs) {
			w.marks = w.marks[:1] // of the test, not of what is tested
			w.step()
		}
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations per message of %d bytes", n, len(payload))
	}
	if d.responses < 200 {
		t.Errorf("%d responses", d.responses)
	}
}
