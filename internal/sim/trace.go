package sim

import (
	"fmt"
	"io"

	"lockstep/service"
	"lockstep/wire"
)

const traceLines = 4000

// line is one event as the trace keeps it.
type line struct {
	atNs                     int64
	what                     string
	who, agent               int
	a, b, c                  uint64
	role                     uint8
	term                     wire.Term
	append, commit, durable  uint64
	applied                  uint64
	recovering, aligned, has bool
}

// trace is the last events, and a hash over all of them.
type trace struct {
	silent bool // keep no lines, the hash alone
	lines  []line
	events uint64
	hash   uint64
}

func (t *trace) put(l line) {
	h := service.Mix(t.hash, uint64(l.atNs))
	h = service.Mix(h, uint64(l.who)<<32^uint64(l.agent+1)<<16^uint64(len(l.what)))
	h = service.Mix(h, l.a^l.b<<20^l.c<<40)
	if l.has {
		h = service.Mix(h, uint64(l.role)^uint64(l.term)<<8^l.append<<24)
		h = service.Mix(h, l.commit^l.durable<<20^l.applied<<40)
	}
	t.hash = h
	if t.silent {
		t.events++
		return
	}
	if len(t.lines) < traceLines {
		t.lines = append(t.lines, l)
	} else {
		t.lines[t.events%traceLines] = l
	}
	t.events++
}

func (t *trace) add(w *World, what string, who, agent int, a, b, c uint64) {
	t.put(line{atNs: w.nowNs, what: what, who: who, agent: agent, a: a, b: b, c: c})
}

var agentNames = [numAgents]string{"vote", "mark", "journal", "node", "scrub", "keeper"}

// agent notes a turn, with where the node stands after it.
func (t *trace) agent(m *member, i, work int) {
	l := line{atNs: m.w.nowNs, what: agentNames[i], who: int(m.id), agent: i, a: uint64(work)}
	if p := m.process; p != nil {
		c := p.in.Core
		l.has, l.role, l.term, l.append, l.commit = true, uint8(c.Role()), c.Term(), uint64(c.Append()), uint64(c.Commit())
		l.durable, l.applied = p.durable.Load(), uint64(p.in.Progress.Applied())
		l.recovering, l.aligned = c.Recovering(), c.Aligned()
	}
	t.put(l)
}

var roleLetters = "fcxL?"

// write prints the last events, the oldest first, at most so many.
func (t *trace) write(out io.Writer, most int) {
	n := min(len(t.lines), most)
	for k := range n {
		l := &t.lines[(int(t.events)-n+k)%len(t.lines)]
		if !l.has {
			fmt.Fprintf(out, "%13.6f  %2d %-8s %d %d %d\n", float64(l.atNs)/1e6, l.who, l.what, l.a, l.b, l.c)
			continue
		}
		marks := []byte("..")
		if l.recovering {
			marks[0] = 'R'
		}
		if l.aligned {
			marks[1] = 'A'
		}
		fmt.Fprintf(out, "%13.6f  %2d %-8s %c%s term %3d append %8d commit %8d durable %8d applied %8d work %d\n",
			float64(l.atNs)/1e6, l.who, l.what, roleLetters[min(int(l.role), 4)], marks, l.term, l.append, l.commit, l.durable,
			l.applied, l.a)
	}
}
