package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"lockstep/replica"
	"lockstep/wire"
)

// Recovery by an operator's order, when a majority may have forgotten and nobody can be elected: which log is taken, what
// is lost in consequence, and the order itself.

// pathRecover takes an order, by POST with a RecoverOrder.
const pathRecover = "/recover"

// recoverBytes bounds an order's body.
const recoverBytes = 64 << 10

// ErrNoRecovery says that nothing is to be recovered by order, or that it cannot be said which log to take.
var ErrNoRecovery = errors.New("no recovery by order")

// RecoverOrder has a node lead without votes. It is sent to the node whose log was chosen.
type RecoverOrder struct {
	Cluster   string           `json:"cluster"`
	SeenTerm  uint64           `json:"seen_term"`
	LastTerm  uint64           `json:"last_term"`
	Append    uint64           `json:"append"`
	LastCheck uint32           `json:"last_checksum"`
	Processes []RecoverProcess `json:"processes"` // the voters that were asked
}

// RecoverProcess names a process that was asked.
type RecoverProcess struct {
	Node        int    `json:"node"`
	Incarnation string `json:"incarnation"`
	Run         uint32 `json:"run"`
}

// serveRecover takes an order.
func (n *Node) serveRecover(w http.ResponseWriter, r *http.Request) {
	var o RecoverOrder
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, recoverBytes))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&o)
	if err == nil && o.Cluster != ClusterString(n.identity.Cluster) {
		err = fmt.Errorf("cluster %q: this node is of cluster %s", o.Cluster, ClusterString(n.identity.Cluster))
	}
	var request replica.OperatorRequest
	if err == nil {
		request, err = o.Request()
	}
	if err != nil {
		n.answer(w, http.StatusBadRequest, Operation{Error: fmt.Sprintf("want an order to recover, as JSON: %v", err)})
		return
	}
	n.operate(w, r, request)
}

// Request is the order as an operator's request of the core thread. An error: it is malformed.
func (o *RecoverOrder) Request() (replica.OperatorRequest, error) {
	order, err := o.order()
	return replica.OperatorRequest{Kind: replica.OperatorRecover, Order: order}, err
}

// order is the order as the core thread takes it.
func (o *RecoverOrder) order() (replica.RecoverOrder, error) {
	if o.SeenTerm > 1<<32-1 || o.LastTerm > 1<<32-1 {
		return replica.RecoverOrder{}, errors.New("a term is too high")
	}
	order := replica.RecoverOrder{SeenTerm: wire.Term(o.SeenTerm), LastTerm: wire.Term(o.LastTerm),
		Append: wire.Position(o.Append), Checksum: o.LastCheck}
	for _, p := range o.Processes {
		incarnation, err := strconv.ParseUint(p.Incarnation, 16, 64)
		if err != nil || p.Node < 1 || p.Node > wire.MaxNodes {
			return order, fmt.Errorf("process %+v: want a node id and an incarnation", p)
		}
		order.Processes = append(order.Processes,
			replica.Peer{Node: wire.NodeID(p.Node), Incarnation: incarnation, Run: p.Run})
	}
	return order, nil
}

// Asked is a node of the config and what it answered.
type Asked struct {
	Node   NodeConfig
	Status Status
	Err    error // it did not answer
}

// Ask asks the nodes for their status, all at once; client nil: the default one.
func Ask(ctx context.Context, client *http.Client, nodes []NodeConfig) []Asked {
	if client == nil {
		client = http.DefaultClient
	}
	asked := make([]Asked, len(nodes))
	var asking sync.WaitGroup
	for i := range nodes {
		asking.Go(func() {
			asked[i].Node = nodes[i]
			asked[i].Status, asked[i].Err = FetchStatusBy(ctx, client, nodes[i].Control)
			if err := asked[i].Err; err == nil && asked[i].Status.Node != nodes[i].ID {
				asked[i].Err = fmt.Errorf("node %d answers there", asked[i].Status.Node)
			}
		})
	}
	asking.Wait()
	return asked
}

// Recovery is what an order would do.
type Recovery struct {
	Chosen Status       // of the node whose log is taken
	Order  RecoverOrder // to it
	Lost   []string     // what may be lost in consequence, a sentence each
}

// PlanRecovery finds which log is to be taken: the newest of all that were asked, by the term of the last record and the
// end. It refuses, with an error that wraps ErrNoRecovery, when nothing is to be recovered by order or the logs cannot be
// ranked.
func PlanRecovery(asked []Asked) (Recovery, error) {
	var r Recovery
	var voters []Asked
	for _, a := range asked {
		if !a.Node.Learner {
			voters = append(voters, a)
		}
	}
	answers := answered(asked)
	if err := needed(voters, answers); err != nil {
		return r, err
	}
	r.Chosen = slices.MaxFunc(answered(voters), newer)
	if err := ranked(&r.Chosen, answered(voters)); err != nil {
		return r, err
	}
	r.Order = RecoverOrder{Cluster: r.Chosen.Cluster, LastTerm: r.Chosen.LastTerm, Append: r.Chosen.Append,
		LastCheck: r.Chosen.LastCheck}
	for _, s := range answers {
		r.Order.SeenTerm = max(r.Order.SeenTerm, s.Term)
	}
	for _, s := range answered(voters) {
		r.Order.Processes = append(r.Order.Processes,
			RecoverProcess{Node: s.Node, Incarnation: s.Incarnation, Run: s.Run})
	}
	r.Lost = lost(&r.Chosen, asked)
	return r, nil
}

func answered(asked []Asked) (answers []Status) {
	for _, a := range asked {
		if a.Err == nil {
			answers = append(answers, a.Status)
		}
	}
	return answers
}

// needed says why no order is needed, or possible; nil when one is.
func needed(voters []Asked, answers []Status) error {
	majority, fit := len(voters)/2+1, 0
	for _, s := range answers {
		switch {
		case s.Cluster != answers[0].Cluster:
			return fmt.Errorf("%w: node %d is of cluster %s, node %d of cluster %s", ErrNoRecovery, s.Node, s.Cluster,
				answers[0].Node, answers[0].Cluster)
		case s.Role == replica.Leader.String():
			return fmt.Errorf("%w: node %d leads term %d", ErrNoRecovery, s.Node, s.Term)
		case s.Leader != 0:
			return fmt.Errorf("%w: node %d hears node %d lead term %d", ErrNoRecovery, s.Node, s.Leader, s.Term)
		}
	}
	running := answered(voters)
	for _, s := range running {
		// A voter whose log is still empty does not know of any admission: where others hold a log, its vote does not count.
		if s.Recovering == "" && (s.Append > 0 || slices.MaxFunc(running, newer).Append == 0) {
			fit++
		}
	}
	switch {
	case fit >= majority:
		return fmt.Errorf("%w: %d of %d voters have forgotten nothing: they elect a leader by themselves as soon as they "+
			"reach one another", ErrNoRecovery, fit, len(voters))
	case len(running) < majority:
		return fmt.Errorf("%w: %d of %d voters answer, and a majority has to: start the others; a node whose directory is "+
			"lost for good is made anew with lockstep reseed first", ErrNoRecovery, len(running), len(voters))
	}
	return nil
}

// newer compares logs by the term of the last record, then by the end. Of equal ones that of a node that has forgotten
// nothing is taken, then that of the lowest id.
func newer(a, b Status) int {
	intact := func(s Status) int {
		if s.Recovering == "" {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.LastTerm, b.LastTerm), cmp.Compare(a.Append, b.Append), cmp.Compare(intact(a), intact(b)),
		cmp.Compare(b.Node, a.Node))
}

// ranked says why the chosen log cannot be the newest.
func ranked(chosen *Status, answers []Status) error {
	for _, s := range answers {
		switch {
		case s.LastTerm == chosen.LastTerm && s.Append == chosen.Append && s.LastCheck != chosen.LastCheck:
			return fmt.Errorf("%w: the logs cannot be ranked: nodes %d and %d end at %d in term %d with other records: "+
				"compare their directories with lockstep journal diff", ErrNoRecovery, chosen.Node, s.Node, s.Append, s.LastTerm)
		case s.Commit > chosen.Append:
			return fmt.Errorf("%w: the logs cannot be ranked: node %d knows %d to be committed, and the newest log, of node %d, "+
				"ends at %d: compare their directories with lockstep journal diff", ErrNoRecovery, s.Node, s.Commit, chosen.Node,
				chosen.Append)
		}
	}
	return nil
}

// lost lists what an order gives up.
func lost(chosen *Status, asked []Asked) (list []string) {
	for _, a := range asked {
		s := &a.Status
		switch {
		case a.Err != nil:
			list = append(list, fmt.Sprintf("node %d could not be asked: what only it holds beyond %d is lost; when it comes "+
				"back it is cut to the new log, and stops if it still knows more to be committed. If it can be had, start it first",
				a.Node.ID, chosen.Append))
		case s.Node == chosen.Node, s.Append == 0:
		case a.Node.Learner && s.Append > chosen.Append:
			list = append(list, fmt.Sprintf("node %d, a learner, has a log up to %d: a learner cannot lead, and what it holds "+
				"beyond %d is cut; it stops if it knows more to be committed", s.Node, s.Append, chosen.Append))
		case s.LastTerm != chosen.LastTerm:
			list = append(list, fmt.Sprintf("node %d has a log up to %d that ends in term %d: what of it is not in the chosen "+
				"log is cut", s.Node, s.Append, s.LastTerm))
		}
		if a.Err == nil && s.Recovering != "" {
			list = append(list, fmt.Sprintf("node %d may have held more than it has now: %s", s.Node, s.Recovering))
		}
	}
	return list
}

// Recover sends an order to the node whose log was chosen; it is done when that node leads.
func Recover(ctx context.Context, client *http.Client, control string, order RecoverOrder) (Operation, error) {
	if client == nil {
		client = http.DefaultClient
	}
	body, err := json.Marshal(order)
	if err != nil {
		return Operation{}, err
	}
	o, _, err := operateWith(ctx, client, control, pathRecover, bytes.NewReader(body))
	return o, err
}
