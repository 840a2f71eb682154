package bench

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"lockstep/client"
	"lockstep/wire"
)

// wave is the clients that came together, and their schedule.
type wave struct {
	r         *scene
	phase     *scenePhase
	asked     int // that knocked so far
	connected int
	members   []*member // those that work
	running   bool

	// Open loop: tick number n is that of member n mod len(members), due at startNs + n*spacingNs.
	startNs   int64
	spacingNs float64
	ticks     int64
}

// member is one session: the handler of its client.
type member struct {
	r         *scene
	wave      *wave // nil: a newcomer
	client    *client.Client
	name      string
	service   uint16
	next      func() []byte
	rejected  func(payload []byte) bool // of a recorded flow
	payload   []byte                    // that could not be sent; nil: to be asked for
	flights   []flight                  // by correlation
	open      int                       // sent and not answered
	newest    uint64                    // correlation answered last
	position  wire.Position
	connected bool

	// Open loop: burst number n is due at baseNs + n*intervalNs.
	baseNs     int64
	intervalNs float64
	due        int64 // bursts that have fallen due
	burst      int64 // number of the one that is being sent
	inBurst    int   // messages of it that are sent
}

// arrive has those knock that come with a phase.
func (r *scene) arrive(p *scenePhase) *wave {
	w := &wave{r: r, phase: p}
	p.arrivedNs = r.nowNs
	r.waves = append(r.waves, w)
	return w
}

// opened says whether all are there.
func (w *wave) opened() bool { return w.connected == w.phase.Join+w.phase.Idle }

// feed has those knock that are not on their way yet, no more at once than a socket holds answers for.
func (w *wave) feed() {
	p := w.phase
	for range min(crowdStep-(w.asked-w.connected), p.Join+p.Idle-w.asked) {
		works := w.asked < p.Join
		m, err := w.r.add(w, works)
		if err != nil {
			w.r.fail("%w", err)
			return
		}
		w.asked++
		if works {
			w.members, w.r.members = append(w.members, m), append(w.r.members, m)
		} else {
			w.r.others = append(w.r.others, m)
		}
	}
}

// add makes a client that connects; one that does not work is in no hurry.
func (r *scene) add(w *wave, works bool) (*member, error) {
	r.names++
	m := &member{r: r, wave: w, name: fmt.Sprintf("bench %d", r.names)}
	o := client.Options{Nodes: r.o.Target.Nodes, Name: m.name, Window: uint32(r.o.Plan.Window)}
	if works {
		load := r.o.Plan.loadOptions(len(r.members))
		if r.players != nil {
			r.o.Plan.Recording.play(&load, r.players[len(r.members)])
		}
		m.service, m.next, m.rejected = load.Service, load.Next, load.Rejected
		m.flights = make([]flight, 1<<bits.Len(uint(r.o.Plan.Window)))
	} else {
		o.Window, o.KeepaliveNs, o.SilenceNs = 2, crowdKeepalive.Nanoseconds(), crowdPatience.Nanoseconds()
		o.ConnectTimeoutNs = crowdPatience.Nanoseconds()
		o.ResendNs, o.ResendMaxNs = crowdAgain.Nanoseconds(), 4*crowdAgain.Nanoseconds()
	}
	var err error
	m.client, err = r.mux.Add(o, m)
	return m, err
}

// start begins the schedule of all members.
func (w *wave) start(nowNs int64) {
	w.running = true
	if w.r.o.Plan.Loop != Open || len(w.members) == 0 {
		return
	}
	interval := float64(w.r.o.Plan.Burst) / w.r.o.Plan.Rate * 1e9
	w.startNs, w.spacingNs = nowNs, interval/float64(len(w.members))
	for i, m := range w.members {
		m.baseNs, m.intervalNs = nowNs+int64(float64(i)*w.spacingNs), interval
	}
}

// nextNs is when a member has to send next.
func (w *wave) nextNs() int64 {
	if w.r.o.Plan.Loop != Open || len(w.members) == 0 {
		return math.MaxInt64
	}
	return w.startNs + int64(float64(w.ticks)*w.spacingNs)
}

// turn has every member send what is due.
func (w *wave) turn(nowNs int64) {
	if w.r.o.Plan.Loop == Closed {
		for _, m := range w.members {
			for m.open < w.r.o.InFlight && m.send(nowNs, nowNs) {
			}
		}
		return
	}
	endNs := w.r.phases[w.r.now].endNs
	for at := w.nextNs(); at <= nowNs && at < endNs; at = w.nextNs() {
		m := w.members[w.ticks%int64(len(w.members))]
		m.due++
		w.ticks++
		if m.due == m.burst+1 {
			m.push(nowNs)
		}
	}
	for _, m := range w.members {
		if m.behind() {
			m.catchUp(nowNs)
		}
	}
}

// behind says whether something is due that has not been sent.
func (m *member) behind() bool { return m.burst < m.due }

// dueNs is when a burst is due.
func (m *member) dueNs(burst int64) int64 { return m.baseNs + int64(float64(burst)*m.intervalNs) }

// catchUp sends what could not be sent when it was due, or drops it for the newest.
func (m *member) catchUp(nowNs int64) {
	if m.r.o.Conflated && m.burst < m.due-1 {
		size := m.r.o.Plan.Burst
		for ; m.burst < m.due-1; m.burst++ {
			m.r.phaseOf(m.dueNs(m.burst)).conflated += uint64(size - m.inBurst)
			m.inBurst = 0
		}
		m.payload = nil
	}
	m.push(nowNs)
	if limit := m.r.o.Plan.Behind.Nanoseconds(); limit > 0 && m.behind() && nowNs-m.dueNs(m.burst) > limit {
		m.r.stopped = true
	}
}

// push sends what is due, as far as the window has room.
func (m *member) push(nowNs int64) {
	for m.behind() && m.send(nowNs, m.dueNs(m.burst)) {
		if m.inBurst++; m.inBurst == m.r.o.Plan.Burst {
			m.burst, m.inBurst = m.burst+1, 0
		}
	}
}

// giveUp counts what was due and never sent as sent, and so as lost.
func (m *member) giveUp() {
	for ; m.behind(); m.burst++ {
		m.r.phaseOf(m.dueNs(m.burst)).result.Sent += uint64(m.r.o.Plan.Burst - m.inBurst)
		m.inBurst = 0
	}
}

// send sends one message; false when the window has no room for it.
func (m *member) send(nowNs, dueNs int64) bool {
	if m.client.Open() >= m.r.o.Plan.Window {
		return false
	}
	if m.payload == nil {
		m.payload = m.next()
	}
	correlation, err := m.client.Send(nowNs, m.service, wire.LevelsOf(m.r.o.Plan.Level), m.payload)
	if err != nil {
		if !errors.Is(err, client.ErrWindow) {
			m.r.fail("client %s: %w", m.name, err)
		}
		return false
	}
	m.payload = nil
	m.flights[correlation&uint64(len(m.flights)-1)] = flight{correlation: correlation, dueNs: dueNs, measured: true}
	m.open++
	m.r.sent++
	m.r.phaseOf(dueNs).result.Sent++
	return true
}

// OnAck implements client.Handler.
func (m *member) OnAck(a client.Ack) {
	if a.Code != wire.RefusalNone {
		m.r.fail("message %d of %s was refused: %s", a.Correlation, m.name, a.Code.Sentence())
	}
	if m.wave == nil || a.Level != m.r.o.Plan.Level {
		return
	}
	f := &m.flights[a.Correlation&uint64(len(m.flights)-1)]
	if f.correlation != a.Correlation {
		if a.Correlation <= m.newest {
			m.r.phases[m.r.now].result.Duplicated++
		}
		return
	}
	result := &m.r.phaseOf(f.dueNs).result
	if a.Position != 0 && a.Correlation > m.newest {
		if a.Position <= m.position {
			result.Reordered++
		}
		m.position, m.newest = a.Position, a.Correlation
	}
	result.Acked++
	took := m.r.clock.NowNs() - f.dueNs
	record(result.Histogram, took)
	result.Timeline.Add(f.dueNs, took)
	f.correlation = 0
	m.open--
	m.r.acked++
}

// OnResponse implements client.Handler.
func (m *member) OnResponse(x client.Response) {
	if m.rejected != nil && m.rejected(x.Payload) {
		m.r.phases[m.r.now].result.Rejected++
	}
}

// OnEvent implements client.Handler.
func (m *member) OnEvent(e client.Event) {
	switch {
	case e.Kind == client.EventConnected && !m.connected:
		m.connected = true
		if m.wave != nil {
			m.wave.joined()
		}
	case e.Kind == client.EventClosed && m.wave != nil && !m.r.ending:
		m.r.fail("a session was closed: %s", e.Code.Sentence())
	}
}

// joined notes that a client of the wave has its session; with the last one their schedule begins.
func (w *wave) joined() {
	w.connected++
	if !w.opened() {
		return
	}
	nowNs := w.r.clock.NowNs()
	w.phase.openedNs = nowNs
	if p := &w.r.phases[w.r.now]; p.startNs != 0 && !p.Quiet {
		w.start(nowNs)
	}
}

// knock has newcomers ask to be let in.
func (r *scene) knock(p *scenePhase) error {
	for range p.Newcomers {
		m, err := r.add(nil, false)
		if err != nil {
			return err
		}
		p.newcomers = append(p.newcomers, m)
	}
	return nil
}

// leave sends the newcomers away, and counts how they fared.
func (r *scene) leave(p *scenePhase) {
	a := &AdmissionFigures{Held: len(r.members) + len(r.others), Asked: len(p.newcomers)}
	for _, m := range p.newcomers {
		s := m.client.Stats()
		a.Refusals += s.Busy
		switch {
		case m.connected:
			a.Admitted++
		case s.Busy > 0:
			a.Refused++
			a.Why = s.BusyCode.Name()
		case m.client.Closed():
			a.Refused++
		default:
			a.Unanswered++
		}
		m.client.Close(r.nowNs)
	}
	p.newcomers, p.admission = nil, a
}
