package system

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lockstep/internal/lab"
	"lockstep/internal/testnet"
)

// TestL3ShouldApplyNothingBeyondCommitWhenTheNodeAheadIsAlone restarts the node whose log goes further than anybody's.
func TestL3ShouldApplyNothingBeyondCommitWhenTheNodeAheadIsAlone(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Payload: 200, Rate: 2000, Window: 1024})
	f.awaitAcked(200)
	ahead := c.leader()
	rest := c.others(ahead)
	for _, id := range rest {
		c.do(c.lab.Cut(id))
	}
	c.await("the leader steps down", func() bool { return !c.leads(ahead) })
	commit, end := c.counter(ahead, "lockstep_commit_position"), c.counter(ahead, "lockstep_append_position")
	for _, id := range append(rest, ahead) {
		c.do(c.lab.Kill(id))
	}
	c.do(c.lab.Start(ahead))
	c.await("it runs", func() bool { _, ok := c.status(ahead); return ok })
	c.never("the node applies what no majority is known to hold", time.Second, func() bool {
		return c.counter(ahead, "lockstep_applied_position") > commit || c.counter(ahead, "lockstep_commit_position") > commit
	})
	if got := c.counter(ahead, "lockstep_append_position"); got < commit || got > end || end == commit {
		t.Errorf("node %d had [0, %d), of that %d committed, and begins with %d", ahead, end, commit, got)
	}
	for _, id := range rest {
		c.do(c.lab.Heal(id))
		c.do(c.lab.Start(id))
	}
	f.awaitAcked(200)
	c.prove()
}

// TestL11ShouldLeadWithAServiceThatIsFarBehind has a node elected that has just started: its service is to apply a
// log that is longer than the ring before the first client is served.
func TestL11ShouldLeadWithAServiceThatIsFarBehind(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Override: smallRing})
	f := c.start(0, flowOptions{Payload: 1000, Window: 64})
	f.awaitAcked(2500)
	leader := c.leader()
	next, short := c.others(leader)[0], c.others(leader)[1]
	c.do(c.lab.Cut(short))
	f.awaitAcked(300)
	c.do(c.lab.Kill(leader))
	c.do(c.lab.Kill(next))
	c.do(c.lab.Heal(short))
	c.do(c.lab.Start(next))
	f.awaitAcked(300)
	if !c.leads(next) {
		t.Errorf("node %d has the longer log and does not lead\n%s", next, c.statuses())
	}
	c.do(c.lab.Start(leader))
	c.follows(leader)
	c.prove()
}

// TestN4N6ShouldGoOnWhenAFollowerIsStalled stops a follower's process under full load: the kernel finds no room for
// what arrives, the others go on, and the node repairs what it has missed.
func TestN4N6ShouldGoOnWhenAFollowerIsStalled(t *testing.T) {
	needNamespaces(t)
	for _, mode := range []string{"generic", "native"} {
		t.Run(mode, func(t *testing.T) {
			c := up(t, lab.Options{Transport: "xdp", XDPMode: mode, Override: smallRing})
			f := c.start(0, flowOptions{Payload: 1000, Window: 64})
			f.awaitAcked(200)
			slow := c.others(c.leader())[0]
			behind := c.counter(slow, "lockstep_append_position")
			c.do(c.lab.Signal(slow, syscall.SIGSTOP))
			f.awaitAcked(5000)
			c.do(c.lab.Signal(slow, syscall.SIGCONT))
			c.follows(slow)
			if c.counter(slow, "lockstep_append_position") < behind+4<<20 {
				t.Errorf("node %d missed too little", slow)
			}
			c.await("it says what the kernel dropped", func() bool {
				dropped := uint64(0)
				for _, what := range []string{"rx_ring_full", "rx_fill_ring_empty_descs", "rx_dropped"} {
					value, _ := c.reads(slow, `lockstep_xdp_kernel_total{what="`+what+`"}`)
					dropped += value
				}
				return dropped > 0
			})
			c.prove()
		})
	}
}

// setLink brings a node's interface up or down.
func (c *cluster) setLink(id int, up bool) {
	c.t.Helper()
	c.do(c.lab.Inside(id, func() error {
		l, err := netlink.LinkByName(testnet.DeviceName)
		if err != nil {
			return err
		}
		if up {
			return netlink.LinkSetUp(l)
		}
		return netlink.LinkSetDown(l)
	}))
}

// TestN5ShouldComeBackWhenItsLinkDoes takes the leader's carrier away, and then a follower's.
func TestN5ShouldComeBackWhenItsLinkDoes(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Orders: true, Rate: 500})
	for _, role := range []string{"leader", "follower"} {
		f.awaitAcked(100)
		victim := c.pick(role)
		c.setLink(victim, false)
		c.await("the node has seen that", func() bool {
			value, found := c.reads(victim, "lockstep_xdp_link_up")
			return found && value == 0
		})
		f.awaitAcked(300)
		c.setLink(victim, true)
		c.follows(victim)
		if c.counter(victim, "lockstep_xdp_link_downs_total") == 0 {
			t.Errorf("node %d does not say that its link was down", victim)
		}
	}
	c.prove()
}

var linkID = regexp.MustCompile(`link_type:\s+xdp\n(?:.*\n)*?link_id:\s+(\d+)`)

// detach takes a node's XDP program off its interface.
func (c *cluster) detach(id int) {
	c.t.Helper()
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", c.lab.PID(id)))
	c.do(err)
	for _, name := range infos {
		text, _ := os.ReadFile(name)
		m := linkID.FindSubmatch(text)
		if m == nil {
			continue
		}
		number, err := strconv.Atoi(string(m[1]))
		c.do(err)
		l, err := link.NewFromID(link.ID(number))
		c.do(err)
		defer l.Close()
		c.do(l.Detach())
		return
	}
	c.t.Fatalf("node %d has no program attached", id)
}

// TestN5ShouldStopWhenItsProgramIsDetached takes the program of the leader away: it can receive nothing any more.
func TestN5ShouldStopWhenItsProgramIsDetached(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Orders: true, Rate: 500})
	f.awaitAcked(100)
	victim := c.leader()
	c.stopsSaying(victim, "program", func() { c.detach(victim) })
	f.awaitAcked(200)
	c.do(c.lab.Stop(victim))
	c.do(c.lab.Start(victim))
	c.follows(victim)
	c.prove()
}

// freeze has every write to the file system at dir wait, until thaw.
func freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	const fiFreeze, fiThaw = 0xc0045877, 0xc0045878
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(int(d.Fd()), fiFreeze, 0); err != nil {
		t.Skipf("this file system cannot be frozen: %v", err)
	}
	once := false
	thaw = func() {
		if !once {
			once = true
			_ = unix.IoctlSetInt(int(d.Fd()), fiThaw, 0)
			d.Close()
		}
	}
	t.Cleanup(thaw) // what waits for the disk cannot even be killed
	return thaw
}

// TestP2ShouldAcknowledgeNothingThatIsNotSynced has the disks of both followers hang: what the leader has synced
// alone is no majority's.
func TestP2ShouldAcknowledgeNothingThatIsNotSynced(t *testing.T) {
	needExt4(t)
	o := lab.Options{Transport: "xdp", XDPMode: "generic", Dir: t.TempDir(), Override: smallRing}
	ext4Each(t, o.Dir)
	c := up(t, o)
	f := c.start(0, flowOptions{Orders: true, Rate: 500})
	f.awaitAcked(100)
	leader := c.leader()
	var thaws []func()
	for _, id := range c.others(leader) {
		thaws = append(thaws, freeze(t, c.node(id).Dir))
	}
	time.Sleep(50 * time.Millisecond) // what was synced already may be told
	acked, sent := f.now().Acked, f.now().Sent
	c.never("a message is acknowledged that no majority can have synced", 700*time.Millisecond, func() bool {
		return f.now().Acked > acked
	})
	if f.now().Sent == sent {
		t.Error("nothing was sent meanwhile")
	}
	for _, thaw := range thaws {
		thaw()
	}
	f.awaitAcked(300)
	c.prove()
}
