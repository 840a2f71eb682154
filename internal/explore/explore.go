package explore

import (
	"slices"
	"time"
)

// state is a state of a world: nodes and messages by number, messages ascending, each at most once.
type state struct {
	node   [Nodes]uint32
	budget budget
	count  uint8
	net    [maxNet]uint16
}

// Result is what exploring a world came to.
type Result struct {
	World       string
	States      int // distinct, up to renaming of nodes
	Transitions int
	Depth       int  // steps from the start to the state that is furthest from it
	Complete    bool // all states within the world's bounds were seen
	Nodes       int  // distinct states of one node
	Messages    int  // distinct messages
	Beyond      int  // transitions that left the bounds
	Widest      int  // most states at one depth
	Overflowed  int  // messages for which even the room of those to be lost was full
	UpToNames   int  // of World.Distinct: states up to renaming
	Calmed      int  // states from which the cluster was seen to come to rest when nothing goes wrong any more
	Unknown     int  // states of which that could not be seen: no room, or a majority that may have forgotten
	Elapsed     time.Duration
	Seen        [NumEvents]int // how many different steps of one node each happened in

	Violation string   // "" if nothing was wrong
	Script    []string // the shortest way there, a line a step
}

// explorer walks a world breadth first, so that the first violation found is one of the nearest.
type explorer struct {
	w         *World
	t         *tables
	visited   visited
	upToNames visited
	steps     steps
	result    Result
	start     state
	next      layer // the states at the depth that comes next
	calm      *calm

	from    uint32 // the state at hand
	sums    hashes // of it
	at      *state
	stopped bool
}

// Explore walks all states of a world. progress, if not nil, is called after every depth.
func Explore(w World, progress func(r *Result)) Result {
	began := time.Now()
	x := &explorer{w: &w, t: newTables(&w), visited: newVisited(), upToNames: newVisited(), calm: newCalm(&w)}
	x.result = Result{World: w.Name}
	r := &x.result
	x.start = x.begin()
	x.enter(&x.start, step{})
	for x.next.n > 0 && !x.stopped && (w.MaxDepth == 0 || r.Depth < w.MaxDepth) {
		r.Widest = max(r.Widest, x.next.n)
		from := uint32(x.steps.n - x.next.n)
		x.next.drain(func(s *state) bool {
			x.expand(from, s)
			if w.CalmEvery > 0 && int(from)%w.CalmEvery == 0 && !x.stopped {
				x.calmFrom(from, s)
			}
			from++
			return !x.stopped
		})
		if x.next.n > 0 {
			r.Depth++
		}
		x.count(began)
		if progress != nil {
			progress(r)
		}
	}
	x.count(began)
	r.Complete = !x.stopped && x.next.n == 0
	return *r
}

func (x *explorer) count(began time.Time) {
	r := &x.result
	r.States, r.Nodes, r.Messages, r.Elapsed = x.steps.n, len(x.t.entries), len(x.t.messages), time.Since(began)
	r.Seen = x.t.site.seen
}

// expand walks every way out of a state.
func (x *explorer) expand(from uint32, s *state) {
	x.from, x.at = from, s
	x.sums = hashes{}
	for _, n := range s.node {
		x.sums.add(&x.t.hashes[n])
	}
	for _, m := range s.net[:s.count] {
		x.sums.add(&x.t.messageHashes[m])
	}
	if int(s.count) > x.w.InFlight {
		for i := range s.net[:s.count] {
			x.lose(i)
		}
		return
	}
	again, dups := s.budget.pay(costDup)
	for i := range int(s.count) {
		m := s.net[i]
		n := x.t.messages[m].to - 1
		effect := *x.t.deliver(s.node[n], m)
		x.take(act(actDeliver, n, m), &effect, i, s.budget)
		if dups {
			x.take(act(actAgain, n, m), &effect, -1, again)
		}
	}
	for n := range uint8(Nodes) {
		for _, e := range x.t.edges(s.node[n]) {
			if left, ok := s.budget.pay(costs[e.action.kind()]); ok {
				effect := x.t.effects[e.effect]
				x.take(e.action, &effect, -1, left)
			}
		}
	}
}

// calmFrom sees what comes of a state when nothing goes wrong any more.
func (x *explorer) calmFrom(at uint32, s *state) {
	switch x.calm.from(x.t, s) {
	case wellAgain:
		x.result.Calmed++
	case deadEnd, brokenRule:
		x.violated(x.calm.why, at)
	default:
		x.result.Unknown++
	}
}

// lose walks to the state without a message.
func (x *explorer) lose(i int) {
	s := *x.at
	sums := x.sums
	m := s.net[i]
	x.remove(&s, &sums, i)
	x.result.Transitions++
	x.visit(&s, &sums, step{x.from, act(actLose, 0, uint16(m))})
}

// take walks to the state after an action on a node, which takes message i off the network, if i is not negative.
func (x *explorer) take(a action, e *effect, i int, left budget) {
	switch e.kind {
	case effectNothing:
		return // it is as if the message were lost, and what is under way may be delivered never
	case effectBeyond:
		x.result.Beyond++
		return
	case effectFailure:
		x.fail(x.t.failures[e.reason], step{x.from, a})
		return
	}
	x.result.Transitions++
	s := *x.at
	sums := x.sums
	n := a.node()
	if i >= 0 {
		x.remove(&s, &sums, i)
	}
	sums.sub(&x.t.hashes[s.node[n]])
	sums.add(&x.t.hashes[e.node])
	s.node[n], s.budget = e.node, left
	for _, m := range x.t.sends[e.sends:][:e.count] {
		x.put(&s, &sums, m)
	}
	x.visit(&s, &sums, step{x.from, a})
}

// put puts a message on the network. One that is under way already is not put there twice: it may come twice.
func (x *explorer) put(s *state, sums *hashes, m uint16) {
	at, found := slices.BinarySearch(s.net[:s.count], m)
	if found {
		return
	}
	if s.count == maxNet {
		x.result.Overflowed++
		return
	}
	copy(s.net[at+1:s.count+1], s.net[at:s.count])
	s.net[at] = m
	s.count++
	sums.add(&x.t.messageHashes[m])
}

func (x *explorer) remove(s *state, sums *hashes, i int) {
	sums.sub(&x.t.messageHashes[s.net[i]])
	copy(s.net[i:], s.net[i+1:s.count])
	s.count--
	s.net[s.count] = 0
}

// visit takes a state, if it is new, to be walked from.
func (x *explorer) visit(s *state, sums *hashes, how step) {
	least := sums[0]
	for _, h := range sums[1:] {
		least = min(least, h)
	}
	left := mix(uint64(s.budget) + 1)
	if x.w.Distinct {
		if x.upToNames.add(mix(least ^ left)) {
			x.result.UpToNames++
		}
		least = sums[0]
	}
	if !x.visited.add(mix(least ^ left)) {
		return
	}
	x.steps.add(how)
	x.next.add(s)
	if why := x.t.check(&s.node); why != "" {
		x.violated(why, uint32(x.steps.n-1))
		return
	}
	if x.w.MaxStates > 0 && x.steps.n >= x.w.MaxStates {
		x.stopped = true
	}
}

// enter takes the first state.
func (x *explorer) enter(s *state, how step) {
	var sums hashes
	for _, n := range s.node {
		sums.add(&x.t.hashes[n])
	}
	x.visit(s, &sums, how)
}

// fail ends exploring with something that happened in a step.
func (x *explorer) fail(why string, how step) {
	if x.stopped {
		return
	}
	x.steps.add(how)
	x.violated(why, uint32(x.steps.n-1))
}

func (x *explorer) violated(why string, at uint32) {
	x.stopped = true
	x.result.Violation = why
	x.result.Script = x.script(at)
}
