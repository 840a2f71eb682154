package sim

import (
	"bytes"
	"fmt"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/replica"
	"lockstep/transport"
	"lockstep/wire"
)

// scene is a world in which nothing fails but what a script has fail. All checks of a world stand in it.
type scene struct {
	*World
	t *testing.T
}

// calm are the options of a scene: three nodes and two clients that go on sending.
func calm() Options {
	return Options{
		Nodes: 3, Rule: "durable", SafetyNs: 1, MTU: 1472, IdleTickNs: 1e6, BusyTickNs: 20e3,
		TimeoutMinMs: 100, TimeoutMaxMs: 200, HeartbeatMs: 10, HungMs: 500, ClockSkewMs: 1000,
		SegmentBytes: 128 << 10, RingBytes: 128 << 10, SyncIntervalUs: 1000, Window: 64, SessionNs: 60e9,
		Sessions: 12, Acks: 1024,
		Network: NetworkOptions{DelayMinNs: 20e3, DelayMeanNs: 20e3, Capacity: inboxSlots},
		Disk:    DiskOptions{DelayNs: 50e3, Direct: true},
		Clients: ClientOptions{Clients: 2, Messages: 1 << 30, PauseNs: 2e6, Burst: 4, Window: 32, Payload: 300,
			Books: 20, Levels: 2},
		Faults: FaultOptions{EveryNs: 1e15},
	}
}

// sceneSeeds are the worlds that every script is played in: times, delays and losses differ.
const sceneSeeds = 3

// play plays a script in several worlds, and then has each settle and looks at what it has come to.
func play(t *testing.T, change func(o *Options), script func(s *scene)) {
	t.Helper()
	seeds := uint64(sceneSeeds)
	if testing.Short() {
		seeds = 1
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			o := calm()
			if change != nil {
				change(&o)
			}
			s := &scene{newWorld(seed, o), t}
			s.hold()
			script(s)
			s.net.sift = nil
			for _, m := range s.members {
				if m.process == nil {
					m.starting = false
				}
			}
			s.finish()
			s.hold()
		})
	}
}

// worldOf makes one world for a script that plays it itself.
func worldOf(t *testing.T, change func(o *Options)) *scene {
	t.Helper()
	o := calm()
	change(&o)
	s := &scene{newWorld(1, o), t}
	s.hold()
	return s
}

// as is play without options of its own.
func as(t *testing.T, script func(s *scene)) { t.Helper(); play(t, nil, script) }

// hold ends the test if a check has failed.
func (s *scene) hold() {
	s.t.Helper()
	if s.failure == nil {
		return
	}
	var trace bytes.Buffer
	s.trace.write(&trace, 30)
	s.t.Fatalf("%v\n%s%s", s.failure, trace.String(), s.said())
}

// said is what the nodes told operators last.
func (s *scene) said() string {
	var b bytes.Buffer
	for _, m := range s.members {
		text := m.log.Bytes()
		fmt.Fprintf(&b, "node %d:\n%s\n", m.id, text[max(0, len(text)-600):])
	}
	return b.String()
}

// wrong ends the test.
func (s *scene) wrong(format string, args ...any) {
	s.t.Helper()
	s.World.fail(format, args...)
	s.hold()
}

// await lets things happen until done, which must be within so long.
func (s *scene) await(what string, limitNs int64, done func() bool) {
	s.t.Helper()
	if !s.passes(limitNs, done) {
		s.wrong("not within %d ms: %s; %s", limitNs/1e6, what, s.unsettled())
	}
}

// passes lets so much time pass, less if done before; done is asked after every event.
func (s *scene) passes(limitNs int64, done func() bool) bool {
	s.t.Helper()
	is := s.World.passes(limitNs, done)
	s.hold()
	return is
}

// elapse lets time pass.
func (s *scene) elapse(ns int64) { s.t.Helper(); s.passes(ns, func() bool { return false }) }

// never is elapse in which something must not become true.
func (s *scene) never(what string, ns int64, bad func() bool) {
	s.t.Helper()
	if s.passes(ns, bad) {
		s.wrong("%s", what)
	}
}

// patience is far beyond what anything takes here.
const patience = int64(10e9)

// lead waits for a leader that serves, and is the newest.
func (s *scene) lead() *member {
	s.t.Helper()
	return s.leadBut(nil)
}

// leadBut is lead for another than one node.
func (s *scene) leadBut(not *member) (leader *member) {
	s.t.Helper()
	s.await("a leader serves", patience, func() bool {
		leader = s.leader()
		return leader != nil && leader != not && s.serves(leader)
	})
	return leader
}

// others are the nodes but these.
func (s *scene) others(but ...*member) (list []*member) {
	for _, m := range s.members {
		in := false
		for _, b := range but {
			in = in || b == m
		}
		if !in {
			list = append(list, m)
		}
	}
	return list
}

// acked is how many messages have been acknowledged for good.
func (s *scene) acked() (n int) {
	for _, x := range s.sessions {
		for i := range x.sent {
			if x.sent[i].returnNs != 0 {
				n++
			}
		}
	}
	return n
}

// told is how many acknowledgements of any sort clients were given.
func (s *scene) told() (n int) {
	for _, x := range s.sessions {
		n += int(x.client.Stats().Acks)
	}
	return n
}

// goesOn waits for so many more messages to be acknowledged for good.
func (s *scene) goesOn(more int) {
	s.t.Helper()
	want, askNs := s.acked()+more, s.nowNs
	s.await(fmt.Sprintf("%d more messages are acknowledged", more), patience, func() bool {
		if s.nowNs-askNs < 1e6 {
			return false
		}
		askNs = s.nowNs
		return s.acked() >= want
	})
}

// starts waits for a leader and some work done.
func (s *scene) starts() *member {
	s.t.Helper()
	s.lead()
	s.goesOn(100)
	return s.lead()
}

// term is the newest term of all nodes.
func (s *scene) term() (term wire.Term) {
	for _, m := range s.members {
		if m.process != nil {
			term = max(term, m.process.in.Core.Term())
		}
	}
	return term
}

func (m *member) core() *replica.Core { return m.process.in.Core }

// What scripts do to the network. Nodes are parted from nodes; clients reach everybody unless they are named.

func (s *scene) setCut(from, to *endpoint, cut bool) { s.net.links[from.number][to.number].cut = cut }

// mute has nothing that a node sends arrive at these nodes.
func (s *scene) mute(m *member, at ...*member) {
	for _, x := range at {
		s.setCut(m.end, x.end, true)
	}
}

// deafen has nothing that these nodes send arrive at a node.
func (s *scene) deafen(m *member, to ...*member) {
	for _, x := range to {
		s.setCut(x.end, m.end, true)
	}
}

// part parts a node from these, both ways.
func (s *scene) part(m *member, from ...*member) {
	s.mute(m, from...)
	s.deafen(m, from...)
}

// isolate parts a node from everybody, clients too.
func (s *scene) isolate(m *member) {
	for _, e := range s.net.ends {
		s.setCut(m.end, e, true)
		s.setCut(e, m.end, true)
	}
}

// join undoes every cut.
func (s *scene) join() {
	for i := range s.net.links {
		for j := range s.net.links[i] {
			s.net.links[i][j].cut = false
		}
	}
}

// header reads a datagram's; who is not from a node of the cluster has no sender.
func (s *scene) header(payload []byte) (h wire.Header, body []byte) {
	body, _ = s.check.valid.Validate(payload, &h)
	h.Kind = wire.DatagramKind(payload[kindOffset])
	return h, body
}

// drop drops datagrams of a kind as long as which says so.
func (s *scene) drop(which func(from, to *endpoint, kind wire.DatagramKind, payload []byte) bool) {
	s.net.sift = func(from, to *endpoint, _ transport.Addr, payload []byte) bool {
		return !which(from, to, wire.DatagramKind(payload[kindOffset]), payload)
	}
}

// inject has a datagram arrive.
func (s *scene) inject(from, to *endpoint, payload []byte) {
	s.net.put(&s.net.links[from.number][to.number], to, from.local, to.local, payload, 1000)
}

// What scripts do to processes and disks.

// kill ends a process; it stays down until it is started.
func (s *scene) kill(m *member) {
	m.starting = true
	m.crash(false)
}

// unplug cuts the power of a node; it stays down until it is started.
func (s *scene) unplug(m *member, choose vfs.Choose) {
	s.collect(m.process)
	m.disk.Step = nil
	_ = m.process.node.Abandon()
	m.process = nil
	m.mount(m.disk.Crash(choose))
	s.kill(m)
}

// start starts a node that is down, and waits until it runs.
func (s *scene) start(m *member) {
	s.t.Helper()
	m.starting = false
	s.startLater(m, 1000)
	s.await(fmt.Sprintf("node %d runs", m.id), patience, func() bool { return m.process != nil })
}

// pause stops a process, agents and all, until resume.
func (s *scene) pause(m *member) {
	s.hang(m, agentVote, agentMark, agentJournal, agentNode, agentScrub, agentKeeper)
}

const forever = int64(1) << 60

// hang stops agents until resume.
func (s *scene) hang(m *member, agents ...int) {
	for _, i := range agents {
		m.process.pausedNs[i] = forever
	}
}

func (s *scene) resume(m *member) {
	for i := range m.process.pausedNs {
		if m.process.pausedNs[i] > s.nowNs {
			m.process.pausedNs[i], m.process.dueNs[i] = s.nowNs, -1
			m.schedule(i, s.nowNs+1000)
		}
	}
}
