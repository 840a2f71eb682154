package system

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/history"
	"lockstep/internal/inspect"
	"lockstep/internal/judge"
	"lockstep/internal/lab"
	"lockstep/internal/replay"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/node"
	"lockstep/service"
)

// searchLimit is how long porcupine may look for an order of what clients saw of the key/value store. It needs a fraction of it.
const searchLimit = 30 * time.Second

const mixedClients = 3

// mixed starts clients of all services, or of one.
func (c *cluster) mixed(only uint16) {
	c.t.Helper()
	for i := range mixedClients {
		c.start(i, flowOptions{Mixed: uint64(i + 1), Only: only, Rate: 250, Window: 8})
	}
}

// allAcked waits until each client has so many more acknowledgements.
func (c *cluster) allAcked(more uint64) {
	c.t.Helper()
	for _, f := range c.flows {
		f.awaitAcked(more)
	}
}

// judged replays the journal of one node, and holds what services answered, and what clients saw, against what services promise.
func (c *cluster) judged() judge.Figures {
	c.t.Helper()
	j, views := c.compared()
	var ops []history.KVOp
	for _, v := range views {
		ops = append(ops, v.KV()...)
	}
	locks := judge.Locks(views)
	if err := history.CheckIntervals(locks); err != nil {
		c.t.Error(err)
	}
	if decided, err := history.SearchKV(ops, searchLimit); !decided || err != nil {
		c.t.Errorf("%d operations on the key/value store, searched to the end: %v: %v", len(ops), decided, err)
	}
	f := j.Figures()
	c.t.Logf("%d operations on the key/value store, %d locks held by their holders' clocks; in the log: %+v", len(ops), len(locks), f)
	if len(ops) < 100 || len(locks) < 5 {
		c.t.Errorf("%d operations on the key/value store and %d locks say little", len(ops), len(locks))
	}
	return f
}

// compared replays the journal of one node, and holds what clients heard against what it says.
func (c *cluster) compared() (*judge.Judge, []*judge.View) {
	c.t.Helper()
	j, err := judgeJournal(c.lab.Nodes()[0].Dir)
	c.do(err)
	var views []*judge.View
	for _, f := range c.flows {
		v, err := readView(f.options.View)
		c.do(err)
		c.do(j.Compare(v))
		if len(v.Heard) == 0 {
			c.t.Errorf("client %d heard nothing", v.Client)
		}
		views = append(views, v)
	}
	return j, views
}

func readView(path string) (*judge.View, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v := new(judge.View)
	return v, gob.NewDecoder(f).Decode(v)
}

// judgeJournal has the log of a node that is stopped judged from its beginning.
func judgeJournal(dir string) (*judge.Judge, error) {
	j := judge.New()
	j.AuditBook()
	l, err := inspect.Open(vfs.Real{}, dir)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	end, err := l.End()
	if err != nil {
		return nil, err
	}
	reader, err := journal.NewReader(vfs.Real{}, dir)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	reader.SetLimit(end.Position)
	if err := reader.SeekFirst(); err != nil {
		return nil, err
	}
	player, err := replay.New(replay.Options{FS: vfs.Real{}, Dir: dir, End: end.Position, FromStart: true, Output: j.Output, Lost: j.Lost,
		Closed: j.Closed,
		Services: func() ([service.MaxServices]service.Service, error) {
			list, err := node.NewServices(node.MachineLimits{})
			return j.Wrap(list), err
		}})
	if err != nil {
		return nil, err
	}
	defer player.Close()
	for {
		r, payload, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return j, j.End()
		}
		if err != nil {
			return nil, err
		}
		if _, err := player.Apply(r.End()); err != nil {
			return nil, err
		}
		if err := j.Record(&r, payload); err != nil {
			return nil, err
		}
	}
}

// leadersAreKilled kills one leader after the other while clients go on, and has each come back.
func (c *cluster) leadersAreKilled(times int) {
	c.t.Helper()
	c.allAcked(300)
	for range times {
		leader := c.leader()
		c.do(c.lab.Kill(leader))
		c.allAcked(200)
		c.do(c.lab.Start(leader))
		c.follows(leader)
	}
}

// TestServicesShouldKeepTheirPromisesWhenLeadersAreKilled has clients of every service, and of transactions over several, while one
// leader after the other dies.
func TestServicesShouldKeepTheirPromisesWhenLeadersAreKilled(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Clients: mixedClients})
	c.mixed(0)
	c.leadersAreKilled(3)
	c.prove()
	f := c.judged()
	if f.Committed < 20 || f.Aborted < 20 || f.Conflicts < 20 || f.Handed < 50 || f.Again < 5 || f.Done < 5 || f.Repeats < 5 ||
		f.Grants < 20 || f.Waited < 5 || f.Fired < 20 {
		t.Errorf("too little happened: %+v", f)
	}
	c.audited()
}

// TestServicesShouldKeepTheirPromisesWhenLeadersAreCutOff does the same to leaders that go on, alone, and come back.
func TestServicesShouldKeepTheirPromisesWhenLeadersAreCutOff(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "udp", Clients: mixedClients})
	c.mixed(0)
	c.allAcked(300)
	for range 2 {
		leader := c.leader()
		c.do(c.lab.Cut(leader))
		c.await("another leader", func() bool {
			for _, id := range c.others(leader) {
				if c.leads(id) {
					return true
				}
			}
			return false
		})
		c.allAcked(200)
		c.do(c.lab.Heal(leader))
		c.follows(leader)
	}
	c.prove()
	c.judged()
	c.audited()
}

// TestOrderEntryShouldAddUpWhenLeadersAreKilled has clients that use all that the order book has while leaders die. What the clients
// heard is what the journal says, and an auditor that reads nothing but its dump finds that everything adds up.
func TestOrderEntryShouldAddUpWhenLeadersAreKilled(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Clients: mixedClients})
	c.mixed(service.OrderBook)
	c.leadersAreKilled(2)
	c.prove()
	c.compared()
	var records, orders, executions, lots uint64
	said := c.audited()
	if n, _ := fmt.Sscanf(said, "%d records: %d orders, %d executions of %d lots", &records, &orders, &executions, &lots); n != 4 ||
		orders < 200 || executions < 100 {
		t.Errorf("too little happened: %s", said)
	}
	t.Log(strings.TrimSpace(said))
}

// audited has the journal of every node dumped with what its records put out, and what the order book told its clients checked
// from that alone. The nodes are stopped. It returns what the auditor says, of the last one.
func (c *cluster) audited() (said string) {
	c.t.Helper()
	for _, n := range c.lab.Nodes() {
		dump := filepath.Join(c.t.TempDir(), "dump.json")
		f, err := os.Create(dump)
		c.do(err)
		cmd := exec.Command(binary, "journal", "dump", n.Dir, "--outputs")
		cmd.Stdout = f
		c.do(cmd.Run())
		c.do(f.Close())
		var code int
		if said, code = run(c.t, "order", "audit", dump); code != 0 || !strings.Contains(said, "everything adds up") {
			c.t.Errorf("the audit of node %d ends with %d: %s", n.ID, code, said)
		}
	}
	return said
}
