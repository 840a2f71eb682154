package system

import (
	"testing"

	"lockstep/internal/lab"
	"lockstep/wire"
)

// everyTransport runs a test over each way that datagrams can go.
func everyTransport(t *testing.T, test func(t *testing.T, o lab.Options)) {
	for _, way := range []struct{ name, transport, mode string }{
		{"xdp generic", "xdp", "generic"}, {"xdp native", "xdp", "native"}, {"udp", "udp", "auto"},
	} {
		t.Run(way.name, func(t *testing.T) { test(t, lab.Options{Transport: way.transport, XDPMode: way.mode}) })
	}
}

func TestShouldElectALeaderAndAnswerAtEveryLevel(t *testing.T) {
	needNamespaces(t)
	everyTransport(t, func(t *testing.T, o lab.Options) {
		o.Clients = 2
		c := up(t, o)
		want := map[string]string{"generic": "generic", "native": "native", "auto": "kernel"}[o.XDPMode]
		levels := []wire.Level{wire.LevelReceived, wire.LevelSequenced, wire.LevelReplicated, wire.LevelDurable,
			wire.LevelApplied}
		const each = 60
		echo := c.start(0, flowOptions{Payload: 300, Levels: levels, Count: each * 5, Window: 32})
		orders := c.start(1, flowOptions{Orders: true, Levels: levels, Count: each * 5, Window: 32})
		for _, f := range []*flow{echo, orders} {
			c.await("the client is done", func() bool { return f.now().Done })
			s := f.stop()
			for _, level := range levels {
				if s.Levels[level] != each {
					t.Errorf("%d of %d messages were acknowledged at level %s", s.Levels[level], each, level)
				}
			}
			if s.Mode != want {
				t.Errorf("the client's transport is %q, want %q", s.Mode, want)
			}
		}
		if s := orders.now(); s.Executed == 0 {
			t.Error("no order was executed")
		}
		const longest = 25
		long := c.start(0, flowOptions{Payload: wire.MaxMessage, Levels: levels[4:], Count: longest, Window: 4})
		c.await("the longest messages are answered", func() bool { return long.now().Done })
		if n := long.stop().Levels[wire.LevelApplied]; n != longest {
			t.Errorf("%d of %d messages of %d bytes were answered", n, longest, wire.MaxMessage)
		}
		c.prove()
	})
}
