package replica

import (
	"math"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// Identity and admission. Rules 8 and 14 of docs/consensus.md.

// maxConfigs is how many config records a core remembers: the newest. A cut may go back to an older one.
const maxConfigs = 8

// configHistory is the newest config records of the log, oldest first. Entries from n on are zero.
type configHistory struct {
	n    int
	from wire.Position // every config record that ends past here is in at, or was forgotten by a cut
	at   [maxConfigs]wire.ConfigAt
}

// restore takes what the directory knew.
func (h *configHistory) restore(r *Restored) {
	for _, at := range r.Earlier {
		h.add(&at)
	}
	if r.Config.Members == 0 {
		return
	}
	h.add(&wire.ConfigAt{End: r.ConfigPosition, Config: r.Config})
	if !r.EarlierAll {
		h.from = h.at[0].End
	}
}

// last is the newest config record in the log, nil before the first.
func (h *configHistory) last() *wire.ConfigAt {
	if h.n == 0 {
		return nil
	}
	return &h.at[h.n-1]
}

func (h *configHistory) add(at *wire.ConfigAt) {
	if h.n == maxConfigs {
		copy(h.at[:], h.at[1:])
		h.n--
		h.from = h.at[0].End
	}
	h.at[h.n] = *at
	h.n++
}

// cut forgets the records that end past p; false when what is the newest now is not known.
func (h *configHistory) cut(p wire.Position) bool {
	for h.n > 0 && h.at[h.n-1].End > p {
		h.n--
		h.at[h.n] = wire.ConfigAt{}
	}
	return h.n > 0 || h.from == 0 || p == 0
}

// member is the entry of node n, nil if it has none.
func member(config *wire.Config, n wire.NodeID) *wire.ConfigMember {
	for i := range config.Member[:config.Members] {
		if config.Member[i].Node == n {
			return &config.Member[i]
		}
	}
	return nil
}

// lists says whether the newest config record admits an incarnation of a node.
func (c *Core) lists(n wire.NodeID, incarnation uint64) bool {
	last := c.s.configs.last()
	if last == nil || incarnation == 0 {
		return false
	}
	m := member(&last.Config, n)
	return m != nil && m.Incarnation == incarnation
}

// mayCount says whether a vote counts. For a log without a config record, which holds nothing committed, any
// incarnation's does. Else the config must list it; and a voter without proof of that in its own log may be one that
// was wiped, whose admission is not committed yet: it counts only if all configs from the first on list it.
func (c *Core) mayCount(n wire.NodeID, p *peer, unproven bool) bool {
	h := &c.s.configs
	if h.n == 0 || simbug.On(simbug.CountForeignIncarnation) {
		return true
	}
	if !p.admitted || unproven && h.from > 0 {
		return false
	}
	for i := range h.at[:h.n] {
		if m := member(&h.at[i].Config, n); unproven && (m == nil || m.Incarnation != p.incarnation) {
			return false
		}
	}
	return true
}

// onConfig takes a config record that is being appended.
func (c *Core) onConfig(in *Input) {
	s := &c.s
	if last := s.configs.last(); last != nil && in.Position <= last.End {
		c.refuse(RefusedReport)
		return
	}
	if in.Config.Digest() != c.digest {
		c.stop("a config record says otherwise than this node's file: correct the file")
		return
	}
	s.configs.add(&wire.ConfigAt{End: in.Position, Config: in.Config})
	s.lead.asked = false
	c.applyConfig()
}

// applyConfig looks anew at who is admitted. A node that the config does not list may be one that was wiped: it
// counts as recovering until it is admitted.
func (c *Core) applyConfig() {
	s := &c.s
	for n := range s.peers {
		p := &s.peers[n]
		p.admitted = c.lists(wire.NodeID(n), p.incarnation)
		if !p.admitted {
			c.uncount(wire.NodeID(n))
		}
	}
	if s.configs.n > 0 && !c.learns() && !c.lists(s.self.Node, s.self.Incarnation) {
		s.unlisted = true
	}
}

// learns says whether this node is a learner.
func (c *Core) learns() bool { return c.learner[c.s.self.Node&wire.MaxNodes] }

// sender looks at which voter sent a message; nil, and counted, when it is to be dropped.
func (c *Core) sender(from *Peer) *peer {
	if from.Node > wire.MaxNodes || !c.voter[from.Node] {
		c.refuse(RefusedSender)
		return nil
	}
	return c.follower(from)
}

// follower is sender for what learners send as well.
func (c *Core) follower(from *Peer) *peer {
	s := &c.s
	if from.Node > wire.MaxNodes || !c.voter[from.Node] && !c.learner[from.Node] || from.Node == s.self.Node {
		c.refuse(RefusedSender)
		return nil
	}
	p := &s.peers[from.Node]
	if p.incarnation != from.Incarnation || p.run != from.Run {
		if !c.identify(p, from) {
			return nil
		}
	}
	p.identityNs = s.nowNs
	return p
}

// identify takes a node's new run, or its new incarnation once the one known is silent; false, and counted, when the
// message is of a process that is over.
func (c *Core) identify(p *peer, from *Peer) bool {
	s := &c.s
	if p.incarnation == from.Incarnation {
		if from.Run < p.run {
			c.refuse(RefusedRun)
			return false
		}
	} else {
		if p.incarnation != 0 && s.nowNs-p.identityNs < c.o.ElectionTimeoutMinNs {
			c.refuse(RefusedIncarnation)
			return false
		}
		if last := s.configs.last(); last != nil {
			m := member(&last.Config, from.Node)
			if m != nil && m.Incarnation == from.Incarnation && from.Run < m.Run {
				c.refuse(RefusedRun)
				return false
			}
		}
		*p = peer{incarnation: from.Incarnation, heardNs: math.MinInt64 / 2}
	}
	p.run = from.Run
	p.answered, p.granted = false, false
	p.admitted = c.lists(from.Node, from.Incarnation)
	c.openProgress(from.Node, 0)
	return true
}

// admit (leader) has a config record appended that admits this process of a node that may have forgotten, or that the
// config does not list. It counts only when that record is committed without it, and it holds it: then it says so.
func (c *Core) admit(n wire.NodeID, p *peer) {
	s := &c.s
	last := s.configs.last()
	if s.lead.countFrom == 0 || s.lead.asked || s.lead.target != 0 || last == nil || last.End > s.commit {
		return
	}
	m := member(&last.Config, n)
	if m == nil || m.Incarnation == p.incarnation && m.Run == p.run {
		return
	}
	s.lead.asked = true
	out := c.emit(OutAppendConfig)
	out.Config = last.Config
	out.Config.ByOperator = false
	m = member(&out.Config, n)
	m.Incarnation, m.Run = p.incarnation, p.run
}

// firstConfig is the config record of a log that has none: it lists the incarnations that voted.
func (c *Core) firstConfig() {
	s := &c.s
	s.lead.asked = true
	out := c.emit(OutAppendConfig)
	out.Config = c.o.Config()
	for i := range out.Config.Member[:out.Config.Members] {
		m := &out.Config.Member[i]
		if p := &s.peers[m.Node]; p.granted {
			m.Incarnation, m.Run = p.incarnation, p.run
		}
		if m.Node == s.self.Node {
			m.Incarnation, m.Run = s.self.Incarnation, s.self.Run
		}
	}
}

// maybeRecovered ends recovering: a config record admits this process, that is committed, and this node holds all up
// to there (under rule durable: has synced it). A newer record, not committed yet, must not say otherwise. The record of
// an operator's order need not be committed: those that it lists commit it, as the first config record of a log.
func (c *Core) maybeRecovered() {
	s := &c.s
	if !c.Recovering() || !c.Aligned() {
		return
	}
	for i := s.configs.n - 1; i >= 0; i-- {
		at := &s.configs.at[i]
		m := member(&at.Config, s.self.Node)
		if m == nil || m.Incarnation != s.self.Incarnation || s.amnesia && m.Run != s.self.Run {
			return
		}
		held := at.End <= s.append && (c.o.Rule == wire.RuleReplicated || at.End <= s.durable)
		if held && (at.End <= s.commit || at.Config.ByOperator) {
			s.amnesia, s.unlisted = false, false
			c.sendStatus()
			return
		}
	}
}
