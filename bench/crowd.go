package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// Crowd is a process of many sessions that do nothing but live, over one transport and on one thread, which sleeps while
// nothing is due.
type Crowd struct {
	Target   Target
	Sessions int
}

// CrowdMark asks a Crowd to have every session send one message, and to count from now on who comes back when. WatchLook
// asks it how it is; it answers both with what it is.
const CrowdMark = "mark"

// CrowdState is how a crowd is.
type CrowdState struct {
	Sessions  int    `json:"sessions"`
	Connected int    `json:"connected"` // at the moment
	Closed    int    `json:"closed"`    // by the cluster
	Joined    int    `json:"joined"`    // times that a session was opened, or went on, since the mark
	FirstNs   int64  `json:"first_ns"`  // from the mark to the first of these, and to the last
	LastNs    int64  `json:"last_ns"`
	PeakPerS  int    `json:"peak_per_s"` // most of them in any 100 ms, a second
	Sent      uint64 `json:"sent"`       // messages, and how many are answered
	Acked     uint64 `json:"acked"`
	Wrong     uint64 `json:"wrong"` // answered twice, or out of order
	Resident  int64  `json:"resident"`
	Mode      string `json:"mode"`
	Error     string `json:"error,omitempty"`
}

// crowd is one that runs.
type crowd struct {
	o        *Crowd
	clock    agent.System
	mux      *client.Mux
	members  []*crowdMember
	state    CrowdState
	markedNs int64
	joinedNs []int64 // since the mark
	toSend   int     // members, from the first on, that are to send still
	ending   bool
}

// crowdMember is one session: the handler of its client.
type crowdMember struct {
	c         *crowd
	client    *client.Client
	connected bool
	acked     uint64
}

// Bounds of a crowd.
const (
	crowdOpening = 120 * time.Second // until all are there
	crowdEnding  = 20 * time.Second  // until all are gone
	crowdStep    = 256               // sessions that begin, send or end in one cycle
	crowdRest    = 5 * time.Millisecond
	// Sessions that do nothing are in no hurry: they seldom say that they live, take a slow answer for one, and
	// say nothing again at once: thousands that did would be heard by nobody.
	crowdKeepalive = 2500 * time.Millisecond
	crowdPatience  = time.Second
	crowdAgain     = 250 * time.Millisecond // between two datagrams that say the same
	peakWindow     = 100 * time.Millisecond
)

// Run opens the sessions, says how it went, and does what the lines read from in ask for; their end, or that of ctx, ends
// all sessions.
func (o *Crowd) Run(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	mux, tr, mode, err := o.Target.openMux(o.Sessions)
	if err != nil {
		return err
	}
	parker, err := agent.NewParker(tr.Fds()...)
	if err != nil {
		return errors.Join(err, tr.Close())
	}
	defer func() { err = errors.Join(err, parker.Close(), tr.Close()) }()
	c := &crowd{o: o, mux: mux, state: CrowdState{Sessions: o.Sessions, Mode: mode}}
	c.markedNs = c.clock.NowNs()
	if err := c.open(ctx, parker, tr); err != nil {
		return err
	}
	events := json.NewEncoder(out)
	if err := events.Encode(c.look()); err != nil {
		return err
	}
	orders := readOrders(in)
	for ctx.Err() == nil {
		c.cycle(parker)
		lines, ended := orders.take()
		for _, line := range lines {
			if line == CrowdMark {
				c.mark()
			}
			if events.Encode(c.look()) != nil {
				ended = true // nobody reads any more
			}
		}
		if ended {
			break
		}
	}
	return c.end(parker)
}

// open opens all sessions.
func (c *crowd) open(ctx context.Context, parker *agent.Parker, tr transport.Transport) error {
	deadline := c.clock.NowNs() + crowdOpening.Nanoseconds()
	for c.state.Connected < c.o.Sessions {
		// No more at once than a socket holds answers for: how fast they can be opened is not a matter of what is dropped.
		for range min(crowdStep-(len(c.members)-c.state.Connected), c.o.Sessions-len(c.members)) {
			m := &crowdMember{c: c}
			var err error
			m.client, err = c.mux.Add(client.Options{Nodes: c.o.Target.Nodes, Window: 2,
				Name: fmt.Sprintf("crowd %d", len(c.members)+1), KeepaliveNs: crowdKeepalive.Nanoseconds(),
				SilenceNs: crowdPatience.Nanoseconds(), ConnectTimeoutNs: crowdPatience.Nanoseconds(),
				ResendNs: crowdAgain.Nanoseconds(), ResendMaxNs: 4 * crowdAgain.Nanoseconds()}, m)
			if err != nil {
				return err
			}
			c.members = append(c.members, m)
		}
		c.cycle(parker)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case c.state.Error != "":
			return errors.New("bench: " + c.state.Error)
		case c.clock.NowNs() > deadline:
			return fmt.Errorf("bench: %d of %d sessions are open after %v (%s)", c.state.Connected, c.o.Sessions, crowdOpening,
				tr.Describe())
		}
	}
	return nil
}

// cycle moves everything along, and sleeps until something is due if nothing is.
func (c *crowd) cycle(parker *agent.Parker) {
	c.send()
	if c.mux.Poll(c.clock.NowNs()) > 0 || c.toSend > 0 {
		return
	}
	parker.Announce()
	nowNs := c.clock.NowNs()
	if c.mux.Poll(nowNs) > 0 {
		parker.Withdraw()
		return
	}
	parker.Block(max(0, min(c.mux.DueNs()-nowNs, crowdRest.Nanoseconds())))
}

// mark begins to count anew, and has every session send.
func (c *crowd) mark() {
	c.markedNs, c.joinedNs, c.toSend = c.clock.NowNs(), c.joinedNs[:0], len(c.members)
}

// send has some of those send that are to.
func (c *crowd) send() {
	for range min(crowdStep, c.toSend) {
		c.toSend--
		m := c.members[c.toSend]
		if _, err := m.client.Send(c.clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), crowdPayload); err == nil {
			c.state.Sent++
		}
	}
}

var crowdPayload = []byte("still here")

// look says how it is.
func (c *crowd) look() *CrowdState {
	s := &c.state
	s.Joined, s.FirstNs, s.LastNs, s.PeakPerS = len(c.joinedNs), 0, 0, 0
	if n := len(c.joinedNs); n > 0 {
		s.FirstNs, s.LastNs = c.joinedNs[0]-c.markedNs, c.joinedNs[n-1]-c.markedNs
	}
	from := 0
	for i, at := range c.joinedNs {
		for at-c.joinedNs[from] >= peakWindow.Nanoseconds() {
			from++
		}
		s.PeakPerS = max(s.PeakPerS, (i-from+1)*int(time.Second/peakWindow))
	}
	s.Resident = Resident(os.Getpid())
	return s
}

// end closes all sessions, so that the cluster is left as it was.
func (c *crowd) end(parker *agent.Parker) error {
	c.ending = true
	deadline := c.clock.NowNs() + crowdEnding.Nanoseconds()
	for left := len(c.members); c.mux.Len() > 0; {
		for range min(crowdStep, left) {
			left--
			c.members[left].client.Close(c.clock.NowNs())
		}
		c.cycle(parker)
		if c.clock.NowNs() > deadline {
			return fmt.Errorf("bench: %d sessions do not end", c.mux.Len())
		}
	}
	return nil
}

// OnAck implements client.Handler.
func (m *crowdMember) OnAck(a client.Ack) {
	if a.Code != wire.RefusalNone {
		m.c.fail("a message was refused: %s", a.Code.Sentence())
	}
	if a.Correlation != m.acked+1 {
		m.c.state.Wrong++
	}
	m.acked = a.Correlation
	m.c.state.Acked++
}

// OnResponse implements client.Handler.
func (m *crowdMember) OnResponse(client.Response) {}

// OnEvent implements client.Handler.
func (m *crowdMember) OnEvent(e client.Event) {
	c := m.c
	switch e.Kind {
	case client.EventConnected:
		if !m.connected {
			m.connected = true
			c.state.Connected++
		}
		c.joinedNs = append(c.joinedNs, c.clock.NowNs())
	case client.EventDisconnected:
		m.leave()
	case client.EventClosed:
		m.leave()
		if !c.ending {
			c.state.Closed++
			c.fail("a session was closed %.1f s after the last mark: %s (%d of %d connected; of it: %+v)",
				float64(c.clock.NowNs()-c.markedNs)/1e9, e.Code.Sentence(), c.state.Connected, c.o.Sessions, m.client.Stats())
		}
	}
}

func (m *crowdMember) leave() {
	if m.connected {
		m.connected = false
		m.c.state.Connected--
	}
}

func (c *crowd) fail(format string, args ...any) {
	if c.state.Error == "" {
		c.state.Error = fmt.Sprintf(format, args...)
	}
}

// Resident is how much memory of a process is resident, in bytes; 0 when that cannot be read.
func Resident(pid int) (bytes int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	lines := strings.Split(string(text), "\n")
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "VmRSS:") }); i >= 0 {
		_, _ = fmt.Sscanf(lines[i], "VmRSS: %d kB", &bytes)
	}
	return bytes << 10
}
