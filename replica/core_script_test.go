package replica

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"lockstep/wire"
)

// TestScripts runs the protocol scripts of testdata. -rewrite records what they do now: read the difference.
//
// Commands (node=N names a node; "show" prints datagrams too):
//
//	add-nodes n=N [learners=N] [rule=replicated] [ring=BYTES] [snapshot=BYTES] [lead=N] [logs=(1.1.2,..)] [terms=(2,..)] [down=N]
//	                                              a new cluster; lead: that node was elected and all hold all; logs:
//	                                              each begins with the same term and config record, a client record or
//	                                              a term record (where the term rises) for each number follows; terms:
//	                                              what the state files hold; down: that node is not up
//	campaign node=N [quiet]                       its election time-out passes now, by its own clock; quiet: the
//	                                              other followers have not heard the leader for long enough either
//	tick ms=N | us=N [still]                      time passes for all; everything settles (still: only deadlines)
//	work                                          state files, disks and fetches do what is asked of them, once
//	deliver [kind=K] [from=N] [to=N] [count=N] [drop|dup|reorder|keep]
//	                                              no argument: all that is under way, until nothing is; else only
//	                                              what matches, which is dropped, delivered twice, newest first, or
//	                                              delivered and under way still
//	propose node=N [count=N] [size=N]             client records
//	crash node=N [keep=POSITION] | stop | restart | wipe [reseed]
//	partition from=N to=N | heal                  one way
//	hold node=N what=persist|sync|cut|fetch | release
//	report node=N position=P generation=G         the journal's word comes late, or again
//	applied node=N at=POSITION hash=H             its services report their hash at a fixed point
//	snapshot node=N [leader]                      an operator asks for a snapshot
//	wrong | right node=N                          its services come to other states than they should
//	disk-full | disk-space | skew | hand-over node=N [to=N]
//	recover node=N [asked=(N,N)]                  an operator's order to lead, after asking these nodes (all that are up)
//	status | log node=N | refused node=N
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.run(t, d) })
	})
}

var scriptID = regexp.MustCompile(`^([elp][0-9]+)_`)

// A script begins with what it plays. One whose name begins with a fault's id says so, and the documents list each.
func TestScriptsSayWhatTheyPlay(t *testing.T) {
	list := readText(t, "../docs/testing.md") + readText(t, "../docs/consensus.md")
	files, err := os.ReadDir("testdata/scripts")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, f := range files {
		head, _, _ := strings.Cut(readText(t, "testdata/scripts/"+f.Name()), "\n\n")
		if !strings.HasPrefix(head, "# ") {
			t.Errorf("%s does not begin with what it plays", f.Name())
		}
		name := strings.TrimSuffix(f.Name(), ".txt")
		id := scriptID.FindStringSubmatch(name)
		if id != nil && !strings.Contains(head, "ault "+strings.ToUpper(id[1])) {
			t.Errorf("%s does not name its fault, %s", f.Name(), strings.ToUpper(id[1]))
		}
		if id != nil && !strings.Contains(list, "`"+name+"`") {
			t.Errorf("the table of scenarios in docs/testing.md does not list the script `%s`", name)
		}
		if listed := regexp.MustCompile(`\b` + name + `\b`); !listed.MatchString(list) {
			t.Errorf("neither docs/testing.md nor docs/consensus.md lists the script %s", name)
		}
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// script is one run of a script.
type script struct {
	c    *cluster
	out  strings.Builder
	show bool
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	s.show = d.HasArg("show")
	if d.Cmd == "add-nodes" {
		s.addNodes(t, d)
		return s.c.status()
	}
	s.command(t, d)
	for _, f := range s.c.failures {
		t.Errorf("%s: %s", d.Pos, f)
	}
	if s.out.Len() == 0 {
		return "ok"
	}
	return s.out.String()
}

func (s *script) addNodes(t *testing.T, d *datadriven.TestData) {
	n, ring, rule := 3, 1<<16, "durable"
	d.MaybeScanArgs(t, "n", &n)
	d.MaybeScanArgs(t, "ring", &ring)
	learners := 0
	d.MaybeScanArgs(t, "learners", &learners)
	d.MaybeScanArgs(t, "rule", &rule)
	rules := map[string]wire.CommitRule{"durable": wire.RuleDurable, "replicated": wire.RuleReplicated}
	s.c = newClusterOf(n, learners, rules[rule], 1, uint64(ring))
	snapshot := 0
	d.MaybeScanArgs(t, "snapshot", &snapshot)
	if s.c.snapshot = uint64(snapshot); snapshot > 0 {
		for _, id := range s.c.all {
			s.c.nodes[id].disk.run--
			s.c.nodes[id].start()
		}
	}
	s.begin(t, d)
	s.c.trace = func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		if s.show || !strings.Contains(line, "->") {
			fmt.Fprintln(&s.out, line)
		}
	}
}

// begin brings a new cluster to where a script begins.
func (s *script) begin(t *testing.T, d *datadriven.TestData) {
	c := s.c
	var lead, down int
	var terms []int
	d.MaybeScanArgs(t, "lead", &lead)
	d.MaybeScanArgs(t, "down", &down)
	for _, arg := range d.CmdArgs {
		if arg.Key == "logs" {
			c.restartWith(arg.Vals)
		}
	}
	d.MaybeScanArgs(t, "terms", &terms)
	for i, term := range terms {
		n := c.nodes[i+1]
		n.disk.term, n.disk.run = wire.Term(term), n.disk.run-1
		n.start()
	}
	if down > 0 {
		c.nodes[down].up = false
	}
	if lead > 0 {
		n := c.nodes[lead]
		n.skew += n.core.s.timers[timerElection] - n.now()
		n.step(Input{Kind: InTick})
		c.advance(30e6)
	}
}

func (s *script) command(t *testing.T, d *datadriven.TestData) {
	c := s.c
	var id, count, size = 0, 1, 40
	d.MaybeScanArgs(t, "node", &id)
	d.MaybeScanArgs(t, "count", &count)
	d.MaybeScanArgs(t, "size", &size)
	n := c.nodes[id]
	switch d.Cmd {
	case "campaign":
		if d.HasArg("quiet") {
			c.silence(n)
		}
		n.skew += n.core.s.timers[timerElection] - n.now()
		n.step(Input{Kind: InTick})
	case "tick":
		ms, us := 0, 0
		d.MaybeScanArgs(t, "ms", &ms)
		d.MaybeScanArgs(t, "us", &us)
		if ns := int64(ms)*1e6 + int64(us)*1e3; d.HasArg("still") {
			c.nowNs += ns
			c.tick()
		} else {
			c.advance(ns)
		}
	case "work":
		c.work()
	case "deliver":
		s.deliver(t, d)
	case "propose":
		if !n.propose(count, size) {
			s.out.WriteString("refused\n")
		}
	case "crash":
		keep := 0
		d.MaybeScanArgs(t, "keep", &keep)
		n.crash(wire.Position(keep))
	case "stop":
		n.stop()
	case "restart":
		n.start()
	case "wipe":
		n.wipe(d.HasArg("reseed"))
	case "status":
		s.out.WriteString(c.status())
	case "log":
		s.out.WriteString(n.records())
	case "refused":
		for r := range NumRefusals {
			if k := n.core.Refused(r); k > 0 {
				fmt.Fprintf(&s.out, "%v %d\n", r, k)
			}
		}
	default:
		s.fault(t, d, n)
	}
}

// fault runs the commands that break things and mend them.
func (s *script) fault(t *testing.T, d *datadriven.TestData, n *testNode) {
	c := s.c
	switch d.Cmd {
	case "partition":
		var from, to int
		d.ScanArgs(t, "from", &from)
		d.ScanArgs(t, "to", &to)
		c.blocked[from][to] = true
	case "step-down": // the leader has not heard a majority for an election time-out
		for n.core.Role() == Leader {
			n.skew += n.core.s.timers[timerQuorum] - n.now()
			n.step(Input{Kind: InTick})
		}
	case "heal":
		c.blocked = [wire.MaxNodes + 1][wire.MaxNodes + 1]bool{}
	case "hold", "release":
		what := ""
		d.ScanArgs(t, "what", &what)
		n.hold[what] = d.Cmd == "hold"
	case "report":
		var position, generation int
		d.ScanArgs(t, "position", &position)
		d.ScanArgs(t, "generation", &generation)
		n.step(Input{Kind: InDurable, Position: wire.Position(position), Generation: uint64(generation)})
	case "applied":
		var at, hash int
		d.ScanArgs(t, "at", &at)
		d.ScanArgs(t, "hash", &hash)
		n.step(Input{Kind: InApplied, Position: n.core.Commit(), HashPosition: wire.Position(at), Hash: uint64(hash)})
	case "snapshot":
		n.step(Input{Kind: InSnapshot, Flag: d.HasArg("leader")})
	case "wrong", "right":
		n.wrong = d.Cmd == "wrong"
	case "disk-full", "disk-space":
		n.step(Input{Kind: InDiskFull, Flag: d.Cmd == "disk-full"})
	case "disk-hung", "disk-goes-on":
		n.step(Input{Kind: InDiskHung, Flag: d.Cmd == "disk-hung"})
	case "skew", "no-skew":
		n.step(Input{Kind: InClockSkew, Flag: d.Cmd == "skew"})
	case "hand-over":
		to := 0
		d.MaybeScanArgs(t, "to", &to)
		n.step(Input{Kind: InHandOver, Node: wire.NodeID(to)})
	case "recover":
		var asked []wire.NodeID
		for _, arg := range d.CmdArgs {
			if arg.Key == "asked" {
				for i := range arg.Vals {
					var id int
					arg.Scan(t, i, &id)
					asked = append(asked, wire.NodeID(id))
				}
			}
		}
		c.order(n, asked)
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
}

// deliver hands over what matches the arguments; without arguments everything, until nothing is under way.
func (s *script) deliver(t *testing.T, d *datadriven.TestData) {
	c := s.c
	var kind string
	var from, to int
	count := 1 << 30
	d.MaybeScanArgs(t, "kind", &kind)
	d.MaybeScanArgs(t, "from", &from)
	d.MaybeScanArgs(t, "to", &to)
	d.MaybeScanArgs(t, "count", &count)
	if kind == "" && from == 0 && to == 0 {
		c.settle()
		return
	}
	var match, rest []datagram
	for _, x := range c.net {
		if (kind == "" || strings.Fields(describe(&x))[2] == kind) &&
			len(match) < count && (from == 0 || int(x.from) == from) && (to == 0 || int(x.to) == to) {
			match = append(match, x)
		} else {
			rest = append(rest, x)
		}
	}
	c.net = rest
	if d.HasArg("drop") {
		fmt.Fprintf(&s.out, "dropped %d\n", len(match))
		return
	}
	if d.HasArg("reorder") {
		slices.Reverse(match)
	}
	for _, x := range match {
		c.deliver(x)
		if d.HasArg("dup") {
			c.deliver(x)
		}
	}
	if d.HasArg("keep") {
		c.net = append(match, c.net...)
	}
}

// silence lets as much time pass for the other followers as they defend a leader for.
func (c *cluster) silence(but *testNode) {
	for _, id := range c.all {
		if n := c.nodes[id]; n != but && n.core.Role() != Leader {
			n.skew += c.options(id).ElectionTimeoutMinNs
		}
	}
}

// records prints a node's log.
func (n *testNode) records() string {
	var b strings.Builder
	var at wire.Chain
	for at.Position < n.chain.Position {
		var r wire.Record
		start := at.Position
		at.Verify(n.mem[start:], &r)
		payload := wire.Payload(n.mem[start:], &r)
		text := string(slices.DeleteFunc(slices.Clone(payload), func(x byte) bool { return x == 0 }))
		if r.Kind == wire.RecordTerm {
			var x wire.TermRecord
			x.Decode(payload)
			text = fmt.Sprintf("leader=%d run=%d", x.Leader, x.Run)
		} else if r.Kind == wire.RecordSnapshot {
			var x wire.SnapshotRecord
			x.Decode(payload)
			text = strings.TrimSpace(describeSnapshot(&x))
		} else if r.Kind == wire.RecordConfig {
			var x wire.Config
			x.Decode(payload)
			text = fmt.Sprintf("rule=%v", x.Rule)
			for _, m := range x.Member[:x.Members] {
				text += fmt.Sprintf(" %d:%d/%d", m.Node, m.Incarnation, m.Run)
			}
		}
		fmt.Fprintf(&b, "[%d,%d) t%d %v %s\n", start, at.Position, r.Term, r.Kind, text)
	}
	return b.String()
}

// describe prints a datagram in one line.
func describe(d *datagram) string {
	in := &d.in
	head := fmt.Sprintf("%d->%d t%d ", d.from, d.to, in.Term)
	switch in.Kind {
	case InLog:
		if len(d.bytes) == 0 {
			return head + fmt.Sprintf("LOG append=%d commit=%d", in.Log.Append, in.Log.Commit)
		}
		return head + fmt.Sprintf("LOG [%d,%d) append=%d commit=%d", in.Log.Position,
			int(in.Log.Position)+len(d.bytes), in.Log.Append, in.Log.Commit)
	case InStatus:
		st := &in.Status
		return head + fmt.Sprintf("STATUS append=%d durable=%d%s", st.Append, st.Durable,
			words("unaligned", st.Aligned == 0, "recovering", st.Recovering, "unfit", st.Unfit))
	case InNak:
		return head + fmt.Sprintf("NAK [%d,%d)", in.Nak.From, in.Nak.To)
	case InAlign:
		return head + fmt.Sprintf("ALIGN append=%d page=%d terms=%s%s", in.Align.Append, in.Align.Page,
			termStarts(in.Terms), words("last", in.Align.LastPage, "recovering", in.Align.Recovering))
	case InAlignAnswer:
		if !in.AlignAnswer.Found {
			return head + fmt.Sprintf("ALIGN_ANSWER next page=%d", in.AlignAnswer.NextPage)
		}
		return head + fmt.Sprintf("ALIGN_ANSWER cut=%d", in.AlignAnswer.Cut)
	case InCanvass, InVoteRequest:
		name := "CANVASS"
		if in.Kind == InVoteRequest {
			name = "VOTE_REQUEST"
		}
		return head + fmt.Sprintf("%s append=%d last-term=%d%s", name, in.Ballot.Append, in.Ballot.LastTerm,
			words("transfer", in.Ballot.Transfer))
	case InCanvassAnswer, InVote:
		name := "CANVASS_ANSWER"
		if in.Kind == InVote {
			name = "VOTE"
		}
		return head + fmt.Sprintf("%s of t%d %s%s", name, in.Answer.Term, VoteRefusal(in.Answer.Reason),
			words("recovering", in.Answer.Recovering))
	case InTransfer:
		return head + fmt.Sprintf("TRANSFER append=%d", in.Position)
	case InDiverged:
		return head + fmt.Sprintf("DIVERGED at=%d hash=%x majority=%x", in.Diverged.Position, in.Diverged.Hash,
			in.Diverged.Majority)
	}
	return head + "unknown"
}

func describeSnapshot(x *wire.SnapshotRecord) string {
	text := words("take", x.Take, "leader", x.Leader)
	if x.Verified > 0 {
		text += fmt.Sprintf(" verified=%d", x.Verified)
	}
	return text
}

// words joins the names whose flag is true, each behind a space: name, flag, name, flag ...
func words(pairs ...any) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1].(bool) {
			fmt.Fprintf(&b, " %s", pairs[i])
		}
	}
	return b.String()
}

func termStarts(terms []wire.TermStart) string {
	var b []string
	for _, t := range terms {
		b = append(b, fmt.Sprintf("%d@%d", t.Term, t.Start))
	}
	return "[" + strings.Join(b, " ") + "]"
}

// status prints one line a node.
func (c *cluster) status() string {
	var b strings.Builder
	for _, id := range c.all {
		n := c.nodes[id]
		k := n.core
		if !n.up {
			fmt.Fprintf(&b, "%d: down%s\n", id, words("stopped: "+n.stopped, n.stopped != ""))
			continue
		}
		fmt.Fprintf(&b, "%d: %v t%d leader=%d append=%d durable=%d commit=%d terms=%s%s\n", id, k.Role(), k.Term(),
			k.Leader(), k.Append(), k.s.durable, k.Commit(), termStarts(k.terms),
			words("aligned", k.Aligned(), "recovering", k.Recovering(), "cutting", k.s.follow.cutting,
				"disk-full", k.s.diskFull, "disk-hung", k.s.diskHung, "skewed", k.s.skewed, "handing-over", k.HandingOver(),
				"disputed", k.Disputed() != 0, "snapshot-disputed", k.SnapshotDisputed() != 0,
				fmt.Sprintf("verified=%d", k.Verified()), k.Verified() != 0))
	}
	return b.String()
}
