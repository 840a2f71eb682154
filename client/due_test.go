package client_test

import (
	"fmt"
	"strings"
	"testing"

	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// diary writes down what happens, and when.
type diary struct {
	w     *world
	pages strings.Builder
}

func (d *diary) OnAck(a client.Ack) { fmt.Fprintf(&d.pages, "%d %+v\n", d.w.nowNs, a) }

func (d *diary) OnResponse(r client.Response) {
	fmt.Fprintf(&d.pages, "%d response %d to %d %q\n", d.w.nowNs, r.Number, r.Correlation, r.Payload[:8])
}

func (d *diary) OnEvent(e client.Event) { fmt.Fprintf(&d.pages, "%d %+v\n", d.w.nowNs, e) }

// A client that is polled only when a datagram has come, when it was given something to send, and when DueNs says so,
// does just what one does that is polled all the time, and when.
func TestDueNsMissesNothing(t *testing.T) {
	always, alwaysPolls := dueStory(t, false)
	due, duePolls := dueStory(t, true)
	if always != due {
		t.Errorf("polled always:\n%s\npolled when due:\n%s", always, due)
	}
	if duePolls*20 > alwaysPolls {
		t.Errorf("%d polls in place of %d", duePolls, alwaysPolls)
	}
}

func dueStory(t *testing.T, whenDue bool) (story string, polls int) {
	w := newWorld(t, config{nodes: 3, maxMessage: wire.MaxMessage})
	arrived, count := false, 0
	w.net.SetFilter(func(_, to transport.Addr, _ []byte) bool {
		count++
		taken := count%23 != 0
		arrived = arrived || taken && to == addrOf(101)
		return taken
	})
	d := &diary{w: w}
	c, err := client.New(client.Options{
		Cluster: clusterID, Nodes: []transport.Addr{addrOf(1), addrOf(2), addrOf(3)}, Name: "due", Seed: 5,
		Transport: w.join(addrOf(101)), Window: 64, OutcomeNs: 250e6, GiveUpNs: 3e9,
	}, d)
	if err != nil {
		t.Fatal(err)
	}
	run := func(ns int64) {
		for end := w.nowNs + ns; w.nowNs < end; {
			w.step()
			if !whenDue || arrived || w.nowNs >= c.DueNs() {
				arrived = false
				c.Poll(w.nowNs)
				polls++
			}
		}
	}
	talk := func(n int) {
		for i := range n {
			payload := number(uint64(i))
			if i%7 == 2 { // in fragments, there and back
				payload = append(payload, make([]byte, 4000)...)
			}
			_, err := c.Send(w.nowNs, service.Echo, wire.LevelsOf(wire.LevelReceived, wire.LevelApplied), payload)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	run(300e6) // nobody leads
	w.lead(1)
	run(200e6)
	for range 20 {
		talk(3)
		run(5e6)
	}
	w.holdDurable = true
	talk(40)
	run(500e6) // everything is sent again, in vain
	w.holdDurable = false
	run(50e6)
	w.nodes[0].dead = true
	talk(20)
	run(100e6)
	w.lead(3)
	run(900e6)
	run(6e9) // only signs of life
	w.crash()
	talk(5)
	run(1500e6)
	w.lead(2)
	run(500e6)
	talk(1)
	w.resign()
	run(4e9) // until it gives up
	fmt.Fprintf(&d.pages, "%+v, %d datagrams", c.Stats(), count)
	if !c.Closed() {
		t.Error("the client has not given up")
	}
	return d.pages.String(), polls
}
