package sequencer

import (
	"fmt"

	"lockstep/internal/counters"
	"lockstep/internal/simbug"
	"lockstep/service"
	"lockstep/wire"
)

// Sequencer is the leader's role. See the package's documentation for who calls what when.
type Sequencer struct {
	o          Options
	log        Appender
	challenger challenger
	table      table
	ended      endings
	admission  admission
	usual      uint64 // bytes of responses that one message has caused of late, in any session
	rate       bucket // what a session's messages have to pass; its state is in each session
	acks       acks
	stages     stages
	assemblies assemblies
	timers     *service.Timers // pending, as far as the service has said
	meters     meters

	nowNs      int64
	workedNs   int64 // when DoWork last ran
	adjustedNs int64 // when the stamper last saw the wall clock
	scannedNs  int64 // when slots were last looked at for silence
	leading    bool
	ready      bool         // the tables are complete: client messages are taken
	disputed   bool         // nodes differ about what the services have put out: no message may be answered
	obstacle   wire.Refusal // why no message can be answered now; RefusalNone: it can
	term       wire.Term
	termEnd    wire.Position // end of the own term record; 0 before it is appended
	replicated wire.Position
	durable    wire.Position
	syncTo     wire.Position

	dirty   []int32    // slots with answers packed
	owed    []int32    // slots to be told what is committed
	asking  []int32    // slots whose clients are to be asked for what is missing
	clients []farewell // of the leadership before, to be told who leads now
	scan    int        // slot to be looked at next for silence
	held    []byte     // egress message that found no room in a datagram
	packed  int        // bytes of its payload that have left in fragments
	egress  service.Egress
	command service.Command
	payload [wire.MaxConfigSize + wire.SessionOpenSize + wire.MaxName]byte // of our own records, while being built
}

// New makes a sequencer that does not lead. All its memory but that of sessions is allocated here.
func New(o Options) (*Sequencer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Counters == nil {
		var err error
		if o.Counters, err = counters.Create("", numMeters); err != nil {
			return nil, fmt.Errorf("sequencer: counters: %w", err)
		}
	}
	o.MaxMessage = min(o.MaxMessage, uint32(longestAdmitted(o.Ring)))
	return &Sequencer{
		o:          o,
		log:        Appender{ring: o.Ring},
		challenger: newChallenger(o.Key),
		table:      newTable(o.Limits.Sessions, o.MaxPayload),
		ended:      newEndings(),
		admission:  newAdmission(o.Limits.AdmitPerS),
		rate:       newBucket(max(1, o.Limits.MessagesPerS), max(1, o.Limits.MessagesPerS/10)),
		acks:       newAcks(o.Limits.Acks),
		stages:     newStages(o.StampNs, o.Counters),
		assemblies: newAssemblies(o.Limits.Assemblies, int(o.MaxMessage)),
		timers:     service.NewTimers(o.Limits.Timers),
		meters:     newMeters(o.Counters),
		dirty:      make([]int32, 0, o.Limits.Sessions),
		owed:       make([]int32, 0, o.Limits.Sessions),
		asking:     make([]int32, 0, o.Limits.Sessions),
		clients:    make([]farewell, 0, o.Limits.Sessions),
	}, nil
}

// Lead starts the leadership of term behind chain, the verified end of the log. The ring's writer is the sequencer
// from here to Resign. wallNs is where the stamps' clock starts. Client messages are taken once the service driver,
// which is to be told to lead with the end of the term record, has written EgressReady for this term.
func (s *Sequencer) Lead(nowNs, wallNs int64, term wire.Term, chain wire.Chain) {
	s.forget()
	s.clients = s.clients[:0]
	s.nowNs, s.adjustedNs, s.scannedNs = nowNs, nowNs, nowNs
	s.leading, s.term = true, term
	s.ready = simbug.On(simbug.ClientsBeforeApplied)
	s.log.start(nowNs, wallNs, term, chain)
}

// Resign ends the leadership: every table is thrown away. It returns the end of the log as appended; what was not
// published may still be, or be cut. Who its clients were is kept for Farewell.
func (s *Sequencer) Resign() wire.Chain {
	s.noteClients()
	s.forget()
	s.log.discard()
	return s.log.chain
}

func (s *Sequencer) forget() {
	s.leading, s.ready, s.term, s.termEnd = false, false, 0, 0
	s.replicated, s.durable, s.syncTo = 0, 0, 0
	s.disputed, s.obstacle = false, wire.RefusalNone
	s.asking = s.asking[:0]
	s.dirty, s.owed, s.held, s.packed, s.scan = s.dirty[:0], s.owed[:0], nil, 0, 0
	if !simbug.On(simbug.KeepTables) {
		s.table.reset()
		s.ended.reset()
	}
	s.acks.reset()
	s.stages.reset()
	s.assemblies.reset()
	s.timers.Reset()
	s.meters.sessions.Set(0)
}

// Hold has every client record refused with why, until it is RefusalNone: while this node hands over, nothing may be
// appended for clients. They are told BUSY and send again, so that nothing is lost.
func (s *Sequencer) Hold(why wire.Refusal) { s.log.held = why }

// DiskBad says whether this node's disk is full or hangs: clients that find no room hear that then.
func (s *Sequencer) DiskBad(bad bool) { s.log.diskBad = bad }

// AppendTerm appends the term record, the first of a leadership. It reports false, and has appended nothing, while a
// gate of the ring leaves no room: to be tried again.
func (s *Sequencer) AppendTerm(nowNs int64, t wire.TermRecord) bool {
	n := t.Put(s.payload[:])
	end, ok := s.log.Append(nowNs, wire.RecordTerm, 0, 0, 0, 0, s.payload[:n])
	if ok {
		s.termEnd = end
	}
	return ok
}

// AppendConfig appends a config record; false as in AppendTerm.
func (s *Sequencer) AppendConfig(nowNs int64, c *wire.Config) bool {
	n := c.Put(s.payload[:])
	_, ok := s.log.Append(nowNs, wire.RecordConfig, 0, 0, 0, 0, s.payload[:n])
	return ok
}

// AppendSkip appends a skip record; false as in AppendTerm.
func (s *Sequencer) AppendSkip(nowNs int64, position wire.Position) bool {
	skip := wire.SkipRecord{Position: position}
	n := skip.Put(s.payload[:])
	_, ok := s.log.Append(nowNs, wire.RecordSkip, 0, 0, 0, 0, s.payload[:n])
	return ok
}

// AppendSnapshot appends a snapshot record; false as in AppendTerm.
func (s *Sequencer) AppendSnapshot(nowNs int64, x wire.SnapshotRecord) bool {
	n := x.Put(s.payload[:])
	_, ok := s.log.Append(nowNs, wire.RecordSnapshot, 0, 0, 0, 0, s.payload[:n])
	return ok
}

// Publish makes what was appended visible to the readers of the ring and returns the end of the log.
func (s *Sequencer) Publish() wire.Chain {
	chain := s.log.Publish()
	s.stages.sequenced(s.acks.tail)
	return chain
}

// Chain is the end of the log as appended, published or not.
func (s *Sequencer) Chain() wire.Chain { return s.log.chain }

// SyncTo is the highest position for which a client waits to be told that it is durable.
func (s *Sequencer) SyncTo() wire.Position { return s.syncTo }

// Ready says whether client messages are taken: the tables are complete for the term being led.
func (s *Sequencer) Ready() bool { return s.ready }

// DoWork takes what the service has to say, packs answers, and fills the Sender with datagrams; the caller flushes
// it. It returns how many egress messages it took.
func (s *Sequencer) DoWork(nowNs int64) (work int) {
	if !s.leading {
		return 0
	}
	s.admission.inCycle = 0
	s.noticePause(nowNs)
	s.nowNs = nowNs
	s.lookAtApply()
	if nowNs-s.adjustedNs >= slewHorizonNs {
		s.adjustedNs = nowNs
		s.log.stamper.Adjust(nowNs, s.o.WallNs())
		s.meters.clamps.Set(s.log.stamper.Clamps())
	}
	if !s.disputed {
		work = s.drain()
	}
	if s.ready {
		s.fireTimers()
		s.lookForSilence()
	}
	s.askAgain()
	s.tellCommitted()
	s.flush()
	return work
}

// Disputed has what the services say held back while nobody knows which node's services are right.
func (s *Sequencer) Disputed(disputed bool) {
	s.disputed = disputed
	s.lookAtApply()
}

// lookAtApply sees whether anything keeps messages from being answered. Clients are then told so, instead of waiting.
func (s *Sequencer) lookAtApply() {
	s.obstacle = wire.RefusalNone
	if s.disputed {
		s.obstacle = wire.RefusalBusyDiverged
	}
	if s.o.Progress != nil {
		if _, halted := s.o.Progress.Halted(); halted {
			s.obstacle = wire.RefusalBusyHalted
		}
	}
}

// starting is why client messages are not taken while the tables are not complete.
func (s *Sequencer) starting() wire.Refusal {
	if s.obstacle != wire.RefusalNone {
		return s.obstacle
	}
	return wire.RefusalBusyStarting
}

// noticePause begins to measure silence anew after a cycle so late that this node may not have heard who did speak: it
// was paused, or its thread was kept from running. That is no client's silence.
func (s *Sequencer) noticePause(nowNs int64) {
	if s.ready && nowNs-s.workedNs > s.o.Limits.SessionNs/4 {
		s.hearAll(nowNs)
	}
	s.workedNs = nowNs
}

// hearAll measures everybody's silence from now on.
func (s *Sequencer) hearAll(nowNs int64) {
	for i := range s.table.slots {
		s.table.slots[i].heardNs, s.table.slots[i].behindNs = nowNs, nowNs
	}
}

// lookForSilence looks at the next slots in turn, as many as are due: at all of them in an eighth of the time for which a
// client may be silent, however many there are.
func (s *Sequencer) lookForSilence() {
	round, slots := max(1, s.o.Limits.SessionNs/8), int64(len(s.table.slots))
	s.scannedNs = max(s.scannedNs, s.nowNs-round)
	due := min((s.nowNs-s.scannedNs)*slots/round, scanPerCycle)
	s.scannedNs += due * round / slots
	for range due {
		x := &s.table.slots[s.scan]
		if s.scan++; s.scan == len(s.table.slots) {
			s.scan = 0
		}
		s.lookAtSession(x)
	}
}

// lookAtSession closes a session whose client has been silent for too long. While clients that come are turned away its own
// may be one of those: that is no silence.
func (s *Sequencer) lookAtSession(x *session) {
	if x.state == sessionOpen && s.nowNs-max(x.heardNs, s.admission.turnedNs) > s.o.Limits.SessionNs && s.appendClose(x, wire.RefusalExpired) {
		s.meters.expired.Inc()
	}
}

// appendClose appends the session-close record; false when there is no room for it now.
func (s *Sequencer) appendClose(x *session, code wire.Refusal) bool {
	if s.log.Admits(wire.ReasonSize) != wire.RefusalNone {
		return false
	}
	n := 0
	if code != wire.RefusalNone {
		why := wire.Reason{Code: code}
		n = why.Put(s.payload[:])
	}
	_, ok := s.log.Append(s.nowNs, wire.RecordSessionClose, x.id, 0, 0, uint32(x.received), s.payload[:n])
	if ok {
		x.state = sessionClosing
		s.assemblies.drop(x)
	}
	return ok
}
