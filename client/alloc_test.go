package client_test

import (
	"testing"

	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// discard is a handler that keeps nothing.
type discard struct{ acks, responses int }

func (d *discard) OnAck(client.Ack)           { d.acks++ }
func (d *discard) OnResponse(client.Response) { d.responses++ }
func (d *discard) OnEvent(client.Event)       {}

// Neither the client nor the leader allocates for a message, from Send to its last acknowledgement.
func TestNoAllocationPerMessage(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	d := &discard{}
	c, err := client.New(client.Options{
		Cluster: clusterID, Nodes: []transport.Addr{addrOf(1)}, Name: "allocations", Seed: 1,
		Transport: w.join(addrOf(101)),
	}, d)
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 200)
	levels := wire.LevelsOf(allLevels...)
	step := func() {
		for range 8 {
			if _, err := c.Send(w.nowNs, service.Echo, levels, payload); err != nil && err != client.ErrWindow {
				t.Fatal(err)
			}
		}
		w.marks = w.marks[:1] // of the test, not of what is tested
		w.step()
		c.Poll(w.nowNs)
	}
	for range 1000 {
		step()
	}
	before := d.acks
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations per cycle of 8 messages", n)
	}
	if d.acks-before < 30000 || d.responses == 0 {
		t.Errorf("%d acknowledgements, %d responses: the cycles did nothing", d.acks-before, d.responses)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	w := newWorld(b, config{})
	w.lead(1)
	d := &discard{}
	c, err := client.New(client.Options{
		Cluster: clusterID, Nodes: []transport.Addr{addrOf(1)}, Name: "benchmark", Seed: 1, Transport: w.join(addrOf(101)),
	}, d)
	if err != nil {
		b.Fatal(err)
	}
	for !c.Connected() {
		w.step()
		c.Poll(w.nowNs)
	}
	payload := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Send(w.nowNs, service.Echo, wire.LevelsOf(wire.LevelApplied), payload); err != nil {
			b.Fatal(err)
		}
		for n := d.responses; d.responses == n; {
			c.Poll(w.nowNs)
			w.marks = w.marks[:1]
			w.step()
		}
	}
}
