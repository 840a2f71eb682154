package system

import (
	"encoding/gob"
	"errors"
	"io"
	"os"
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

// mixed starts clients of all services.
func (c *cluster) mixed() {
	c.t.Helper()
	for i := range mixedClients {
		c.start(i, flowOptions{Mixed: uint64(i + 1), Rate: 250, Window: 8})
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
	j, err := judgeJournal(c.lab.Nodes()[0].Dir)
	c.do(err)
	var views []*judge.View
	var ops []history.KVOp
	for _, f := range c.flows {
		v, err := readView(f.options.View)
		c.do(err)
		c.do(j.Compare(v))
		views = append(views, v)
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

// TestServicesShouldKeepTheirPromisesWhenLeadersAreKilled has clients of every service, and of transactions over several, while one
// leader after the other dies.
func TestServicesShouldKeepTheirPromisesWhenLeadersAreKilled(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Clients: mixedClients})
	c.mixed()
	c.allAcked(300)
	for range 3 {
		leader := c.leader()
		c.do(c.lab.Kill(leader))
		c.allAcked(200)
		c.do(c.lab.Start(leader))
		c.follows(leader)
	}
	c.prove()
	f := c.judged()
	if f.Committed < 20 || f.Aborted < 20 || f.Conflicts < 20 || f.Handed < 50 || f.Again < 5 || f.Done < 5 || f.Repeats < 5 ||
		f.Grants < 20 || f.Waited < 5 || f.Fired < 20 {
		t.Errorf("too little happened: %+v", f)
	}
}

// TestServicesShouldKeepTheirPromisesWhenLeadersAreCutOff does the same to leaders that go on, alone, and come back.
func TestServicesShouldKeepTheirPromisesWhenLeadersAreCutOff(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "udp", Clients: mixedClients})
	c.mixed()
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
}
