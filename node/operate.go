package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"lockstep/replica"
	"lockstep/wire"
)

// Paths of what operators ask of a node, by POST.
const (
	TransferPath = "/leader/transfer"
	SkipPath     = "/skip"
	SnapshotPath = "/snapshot"
)

// Operation is what a node answers to an operator.
type Operation struct {
	Done     string `json:"done,omitempty"`  // what happened
	Error    string `json:"error,omitempty"` // why it did not
	Node     int    `json:"node"`            // who answers
	Term     uint64 `json:"term"`
	Leader   int    `json:"leader"`            // as this node knows it, 0 if it does not
	Control  string `json:"control,omitempty"` // the leader's control address
	Position uint64 `json:"position,omitempty"`
	TookUs   int64  `json:"took_us"`
}

// ErrNobodyLeads says that no node of the cluster that can be reached knows a leader.
var ErrNobodyLeads = errors.New("nobody leads")

// ErrOperation says that the cluster did not do what an operator asked; what wraps it says why.
var ErrOperation = errors.New("not done")

// operatorLimit bounds how long a request may take: a hand-over is given up within an election time-out.
func (n *Node) operatorLimit() time.Duration {
	return 2*time.Duration(n.config.Election.TimeoutMaxMs)*time.Millisecond + 2*time.Second
}

// serveTransfer hands leadership over: to=N, or to whoever holds most.
func (n *Node) serveTransfer(w http.ResponseWriter, r *http.Request) {
	to, ok := n.nodeParameter(w, r, "to")
	if ok {
		n.operate(w, r, replica.OperatorRequest{Kind: replica.OperatorHandOver, Node: to})
	}
}

// serveSkip has apply pass over the record that begins at position=P.
func (n *Node) serveSkip(w http.ResponseWriter, r *http.Request) {
	at, err := strconv.ParseUint(r.FormValue("position"), 10, 64)
	if err != nil {
		n.answer(w, http.StatusBadRequest, Operation{Error: fmt.Sprintf("parameter position=%q: want the position "+
			"at which apply has halted, as /status has it", r.FormValue("position"))})
		return
	}
	n.operate(w, r, replica.OperatorRequest{Kind: replica.OperatorSkip, Position: wire.Position(at)})
}

// serveSnapshot has every node take a snapshot at once; leader=1: the leader, too.
func (n *Node) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	leader := r.FormValue("leader")
	if leader != "" && leader != "0" && leader != "1" {
		n.answer(w, http.StatusBadRequest, Operation{Error: fmt.Sprintf("parameter leader=%q: want 1, 0 or none", leader)})
		return
	}
	if halt := n.driver.Status().Halt; halt != nil && n.gauge("lockstep_role") == uint64(replica.Leader) {
		n.answer(w, http.StatusUnprocessableEntity, Operation{Error: fmt.Sprintf("%v: apply has halted here (%v): "+
			"nobody could take a snapshot of what follows", replica.ErrRefused, halt)})
		return
	}
	n.operate(w, r, replica.OperatorRequest{Kind: replica.OperatorSnapshot, Leader: leader == "1"})
}

// handOverAtEnd has another node lead before this one stops, if it leads: clients then wait a few round trips, not an
// election time-out. Whatever comes of it, the node stops.
func (n *Node) handOverAtEnd() {
	if len(n.config.Cluster.Nodes) == 1 {
		return
	}
	a := n.operator.Ask(context.Background(), replica.OperatorRequest{Kind: replica.OperatorHandOver}, n.operatorLimit())
	switch {
	case errors.Is(a.Err, replica.ErrNotLeading):
	case a.Err != nil:
		n.logf("stopping as the leader, without a hand-over: %v", a.Err)
	default:
		n.logf("handed over: %s", a.What)
	}
}

// nodeParameter reads a node id from a request; 0 when it is not given. What is no node of the cluster is answered.
func (n *Node) nodeParameter(w http.ResponseWriter, r *http.Request, name string) (wire.NodeID, bool) {
	text := r.FormValue(name)
	if text == "" {
		return 0, true
	}
	id, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n.controlOf(wire.NodeID(id)) == "" {
		n.answer(w, http.StatusBadRequest,
			Operation{Error: fmt.Sprintf("parameter %s=%q: want the id of a node of the cluster, or none", name, text)})
		return 0, false
	}
	return wire.NodeID(id), true
}

// operate puts a request before the core thread and answers with what came of it.
func (n *Node) operate(w http.ResponseWriter, r *http.Request, request replica.OperatorRequest) {
	a := n.operator.Ask(r.Context(), request, n.operatorLimit())
	o := Operation{Done: a.What, Position: uint64(a.At), TookUs: a.TookNs / 1e3}
	code := http.StatusOK
	switch {
	case a.Err == nil:
	case errors.Is(a.Err, replica.ErrNotLeading):
		code = http.StatusConflict
	case errors.Is(a.Err, replica.ErrRefused):
		code = http.StatusUnprocessableEntity
	default:
		code = http.StatusServiceUnavailable
	}
	if a.Err != nil {
		o.Error = a.Err.Error()
	}
	n.logf("asked by %s for %s: %d %s%s", r.RemoteAddr, r.URL, code, o.Done, o.Error)
	n.answer(w, code, o)
}

// answer sends an operator what came of his request, with who leads as this node knows it by now.
func (n *Node) answer(w http.ResponseWriter, code int, o Operation) {
	o.Node, o.Term, o.Leader = n.config.Node, n.gauge("lockstep_term"), int(n.gauge("lockstep_leader"))
	o.Control = n.controlOf(wire.NodeID(o.Leader))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(o)
}

// Operate asks one node's control plane, by POST on path with its query. The error wraps ErrOperation if the node answered
// that it is not done.
func Operate(ctx context.Context, client *http.Client, control, path string) (Operation, int, error) {
	return operateWith(ctx, client, control, path, nil)
}

// operateWith is Operate with a body.
func operateWith(ctx context.Context, client *http.Client, control, path string, content io.Reader) (Operation, int, error) {
	var o Operation
	response, body, err := ask(ctx, client, http.MethodPost, control, path, content)
	if err != nil {
		return o, 0, err
	}
	if err := json.Unmarshal(body, &o); err != nil {
		return o, response.StatusCode, fmt.Errorf("%w: %s answers %s: %.200s", ErrOperation, control, response.Status, body)
	}
	if response.StatusCode != http.StatusOK {
		return o, response.StatusCode, fmt.Errorf("%w: node %d: %s", ErrOperation, o.Node, o.Error)
	}
	return o, response.StatusCode, nil
}

// askedBytes bounds what a node is taken to answer: all its sessions have room in it.
const askedBytes = 64 << 20

// ask has one node's control plane answer a request, and reads the whole answer, whatever its status.
func ask(ctx context.Context, client *http.Client, method, control, path string, content io.Reader) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+control+path, content)
	if err != nil {
		return nil, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, askedBytes))
	return response, body, err
}

// OperateLeader finds the leader among the nodes at controls and asks it. A node that does not lead says who does; while
// nobody is known to, it goes on looking until patience ends, or ctx.
func OperateLeader(ctx context.Context, client *http.Client, controls []string, path string,
	patience time.Duration) (Operation, error) {
	const pause = 20 * time.Millisecond
	enough := time.After(patience)
	for next := 0; ; next++ {
		control := controls[next%len(controls)]
		o, code, err := Operate(ctx, client, control, path)
		if code == http.StatusConflict && o.Control != "" && o.Control != control {
			o, code, err = Operate(ctx, client, o.Control, path)
		}
		if err == nil || errors.Is(err, ErrOperation) && code != http.StatusConflict {
			return o, err
		}
		if next%len(controls) != len(controls)-1 {
			continue
		}
		select {
		case <-ctx.Done():
			return o, ctx.Err()
		case <-enough:
			return o, fmt.Errorf("%w: %w", ErrNobodyLeads, err)
		case <-time.After(pause):
		}
	}
}
