package node

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lockstep/replica"
	"lockstep/wire"
)

// killAll ends every node as SIGKILL does and starts it again from its directory.
func (c *cluster) killAll() {
	for i := range c.nodes {
		c.restart(i)
	}
}

// asked is what an operator hears of the nodes.
func (c *cluster) asked() (asked []Asked) {
	for _, n := range c.nodes {
		asked = append(asked, Asked{Node: n.config.Self(), Status: n.Status()})
	}
	return asked
}

// run lets time pass.
func (c *cluster) run(ns int64) {
	for range ns / 1e6 {
		c.cycle(1e6)
	}
}

// A cluster under rule replicated whose processes all die at once waits for an operator, and goes on by his order with
// what the newest disk holds. What the client was promised at level durable is there; the session goes on.
func TestRecoverBringsAClusterBack(t *testing.T) {
	c := newCluster(t, 3, "replicated", t.TempDir())
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	c.roundTrip(wire.LevelDurable, []byte("synced by a majority"))
	before := uint64(c.acks[wire.LevelDurable])
	c.until("all disks to say that all are admitted", 1_000_000, 10_000, func() bool {
		for _, n := range c.nodes {
			if !n.core.Admitted() || n.core.Recovering() || n.mayHaveForgotten.Load() || n.durable.Load() != n.ring.Append() {
				return false
			}
		}
		return true
	})
	c.run(10e6) // what marks directories has its turn
	c.killAll()
	c.run(3e9)
	if at := c.leaderOf(); at >= 0 {
		t.Fatalf("node %d leads although all may have forgotten", at+1)
	}
	for _, a := range c.asked() {
		if !strings.Contains(a.Status.Recovering, "did not end cleanly") {
			t.Fatalf("node %d: recovering %q", a.Node.ID, a.Status.Recovering)
		}
	}
	plan, err := PlanRecovery(c.asked())
	if err != nil {
		t.Fatal(err)
	}
	order, err := plan.Order.order()
	if err != nil {
		t.Fatal(err)
	}
	answer := c.ask(plan.Chosen.Node-1, replica.OperatorRequest{Kind: replica.OperatorRecover, Order: order})
	if answer.Err != nil || c.leaderOf() != plan.Chosen.Node-1 {
		t.Fatalf("%+v; node %d leads", answer, c.leaderOf()+1)
	}
	c.until("all count again", 1_000_000, 10_000, func() bool {
		for _, n := range c.nodes {
			if n.core.Recovering() || !n.core.Aligned() || n.core.Commit() != n.core.Append() {
				return false
			}
		}
		return true
	})
	c.until("the client is heard again", 1_000_000, 20_000, func() bool { return c.client.Connected() })
	c.roundTrip(wire.LevelApplied, []byte("after the order"))
	c.until("every node has applied the same", 1_000_000, 1000, func() bool { return c.sameState() })
	if before != 1 || c.acks[wire.LevelApplied] != 2 {
		t.Errorf("acknowledged %d before and %d after", before, c.acks[wire.LevelApplied])
	}
	if _, err := PlanRecovery(c.asked()); !errors.Is(err, ErrNoRecovery) {
		t.Errorf("a cluster that works is recovered once more: %v", err)
	}
	again := c.ask(c.leaderOf(), replica.OperatorRequest{Kind: replica.OperatorRecover, Order: order})
	follower := c.ask((c.leaderOf()+1)%3, replica.OperatorRequest{Kind: replica.OperatorRecover, Order: order})
	if !errors.Is(again.Err, replica.ErrRefused) || !errors.Is(follower.Err, replica.ErrRefused) {
		t.Errorf("a second order: the leader says %v, a follower %v", again.Err, follower.Err)
	}
}

// The first leader may die before its config record is committed anywhere: an order covers that as well.
func TestRecoverCoversAClusterThatNeverHadALeader(t *testing.T) {
	c := newCluster(t, 3, "replicated", t.TempDir())
	c.killAll()
	c.run(2e9)
	plan, err := PlanRecovery(c.asked())
	if err != nil || plan.Chosen.Append != 0 {
		t.Fatalf("%+v: %v", plan, err)
	}
	order, _ := plan.Order.order()
	if answer := c.ask(plan.Chosen.Node-1, replica.OperatorRequest{Kind: replica.OperatorRecover, Order: order}); answer.Err != nil {
		t.Fatal(answer.Err)
	}
	c.until("a session", 1_000_000, 50_000, func() bool { return c.client.Connected() })
	c.roundTrip(wire.LevelApplied, []byte("first"))
}

// three answers of a cluster that waits for an operator.
func waiting() []Asked {
	asked := make([]Asked, 3)
	for i := range asked {
		id := i + 1
		asked[i] = Asked{Node: NodeConfig{ID: id}, Status: Status{Node: id, Cluster: "a", Role: "follower", Term: uint64(4 + i),
			Incarnation: fmt.Sprintf("%x", id), Run: 2, LastTerm: 3, LastCheck: 7, Append: 1000, Recovering: "killed"}}
	}
	return asked
}

func TestPlanTakesTheNewestLog(t *testing.T) {
	for what, c := range map[string]struct {
		change func(a []Asked)
		chosen int
		listed int
		lost   string
	}{
		"all the same":      {func([]Asked) {}, 1, 3, "may have held more"},
		"one is intact":     {func(a []Asked) { a[2].Status.Recovering = "" }, 3, 3, "may have held more"},
		"one is longer":     {func(a []Asked) { a[1].Status.Append = 1100 }, 2, 3, ""},
		"a later last term": {func(a []Asked) { a[0].Status.Append, a[2].Status.LastTerm = 9000, 4 }, 3, 3, "up to 9000 that ends in term 3"},
		"one is new": {func(a []Asked) { // it counts as little as those that may have forgotten
			a[1].Status.Recovering = ""
			a[2].Status.Recovering, a[2].Status.Append, a[2].Status.LastTerm, a[2].Status.LastCheck = "", 0, 0, 0
		}, 2, 3, "may have held more"},
		"one does not answer": {func(a []Asked) { a[0].Err = errors.New("down") }, 2, 2, "node 1 could not be asked"},
		"a learner has more": {func(a []Asked) { a[2].Node.Learner, a[2].Status.Append, a[2].Status.Commit = true, 2000, 2000 }, 1, 2,
			"node 3, a learner, has a log up to 2000"},
	} {
		asked := waiting()
		c.change(asked)
		plan, err := PlanRecovery(asked)
		if err != nil || plan.Chosen.Node != c.chosen || !strings.Contains(strings.Join(plan.Lost, "\n"), c.lost) {
			t.Errorf("%s: node %d, %q: %v", what, plan.Chosen.Node, plan.Lost, err)
		}
		if order, err := plan.Order.order(); err != nil || order.SeenTerm != 6 || order.Append != wire.Position(plan.Chosen.Append) ||
			len(order.Processes) != c.listed {
			t.Errorf("%s: order %+v: %v", what, order, err)
		}
	}
}

func TestPlanRefusesWithASentence(t *testing.T) {
	for says, change := range map[string]func(a []Asked){
		"node 2 leads term 5":        func(a []Asked) { a[1].Status.Role = "leader" },
		"hears node 1 lead":          func(a []Asked) { a[1].Status.Leader = 1 },
		"have forgotten nothing":     func(a []Asked) { a[0].Status.Recovering, a[1].Status.Recovering = "", "" },
		"1 of 3 voters answer":       func(a []Asked) { a[0].Err, a[1].Err = errors.New("down"), errors.New("down") },
		"of cluster b":               func(a []Asked) { a[2].Status.Cluster = "b" },
		"with other records":         func(a []Asked) { a[2].Status.LastCheck = 8 },
		"knows 1200 to be committed": func(a []Asked) { a[2].Status.Commit, a[2].Status.LastTerm, a[2].Status.Append = 1200, 2, 1200 },
	} {
		asked := waiting()
		change(asked)
		if _, err := PlanRecovery(asked); !errors.Is(err, ErrNoRecovery) || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}

func TestOrdersThatAreNoneAreRefused(t *testing.T) {
	c := newCluster(t, 1, "durable", t.TempDir())
	for _, body := range []string{"", "{", `{"unknown": 1}`, `{"cluster": "0000000000000001"}`,
		`{"cluster": "000000000000004d", "seen_term": 4294967296}`,
		`{"cluster": "000000000000004d", "processes": [{"node": 1, "incarnation": "x", "run": 1}]}`,
		`{"cluster": "000000000000004d", "processes": [{"node": 9, "incarnation": "1", "run": 1}]}`} {
		w := httptest.NewRecorder()
		c.nodes[0].serveRecover(w, httptest.NewRequest(http.MethodPost, pathRecover, strings.NewReader(body)))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "want an order") {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	}
}
