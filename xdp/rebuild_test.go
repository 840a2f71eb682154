package xdp

import (
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// told keeps what an end point says.
type told struct {
	mu        sync.Mutex
	sentences []string
}

func (n *told) say(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sentences = append(n.sentences, s)
}

func (n *told) has(s string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Contains(strings.Join(n.sentences, "\n"), s)
}

// rebuilt drives an end point until its socket was made anew so many times.
func rebuilt(t *testing.T, e *Endpoint, times uint64) {
	t.Helper()
	eventually(t, "the socket to be made anew", func() bool {
		poll(e)
		must(t, e.Err())
		return e.Stats().Rebuilds == times
	})
}

// works checks that two end points reach each other, and that no frame of theirs is missing.
func works(t *testing.T, ea, eb *Endpoint) {
	t.Helper()
	for _, way := range [][2]*Endpoint{{ea, eb}, {eb, ea}} {
		send(t, way[0], way[1].Local(), []byte("after"))
		if got := receive(t, way[1], 1); string(got[len(got)-1].Payload) != "after" {
			t.Errorf("got %q", got[len(got)-1].Payload)
		}
	}
	for _, e := range []*Endpoint{ea, eb} {
		eventually(t, "every frame to come back", func() bool {
			poll(e)
			return e.umem.freeN+e.umem.txApp == int(e.umem.txFrames)
		})
		audit(t, e)
	}
}

func TestLostCompletionsHaveTheSocketMadeAnew(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		notes := &told{}
		ea, eb := a.open(Config{Mode: mode, Notify: notes.say}), b.open(Config{Mode: mode})
		meet(t, ea, eb)
		fd := ea.Fd()
		ea.Reclaim(1)
		kept, buf := ea.Take() // stays the user's all along
		copy(buf, "kept")

		ea.socket.comp.producer = &[]uint32{ea.socket.comp.next}[0] // from here on nothing comes back
		eventually(t, "the transmit side to be full", func() bool {
			n := ea.Reclaim(16)
			for range n {
				frame, _ := ea.Take()
				ea.Send(frame, 100, eb.Local())
			}
			ea.Flush()
			poll(eb)
			return n == 0
		})
		rebuilt(t, ea, 1)
		if s := ea.Stats(); s.Lost != 255 || s.Rebuilding || ea.Fd() != fd {
			t.Errorf("%d frames lost, want 255; rebuilding %v; descriptor %d, was %d", s.Lost, s.Rebuilding, ea.Fd(), fd)
		}
		if !notes.has("nothing that was sent has come back") || !notes.has("is made anew") {
			t.Errorf("said %q", notes.sentences)
		}
		if ea.Send(kept, 4, eb.Local()) != SendQueued {
			t.Error("the frame that was the user's cannot be sent")
		}
		ea.Flush()
		eventually(t, "that frame", func() bool {
			n := eb.Receive(64)
			found := n > 0 && string(eb.Datagram(n-1).Payload) == "kept"
			eb.Release()
			return found
		})
		works(t, ea, eb)

		send(t, eb, ea.Local(), []byte("wakes who polls"))
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 5000); n != 1 || err != nil {
			t.Errorf("poll of the descriptor says %d, %v", n, err)
		}
	})
}

func TestFramesLostOnTheWayHaveTheSocketMadeAnew(t *testing.T) {
	a, b := newPair(t)
	ea, eb := a.open(Config{}), b.open(Config{})
	meet(t, ea, eb)
	ea.Reclaim(64)
	for range 64 {
		frame, _ := ea.Take()
		ea.umem.sent(frame) // as if the kernel had taken it and forgotten it
	}
	for range 2 * overdueRounds * 256 {
		send(t, ea, eb.Local(), []byte("the rest goes on"))
		poll(eb)
	}
	rebuilt(t, ea, 1)
	if s := ea.Stats(); s.Lost != 64 {
		t.Errorf("%d frames lost, want 64", s.Lost)
	}
	works(t, ea, eb)
	eventually(t, "no frame to be overdue", func() bool { poll(ea); return ea.Stats().Overdue == 0 })
}

func TestLostReceiveFramesHaveTheSocketMadeAnew(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea, eb := a.open(Config{Mode: mode}), b.open(Config{Mode: mode, RxFrames: 64, TxFrames: 64})
		meet(t, ea, eb)
		taken := &[]uint32{eb.socket.fill.next}[0]
		eb.socket.fill.producer, eb.socket.fill.consumer = taken, taken // what is released does not come to the driver
		eventually(t, "the receiver to be starved, and its socket made anew", func() bool {
			send(t, ea, eb.Local(), []byte("to nobody"))
			poll(eb)
			must(t, eb.Err())
			return eb.Stats().Rebuilds == 1
		})
		if s := eb.Stats(); s.RxFillEmpty == 0 {
			t.Error("what the kernel counted on the socket that was given up is forgotten")
		}
		works(t, ea, eb)
	})
}

func TestSocketThatTheKernelLetGoOfIsMadeAnew(t *testing.T) {
	a, b := newPair(t)
	ea, eb := a.open(Config{BusyPollUs: 10}), b.open(Config{})
	meet(t, ea, eb)
	for n := uint64(1); n <= 2; n++ {
		ea.socketError(unix.ENXIO)
		rebuilt(t, ea, n)
		works(t, ea, eb)
	}
}

func TestRebuildWaitsForTheLink(t *testing.T) {
	a, b := newPair(t)
	ea, eb := a.open(Config{}), b.open(Config{})
	meet(t, ea, eb)
	must(t, b.handle.LinkSetDown(b.link))
	eventually(t, "the carrier's loss", func() bool { return !ea.Stats().LinkUp })
	ea.socketError(unix.ENXIO)
	eventually(t, "a rebuild", func() bool { poll(ea); return ea.Stats().Rebuilding })
	if s := ea.Stats(); s.Rebuilds != 0 {
		t.Error("made anew without a link")
	}
	must(t, b.handle.LinkSetUp(b.link))
	rebuilt(t, ea, 1)
	meet(t, ea, eb)
	works(t, ea, eb)
}

func TestCloseDuringARebuild(t *testing.T) {
	a, b := newPair(t)
	e, err := a.tryOpen(Config{})
	must(t, err)
	must(t, b.handle.LinkSetDown(b.link))
	eventually(t, "the carrier's loss", func() bool { return !e.Stats().LinkUp })
	e.socketError(unix.ENXIO)
	eventually(t, "a rebuild that waits for the link", func() bool { poll(e); return e.socket.fd < 0 })
	must(t, e.Close())
	a.open(Config{})
}

func TestRebuildsThatDoNotHelpAreFinal(t *testing.T) {
	w := &watcher{endpoint: &Endpoint{device: &device{name: "nic0"}}}
	w.rebuild.barren = barrenMax
	w.startRebuild("nothing comes back")
	if err := w.endpoint.Err(); err == nil || !strings.Contains(err.Error(), "nic0: nothing comes back") {
		t.Errorf("%v", err)
	}
	w = &watcher{endpoint: &Endpoint{device: &device{name: "nic0"}}}
	w.rebuild.barren = barrenMax
	for range barrenTicks + 1 {
		w.goOn(true)
	}
	if w.rebuild.barren != 0 {
		t.Error("rebuilds long ago are held against a new one")
	}
}

func TestStuckNeedsAWishAndNoProgress(t *testing.T) {
	var s stuck
	for i, step := range []struct {
		wanted         bool
		want, progress uint64
		ticks          int
	}{{true, 1, 0, 1}, {true, 2, 0, 2}, {false, 2, 0, 0}, {true, 3, 0, 1}, {true, 4, 1, 0}, {true, 5, 1, 1}} {
		if s.look(step.wanted, step.want, step.progress); s.ticks != step.ticks {
			t.Errorf("step %d: %d ticks, want %d", i, s.ticks, step.ticks)
		}
	}
}

func TestLinkFlapsUnderLoad(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea, eb := a.open(Config{Mode: mode}), b.open(Config{Mode: mode})
		meet(t, ea, eb)
		load := func() {
			for range ea.Reclaim(32) {
				frame, _ := ea.Take()
				ea.Send(frame, 200, eb.Local())
			}
			ea.Flush()
			echo(eb, 32)
			ea.Receive(64)
			ea.Release()
		}
		for i := range uint64(6) {
			h := []*host{a, b}[i%2]
			must(t, h.handle.LinkSetDown(h.link))
			eventually(t, "the link's loss", func() bool { load(); return ea.Stats().LinkDowns == i+1 })
			must(t, h.handle.LinkSetUp(h.link))
			eventually(t, "the link", func() bool { load(); return ea.Stats().LinkUp })
		}
		eventually(t, "neighbours", func() bool { load(); return ea.Reachable(b.ip) && eb.Reachable(a.ip) })
		before := ea.Stats().Received
		eventually(t, "echoes", func() bool { load(); return ea.Stats().Received > before+100 })
		for range 3 { // what is still on its way
			poll(ea)
			poll(eb)
		}
		works(t, ea, eb)
		if s := ea.Stats(); s.Rebuilds != 0 {
			t.Errorf("%d rebuilds: a link that flaps needs none", s.Rebuilds)
		}
	})
}
