package replica

import (
	"slices"

	"lockstep/wire"
)

// The core as a value: what explores states, or replays a run, clones, compares and hashes it. Counters and outputs
// are no part of it.

// Clone returns a core that is equal to c and shares nothing that changes. Cold.
func (c *Core) Clone() *Core {
	d := *c
	d.terms = slices.Clone(c.terms)
	d.out = make([]Output, 0, cap(c.out))
	return &d
}

// Equal says whether two cores, made with the same options, are in the same state. Cold.
func (c *Core) Equal(d *Core) bool { return c.s == d.s && slices.Equal(c.terms, d.terms) }

// Hash is the same for equal cores, in every process. Cold.
func (c *Core) Hash() uint64 {
	h := digest(0xcbf29ce484222325)
	s := &c.s
	h.words(uint64(s.nowNs), bit(s.stopped), uint64(s.role), uint64(s.term), uint64(s.vote), uint64(s.leader), s.rng)
	h.peer(s.self)
	h.words(uint64(s.stored.term), uint64(s.stored.vote), bit(s.storing), bit(s.voteOwed), bit(s.asked))
	h.words(uint64(s.announced.role), uint64(s.announced.term), uint64(s.announced.leader))
	h.positions(s.append, s.received, s.durable, s.commit, s.floor, s.applied, s.verified)
	h.words(s.generation, uint64(s.lastTerm), uint64(s.checksum))
	h.points(&s.points)
	h.words(bit(s.amnesia), bit(s.unlisted), bit(s.diskFull), bit(s.diskHung), bit(s.skewed), bit(s.transfer))
	h.words(uint64(s.timeoutNs), uint64(s.heardNs), uint64(s.oldTermNs), uint64(s.window.n))
	for i := range s.window.at {
		h.positions(s.window.at[i].from, s.window.at[i].until)
	}
	for _, at := range s.timers {
		h.words(uint64(at))
	}
	h.configs(&s.configs)
	h.config(&s.order)
	h.follow(&s.follow)
	h.lead(&s.lead)
	for i := range s.peers {
		h.progress(&s.peers[i])
	}
	for _, t := range c.terms {
		h.words(uint64(t.Term), uint64(t.Start))
	}
	return uint64(h)
}

// digest chains 64-bit words.
type digest uint64

func (h *digest) words(words ...uint64) {
	for _, w := range words {
		*h = digest(mix(uint64(*h)*0x100000001b3 ^ w))
	}
}

func (h *digest) positions(positions ...wire.Position) {
	for _, p := range positions {
		h.words(uint64(p))
	}
}

func (h *digest) peer(p Peer) { h.words(uint64(p.Node), p.Incarnation, uint64(p.Run)) }

// points costs little while there are none, as in every state that is explored.
func (h *digest) points(p *[numGuards]points) {
	h.words(bit(*p == [numGuards]points{}))
	if *p == ([numGuards]points{}) {
		return
	}
	for i := range p {
		for _, x := range p[i] {
			h.words(uint64(x.at), x.hash)
		}
	}
}

func (h *digest) sent(x *sent) { h.words(uint64(x.atNs), uint64(x.from), uint64(x.until)) }

func (h *digest) configs(c *configHistory) {
	h.words(uint64(c.n), uint64(c.from))
	for i := range c.at {
		at := &c.at[i]
		h.words(uint64(at.End))
		h.config(&at.Config)
	}
}

func (h *digest) config(c *wire.Config) {
	h.words(c.RingBytes, uint64(c.Rule), uint64(c.MaxMessage), uint64(c.Members), bit(c.ByOperator), uint64(c.Version))
	h.words(uint64(c.Limits.Sessions), uint64(c.Limits.KeptResponses), uint64(c.Limits.KeptBytes))
	for _, m := range c.Member {
		h.words(uint64(m.Node), m.Incarnation, uint64(m.Run))
	}
}

func (h *digest) follow(f *follow) {
	h.peer(f.from)
	h.words(f.nonce, bit(f.aligned), uint64(f.page), bit(f.cutting))
	h.positions(f.cutTo, f.append, f.commit, f.floor, f.syncTo, f.gapAt)
	u := &f.catchUp
	h.words(u.generation, bit(u.active), uint64(u.until), uint64(u.failed), uint64(u.notBefore))
}

func (h *digest) lead(l *lead) {
	h.positions(l.countFrom, l.streamed, l.replicated, l.durable, l.lagAppend, l.agreed.at, l.said, l.askedAt)
	h.positions(l.disputed[:]...)
	h.positions(l.appendOf[:]...)
	h.positions(l.durableOf[:]...)
	h.words(l.agreed.hash, bit(l.asked), uint64(l.target), bit(l.transferred), uint64(l.failed))
	h.sent(&l.group)
}

func (h *digest) progress(p *peer) {
	h.words(p.incarnation, uint64(p.run), uint64(p.identityNs), bit(p.admitted), bit(p.answered), bit(p.granted))
	h.words(p.nonce, bit(p.reported), bit(p.counted), bit(p.unfit))
	h.positions(p.append, p.durable, p.lagAppend, p.seenDurable)
	h.words(uint64(p.heardNs), p.seenGeneration, uint64(p.version))
	h.positions(p.wrongAt[:]...)
	h.points(&p.points)
	h.sent(&p.sent)
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
