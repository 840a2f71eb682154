package client_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"lockstep/client"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// crowd is many clients over one mux.
type crowd struct {
	w       *world
	mux     *client.Mux
	clients []*tester
}

// newCrowd adds so many clients to a world. It is polled with the world.
func (w *world) newCrowd(host byte, n int, o client.Options) *crowd {
	w.t.Helper()
	m := &crowd{w: w}
	var err error
	if m.mux, err = client.NewMux(client.MuxOptions{
		Cluster: clusterID, Transport: w.join(addrOf(host)), Seed: uint64(host), Clients: n,
	}); err != nil {
		w.t.Fatal(err)
	}
	for _, n := range w.nodes {
		o.Nodes = append(o.Nodes, addrOf(byte(n.id)))
	}
	for i := range n {
		o.Name = fmt.Sprint("client-", i)
		m.add(o)
	}
	w.polled = append(w.polled, m.mux)
	return m
}

func (m *crowd) add(o client.Options) *tester {
	m.w.t.Helper()
	c := &tester{w: m.w, acks: map[uint64][]client.Ack{}}
	var err error
	if c.client, err = m.mux.Add(o, c); err != nil {
		m.w.t.Fatal(err)
	}
	m.clients = append(m.clients, c)
	return c
}

func (m *crowd) all(condition func(*tester) bool) func() bool {
	next := 0 // those before it have fulfilled it
	return func() bool {
		for ; next < len(m.clients); next++ {
			if !condition(m.clients[next]) {
				return false
			}
		}
		return true
	}
}

func (c *tester) connectedNow() bool { return c.client.Connected() }

// Thousands of sessions over one transport: every one is opened, every message is answered once and to its own
// client, over a failover as well, after which all come back at once; and nobody is looked at who has nothing to do.
func TestMuxOfThousands(t *testing.T) {
	n := 10000
	if testing.Short() {
		n = 500
	}
	w := newWorld(t, config{
		nodes: 2, ringBytes: 1 << 24, net: transport.MemoryOptions{Slots: 4096},
		limits: sequencer.Limits{Sessions: n, Window: 16, AdmitPerS: 10_000}, service: service.Limits{Sessions: n},
	})
	// Each costs a CONNECT and a PROVE of what is admitted. Some room for those that are told to come later.
	enough := 2*int64(2*n)*1e9/10_000 + 1e9
	w.lead(1)
	m := w.newCrowd(101, n, client.Options{Window: 4})
	began := w.nowNs
	w.until("all are connected", m.all((*tester).connectedNow))
	if took := w.nowNs - began; took > enough {
		t.Errorf("it took %d ms until all %d were connected", took/1e6, n)
	}
	seen := map[wire.SessionID]bool{}
	for _, c := range m.clients {
		seen[c.client.Session()] = true
	}
	if len(seen) != n || m.mux.Len() != n {
		t.Fatalf("%d sessions of %d clients, %d in the mux", len(seen), n, m.mux.Len())
	}
	talk := func() {
		for i, c := range m.clients {
			c.send(service.Echo, wire.LevelsOf(wire.LevelApplied), number(uint64(i)))
		}
	}
	talk()
	w.until("all are answered", m.all((*tester).idle))

	turns := m.mux.Stats().Turns
	w.run(100e6)
	if turns = m.mux.Stats().Turns - turns; turns > uint64(n) {
		t.Errorf("%d clients without anything to do were looked at %d times in 100 ms", n, turns)
	}

	w.lead(2)
	talk()
	began = w.nowNs
	w.until("all are answered by the next leader", m.all((*tester).idle))
	if took := w.nowNs - began; took > enough {
		t.Errorf("it took %d ms until all %d were answered by the next leader", took/1e6, n)
	}
	for i, c := range m.clients {
		want := string(number(uint64(i)))
		if len(c.payloads) != 2 || c.payloads[0] != want || c.payloads[1] != want {
			t.Fatalf("client %d was given %q, want %q twice", i, c.payloads, want)
		}
	}

	for _, c := range m.clients {
		c.client.Close(w.nowNs)
	}
	w.until("all are closed", func() bool { return m.mux.Len() == 0 })
	for i, c := range m.clients {
		if c.count(client.EventClosed) != 1 || c.events[len(c.events)-1].Code != wire.RefusalSessionClosed {
			t.Fatalf("client %d: %+v", i, c.events)
		}
	}
	if s := m.mux.Stats(); s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

// Under loss, doubling and reordering every client of a mux gets what is its own, once and in order.
func TestMuxOverABadNetwork(t *testing.T) {
	w := newWorld(t, config{nodes: 3, limits: sequencer.Limits{Sessions: 64}, service: service.Limits{Sessions: 64},
		net: transport.MemoryOptions{Seed: 7, Faults: transport.Faults{
			Loss: 0.05, Duplicate: 0.05, Reorder: 0.1, DelayMinNs: 10e3, DelayMaxNs: 300e3}}})
	w.lead(1)
	m := w.newCrowd(101, 20, client.Options{})
	const messages = 60
	for i := range messages {
		if i == messages/2 {
			w.lead(2)
		}
		for _, c := range m.clients {
			c.send(sink, wire.LevelsOf(wire.LevelSequenced, wire.LevelApplied), number(uint64(i)))
		}
		w.run(1e6)
	}
	w.until("all are answered", m.all((*tester).idle))
	for i, c := range m.clients {
		applied := w.sink.applied[c.client.Session()]
		if len(applied) != messages || len(c.responses) != messages {
			t.Fatalf("client %d: %d of %d messages applied, %d responses", i, len(applied), messages, len(c.responses))
		}
		for k, got := range applied {
			if got != uint64(k) {
				t.Fatalf("client %d: message %d was applied in place of %d", i, got, k)
			}
		}
	}
}

// A client whose session is over gives its place to another, which its own handler may add.
func TestMuxGoesOnWithoutClosedClients(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	m := w.newCrowd(101, 2, client.Options{})
	w.until("both are connected", m.all((*tester).connectedNow))
	o := client.Options{Name: "third", Nodes: []transport.Addr{addrOf(1)}}
	if _, err := m.mux.Add(o, &discard{}); !errors.Is(err, client.ErrClients) {
		t.Fatalf("a third client of two: %v", err)
	}
	first := m.clients[0]
	first.client.Close(w.nowNs)
	w.until("the first is closed", first.client.Closed)
	w.step()
	third := m.add(o)
	m.clients[1].send(service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("second"))
	third.send(service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("third"))
	w.until("both are answered", func() bool { return third.idle() && m.clients[1].idle() })
	if fmt.Sprint(m.clients[1].payloads, third.payloads) != "[second] [third]" {
		t.Errorf("%q, %q", m.clients[1].payloads, third.payloads)
	}
	if _, err := first.client.Send(w.nowNs, service.Echo, 0, nil); err != client.ErrClosed {
		t.Errorf("a message of a closed client: %v", err)
	}
}

// again is a handler that has another client take the place of one that is closed, in a mux that takes no more than one.
type again struct {
	discard
	t       *testing.T
	mux     *client.Mux
	current *client.Client
	closed  int
}

func (a *again) OnEvent(e client.Event) {
	if e.Kind != client.EventClosed {
		return
	}
	var err error
	a.closed++
	a.current, err = a.mux.Add(client.Options{Name: "again", Nodes: []transport.Addr{addrOf(1)}}, a)
	if err != nil {
		a.t.Error(err)
	}
}

func TestMuxTakesAnotherWhenOneIsClosed(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	a := &again{t: t}
	var err error
	a.mux, err = client.NewMux(client.MuxOptions{Cluster: clusterID, Transport: w.join(addrOf(101)), Seed: 1, Clients: 1})
	if err != nil {
		t.Fatal(err)
	}
	a.OnEvent(client.Event{Kind: client.EventClosed}) // the first
	w.polled = append(w.polled, a.mux)
	for n := 1; n <= 3; n++ {
		w.until("it is connected", func() bool { return a.current.Connected() })
		a.current.Close(w.nowNs)
		w.until("the next takes its place", func() bool { return a.closed == n+1 })
	}
	a.current.Close(w.nowNs) // before it is connected: at once
	if a.closed != 5 || a.mux.Len() != 1 {
		t.Errorf("closed %d, there are %d", a.closed, a.mux.Len())
	}
	w.until("the last is connected", func() bool { return a.current.Connected() })
}

func TestMuxOptionsAreChecked(t *testing.T) {
	network := transport.NewMemory(transport.MemoryOptions{})
	tr, err := network.Join(addrOf(101))
	if err != nil {
		t.Fatal(err)
	}
	other, err := network.Join(addrOf(102))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.MuxOptions{
		{Cluster: 1, Seed: 1}, {Cluster: 1, Transport: tr}, {Cluster: 1, Transport: tr, Seed: 1, Clients: -1},
	} {
		if _, err := client.NewMux(o); !errors.Is(err, client.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	m, err := client.NewMux(client.MuxOptions{Cluster: 1, Transport: tr, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	good := client.Options{Nodes: []transport.Addr{addrOf(1)}, Name: "x"}
	for name, change := range map[string]func(*client.Options){
		"transport": func(o *client.Options) { o.Transport = other },
		"cluster":   func(o *client.Options) { o.Cluster = 2 },
		"name":      func(o *client.Options) { o.Name = "" },
	} {
		o := good
		change(&o)
		if _, err := m.Add(o, &discard{}); !errors.Is(err, client.ErrOptions) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	c, err := m.Add(good, &discard{})
	if err != nil || c.Poll(1) != 0 {
		t.Error(err)
	}
}

// No client of a mux allocates for a message, nor does the mux.
func TestMuxAllocatesNothingPerMessage(t *testing.T) {
	w := newWorld(t, config{limits: sequencer.Limits{Sessions: 64}, service: service.Limits{Sessions: 64}})
	w.lead(1)
	mux, err := client.NewMux(client.MuxOptions{Cluster: clusterID, Transport: w.join(addrOf(101)), Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	d := &discard{}
	var clients []*client.Client
	for range 50 {
		c, err := mux.Add(client.Options{Nodes: []transport.Addr{addrOf(1)}, Name: "allocations"}, d)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	payload := make([]byte, 200)
	step := func() {
		for _, c := range clients {
			if _, err := c.Send(w.nowNs, service.Echo, wire.LevelsOf(allLevels...), payload); err != nil &&
				err != client.ErrWindow {
				t.Fatal(err)
			}
		}
		w.marks = w.marks[:1]
		w.step()
		mux.Poll(w.nowNs)
	}
	for range 1000 {
		step()
	}
	before := *d
	if n := testing.AllocsPerRun(200, step); n != 0 {
		t.Errorf("%v allocations per cycle of %d messages", n, len(clients))
	}
	if d.acks-before.acks < 5000 || d.responses == before.responses {
		t.Errorf("%d acknowledgements: the cycles did nothing", d.acks-before.acks)
	}
}

// An idle client takes little memory, however large its window may become.
func TestMemoryOfAnIdleClient(t *testing.T) {
	tr, err := transport.NewMemory(transport.MemoryOptions{}).Join(addrOf(101))
	if err != nil {
		t.Fatal(err)
	}
	m, err := client.NewMux(client.MuxOptions{Cluster: 1, Transport: tr, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	const clients = 2000
	clientOptions := client.Options{Nodes: []transport.Addr{addrOf(1)}, Name: "idle", Window: 16}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range clients {
		if _, err := m.Add(clientOptions, &discard{}); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapAlloc-before.HeapAlloc) / clients
	t.Logf("%d bytes for each of %d clients", each, clients)
	if each > 8<<10 {
		t.Errorf("an idle client takes %d bytes, want at most 8 KiB", each)
	}
	runtime.KeepAlive(m)
}
