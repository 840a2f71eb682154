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

// TestE5L5ShouldCutItsTailWhenLeaderWasCutOff makes the leader append what nobody else gets, has another elected, and
// brings the old one back.
func TestE5L5ShouldCutItsTailWhenLeaderWasCutOff(t *testing.T) {
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
		acked := f.now().Acked
		c.never("a message is acknowledged with nobody leading", 300*time.Millisecond, func() bool {
			return f.now().Acked > acked
		})
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

// never waits for so long, in which something must not become true.
func (c *cluster) never(what string, limit time.Duration, bad func() bool) {
	c.t.Helper()
	for until := time.Now().Add(limit); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if bad() {
			c.t.Fatalf("%s\n%s", what, c.statuses())
		}
	}
}

// TestE4ShouldEndWithALeaderThatHearsAndIsHeard cuts one direction of one node after the other.
func TestE4ShouldEndWithALeaderThatHearsAndIsHeard(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Orders: true, Rate: 500})
	for _, x := range []struct {
		name   string
		leader bool
		cut    func(id int) error
	}{
		{"leader send-only", true, c.lab.CutReceive}, {"leader receive-only", true, c.lab.CutSend},
		{"follower send-only", false, c.lab.CutReceive}, {"follower receive-only", false, c.lab.CutSend},
	} {
		t.Run(x.name, func(t *testing.T) {
			f.awaitAcked(100)
			leader := c.leader()
			victim := leader
			if !x.leader {
				victim = c.others(leader)[0]
			}
			c.do(x.cut(victim))
			if x.leader {
				c.await("the old leader steps down", func() bool { return !c.leads(leader) })
			}
			now := c.leaderBut(victim)
			f.awaitAcked(300)
			if !c.leads(now) || c.leads(victim) {
				t.Errorf("node %d does not lead any more\n%s", now, c.statuses())
			}
			c.do(c.lab.Heal(victim))
			c.follows(victim)
		})
	}
	f.awaitAcked(100)
	c.prove()
}

// TestE2ShouldRepairFromTheRingWhenFollowerWasCutOff cuts a follower off for no longer than the leader's ring reaches
// back.
func TestE2ShouldRepairFromTheRingWhenFollowerWasCutOff(t *testing.T) {
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
	leader := c.leader()
	term := c.counter(leader, "lockstep_term")
	c.do(c.lab.Heal(away))
	c.follows(away)
	if now := c.counter(leader, "lockstep_term"); !c.leads(leader) || now != term {
		t.Errorf("node %d led term %d; node %d came back, and now it is term %d", leader, term, away, now)
	}
	if sent() == before {
		t.Errorf("node %d has caught up, and nobody sent it anything again", away)
	}
	if fetched := c.counter(away, "lockstep_caught_up_bytes_total"); fetched > 0 {
		t.Errorf("node %d fetched %d bytes that the others' rings hold", away, fetched)
	}
	c.prove()
}
