package system

import (
	"testing"

	"lockstep/internal/lab"
	"lockstep/internal/testnet"
)

// total adds up a counter of all nodes.
func (c *cluster) total(name string) (sum uint64) {
	for _, n := range c.lab.Nodes() {
		value, _ := c.reads(n.ID, name) // a node may be on its way up
		sum += value
	}
	return sum
}

// under runs a test under weather, with two clients at work.
func under(t *testing.T, o lab.Options, w testnet.Weather, test func(c *cluster, f *flow)) {
	t.Helper()
	o.Clients = 2
	c := up(t, o)
	f := c.start(0, flowOptions{Orders: true, Rate: 800})
	c.start(1, flowOptions{Payload: 300, Rate: 400, Window: 64})
	f.awaitAcked(100)
	d, err := c.lab.Disturb(w)
	c.do(err)
	test(c, f)
	count, err := d.Stop()
	c.do(err)
	t.Logf("%+v", count)
	f.awaitAcked(100)
	c.prove()
}

// TestN1N7ShouldSurviveDropDuplicateReorderAndReplay has every datagram at risk, those of clients as well, and kills
// the leader meanwhile.
func TestN1N7ShouldSurviveDropDuplicateReorderAndReplay(t *testing.T) {
	needNamespaces(t)
	for _, transport := range []string{"xdp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			o := lab.Options{Transport: transport, XDPMode: "generic"}
			w := testnet.Weather{Drop: 0.05, Duplicate: 0.05, Reorder: 0.1, Replay: 0.05, Seed: 1}
			under(t, o, w, func(c *cluster, f *flow) {
				f.awaitAcked(500)
				leader := c.leader()
				c.do(c.lab.Kill(leader))
				f.awaitAcked(300)
				c.do(c.lab.Start(leader))
				f.awaitAcked(300)
				if c.total("lockstep_retransmitted_bytes_total") == 0 || c.total("lockstep_sequencer_gaps_total") == 0 {
					t.Errorf("nothing was lost on the way:\n%s", c.statuses())
				}
			})
		})
	}
}

// TestN2ShouldDropCorruptDatagrams flips bits behind the network's own checks, which AF_XDP does not have.
func TestN2ShouldDropCorruptDatagrams(t *testing.T) {
	needNamespaces(t)
	o := lab.Options{Transport: "xdp", XDPMode: "generic"}
	under(t, o, testnet.Weather{Corrupt: 0.05, Seed: 2}, func(c *cluster, f *flow) {
		f.awaitAcked(800)
		if c.total(`lockstep_datagrams_dropped_total{reason="crc"}`) == 0 {
			t.Error("no datagram was dropped for its check")
		}
	})
}
