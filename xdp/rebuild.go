package xdp

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// rebuild makes the socket anew, on the watcher's goroutine, when the driver has lost our frames: a reset of the NIC can do
// that. Program, port and groups stay, and so does the descriptor's number.
//
//	          watcher                                     owner's thread, in Receive
//	idle      unplugged socket into swap, errandSwap
//	asked     ............................................ takes it, old socket into given
//	          old one closed, new one opened and bound
//	made      new socket into swap, errandSwap
//	handed    ............................................ takes it, the unplugged one into given
//	idle
type rebuild struct {
	step   rebuildStep
	failed int // attempts
	barren int // rebuilds, each within barrenTicks of the one before
	ticks  int // since the last began
}

type rebuildStep uint8

const (
	rebuildIdle rebuildStep = iota
	rebuildAsked
	rebuildOpening
	rebuildHanded
)

const (
	// handOverMs is how often the watcher looks whether the owner has come by.
	handOverMs = 1
	// rebuildAttempts, one a tick while the link is up, are made for one socket.
	rebuildAttempts = 30
	// barrenMax is how many rebuilds may be needed one after the other, barrenTicks apart at most.
	barrenMax   = 3
	barrenTicks = 60
)

// startRebuild begins to make the socket anew, unless that is under way.
func (w *watcher) startRebuild(reason string) {
	r, e := &w.rebuild, w.endpoint
	if r.step != rebuildIdle || e.Err() != nil {
		return
	}
	if r.barren == barrenMax {
		e.fail(fmt.Errorf("xdp: %s: %s: the socket was made anew %d times in a row, and that did not help: the driver is "+
			"stuck: restart, or reset the NIC", e.device.name, reason, barrenMax))
		return
	}
	r.barren++
	r.failed, r.ticks = 0, 0
	w.rebuilding.set(1)
	e.notify("xdp: " + e.device.name + ": " + reason + ": making the socket anew")
	r.step = rebuildAsked
	w.hand(unplugged(e.umem))
}

// hand leaves a socket for the owner to take.
func (w *watcher) hand(s *socket) {
	w.endpoint.swap.Store(s)
	w.endpoint.errands.Or(errandSwap)
}

// goOn takes the next steps of a rebuild, as far as the owner's thread has come by. tick says that a second has passed.
func (w *watcher) goOn(tick bool) {
	r, e := &w.rebuild, w.endpoint
	if tick {
		if r.ticks++; r.ticks > barrenTicks {
			r.barren = 0
		}
	}
	if r.step == rebuildAsked {
		if old := e.given.Swap(nil); old != nil {
			e.closing.Lock()
			e.former.add(e.fd)
			e.closing.Unlock()
			old.unmap()
			r.step, tick = rebuildOpening, true
		}
	}
	if r.step == rebuildOpening && tick && w.linkUp.Load() {
		w.reopen()
	}
	if r.step == rebuildHanded && e.given.Swap(nil) != nil {
		r.step = rebuildIdle
		w.stuck, w.starved = stuck{}, stuck{}
		e.notify("xdp: " + e.device.name + ": the socket is made anew")
		w.rebuilding.set(0)
		w.rebuilds.add(1) // last: whoever sees it sees the rest
	}
}

// reopen makes one attempt.
func (w *watcher) reopen() {
	r, e := &w.rebuild, w.endpoint
	s, err := e.openAnew()
	if err == nil {
		r.step = rebuildHanded
		e.unbound.Store(false)
		w.hand(s)
		return
	}
	if r.failed++; r.failed == rebuildAttempts {
		e.fail(fmt.Errorf("xdp: the socket of queue %d of %s was lost and cannot be made anew: restart: %w",
			e.config.Queue, e.device.name, err))
	}
}

// openAnew opens and binds a socket under the number of the old one, which that closes.
func (e *Endpoint) openAnew() (*socket, error) {
	var fd int
	err := within(e.namespace, func() (err error) { fd, err = rawSocket(); return err })
	if err != nil {
		return nil, err
	}
	err = unix.Dup3(fd, e.fd, unix.O_CLOEXEC)
	unix.Close(fd)
	if err != nil {
		return nil, fmt.Errorf("xdp: put a new socket in the place of the old: %w", err)
	}
	s := &socket{fd: e.fd, budget: standardBudget}
	err = s.setUp(e.umem, e.config.TxBudget, e.config.BusyPollUs)
	if err == nil {
		err = s.bind(e.device, e.config.Queue, e.zeroCopy)
	}
	if err == nil {
		err = e.program.serve(e.config.Queue, s)
	}
	if err != nil {
		s.unmap() // the descriptor stays: its number is ours
		return nil, err
	}
	return s, nil
}

// within runs f with the calling thread in a network namespace; in the one that it is in already, without any privilege.
func within(ns netns.NsHandle, f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("xdp: network namespace of this thread: %w", err)
	}
	defer home.Close()
	if home.Equal(ns) {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := netns.Set(ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("xdp: enter the network namespace of the interface: %w", err)
	}
	err = f()
	if netns.Set(home) == nil {
		runtime.UnlockOSThread() // else the thread is in the wrong place and ends with the goroutine
	}
	return err
}

// checkTransmit has the socket made anew if frames do not come back: all of them, or so many that it matters. A reset of the
// NIC can lose frames for good.
func (w *watcher) checkTransmit() {
	e := w.endpoint
	full, completed := e.counts.full.load(), e.counts.completed.load()
	w.stuck.look(full != w.stuck.wanted && w.linkUp.Load(), full, completed)
	overdue := int(e.counts.overdue.load())
	switch {
	case w.stuck.ticks >= stuckTicks:
		w.startRebuild(fmt.Sprintf("nothing that was sent has come back for %d s, although all %d transmit frames wait",
			stuckTicks*tickSeconds, e.config.TxFrames))
	case overdue >= e.config.TxFrames/overdueShare:
		w.startRebuild(fmt.Sprintf("%d of %d transmit frames have not come back", overdue, e.config.TxFrames))
	case e.unbound.Load():
		w.startRebuild("the kernel let go of the socket")
	}
}

// checkReceive has the socket made anew if the driver lost the frames to receive into: it has them all, drops for want
// of one, and nothing arrives.
func (w *watcher) checkReceive() {
	e := w.endpoint
	e.closing.Lock()
	k := e.former
	k.add(e.fd)
	e.closing.Unlock()
	dropped := k.Rx_fill_ring_empty_descs
	w.starved.look(e.counts.starved.load() != 0 && dropped != w.starved.wanted && w.linkUp.Load(),
		dropped, e.counts.received.load())
	if w.starved.ticks >= stuckTicks {
		w.startRebuild(fmt.Sprintf("the driver has all %d receive frames, says that it has none, and nothing arrives",
			e.config.RxFrames))
	}
}

// stuck counts the ticks in which something was wanted and nothing went on.
type stuck struct {
	wanted, progress uint64
	ticks            int
}

func (s *stuck) look(wanted bool, want, progress uint64) {
	if wanted && progress == s.progress {
		s.ticks++
	} else {
		s.ticks = 0
	}
	s.wanted, s.progress = want, progress
}
