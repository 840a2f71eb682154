package client_test

import (
	"errors"
	"fmt"
	"testing"

	"lockstep/client"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

func (c *tester) unknown() (ranges []string) {
	for _, e := range c.events {
		if e.Kind == client.EventUnknown {
			ranges = append(ranges, fmt.Sprintf("%d-%d", e.First, e.Last))
		}
	}
	return ranges
}

// A message that stays open is reported once as of unknown outcome, not before its time, and is sent on: the
// acknowledgement comes when it can.
func TestC2UnknownOutcomeIsReportedOnce(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{OutcomeNs: 300e6})
	levels := wire.LevelsOf(wire.LevelSequenced, wire.LevelDurable)
	w.holdDurable = true
	c.send(service.Echo, levels, []byte("first"))
	c.send(9, levels, []byte("refused at once"))
	third := c.send(service.Echo, levels, []byte("third"))
	w.run(200e6)
	c.send(service.Echo, levels, []byte("fourth, later"))
	w.run(99e6)
	if got := c.unknown(); got != nil {
		t.Fatalf("unknown before the time: %v", got)
	}
	w.run(2e6)
	if got := fmt.Sprint(c.unknown()); got != "[1-1 3-3]" {
		t.Fatalf("unknown after 300 ms: %v", got)
	}
	w.run(1e9)
	if got := fmt.Sprint(c.unknown()); got != "[1-1 3-3 4-4]" {
		t.Fatalf("unknown after another second: %v", got)
	}
	w.holdDurable = false
	w.until("nothing is open", c.idle)
	if !c.acked(third, wire.LevelDurable) || c.count(client.EventClosed) != 0 {
		t.Errorf("%+v, %+v", c.acks, c.events)
	}
}

// A leader whose majority takes long is not taken for dead: the session stays, whatever was asked for.
func TestSlowMajorityIsNoSilence(t *testing.T) {
	for _, levels := range []wire.Levels{0, wire.LevelsOf(wire.LevelApplied), wire.LevelsOf(wire.LevelReceived, wire.LevelDurable)} {
		w := newWorld(t, config{})
		w.lead(1)
		c := w.connected(101, client.Options{})
		w.holdReplicated = true
		c.send(service.Echo, levels, []byte("slow"))
		w.run(3e9)
		if s := c.client.Stats(); s.Disconnects+s.Probes != 0 || s.Resent > 15 {
			t.Errorf("levels %b: %+v", levels, s)
		}
		w.holdReplicated = false
		w.until("nothing is open", c.idle)
	}
}

// While nobody leads the outcome becomes unknown as well, and not at all where that is not wanted.
func TestUnknownOutcomeWithoutALeader(t *testing.T) {
	for outcomeNs, want := range map[int64]string{100e6: "[1-2]", -1: "[]"} {
		w := newWorld(t, config{nodes: 3})
		c := w.newTester(101, client.Options{OutcomeNs: outcomeNs})
		c.send(service.Echo, 0, []byte("one"))
		c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("two"))
		w.run(11e9)
		if got := fmt.Sprint(c.unknown()); got != want {
			t.Errorf("after %d ns: %s, want %s", outcomeNs, got, want)
		}
		w.lead(2)
		w.until("nothing is open", c.idle)
	}
}

// When no node lets the session go on the client gives up, and says what is open; negative: it never does.
func TestClientGivesUp(t *testing.T) {
	w := newWorld(t, config{nodes: 3})
	w.lead(1)
	c := w.connected(101, client.Options{GiveUpNs: 2e9})
	patient := w.connected(102, client.Options{GiveUpNs: -1})
	w.resign()
	first := c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("one"))
	last := c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("two"))
	patient.send(service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("three"))
	w.run(1900e6)
	if c.client.Closed() {
		t.Fatal("closed before the time")
	}
	w.run(400e6)
	e := c.ended()
	if e.Code != wire.RefusalNone || e.Settled || e.First != first || e.Last != last {
		t.Errorf("%+v", e)
	}
	if _, err := c.client.Send(w.nowNs, service.Echo, 0, nil); err != client.ErrClosed {
		t.Errorf("a message after that: %v", err)
	}
	w.run(10e9)
	w.lead(2)
	w.until("nothing is open", patient.idle)
	if len(patient.payloads) != 1 {
		t.Errorf("%q", patient.payloads)
	}
}

// A client that never finds anybody gives up too.
func TestClientGivesUpBeforeItBegan(t *testing.T) {
	w := newWorld(t, config{nodes: 3})
	for _, n := range w.nodes {
		n.dead = true
	}
	c := w.newTester(101, client.Options{GiveUpNs: 500e6})
	w.run(499e6)
	if c.client.Closed() {
		t.Fatal("closed before the time")
	}
	if e := c.ended(); e.Code != wire.RefusalNone || e.Session != 0 {
		t.Errorf("%+v", e)
	}
}

// While nobody answers, and while nobody leads, clients ask ever more seldom, and each at other times.
func TestConnectingBacksOff(t *testing.T) {
	for _, dead := range []bool{true, false} {
		w := newWorld(t, config{nodes: 3, limits: sequencer.Limits{Sessions: 64}, service: service.Limits{Sessions: 64}})
		for _, n := range w.nodes {
			n.dead = dead
		}
		asked, at := 0, map[int64]int{}
		w.net.SetFilter(func(from, _ transport.Addr, _ []byte) bool {
			if from.IP[3] > 100 {
				asked++
				at[w.nowNs]++
			}
			return true
		})
		const clients = 50
		for i := range clients {
			w.newTester(byte(101+i), client.Options{})
		}
		w.run(1e9)
		first := asked
		w.run(4e9)
		asked, at = 0, map[int64]int{}
		w.run(1e9)
		if asked*2 > first || asked > clients*12 || asked < clients {
			t.Errorf("nodes dead %v: %d datagrams in the first second, %d in the sixth", dead, first, asked)
		}
		for ns, n := range at {
			if n > clients/5 {
				t.Errorf("nodes dead %v: %d of %d clients ask at %d", dead, n, clients, ns)
			}
		}
		for _, n := range w.nodes {
			n.dead = false
		}
		w.lead(3)
		began := w.nowNs
		for _, c := range w.clients {
			w.until("all are connected", c.client.Connected)
		}
		if took := w.nowNs - began; took > 1500e6 {
			t.Errorf("nodes dead %v: it took %d ms until all had found the leader", dead, took/1e6)
		}
	}
}

// An idle client shows signs of life ever more seldom, up to a quarter of the silence that the cluster allows; while
// something goes on it does so more often.
func TestSignsOfLife(t *testing.T) {
	for _, c := range []struct {
		sessionNs, keepaliveNs int64
		least, most            int // datagrams in 20 s
	}{
		{10e9, 0, 8, 10}, // every 2.19 to 2.5 s
		{10e9, 1e9, 20, 20},
		{2e9, 1e9, 40, 46}, // every 437 to 500 ms
		{2e9, 0, 40, 46},
	} {
		w := newWorld(t, config{limits: sequencer.Limits{SessionNs: c.sessionNs}})
		w.lead(1)
		x := w.connected(101, client.Options{KeepaliveNs: c.keepaliveNs})
		w.run(5e9)
		sent := 0
		w.net.SetFilter(func(from, _ transport.Addr, _ []byte) bool {
			if from == addrOf(101) {
				sent++
			}
			return true
		})
		w.run(20e9)
		if sent < c.least || sent > c.most {
			t.Errorf("%+v: %d datagrams", c, sent)
		}
		if x.count(client.EventDisconnected)+x.count(client.EventClosed) != 0 {
			t.Errorf("%+v: %+v", c, x.events)
		}
	}
}

// One sign of life that gets lost costs nothing; a leader that was cut off for longer is found again soon.
func TestLostSignOfLife(t *testing.T) {
	w := newWorld(t, config{nodes: 3})
	w.lead(1)
	c := w.connected(101, client.Options{})
	lose := 1
	w.net.SetFilter(func(from, to transport.Addr, _ []byte) bool {
		if from != addrOf(101) || to != addrOf(1) || lose == 0 {
			return true
		}
		lose--
		return false
	})
	w.until("one is lost", func() bool { return lose == 0 })
	w.run(5e9)
	if c.count(client.EventDisconnected) != 0 {
		t.Fatalf("%+v", c.events)
	}
	lose = 1 << 30
	w.until("the session is lost", func() bool { return c.count(client.EventDisconnected) != 0 })
	lose = 0
	w.run(300e6)
	if !c.client.Connected() {
		t.Errorf("%+v", c.events)
	}
}

// A last response that got lost is asked for soon, though nothing is open any more.
func TestLostLastResponse(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	c := w.connected(101, client.Options{})
	w.run(15e9) // it is long idle
	w.holdDriver = true
	n := c.send(service.Echo, wire.LevelsOf(wire.LevelDurable), []byte("answered in vain"))
	w.until("it is durable", func() bool { return c.acked(n, wire.LevelDurable) && c.idle() })
	w.net.SetFilter(func(from, to transport.Addr, _ []byte) bool { return to != addrOf(101) })
	w.holdDriver = false
	w.run(2e6)
	w.net.SetFilter(nil)
	w.run(600e6)
	if len(c.payloads) != 1 {
		t.Errorf("responses %q, %+v", c.payloads, c.client.Stats())
	}
}

func TestBoundsAreChecked(t *testing.T) {
	network := transport.NewMemory(transport.MemoryOptions{})
	tr, err := network.Join(addrOf(101))
	if err != nil {
		t.Fatal(err)
	}
	o := client.Options{
		Cluster: 1, Nodes: []transport.Addr{addrOf(1)}, Name: "x", Transport: tr, Seed: 1,
		OutcomeNs: -1, GiveUpNs: -1,
	}
	if _, err := client.New(o, &discard{}); err != nil {
		t.Error(err)
	}
	o.KeepaliveNs = -1
	if _, err := client.New(o, &discard{}); !errors.Is(err, client.ErrOptions) {
		t.Errorf("a negative time: %v", err)
	}
}

// impatient is a handler that closes its session at the first thing of a kind that happens.
type impatient struct {
	discard
	w      *world
	client *client.Client
	at     client.EventKind
	events []client.EventKind
}

func (h *impatient) OnEvent(e client.Event) {
	h.events = append(h.events, e.Kind)
	if e.Kind == h.at {
		h.client.Close(h.w.nowNs)
	}
}

// A session that its own handler closes stays closed, whatever was under way.
func TestHandlerMayClose(t *testing.T) {
	for name, leave := range map[string]func(w *world){
		"the leader is silent":  func(w *world) { w.nodes[0].dead = true },
		"the leader says where": func(w *world) { w.lead(2) },
		"nobody leads":          func(w *world) { w.resign() },
	} {
		for _, at := range []client.EventKind{client.EventConnected, client.EventDisconnected, client.EventUnknown} {
			w := newWorld(t, config{nodes: 3})
			w.lead(1)
			h := &impatient{w: w, at: at}
			var err error
			h.client, err = client.New(client.Options{
				Cluster: clusterID, Nodes: []transport.Addr{addrOf(1), addrOf(2)}, Name: "impatient", Seed: 1,
				Transport: w.join(addrOf(101)), OutcomeNs: 400e6,
			}, h)
			if err != nil {
				t.Fatal(err)
			}
			w.holdReplicated = at == client.EventUnknown
			run := func(ns int64) {
				for end := w.nowNs + ns; w.nowNs < end; {
					w.step()
					h.client.Poll(w.nowNs)
				}
			}
			_, _ = h.client.Send(w.nowNs, service.Echo, 0, nil)
			run(50e6)
			leave(w)
			_, _ = h.client.Send(w.nowNs, service.Echo, 0, nil) // ErrClosed, or an answer is owed
			run(3e9)
			n := len(h.events)
			if !h.client.Closed() || h.events[n-1] != client.EventClosed {
				t.Errorf("%s, closed at %v: %v", name, at, h.events)
			}
		}
	}
}
