package sequencer

import (
	"lockstep/internal/counters"
	"lockstep/wire"
)

// The stages of messages on their leader. Messages are counted from 0 in the order of the log, as acks counts them. Where a batch
// of them reaches a stage together the clock is read once, and one mark says so for all; a histogram counts all of a batch
// that had the stage before in common at once. Nothing here is in the log, and nothing that is depends on it.
//
//	              Arrived   OnClient    Publish     Sent      OnProgress           driver    flush
//	messages ----> received -> taken -> sequenced -> sent -> replicated, durable -> applied -> answered
//
// The seam for stamps of the network hardware is transport.Received.AtNs.

// markSlots is how many marks of a stage are remembered: batches, so tens of milliseconds at 10,000 of them a second.
const markSlots = 1024

// mark says when the messages from .. until-1 reached a stage.
type mark struct {
	from, until uint64
	atNs        int64
}

// marks are the newest marks of one stage.
type marks struct {
	slots []mark
	made  uint64 // marks so far
	until uint64 // of the newest one
	// Of the stage before this one: the mark in which the next message to be counted is.
	before    uint64
	found     uint64              // the mark that find found last: what is asked for next is near
	histogram *counters.Histogram // of the time from there; nil: none
}

// put notes that every message up to until has reached the stage.
func (m *marks) put(until uint64, atNs int64) {
	m.slots[m.made%markSlots] = mark{from: m.until, until: until, atNs: atNs}
	m.made++
	m.until = until
}

// restart begins at message 0 again.
func (m *marks) restart() { m.made, m.until, m.before, m.found = 0, 0, 0, 0 }

// skip leaves the messages below ordinal out: nothing is known of them.
func (m *marks) skip(ordinal uint64) { m.until = max(m.until, ordinal) }

// oldest is the oldest mark that is remembered.
func (m *marks) oldest() uint64 { return max(m.made, markSlots) - markSlots }

// find is when a message reached the stage; ok is false when it did not, or that is forgotten. Messages are asked for in the order
// of the log as a rule, so that the mark is the one of last time or the next.
func (m *marks) find(ordinal uint64) (atNs int64, ok bool) {
	if ordinal >= m.until {
		return 0, false
	}
	low, high := m.oldest(), m.made
	for _, near := range [2]uint64{m.found, m.found + 1} {
		if x := &m.slots[near%markSlots]; near >= low && near < high && x.from <= ordinal && ordinal < x.until {
			m.found = near
			return x.atNs, true
		}
	}
	for low < high {
		middle := (low + high) / 2
		if m.slots[middle%markSlots].until <= ordinal {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == m.made { // passed over, and no mark behind it yet
		return 0, false
	}
	m.found = low
	x := &m.slots[low%markSlots]
	return x.atNs, x.from <= ordinal
}

// observe counts how long the messages from m.until to until-1 took from the stage before to this one, reached now, and
// notes that they have.
func (m *marks) observe(before *marks, until uint64, atNs int64) {
	m.count(before, until, atNs)
	m.put(until, atNs)
}

// count is observe's first half. What the stage before has forgotten is not counted.
func (m *marks) count(before *marks, until uint64, atNs int64) {
	at := m.until
	m.before = max(m.before, before.oldest())
	for at < until && m.before < before.made {
		x := &before.slots[m.before%markSlots]
		if x.until <= at {
			m.before++
			continue
		}
		end := min(until, x.until)
		if at = max(at, x.from); at < end {
			m.histogram.ObserveMany(atNs-x.atNs, end-at)
		}
		at = end
	}
}

// stages are the marks of all stages of one leadership.
type stages struct {
	stampNs  func() int64 // nil: nothing is stamped
	received marks
	at       [wire.NumStages]marks
	progress [wire.NumStages]uint64 // of replicated, durable and applied: how many messages are so far
	arrivedNs,
	takenNs int64 // of the batch that is being taken; 0: not yet
	flushNs int64 // of the flush under way; 0: none
}

var stageHelp = [wire.NumStages]string{
	"received by the leader until its sequencer began with it",
	"until it had its place in the log",
	"until its record was handed to the transmit side for the followers",
	"until the leader knew that a majority holds it",
	"until the leader knew that a majority has synced it",
	"committed until the leader's service had processed it",
	"until what the leader says of it was handed to the transmit side",
}

// StageHistogram is the name of a stage's histogram: how long messages took to it from the stage before.
func StageHistogram(s wire.Stage) string { return "lockstep_stage_" + s.String() + "_seconds" }

func newStages(stampNs func() int64, f *counters.File) stages {
	t := stages{stampNs: stampNs}
	if stampNs == nil {
		return t
	}
	slots := make([]mark, (wire.NumStages+1)*markSlots)
	t.received.slots, slots = slots[:markSlots], slots[markSlots:]
	for i := range t.at {
		t.at[i].slots, slots = slots[:markSlots], slots[markSlots:]
		t.at[i].histogram = f.Histogram(StageHistogram(wire.Stage(i)), "a message on its leader: "+stageHelp[i])
	}
	return t
}

func (t *stages) reset() {
	t.received.restart()
	for i := range t.at {
		t.at[i].restart()
	}
	t.progress = [wire.NumStages]uint64{}
	t.arrivedNs, t.takenNs, t.flushNs = 0, 0, 0
}

// Arrived says when the datagrams that OnClient is given from now on had arrived, by the clock of Options.StampNs.
func (s *Sequencer) Arrived(atNs int64) {
	t := &s.stages
	if t.stampNs == nil || atNs == t.arrivedNs {
		return
	}
	t.closeArrival(s.acks.tail)
	t.arrivedNs, t.takenNs = atNs, 0
}

// take notes that the sequencer has begun with the messages of the batch at hand.
func (t *stages) take() {
	if t.takenNs == 0 && t.stampNs != nil {
		t.takenNs = t.stampNs()
		if t.arrivedNs == 0 { // of whoever does not tell
			t.arrivedNs = t.takenNs
		}
	}
}

// closeArrival marks what was sequenced of the batch at hand.
func (t *stages) closeArrival(tail uint64) {
	if tail != t.received.until {
		t.received.put(tail, t.arrivedNs)
		t.at[wire.StageTaken].observe(&t.received, tail, t.takenNs)
	}
}

// sequenced marks what has become visible in the log ring.
func (t *stages) sequenced(tail uint64) {
	m := &t.at[wire.StageSequenced]
	if t.stampNs == nil || tail == m.until {
		return
	}
	t.closeArrival(tail)
	m.observe(&t.at[wire.StageTaken], tail, t.stampNs())
}

// Sent says that everything published has been handed to the transmit side.
func (s *Sequencer) Sent() {
	t := &s.stages
	m, before := &t.at[wire.StageSent], &t.at[wire.StageSequenced]
	if m.until != before.until {
		m.observe(before, before.until, t.stampNs())
	}
}

// advanced is how many messages end at or before a position: those that are forgotten are passed over.
func (s *Sequencer) advanced(stage wire.Stage, end wire.Position) uint64 {
	q, n := &s.acks, s.stages.progress[stage]
	if first := max(q.tail, uint64(len(q.slots))) - uint64(len(q.slots)); n < first {
		n = first
		s.stages.at[stage].skip(n)
	}
	for n < q.tail && q.slots[n&q.mask].end <= end {
		n++
	}
	s.stages.progress[stage] = n
	return n
}

// noteProgress marks what a majority holds and has synced.
func (s *Sequencer) noteProgress() {
	t := &s.stages
	if t.stampNs == nil {
		return
	}
	nowNs := int64(0)
	for stage, end := range [...]wire.Position{s.replicated, s.durable} {
		stage := wire.StageReplicated + wire.Stage(stage)
		m := &t.at[stage]
		if n := s.advanced(stage, end); n > m.until {
			if nowNs == 0 {
				nowNs = t.stampNs()
			}
			m.observe(&t.at[stage-1], n, nowNs)
		}
	}
}

// noteApplied marks what the service has processed.
func (s *Sequencer) noteApplied() {
	t := &s.stages
	if t.stampNs == nil || s.o.Progress == nil {
		return
	}
	end, atNs := s.o.Progress.AppliedAt()
	m := &t.at[wire.StageApplied]
	if n := s.advanced(wire.StageApplied, end); n > m.until {
		m.observe(&t.at[s.committing()], n, atNs)
	}
}

// committing is the stage that commits a message.
func (s *Sequencer) committing() wire.Stage {
	if s.o.Rule == wire.RuleReplicated {
		return wire.StageReplicated
	}
	return wire.StageDurable
}

// beginFlush stamps what is flushed now, and counts what the service has processed up to here, if all of that was taken.
func (s *Sequencer) beginFlush() {
	t := &s.stages
	if t.stampNs == nil {
		return
	}
	t.flushNs = t.stampNs()
	m, before := &t.at[wire.StageAnswered], &t.at[wire.StageApplied]
	if s.held == nil && m.until != before.until {
		m.observe(before, before.until, t.flushNs)
	}
}

// endFlush: what leaves from now on leaves later.
func (s *Sequencer) endFlush() { s.stages.flushNs = 0 }

// Of a message that was asked about, entry.asked is 1 more than its number's low bits.
func asked(ordinal uint64) uint32 { return uint32(ordinal) + 1 }

// ordinal is the number of a message that was asked about: the newest one with these low bits.
func (s *Sequencer) ordinal(asked uint32) uint64 {
	return s.acks.tail - 1 - uint64(uint32(s.acks.tail-1)-(asked-1))
}

// leave has room for stages left in an answer, if they were asked for: they are filled in when it leaves. Until then its
// message's number stands in it.
func (s *Sequencer) leave(a *wire.Answer, about *entry) {
	if about == nil || about.asked == 0 || s.stages.stampNs == nil {
		return
	}
	a.Timed = true
	a.Stages.TotalNs = s.ordinal(about.asked)
}

// fill fills in the stages of what is packed for a session and leaves now.
func (s *Sequencer) fill(x *session) {
	x.timed = false
	s.noteApplied()
	nowNs := s.stages.flushNs
	if nowNs == 0 {
		nowNs = s.stages.stampNs()
	}
	for rest := x.out[answersRoom:x.staged]; ; {
		room, level, behind, ok := wire.NextTimed(rest)
		if !ok {
			return
		}
		var t wire.Stages
		t.Decode(room)
		t = s.known(t.TotalNs, level, nowNs)
		t.Put(room)
		rest = behind
	}
}

// onWay says which stages an answer at a level waits for.
func (s *Sequencer) onWay(stage wire.Stage, level wire.Level) bool {
	switch stage {
	case wire.StageReplicated:
		return level >= wire.LevelReplicated
	case wire.StageDurable:
		return level == wire.LevelDurable || level == wire.LevelApplied && s.committing() == wire.StageDurable
	case wire.StageApplied:
		return level == wire.LevelApplied
	}
	return true
}

// known is what is known of a message, for an answer at a level that leaves now: while its batch is being taken, when that
// arrived. Stamps of two threads may be out of order by little: none counts as earlier than the one before it, or as later
// than now.
func (s *Sequencer) known(ordinal uint64, level wire.Level, nowNs int64) (t wire.Stages) {
	s.stages.closeArrival(s.acks.tail)
	receivedNs, ok := s.stages.received.find(ordinal)
	if !ok {
		return t
	}
	t.TotalNs = uint64(max(1, nowNs-receivedNs))
	last := int64(0)
	for i := range t.AtNs {
		t.AtNs[i] = wire.NoStage
		if !s.onWay(wire.Stage(i), level) {
			continue
		}
		if atNs, ok := s.stages.at[i].find(ordinal); ok {
			last = max(last, min(atNs-receivedNs, int64(t.TotalNs), wire.NoStage-1))
			t.AtNs[i] = uint32(last)
		}
	}
	return t
}
