package explore

import (
	"lockstep/replica"
	"lockstep/wire"
)

// What must always hold between nodes, checked in every state.

// brief is what of a node is held against the others.
type brief struct {
	leading    bool
	term       uint8
	n          uint8 // verified records
	synced     uint8
	durable    uint8 // records that a leader says a majority has synced
	committed  uint8
	led        uint16
	log        [maxRecords]record
	commits    [maxRecords]record
	commitTerm [maxRecords]uint8
}

func (s *site) brief() brief {
	sh := &s.sh
	return brief{leading: s.core.Role() == replica.Leader, term: uint8(s.core.Term()), n: sh.n, synced: sh.synced,
		durable: records(s.core.Durable()), committed: sh.committed, led: sh.led, log: sh.log, commits: sh.commits,
		commitTerm: sh.commitTerm}
}

// holds says whether the first n records of a node's disk are those of log.
func (b *brief) holds(log *[maxRecords]record, n uint8) bool {
	if b.synced < n {
		return false
	}
	for i := range n {
		if b.log[i] != log[i] {
			return false
		}
	}
	return true
}

// check holds the nodes of a state against each other; "" when all is well.
func (t *tables) check(nodes *[Nodes]uint32) string {
	w := t.site.w
	var all [Nodes]*brief
	for i, n := range nodes {
		all[i] = &t.briefs[n]
	}
	for i, a := range all {
		for j, b := range all {
			if i == j {
				continue
			}
			if i < j {
				if why := match(a, b); why != "" {
					return why
				}
			}
			if a.leading && !complete(a, b) {
				return "leader completeness: a leader lacks what was committed in an earlier term"
			}
		}
		if a.leading && !complete(a, a) {
			return "leader completeness: a leader lacks what it knew to be committed"
		}
		if w.Wipes == 0 && !majority(&all, &a.log, a.durable) {
			return "what a leader calls durable is not synced at a majority"
		}
		if w.Rule == wire.RuleDurable && w.Wipes == 0 && !majority(&all, &a.commits, a.committed) {
			return "what is committed is not synced at a majority"
		}
	}
	return ""
}

// majority says whether a majority has synced the first n records of log.
func majority(all *[Nodes]*brief, log *[maxRecords]record, n uint8) bool {
	count := 0
	for _, b := range all {
		if b.holds(log, n) {
			count++
		}
	}
	return count > Nodes/2
}

// match holds two nodes' leaderships, logs and commits against each other.
func match(a, b *brief) string {
	if a.led&b.led != 0 {
		return "two leaders in one term"
	}
	same := true
	for i := range min(a.n, b.n) {
		if a.log[i] == b.log[i] {
			if !same {
				return "log matching: equal records after different ones"
			}
			continue
		}
		same = false
		if a.log[i].term() == b.log[i].term() {
			return "log matching: different records of one term at one position"
		}
	}
	for i := range min(a.committed, b.committed) {
		if a.commits[i] != b.commits[i] {
			return "two nodes know different records to be committed"
		}
	}
	return ""
}

// complete says whether a leader holds what another node learned to be committed in an earlier term.
func complete(leader, b *brief) bool {
	for i := range b.committed {
		if b.commitTerm[i] < leader.term && (i >= leader.n || leader.log[i] != b.commits[i]) {
			return false
		}
	}
	return true
}
