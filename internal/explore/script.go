package explore

import (
	"fmt"
	"strings"

	"lockstep/replica"
)

// script is the way to a state, a line a step: depth, node, what happened, and the three nodes then.
func (x *explorer) script(at uint32) []string {
	var way []step
	for ; at != 0; at = x.steps.at(at).from {
		way = append(way, x.steps.at(at))
	}
	s := x.start
	lines := []string{fmt.Sprintf("%3s  %-52s%s", "", "start", x.picture(&s))}
	for i := range way {
		how := way[len(way)-1-i]
		x.redo(&s, how)
		lines = append(lines, fmt.Sprintf("%3d  %-52s%s", i+1, x.describe(how), x.picture(&s)))
	}
	return append(lines, "     "+x.result.Violation)
}

// redo walks one step again.
func (x *explorer) redo(s *state, how step) {
	var sums hashes
	a := how.action
	if a.kind() == actDeliver || a.kind() == actLose {
		for i, m := range s.net[:s.count] {
			if m == a.arg() {
				x.remove(s, &sums, i)
				break
			}
		}
	}
	var e effect
	switch a.kind() {
	case actLose:
		return
	case actDeliver, actAgain:
		e = *x.t.deliver(s.node[a.node()], a.arg())
	default:
		for _, edge := range x.t.edges(s.node[a.node()]) {
			if edge.action == a {
				e = x.t.effects[edge.effect]
			}
		}
	}
	if e.kind != effectChange {
		return
	}
	s.node[a.node()] = e.node
	for _, m := range x.t.sends[e.sends:][:e.count] {
		x.put(s, &sums, m)
	}
}

// picture is the three nodes in fixed width: role, term, log with marks, commit.
func (x *explorer) picture(s *state) string {
	var b strings.Builder
	for _, n := range s.node {
		e := &x.t.entries[n]
		role := [...]string{"f", "v", "C", "L"}[e.core.Role()]
		var log strings.Builder
		for i, r := range e.sh.log {
			if r == 0 {
				continue
			}
			log.WriteString(r.String())
			if uint8(i+1) == e.sh.synced {
				log.WriteByte('|')
			}
		}
		fmt.Fprintf(&b, " %d%s t%d c%d %-14s", e.sh.id, role, e.core.Term(), records(e.core.Commit()), log.String())
	}
	return strings.TrimRight(b.String(), " ")
}

// describe is a step in words.
func (x *explorer) describe(how step) string {
	a := how.action
	switch a.kind() {
	case actDeliver, actAgain, actLose:
		m := &x.t.messages[a.arg()]
		verb := map[uint8]string{actDeliver: "", actAgain: " (and stays)", actLose: " lost"}[a.kind()]
		return fmt.Sprintf("%d <- %s%s", m.to, m.describe(), verb)
	case actCrash:
		text := fmt.Sprintf("%d crash, %d records survive", a.node()+1, a.arg()&15)
		if a.arg()&crashStored != 0 {
			text += ", vote stored"
		}
		if a.arg()&crashCut != 0 {
			text += ", cut"
		}
		return text
	case actHandOver:
		return fmt.Sprintf("%d hand-over to %d", a.node()+1, a.arg())
	}
	return fmt.Sprintf("%d %s", a.node()+1, actNames[a.kind()])
}

var messageNames = map[uint8]string{
	uint8(replica.InLog): "LOG", uint8(replica.InStatus): "STATUS", uint8(replica.InNak): "NAK",
	uint8(replica.InAlign): "ALIGN", uint8(replica.InAlignAnswer): "ALIGN_ANSWER", uint8(replica.InCanvass): "CANVASS",
	uint8(replica.InCanvassAnswer): "CANVASS_ANSWER", uint8(replica.InVoteRequest): "VOTE_REQUEST",
	uint8(replica.InVote): "VOTE", uint8(replica.InTransfer): "TRANSFER", fetch: "FETCH", chunk: "CHUNK",
}

// describe is a message in words.
func (m *message) describe() string {
	text := fmt.Sprintf("%d %s t%d", m.from, messageNames[m.kind], m.term)
	if m.run > 1 {
		text += fmt.Sprintf(" run %d", m.run)
	}
	switch replica.InputKind(m.kind) {
	case replica.InLog:
		text += fmt.Sprintf(" append %d commit %d", m.append, m.commit)
		if m.count > 0 {
			text += fmt.Sprintf(" [%d] %v", m.at, m.records[0])
		}
	case replica.InStatus:
		text += fmt.Sprintf(" append %d durable %d/%d aligned %x", m.append, m.durable, m.generation, m.nonce>>48)
	case replica.InNak:
		text += fmt.Sprintf(" [%d, %d)", m.at, m.append)
	case replica.InAlign:
		text += fmt.Sprintf(" append %d terms %v", m.append, m.terms[:m.count])
	case replica.InAlignAnswer:
		text += fmt.Sprintf(" cut at %d", m.at)
	case replica.InCanvass, replica.InVoteRequest:
		text += fmt.Sprintf(" append %d of t%d", m.append, m.lastTerm)
		if m.has(flagTransfer) {
			text += " transfer"
		}
	case replica.InCanvassAnswer, replica.InVote:
		text += fmt.Sprintf(" for t%d: %v", m.asked, replica.VoteRefusal(m.reason))
	}
	if m.has(flagRecovering) {
		text += " recovering"
	}
	return text
}
