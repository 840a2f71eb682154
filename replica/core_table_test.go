package replica

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"lockstep/wire"
)

// Every role says what it does with every input: a handler, or a refusal by name.
func TestEveryCellIsAHandlerOrARefusal(t *testing.T) {
	for role := range numRoles {
		for kind := range numInputs {
			cell := &cells[role][kind]
			if (cell.handle == nil) == (cell.refusal == RefusedNone) {
				t.Errorf("%v, input %d: want a handler or a refusal, one of the two", role, kind)
			}
		}
	}
	core := newProbe(t, wire.RuleDurable, Restored{}).c
	core.Step(0, &Input{Kind: numInputs})
	if core.Refused(RefusedMalformed) != 1 {
		t.Error("an unknown kind of input is not refused")
	}
}

// What the table refuses is counted under that name, changes nothing and leaves nothing; what it handles is taken
// whatever its fields are, and some of it does something.
func TestEveryCellDoesWhatItSays(t *testing.T) {
	const rounds = 200
	rng := rand.New(rand.NewPCG(3, 1))
	for role := range numRoles {
		at := inRole(t, role)
		for kind := range numInputs {
			cell := &cells[role][kind]
			seen := false // that this input did something, or was refused
			for range rounds {
				core := at.Clone()
				in := randomInput(rng, kind)
				var before [NumRefusals]uint64
				copy(before[:], core.refused[:])
				outs := core.Step(core.s.nowNs, &in)
				refused := core.refused != before
				seen = seen || refused || len(outs) > 0 || !core.Equal(at)
				if cell.handle != nil {
					continue
				}
				before[cell.refusal]++
				if core.refused != before || len(outs) > 0 || !core.Equal(at) {
					t.Fatalf("%v, input %d: not just refused as %v", role, kind, cell.refusal)
				}
			}
			if !seen && kind != InTick {
				t.Errorf("%v, input %d: nothing that it was given did anything or was refused", role, kind)
			}
		}
	}
}

// inRole is a core of term 2 or 1 in a role.
func inRole(t *testing.T, role Role) *Core {
	p := newProbe(t, wire.RuleDurable, Restored{})
	switch role {
	case Canvassing, Candidate:
		p.now = 300e6
		p.step(Input{Kind: InTick})
		if role == Candidate {
			p.step(Input{Kind: InCanvassAnswer, From: other(2), Answer: wire.BallotAnswer{Term: 1, Granted: true}})
		}
	case Leader:
		p.lead()
	}
	p.want(p.c.Role() == role, "%v, want %v", p.c.Role(), role)
	return p.c
}

// randomInput is an input of a kind with any small fields, from nobody, a stranger or a voter.
func randomInput(rng *rand.Rand, kind InputKind) Input {
	position := func() wire.Position { return wire.Position(rng.IntN(4) * firstTerm) }
	term := func() wire.Term { return wire.Term(rng.IntN(4)) }
	yes := func() bool { return rng.IntN(2) == 0 }
	in := Input{Kind: kind, Flag: yes(), From: other(wire.NodeID(rng.IntN(5))), Term: term(), LastTerm: term(),
		Node: wire.NodeID(rng.IntN(5)), Position: position(), Generation: rng.Uint64N(3)}
	in.From.Run = uint32(rng.IntN(3))
	in.Log = wire.Log{Position: position(), Append: position(), Commit: position(), Floor: position()}
	in.LogLength = rng.IntN(3) * firstTerm
	in.Status = wire.Status{Aligned: rng.Uint64N(4), Append: position(), Durable: position(), Recovering: yes(),
		Generation: rng.Uint64N(2), Unfit: yes()}
	in.Diverged = wire.Diverged{Position: position(), Hash: rng.Uint64N(3), Majority: rng.Uint64N(3)}
	in.HashPosition, in.Hash = position(), rng.Uint64N(3)
	in.Status.HashPosition, in.Status.Hash = position(), rng.Uint64N(3)
	in.Nak = wire.Nak{From: position(), To: position()}
	in.Align = wire.Align{Nonce: rng.Uint64N(3), Append: position(), Floor: position(), Page: uint32(rng.IntN(2)),
		LastPage: yes(), Recovering: yes()}
	for t := term(); t > 0; t-- {
		in.Terms = append(in.Terms, wire.TermStart{Term: t, Start: position()})
	}
	in.AlignAnswer = wire.AlignAnswer{Nonce: rng.Uint64N(3), Cut: position(), NextPage: uint32(rng.IntN(2)), Found: yes()}
	o := testOptions(wire.RuleDurable)
	in.Config = o.Config()
	in.Ballot = wire.Ballot{Append: position(), LastTerm: term(), Transfer: yes()}
	if yes() {
		in.Ballot.ConfigDigest = in.Config.Digest()
	}
	in.Answer = wire.BallotAnswer{Term: term(), Granted: yes(), Recovering: yes()}
	return in
}

// The document shows the table as it is.
func TestDocumentShowsTheTable(t *testing.T) {
	document, err := os.ReadFile("../docs/consensus.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| input | follower | canvassing | candidate | leader |\n|---|---|---|---|---|\n")
	for kind := range numInputs {
		table.WriteString("| " + inputNames[kind])
		for role := range numRoles {
			text := "taken"
			if cell := &cells[role][kind]; cell.handle == nil {
				text = "`" + cell.refusal.String() + "`"
			}
			table.WriteString(" | " + text)
		}
		table.WriteString(" |\n")
	}
	if !strings.Contains(string(document), table.String()) {
		t.Errorf("docs/consensus.md has another table than:\n%s", table.String())
	}
}

// No rule is without a test, and none that is pending without its reason.
func TestDocumentHasTestsOfEveryRule(t *testing.T) {
	document := readText(t, "../docs/consensus.md")
	for rule := 1; rule <= 17; rule++ {
		rows := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d \| .*$`, rule)).FindAllString(document, -1)
		if len(rows) != 1 || !strings.Contains(rows[0], "`Test") && !strings.Contains(rows[0], "pending: ") {
			t.Errorf("docs/consensus.md: not one row of tests that hold rule %d: %q", rule, rows)
		}
	}
}

var inputNames = [numInputs]string{"tick", "LOG", "STATUS", "NAK", "ALIGN", "ALIGN_ANSWER", "CANVASS", "CANVASS_ANSWER",
	"VOTE_REQUEST", "VOTE", "TRANSFER", "term and vote stored", "records appended", "a term begins", "config record",
	"synced", "cut done", "applied", "caught up", "catch-up failed", "disk full", "disk hung", "clock skew", "hand-over",
	"order to lead", "DIVERGED", "snapshot"}

func TestNamesAreThereAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for r := range NumRefusals {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("refusal %d: name %q", r, r)
		}
		seen[r.String()] = true
	}
	for v := range numVoteRefusals {
		if v.String() == "" {
			t.Errorf("vote refusal %d has no name", v)
		}
	}
}

// Whatever part of the state changes, equality and hash notice.
func TestHashAndEqualSeeEveryField(t *testing.T) {
	o := testOptions(wire.RuleDurable)
	core := NewCore(o, Restored{Incarnation: 1, Run: 1, Config: o.Config(), ConfigPosition: 8,
		Terms: []wire.TermStart{{Start: 1, Term: 1}}}, 0)
	hash := core.Hash()
	changed := 0
	var visit func(name string, pick func(*Core) reflect.Value)
	visit = func(name string, pick func(*Core) reflect.Value) {
		v := pick(core)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				visit(name+"."+v.Type().Field(i).Name, func(c *Core) reflect.Value { return pick(c).Field(i) })
			}
		case reflect.Array, reflect.Slice:
			for i := range v.Len() {
				visit(name, func(c *Core) reflect.Value { return pick(c).Index(i) })
			}
		default:
			d := core.Clone()
			flip(pick(d))
			if d.Hash() == hash || d.Equal(core) {
				t.Errorf("%s is not part of hash and equality", name)
			}
			changed++
		}
	}
	visit("state", func(c *Core) reflect.Value { return reflect.ValueOf(c).Elem().FieldByName("s") })
	visit("terms", func(c *Core) reflect.Value { return reflect.ValueOf(c).Elem().FieldByName("terms") })
	if core.Hash() != hash {
		t.Error("a clone shares state")
	}
	if changed < 300 {
		t.Errorf("only %d fields were visited", changed)
	}
}

func TestTermIndexKeepsTheNewest(t *testing.T) {
	var x termIndex
	for i := range MaxTerms + 10 {
		x.add(wire.Term(i+1), wire.Position(i*88))
	}
	if len(x) != MaxTerms || x[0].Term != 11 || x.last() != MaxTerms+10 {
		t.Fatalf("%d entries from term %d to %d", len(x), x[0].Term, x.last())
	}
}

// Alignment over pages finds the same cut as a comparison of the logs, byte by byte, would.
func TestSharedEndIsWhereTheLogsPart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		var a, b termIndex
		var endA, endB, shared wire.Position
		term := wire.Term(0)
		for range rng.IntN(40) { // a common past
			term += wire.Term(1 + rng.IntN(2))
			a.add(term, shared)
			b.add(term, shared)
			shared += wire.Position(8 * (1 + rng.IntN(20)))
		}
		endA, endB = shared, shared
		if len(a) > 0 && rng.IntN(2) == 0 { // one has more of the last common term
			endA += wire.Position(8 * rng.IntN(10))
		}
		for range rng.IntN(40) { // then terms that the other does not have
			term++
			if rng.IntN(2) == 0 {
				a.add(term, endA)
				endA += 8
			} else {
				b.add(term, endB)
				endB += 8
			}
		}
		if got := alignOver(t, a, b, endA, endB); got != shared {
			t.Fatalf("cut at %d, want %d: leader %v to %d, follower %v to %d", got, shared, a, endA, b, endB)
		}
	}
}

func alignOver(t *testing.T, leader, follower termIndex, endL, endF wire.Position) wire.Position {
	var entries [AlignPage]wire.TermStart
	for k := range uint32(10) {
		n, last := follower.page(k, &entries)
		cut, found, ok := leader.sharedEnd(endL, endF, 0, k, entries[:n], last)
		if !ok {
			t.Fatal("indexes contradict each other")
		}
		if found {
			return cut
		}
	}
	t.Fatal("no end of pages")
	return 0
}

// The reorder window against a plain set of bytes.
func TestWindowAgainstASet(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for range 2000 {
		var w window
		var held [400]bool
		received := 0
		for range 100 {
			from := received + 1 + rng.IntN(380-received)
			until := min(from+1+rng.IntN(12), len(held))
			if rng.IntN(10) == 0 {
				from, until = received, received+1+rng.IntN(5)
			}
			if from > received && !w.room(wire.Position(from), wire.Position(until)) {
				continue
			}
			for i := from; i < until; i++ {
				held[i] = true
			}
			if from == received {
				received = int(w.advance(wire.Position(until)))
			} else {
				w.insert(wire.Position(from), wire.Position(until))
			}
			checkWindow(t, &w, held[:], received)
			if received > 360 {
				break
			}
		}
	}
}

func checkWindow(t *testing.T, w *window, held []bool, received int) {
	t.Helper()
	for i := range held {
		in := i < received
		for _, x := range w.at[:w.n] {
			in = in || wire.Position(i) >= x.from && wire.Position(i) < x.until
		}
		if in != held[i] {
			t.Fatalf("byte %d: in the window %v, held %v: %v, received %d", i, in, held[i], w.at[:w.n], received)
		}
	}
	for i := 1; i < w.n; i++ {
		if w.at[i].from <= w.at[i-1].until {
			t.Fatalf("touching: %v", w.at[:w.n])
		}
	}
	if w.n > 0 && w.at[0].from <= wire.Position(received) {
		t.Fatalf("window begins at %d, received %d", w.at[0].from, received)
	}
}
