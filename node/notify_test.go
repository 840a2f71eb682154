package node

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/internal/counters"
	"lockstep/replica"
)

// TestServiceManagerHearsNothingOfAStuckThread: a sign of life needs every hot thread to have counted on since the one
// before; while no node runs, one is given all the same, since opening a long log takes what it takes.
func TestServiceManagerHearsNothingOfAStuckThread(t *testing.T) {
	var told []string
	var out bytes.Buffer
	m := &manager{out: &out, limit: 10 * time.Second, tell: func(state string) error { told = append(told, state); return nil }}
	now := time.Now()
	m.alive = now
	network, core := &counters.Counter{}, &counters.Counter{}
	look := func() string {
		told = nil
		now = now.Add(lookEvery)
		m.look(now)
		return strings.Join(told, " ")
	}
	if got := look(); got != "STATUS=opens its directory WATCHDOG=1" {
		t.Errorf("while it opens: %q", got)
	}
	m.pulses = []pulse{{thread: "network", seconds: network}, {thread: "core", seconds: core}}
	if got := look(); got != "" {
		t.Errorf("threads that have not counted yet: %q", got)
	}
	network.Inc()
	if got := look(); got != "" {
		t.Errorf("one of two has: %q", got)
	}
	core.Inc() // some looks later than the other
	if got := look(); got != "WATCHDOG=1" {
		t.Errorf("both have: %q", got)
	}
	for range 12 {
		network.Inc()
		if got := look(); got != "" {
			t.Errorf("core is stuck: %q", got)
		}
	}
	if got := strings.Count(out.String(), "no duty cycle of core for 6s"); got != 1 {
		t.Errorf("printed %d times of a stuck thread:\n%s", got, out.String())
	}
	core.Inc()
	if got := look(); got != "WATCHDOG=1" {
		t.Errorf("it goes on: %q", got)
	}
	told = nil
	m.stops(": why")
	m.stops("")
	if look(); len(told) != 0 {
		t.Errorf("after the end: %q", told)
	}
}

// TestServiceManagerIsToldOnce of what does not change, of the end, and of itself if it cannot be told.
func TestServiceManagerIsToldOnce(t *testing.T) {
	var told []string
	var out bytes.Buffer
	m := &manager{out: &out, quit: make(chan struct{}), done: make(chan struct{}), tell: func(state string) error {
		told = append(told, state)
		return errors.New("nobody listens")
	}}
	for range 3 {
		m.look(time.Now())
	}
	go m.keep()
	m.stops("")
	m.close(errors.New("a disk failed\nin detail"))
	if want := []string{"STATUS=opens its directory", "STOPPING=1\nSTATUS=stops"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if n := strings.Count(out.String(), "nobody listens"); n != 1 {
		t.Errorf("printed %d times:\n%s", n, out.String())
	}
	var nobody *manager
	nobody.runs(nil)
	nobody.opens()
	nobody.stops("")
	nobody.close(nil)
}

// TestServiceManagerIsToldHowANodeIs tells what a node that leads and one that follows say in a line.
func TestServiceManagerIsToldHowANodeIs(t *testing.T) {
	n := newCluster(t, 1, "durable", t.TempDir()).nodes[0] // nothing of it runs: the gauges stay as they are set
	set := func(gauge string, v uint64) { n.counters.Counter(gauge, "").Set(v) }
	m := &manager{tell: func(string) error { return nil }}
	m.runs(n)
	if len(m.pulses) != 1 || m.pulses[0].thread != "node" {
		t.Errorf("hot threads of layout shared: %+v", m.pulses)
	}
	for _, row := range []struct {
		role         replica.Role
		term, leader uint64
		want         string
	}{
		{replica.Canvassing, 6, 0, "no leader known, term 6"},
		{replica.Follower, 7, 2, "follows node 2 in term 7"},
		{replica.Leader, 8, 1, "leads term 8"},
	} {
		set("lockstep_role", uint64(row.role))
		set("lockstep_term", row.term)
		set("lockstep_leader", row.leader)
		if text := m.brief(); text != row.want {
			t.Errorf("%q, want %q", text, row.want)
		}
	}
	set("lockstep_apply_halted", 1)
	if text := m.brief(); !strings.HasSuffix(text, "; apply halted") {
		t.Errorf("halted: %q", text)
	}
	m.opens()
	if text := m.brief(); text != "opens its directory" {
		t.Errorf("between two nodes: %q", text)
	}
}
