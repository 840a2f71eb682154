package replica

import (
	"bytes"
	"slices"
	"testing"

	"lockstep/wire"
)

// orderFor is what an operator orders a node to do, after he asked these nodes.
func (c *cluster) orderFor(n *testNode, asked []wire.NodeID) Input {
	in := Input{Kind: InRecover, LastTerm: n.core.s.lastTerm, Position: n.core.Append(), Checksum: n.core.s.checksum}
	for _, id := range asked {
		o := c.nodes[id]
		in.Term = max(in.Term, o.core.Term())
		in.Config.Member[in.Config.Members] = wire.ConfigMember{Node: id, Incarnation: o.disk.incarnation, Run: o.disk.run}
		in.Config.Members++
	}
	return in
}

// order carries an operator's order out: what the chosen log does not hold is given up from here on.
func (c *cluster) order(n *testNode, asked []wire.NodeID) {
	if asked == nil {
		asked = c.answering()
	}
	in := c.orderFor(n, asked)
	if why, refusal := n.core.recoverObstacle(&in); refusal != RefusedNone {
		c.trace("%d: refused (%v): %s", n.id, refusal, why)
	} else if kept := sharedPrefix(c.committed, n.mem[:n.core.Append()]); kept < len(c.committed) {
		c.trace("given up: the committed bytes [%d, %d)", kept, len(c.committed))
		c.committed = c.committed[:kept]
	}
	n.step(in)
}

// randomOrder is an operator who sees that nobody can be elected although all are up.
func (c *cluster) randomOrder() {
	asked, fit := c.answering(), 0
	for _, id := range asked {
		k := c.nodes[id].core
		if k.Role() == Leader || k.Leader() != 0 {
			return
		}
		if !k.Recovering() {
			fit++
		}
	}
	if len(asked) == len(c.voters) && fit <= len(c.voters)/2 {
		c.order(c.newest(asked), asked)
	}
}

func (c *cluster) answering() (ids []wire.NodeID) {
	for _, id := range c.voters {
		if n := c.nodes[id]; n.up && n.stopped == "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// newest is the node with the newest log of those asked.
func (c *cluster) newest(asked []wire.NodeID) *testNode {
	return c.nodes[slices.MaxFunc(asked, func(a, b wire.NodeID) int {
		x, y := &c.nodes[a].core.s, &c.nodes[b].core.s
		if x.lastTerm != y.lastTerm {
			return int(x.lastTerm) - int(y.lastTerm)
		}
		return int(x.append) - int(y.append)
	})]
}

func sharedPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// recovering starts node 1 of three as one that may have forgotten, with a log that ends at 304.
func recovering(t *testing.T, rule wire.CommitRule) *probe {
	p := newProbe(t, rule, Restored{})
	config := p.config(Peer{1, 1000, 1}, other(2), other(3)).Config
	p = newProbe(t, rule, Restored{Incarnation: 1000, Run: 2, Term: 3, VotedFor: 2, End: 304, LastTerm: 2, Checksum: 9,
		Durable: 304, Terms: []wire.TermStart{{Start: 0, Term: 1}, {Start: 216, Term: 2}}, Config: config,
		ConfigPosition: firstConfig, EarlierAll: true, Recovering: true})
	p.now = 1e9
	return p
}

// orderOf is an order to the node that recovering makes, from an operator who has seen all three.
func orderOf(p *probe) Input {
	in := Input{Kind: InRecover, Term: 5, LastTerm: 2, Position: 304, Checksum: 9}
	list := p.config(Peer{1, 1000, 2}, Peer{2, 2000, 4}, other(3)).Config
	in.Config.Members, in.Config.Member = list.Members, list.Member
	return in
}

// ordered carries an order out up to the append of its record, which ends at 536.
func ordered(p *probe) {
	p.step(orderOf(p))
	p.persisted()
	p.want(p.c.Role() == Leader && p.find(OutAppendTerm) != nil, "it does not lead by order")
	p.step(Input{Kind: InTermStart, Position: 304, LastTerm: p.c.Term()})
	p.append(392)
	out := p.find(OutAppendConfig)
	p.want(out != nil && out.Config.ByOperator, "no record of the order")
	config := out.Config
	p.step(Input{Kind: InConfig, Position: 536, Config: config})
	p.append(536)
}

func TestRule8OrderIsStoredInATermAboveAll(t *testing.T) {
	p := recovering(t, wire.RuleReplicated)
	p.step(orderOf(p))
	persist := p.find(OutPersist)
	p.want(persist != nil && persist.Term == operatorTerms+1 && persist.Node == 1, "%+v", persist)
	p.want(p.c.Role() == Candidate && p.find(OutSend) == nil, "something leaves before the term is stored")
	p.now += 1e9
	p.step(Input{Kind: InTick})
	p.want(p.c.Role() == Candidate, "a slow state file undoes the order")
	p.persisted()
	p.want(p.c.Role() == Leader && p.c.Term() == operatorTerms+1, "%v of term %d", p.c.Role(), p.c.Term())
	for seen, want := range map[wire.Term]wire.Term{0: 257, 255: 257, 256: 513, 513: 769, 1<<32 - 10: 0} {
		p.want(operatorTerm(seen, 1) == want, "above %d: %d, want %d", seen, operatorTerm(seen, 1), want)
	}
	p.want(operatorTerm(7, 1) != operatorTerm(7, 2), "two nodes begin one term by order")
}

func TestRule8OrderListsWhoWasAskedAndKeepsTheOthers(t *testing.T) {
	p := recovering(t, wire.RuleReplicated)
	in := orderOf(p)
	in.Config.Member[2], in.Config.Members = wire.ConfigMember{}, 2 // node 3 was not asked
	p.step(in)
	p.persisted()
	p.append(392)
	config := p.find(OutAppendConfig).Config
	p.want(config.Members == 3 && *member(&config, 2) == wire.ConfigMember{Node: 2, Incarnation: 2000, Run: 4} &&
		*member(&config, 3) == wire.ConfigMember{Node: 3, Incarnation: 3000, Run: 1}, "%+v", config)
	p.want(config.Digest() == p.c.digest, "another config")
}

func TestRule8OrderedRecordEndsRecoveringAtOnce(t *testing.T) {
	for _, rule := range []wire.CommitRule{wire.RuleReplicated, wire.RuleDurable} {
		p := recovering(t, rule) // the one that leads
		ordered(p)
		p.want(p.c.Recovering() == (rule == wire.RuleDurable), "%v: recovering %v", rule, p.c.Recovering())
		p.durable(536)
		p.want(!p.c.Recovering() && p.c.Commit() == 0, "%v: still recovering, or committed by one", rule)

		q := recovering(t, rule) // one that follows
		q.follow2(p.c.Term())
		q.step(logOf(p.c.Term(), 304, 536, 536, 0))
		q.step(Input{Kind: InTermStart, Position: 304, LastTerm: p.c.Term()})
		config := p.c.s.configs.last().Config
		q.step(Input{Kind: InConfig, Position: 536, Config: config})
		q.append(536)
		q.want(q.c.Recovering() == (rule == wire.RuleDurable), "%v: recovering %v", rule, q.c.Recovering())
		q.durable(536)
		q.want(!q.c.Recovering(), "%v: still recovering", rule)

		again := recovering(t, rule) // the same directory, started again: not the process that the operator saw
		again.c.s.self.Run++
		again.follow2(p.c.Term())
		again.step(logOf(p.c.Term(), 304, 536, 536, 0))
		again.step(Input{Kind: InTermStart, Position: 304, LastTerm: p.c.Term()})
		again.step(Input{Kind: InConfig, Position: 536, Config: config})
		again.append(536)
		again.durable(536)
		again.want(again.c.Recovering(), "%v: a process that was not listed counts", rule)
	}
}

// follow2 makes the core an aligned follower of node 2 in a term.
func (p *probe) follow2(term wire.Term) {
	p.step(heartbeat(term, p.c.Append(), 0))
	p.persisted()
	align := p.sent(wire.DatagramAlign)
	p.want(align != nil, "no ALIGN")
	p.step(Input{Kind: InAlignAnswer, From: other(2), Term: term,
		AlignAnswer: wire.AlignAnswer{Nonce: align.Align.Nonce, Cut: p.c.Append(), Found: true}})
}

func TestRule8OrderIsRefusedByName(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*probe, *Input)
		want   Refusal
	}{
		"a leader lives":       {func(p *probe, _ *Input) { p.step(heartbeat(3, 304, 0)) }, RefusedLeaderAlive},
		"another log":          {func(_ *probe, in *Input) { in.Position = 392 }, RefusedReport},
		"another last term":    {func(_ *probe, in *Input) { in.LastTerm = 1 }, RefusedReport},
		"other bytes":          {func(_ *probe, in *Input) { in.Checksum = 8 }, RefusedReport},
		"it started again":     {func(_ *probe, in *Input) { in.Config.Member[0].Run = 1 }, RefusedRun},
		"it is not listed":     {func(_ *probe, in *Input) { in.Config.Member[0].Node = 4 }, RefusedRun},
		"no majority":          {func(_ *probe, in *Input) { in.Config.Members = 1 }, RefusedMalformed},
		"no voter":             {func(_ *probe, in *Input) { in.Config.Member[1].Node = 4 }, RefusedMalformed},
		"a node twice":         {func(_ *probe, in *Input) { in.Config.Member[1].Node = 3 }, RefusedMalformed},
		"nobody's incarnation": {func(_ *probe, in *Input) { in.Config.Member[1].Incarnation = 0 }, RefusedMalformed},
		"no term left":         {func(_ *probe, in *Input) { in.Term = 1<<32 - 1 }, RefusedMalformed},
		"no disk space":        {func(p *probe, _ *Input) { p.step(Input{Kind: InDiskFull, Flag: true}) }, RefusedUnfit},
	} {
		p := recovering(t, wire.RuleReplicated)
		in := orderOf(p)
		c.change(p, &in)
		term := p.c.Term()
		p.refused(in, c.want)
		p.want(p.c.Term() == term && p.c.Role() == Follower, "%s: %v of term %d", what, p.c.Role(), p.c.Term())
		if text, _ := p.c.recoverObstacle(&in); text == "" {
			t.Errorf("%s: no sentence", what)
		}
	}
	p := newProbe(t, wire.RuleReplicated, Restored{})
	p.lead()
	p.refused(Input{Kind: InRecover}, RefusedLeading)
}

// A disk that fills up before the term is stored, or a leader that shows, ends the order.
func TestRule8OrderEndsWithTheCandidacy(t *testing.T) {
	for what, in := range map[string]Input{"disk full": {Kind: InDiskFull, Flag: true},
		"a leader above": heartbeat(1000, 304, 0)} {
		p := recovering(t, wire.RuleReplicated)
		p.step(orderOf(p))
		p.step(in)
		p.persisted()
		p.persisted()
		p.want(p.c.Role() == Follower && p.c.s.order.Members == 0 && p.c.Recovering(), "%s: %v", what, p.c.Role())
	}
}

// Whoever an order listed may take long to fetch the log: its leader waits, but only while they are heard.
func TestRule8LeaderByOrderWaitsForThoseItLists(t *testing.T) {
	p := recovering(t, wire.RuleReplicated)
	ordered(p)
	listed := Peer{2, 2000, 4}
	p.step(Input{Kind: InAlign, From: listed, Term: p.c.Term(), Align: wire.Align{Nonce: 7, LastPage: true, Recovering: true}})
	for range 40 {
		p.now += 50e6
		in := statusOf(2, p.c.Term(), 0, 0)
		in.From, in.Status.Aligned, in.Status.Recovering = listed, 7, true
		p.step(in)
	}
	p.want(p.c.Role() == Leader && p.c.Commit() == 0, "%v, commit %d", p.c.Role(), p.c.Commit())
	in := statusOf(2, p.c.Term(), 536, 0)
	in.From, in.Status.Aligned = listed, 7
	p.step(in)
	p.want(p.c.Commit() == 536, "commit %d with both that hold the record", p.c.Commit())
	p.now += 500e6
	p.step(Input{Kind: InTick})
	p.want(p.c.Role() == Follower && !p.c.Recovering(), "it leads on with nobody there")
}

// An admission that follows is an ordinary record.
func TestRule8AdmissionBehindAnOrderIsNoOrder(t *testing.T) {
	p := recovering(t, wire.RuleReplicated)
	ordered(p)
	p.c.s.commit = 536
	late := Peer{3, 3000, 9}
	p.step(Input{Kind: InAlign, From: late, Term: p.c.Term(), Align: wire.Align{Nonce: 7, LastPage: true, Recovering: true}})
	in := statusOf(3, p.c.Term(), 0, 0)
	in.From, in.Status.Aligned, in.Status.Recovering = late, 7, true
	p.step(in)
	out := p.find(OutAppendConfig)
	p.want(out != nil && !out.Config.ByOperator && member(&out.Config, 3).Run == 9, "%+v", out)
}

// A whole cluster that lost everything unsynced at once goes on by order, with what the newest disk holds.
func TestRule8OrderBringsAClusterBack(t *testing.T) {
	for seed := range uint64(50) {
		c := newCluster(3, wire.RuleReplicated, seed, 1<<16)
		c.advance(1e9)
		c.leader().propose(3, 100)
		c.advance(50e6)
		for i, id := range c.voters {
			c.nodes[id].hold["sync"] = true
			c.nodes[id].crash(wire.Position(seed%8) * 88 * wire.Position(i))
			c.nodes[id].hold["sync"] = false
			c.nodes[id].start()
		}
		c.advance(2e9)
		if c.leader() != nil {
			t.Fatal("a node that may have forgotten leads")
		}
		c.order(c.newest(c.voters), c.voters)
		c.advance(1e9)
		if wrong := c.checkConverged(); wrong != "" || len(c.failures) > 0 {
			t.Fatalf("seed %d: %s %v\n%s", seed, wrong, c.failures, c.status())
		}
		log := c.nodes[1].mem
		if !bytes.Equal(log, c.nodes[2].mem) || !bytes.Equal(log, c.nodes[3].mem) {
			t.Fatal("logs differ")
		}
		if !c.leader().propose(1, 10) {
			t.Fatalf("seed %d: the leader by order takes nothing", seed)
		}
	}
}
