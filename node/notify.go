package node

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"lockstep/agent"
	"lockstep/internal/counters"
	"lockstep/replica"
)

// manager is the service manager that started this process, if it is one that wants to be told how it goes (systemd:
// Type=notify, WatchdogSec=). It is told that the node serves, what it does, that it stops, and, as long as every hot thread
// has duty cycles, that it lives. All of that is a goroutine's: hot threads do no more for it than to count their seconds.
// A nil one tells nobody.
type manager struct {
	tell  func(state string) error
	out   io.Writer
	limit time.Duration // without a sign of life the process is killed; 0: it need not give any
	quit  chan struct{}
	done  chan struct{}

	mu       sync.Mutex
	node     *Node // that runs; nil: one is being opened
	pulses   []pulse
	ready    bool
	stopping bool
	status   string    // told last
	alive    time.Time // when the last sign of life was given
	silent   bool      // that none is given was printed
	failed   bool      // that the manager cannot be told was printed
}

// pulse is a hot thread's.
type pulse struct {
	thread  string
	seconds *counters.Counter
	seen    uint64
	moved   bool // since the last sign of life
}

const (
	lookEvery = 500 * time.Millisecond
	// leastLimit is the shortest time that signs of life can be relied on for: threads count seconds.
	leastLimit = 4 * time.Second
)

// newManager is nil where nobody wants to be told.
func newManager(out io.Writer) *manager {
	if told, err := daemon.SdNotify(false, "STATUS=opens its directory"); !told && err == nil {
		return nil
	}
	m := &manager{out: out, quit: make(chan struct{}), done: make(chan struct{}), alive: time.Now(),
		tell: func(state string) error { _, err := daemon.SdNotify(false, state); return err }}
	limit, err := daemon.SdWatchdogEnabled(false)
	switch {
	case err != nil:
		fmt.Fprintf(out, "WATCHDOG_USEC is no number of microseconds: %v; no sign of life is given\n", err)
	case limit != 0 && limit < leastLimit:
		fmt.Fprintf(out, "WatchdogSec is %v: signs of life come every one to two seconds, want %v or more\n", limit, leastLimit)
	}
	m.limit = limit
	go m.keep()
	return m
}

// keep looks until the end.
func (m *manager) keep() {
	defer close(m.done)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.quit:
			return
		case now := <-tick.C:
			m.look(now)
		}
	}
}

// runs says that a node serves from now on.
func (m *manager) runs(n *Node) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.node, m.pulses = n, m.pulses[:0]
	for i := range n.threads {
		if t := &n.threads[i]; t.hot {
			seconds := n.counters.Counter(agent.WindowCounter(t.agent.Name()), "")
			m.pulses = append(m.pulses, pulse{thread: t.agent.Name(), seconds: seconds, seen: seconds.Load()})
		}
	}
	if !m.ready {
		m.ready = true
		m.send(daemon.SdNotifyReady)
	}
}

// opens says that no node runs, and one is about to. The node's counters are not looked at any more.
func (m *manager) opens() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.node, m.pulses = nil, m.pulses[:0]
}

// stops says that the process is about to end, and why if that was not asked for.
func (m *manager) stops(why string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return
	}
	m.stopping = true
	m.send(daemon.SdNotifyStopping + "\nSTATUS=stops" + why)
}

// close ends it all.
func (m *manager) close(err error) {
	if m == nil {
		return
	}
	why := ""
	if err != nil {
		why, _, _ = strings.Cut(err.Error(), "\n")
		why = ": " + why
	}
	m.stops(why)
	close(m.quit)
	<-m.done
}

// look tells what is new, and gives a sign of life if there is one. The manager's goroutine.
func (m *manager) look(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return // it has its own time-out for that
	}
	if status := m.brief(); status != m.status {
		m.status = status
		m.send("STATUS=" + status)
	}
	if m.limit == 0 {
		return
	}
	if stuck := m.stuck(); len(stuck) != 0 {
		if !m.silent && now.Sub(m.alive) > m.limit/2 {
			m.silent = true
			fmt.Fprintf(m.out, "no duty cycle of %s for %v: the service manager is given no sign of life\n",
				strings.Join(stuck, ", "), now.Sub(m.alive).Round(time.Second))
		}
		return
	}
	for i := range m.pulses {
		m.pulses[i].moved = false
	}
	m.alive, m.silent = now, false
	m.send(daemon.SdNotifyWatchdog)
}

// stuck are the hot threads that have not counted on since the last sign of life.
func (m *manager) stuck() (names []string) {
	for i := range m.pulses {
		p := &m.pulses[i]
		if v := p.seconds.Load(); v != p.seen {
			p.seen, p.moved = v, true
		}
		if !p.moved {
			names = append(names, p.thread)
		}
	}
	return names
}

// brief is how the node is, in a line that changes when something happens.
func (m *manager) brief() string {
	n := m.node
	if n == nil {
		return "opens its directory"
	}
	term, leader := n.gauge("lockstep_term"), n.gauge("lockstep_leader")
	text := fmt.Sprintf("no leader known, term %d", term)
	switch {
	case replica.Role(n.gauge("lockstep_role")) == replica.Leader:
		text = fmt.Sprintf("leads term %d", term)
	case leader != 0:
		text = fmt.Sprintf("follows node %d in term %d", leader, term)
	}
	for _, alarm := range []struct{ gauge, text string }{
		{"lockstep_recovering", "; recovering"}, {"lockstep_disk_full", "; disk full"}, {"lockstep_disk_hung", "; disk hangs"},
		{"lockstep_clock_skewed", "; clock off"}, {"lockstep_apply_halted", "; apply halted"},
	} {
		if n.gauge(alarm.gauge) == 1 {
			text += alarm.text
		}
	}
	return text
}

// send tells the manager something; that it cannot be told is printed once.
func (m *manager) send(state string) {
	if err := m.tell(state); err != nil && !m.failed {
		m.failed = true
		fmt.Fprintf(m.out, "the service manager cannot be told (NOTIFY_SOCKET): %v\n", err)
	}
}
