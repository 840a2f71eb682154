package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockstep/replica"
	"lockstep/service"
	"lockstep/wire"
)

// leaderOf returns the index of the node that leads, -1 if none does.
func (c *cluster) leaderOf() int {
	for i, n := range c.nodes {
		if n.core.Role() == replica.Leader {
			return i
		}
	}
	return -1
}

// send has the client send one message.
func (c *cluster) send(level wire.Level, payload []byte) {
	c.t.Helper()
	if _, err := c.client.Send(c.clock.NowNs(), service.Echo, wire.LevelsOf(level), payload); err != nil {
		c.t.Fatal(err)
	}
}

// ask puts a request before a node and runs until it is answered.
func (c *cluster) ask(i int, request replica.OperatorRequest) (answer replica.OperatorAnswer) {
	c.t.Helper()
	call := c.nodes[i].operator.Begin(request)
	if call == nil {
		c.t.Fatal("the mailbox is taken")
	}
	c.until("an answer to the operator", 10_000, 1_000_000, func() bool {
		select {
		case answer = <-call.Done():
			return true
		default:
			return false
		}
	})
	return answer
}

func TestOperatorHandsLeadershipOver(t *testing.T) {
	c := newCluster(t, 3, "durable", inMemory(t))
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	for range 6 {
		from := c.leaderOf()
		to := (from + 1) % 3
		c.roundTrip(wire.LevelApplied, []byte("before"))
		answer := c.ask(from, replica.OperatorRequest{Kind: replica.OperatorHandOver, Node: c.nodes[to].identity.Node})
		if answer.Err != nil || answer.Leader != c.nodes[to].identity.Node || c.leaderOf() != to {
			t.Fatalf("handing over to node %d: %+v; node %d leads", to+1, answer, c.leaderOf()+1)
		}
		c.send(wire.LevelApplied, []byte("behind"))
		c.until("the new leader answers", 10_000, 100_000, func() bool {
			leader, _ := c.client.Leader()
			return c.client.Open() == 0 && leader == c.nodes[to].identity.Node
		})
	}
}

func TestOperatorIsRefusedBySentence(t *testing.T) {
	c := newCluster(t, 3, "replicated", t.TempDir())
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	leader := c.leaderOf()
	for _, tc := range []struct {
		what string
		at   int
		to   wire.NodeID
		want error
	}{
		{"a follower", (leader + 1) % 3, 0, replica.ErrNotLeading},
		{"to itself", leader, c.nodes[leader].identity.Node, replica.ErrRefused},
		{"to nobody's id", leader, 7, replica.ErrRefused},
	} {
		answer := c.ask(tc.at, replica.OperatorRequest{Kind: replica.OperatorHandOver, Node: tc.to})
		if !errors.Is(answer.Err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.what, answer.Err, tc.want)
		}
	}
	if c.leaderOf() != leader {
		t.Error("a refused hand-over moved the leader")
	}
}

func TestMailboxHasOneSlotAndADeadline(t *testing.T) {
	woken := 0
	o := replica.NewOperator(func() { woken++ })
	request := replica.OperatorRequest{Kind: replica.OperatorHandOver}
	if answer := o.Ask(t.Context(), request, time.Millisecond); !errors.Is(answer.Err, replica.ErrOperatorLate) {
		t.Fatalf("nobody answers: %v, want %v", answer.Err, replica.ErrOperatorLate)
	}
	call := o.Begin(request)
	if call == nil {
		t.Fatal("a request that was given up keeps the slot")
	}
	if answer := o.Ask(t.Context(), request, time.Minute); !errors.Is(answer.Err, replica.ErrOperatorBusy) {
		t.Fatalf("a second request: %v, want %v", answer.Err, replica.ErrOperatorBusy)
	}
	o.Withdraw(call)
	if o.Begin(request) == nil || woken != 3 {
		t.Fatalf("the slot stays taken, or the core thread was woken %d times, not 3", woken)
	}
}

// TestTheCommandFindsTheLeader has the first node down, the second one say who leads, and the third lead.
func TestTheCommandFindsTheLeader(t *testing.T) {
	serve := func(code int, o *Operation) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != TransferPath || r.FormValue("to") != "2" {
				t.Errorf("asked by %s %s", r.Method, r.URL)
			}
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(o)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	leader := serve(http.StatusOK, &Operation{Node: 3, Done: "node 2 leads term 5"})
	follower := serve(http.StatusConflict, &Operation{Node: 2, Control: leader, Error: "this node does not lead"})
	ask := func(controls ...string) (Operation, error) {
		return OperateLeader(t.Context(), http.DefaultClient, controls, TransferPath+"?to=2", 50*time.Millisecond)
	}
	if o, err := ask("127.0.0.1:1", follower); err != nil || o.Node != 3 {
		t.Errorf("%+v, %v: want the answer of node 3", o, err)
	}
	refuses := serve(http.StatusUnprocessableEntity, &Operation{Node: 3, Error: "refused: node 2 is far behind"})
	if _, err := ask(refuses); !errors.Is(err, ErrOperation) || !strings.Contains(err.Error(), "far behind") {
		t.Errorf("%v: want why it was refused", err)
	}
	lost := serve(http.StatusConflict, &Operation{Node: 2, Error: "this node does not lead"})
	if _, err := ask("127.0.0.1:1", lost); !errors.Is(err, ErrNobodyLeads) {
		t.Errorf("%v: want %v", err, ErrNobodyLeads)
	}
}
