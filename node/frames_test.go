package node

import (
	"bytes"
	"testing"

	"lockstep/transport"
	"lockstep/wire"
)

// counted counts what is sent.
type counted struct {
	transport.Transport
	sent int
}

func (c *counted) Submit(tx []transport.Frame) {
	for i := range tx {
		if tx[i].Length > 0 {
			c.sent++
		}
	}
	c.Transport.Submit(tx)
}

// A message alone is five datagrams: the client's, LOG to the group, STATUS of each follower, and one back to the client with
// acknowledgement and response together.
func TestAMessageCostsNoMoreDatagramsThanItNeeds(t *testing.T) {
	sent := [3]*counted{}
	c := newClusterOn(t, 3, "replicated", t.TempDir(), func(i int, m *Machine) {
		open := m.Transport
		m.Transport = func(config Config) (transport.Transport, error) {
			inner, err := open(config)
			sent[i] = &counted{Transport: inner}
			return sent[i], err
		}
	})
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	payload := bytes.Repeat([]byte{7}, 200)
	const messages = 200
	for _, level := range []wire.Level{wire.LevelReplicated, wire.LevelApplied} {
		c.roundTrip(level, payload)
		before := [3]int{}
		for i := range sent {
			before[i] = sent[i].sent
		}
		clientBefore, startNs := c.client.Stats().Sent, c.clock.NowNs()
		for range messages {
			c.roundTrip(level, payload)
		}
		// Heartbeats and what a sync causes are told by time: some every 10 ms, of which there are few here.
		beats := 4 + 4*int((c.clock.NowNs()-startNs)/10e6)
		leader, _ := c.client.Leader()
		for i := range sent {
			want := messages
			if i == int(leader)-1 {
				want = 2 * messages
			}
			if got := sent[i].sent - before[i]; got < want || got > want+beats {
				t.Errorf("level %v: node %d sent %d datagrams for %d messages, want %d and at most %d more",
					level, i+1, got, messages, want, beats)
			}
		}
		if got := c.client.Stats().Sent - clientBefore; got != messages {
			t.Errorf("level %v: the client sent %d messages, want %d", level, got, messages)
		}
	}
}
