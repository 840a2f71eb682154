package system

import (
	"testing"
	"time"

	"lockstep/internal/lab"
)

// smallRing makes whoever is away for a moment miss more than the ring holds.
const smallRing = `
[cluster]
ring_bytes = 1048576
[journal]
segment_bytes = 1048576
sync_bytes = 262144
`

// TestShouldCatchUpWhenFollowerWasCutOff cuts a follower off for longer than the others' rings reach back: what it
// missed is on their disks only.
func TestShouldCatchUpWhenFollowerWasCutOff(t *testing.T) {
	needNamespaces(t)
	everyTransport(t, func(t *testing.T, o lab.Options) {
		o.Override = smallRing
		c := up(t, o)
		f := c.start(0, flowOptions{Payload: 1000, Window: 64})
		f.awaitAcked(100)
		away := c.others(c.leader())[0]
		c.do(c.lab.Cut(away))
		behind := c.counter(away, "lockstep_append_position")
		cut := time.Now()
		f.awaitAcked(2500) // more than two rings
		time.Sleep(max(0, 3*time.Second-time.Since(cut)))
		f.awaitAcked(10)
		if got := c.counter(away, "lockstep_commit_position"); got > behind+1<<20 {
			t.Errorf("node %d was cut off at %d and has committed up to %d", away, behind, got)
		}
		c.do(c.lab.Heal(away))
		c.follows(away)
		if c.counter(away, "lockstep_caught_up_bytes_total") == 0 {
			t.Errorf("node %d came back without having fetched anything: it was not behind the ring", away)
		}
		c.prove()
	})
}

// TestShouldCutItsTailWhenLeaderWasCutOff makes the leader append what nobody else gets, has another elected, and
// brings the old one back.
func TestShouldCutItsTailWhenLeaderWasCutOff(t *testing.T) {
	needNamespaces(t)
	everyTransport(t, func(t *testing.T, o lab.Options) {
		c := up(t, o)
		f := c.start(0, flowOptions{Payload: 200, Rate: 2000, Window: 4096})
		f.awaitAcked(200)
		leader := c.leader()
		rest := c.others(leader)
		// The client still reaches the leader, the leader nobody else: what it appends now is its own alone.
		for _, id := range rest {
			c.do(c.lab.Cut(id))
		}
		c.await("the leader steps down", func() bool { return !c.leads(leader) })
		tail, shared := c.counter(leader, "lockstep_append_position"), uint64(0)
		for _, id := range rest {
			shared = max(shared, c.counter(id, "lockstep_append_position"))
		}
		if tail <= shared {
			t.Errorf("node %d appended nothing while it was alone", leader)
		}
		c.do(c.lab.Cut(leader))
		for _, id := range rest {
			c.do(c.lab.Heal(id))
		}
		f.awaitAcked(300)
		c.do(c.lab.Heal(leader))
		c.follows(leader)
		if c.counter(leader, "lockstep_cuts_total") == 0 {
			t.Errorf("node %d had [%d, %d) for itself and did not cut it", leader, shared, tail)
		}
		c.prove()
	})
}

func TestShouldElectAnotherWhenLeaderIsCutOff(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Orders: true, Rate: 500})
	f.awaitAcked(100)
	leader := c.leader()
	c.do(c.lab.Cut(leader))
	f.awaitAcked(300)
	c.await("the old leader steps down", func() bool { return !c.leads(leader) })
	c.do(c.lab.Heal(leader))
	c.follows(leader)
	f.awaitAcked(100)
	c.prove()
}

// TestShouldRepairFromTheRingWhenFollowerWasCutOff cuts a follower off for no longer than the leader's ring reaches
// back.
func TestShouldRepairFromTheRingWhenFollowerWasCutOff(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Orders: true, Rate: 500})
	f.awaitAcked(100)
	away := c.others(c.leader())[0]
	sent := func() (bytes uint64) {
		for _, id := range c.others(away) {
			bytes += c.counter(id, "lockstep_retransmitted_bytes_total")
		}
		return bytes
	}
	before := sent()
	c.do(c.lab.Cut(away))
	f.awaitAcked(500)
	c.do(c.lab.Heal(away))
	c.follows(away)
	if sent() == before {
		t.Errorf("node %d has caught up, and nobody sent it anything again", away)
	}
	if fetched := c.counter(away, "lockstep_caught_up_bytes_total"); fetched > 0 {
		t.Errorf("node %d fetched %d bytes that the others' rings hold", away, fetched)
	}
	c.prove()
}
