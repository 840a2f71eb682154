package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// watcher is the goroutine that keeps what a kernel stack would know: who the neighbours are, which way a destination
// is reached, whether the link is up and the program still there. It blocks on netlink events, on the sender's asking
// and on a timer.
type watcher struct {
	endpoint *Endpoint
	handle   *netlink.Handle
	events   int // netlink socket, subscribed
	timer    int // timerfd, once a second
	buffer   []byte

	wanted  map[uint32]*want
	ticks   int
	stuck   stuck // sending
	starved stuck // receiving
	rebuild rebuild

	rebuilds      count
	rebuilding    count // state
	linkUp        atomic.Bool
	linkDowns     count
	netlinkErrors count
	stopping      atomic.Bool
	done          chan struct{}
}

// Times, in ticks of the timer.
const (
	tickSeconds  = 1
	refreshTicks = 5  // between two looks at everything
	forgetTicks  = 60 // until a destination behind a gateway that nobody sends to is forgotten
	askTicks     = 10 // until a destination that does not answer is forgotten, unless asked for again
	stuckTicks   = 2  // with nothing going on although something is wanted, until the socket is made anew
	wantedMax    = 4096

	overdueShare = 4 // the part of the transmit frames that may be overdue, inverse
)

// change is what events tell.
type change uint8

const (
	changedNeighbours change = 1 << iota
	changedRoutes
	changedLink
)

// startWatcher opens everything on the calling thread, whose network namespace it is, looks at everything once, and
// starts the goroutine. It owns the handle from then on.
func startWatcher(e *Endpoint, h *netlink.Handle) (*watcher, error) {
	w := &watcher{
		endpoint: e, handle: h, events: -1, timer: -1,
		buffer: make([]byte, 64<<10), wanted: make(map[uint32]*want), done: make(chan struct{}),
	}
	e.neighbours.wake = -1
	e.neighbours.table.Store(newNeighbourTable(0))
	if err := w.open(); err != nil {
		w.close()
		return nil, fmt.Errorf("xdp: watch neighbours and links: %w", err)
	}
	for _, p := range e.config.Peers {
		ip := p.As4()
		w.wanted[binary.BigEndian.Uint32(ip[:])] = &want{fixed: true}
	}
	w.linkUp.Store(true)
	w.checkLink()
	w.refresh(true)
	go w.run()
	return w, nil
}

func (w *watcher) open() (err error) {
	if w.events, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.NETLINK_ROUTE); err != nil {
		return err
	}
	group := func(g uint) uint32 { return 1 << (g - 1) }
	if err = unix.Bind(w.events, &unix.SockaddrNetlink{Family: unix.AF_NETLINK,
		Groups: group(unix.RTNLGRP_NEIGH) | group(unix.RTNLGRP_LINK) | group(unix.RTNLGRP_IPV4_ROUTE)}); err != nil {
		return err
	}
	if w.endpoint.neighbours.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if w.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	second := unix.Timespec{Sec: tickSeconds}
	return unix.TimerfdSettime(w.timer, 0, &unix.ItimerSpec{Interval: second, Value: second}, nil)
}

func (w *watcher) run() {
	defer close(w.done)
	fds := []unix.PollFd{
		{Fd: int32(w.events), Events: unix.POLLIN},
		{Fd: int32(w.endpoint.neighbours.wake), Events: unix.POLLIN},
		{Fd: int32(w.timer), Events: unix.POLLIN},
	}
	for !w.stopping.Load() {
		if _, err := unix.Poll(fds, w.patience()); err != nil && !errors.Is(err, syscall.EINTR) {
			w.endpoint.fail(fmt.Errorf("xdp: wait for neighbours and links: %w", err))
			return
		}
		w.goOn(false)
		changed := w.drainEvents()
		asked := drain(w.endpoint.neighbours.wake)
		if changed&changedLink != 0 || w.endpoint.unbound.Load() {
			w.checkLink()
		}
		if drain(w.timer) {
			w.tick()
		} else if changed != 0 || asked {
			w.refresh(changed&(changedRoutes|changedLink) != 0)
		}
	}
}

// patience is how long to wait for events, in milliseconds; -1 for ever.
func (w *watcher) patience() int {
	if w.rebuild.step == rebuildAsked || w.rebuild.step == rebuildHanded {
		return handOverMs
	}
	return -1
}

// tick does what is due once a second.
func (w *watcher) tick() {
	w.ticks++
	if w.ticks%refreshTicks == 0 {
		w.checkLink()
		w.age()
		w.refresh(true)
	} else if w.unresolved() {
		w.refresh(false)
	}
	for i := range w.endpoint.neighbours.asked {
		w.endpoint.neighbours.asked[i].Store(0)
	}
	w.checkTransmit()
	w.checkReceive()
	w.goOn(true)
	w.auditDue()
	if w.endpoint.config.Observe != nil {
		s := w.endpoint.Stats()
		w.endpoint.config.Observe(&s)
	}
}

// drainEvents reads all events and says what they were about. Events about other interfaces are nothing to us.
func (w *watcher) drainEvents() (changed change) {
	for {
		n, _, err := unix.Recvfrom(w.events, w.buffer, 0)
		if errors.Is(err, syscall.ENOBUFS) { // events were lost
			changed = changedNeighbours | changedRoutes | changedLink
			continue
		}
		if err != nil || n == 0 {
			return changed
		}
		messages, err := syscall.ParseNetlinkMessage(w.buffer[:n])
		if err != nil {
			continue
		}
		for i := range messages {
			changed |= w.meaning(&messages[i])
		}
	}
}

func (w *watcher) meaning(m *syscall.NetlinkMessage) change {
	ours := len(m.Data) >= 8 && binary.NativeEndian.Uint32(m.Data[4:]) == uint32(w.endpoint.device.index)
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return changedRoutes
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if ours {
			return changedLink
		}
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if ours {
			return changedNeighbours
		}
	}
	return 0
}

// checkLink looks whether the interface still is what it was.
func (w *watcher) checkLink() {
	e := w.endpoint
	l, err := w.handle.LinkByIndex(e.device.index)
	if err != nil {
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) {
			e.fail(errGone)
		}
		w.netlinkErrors.add(1)
		return
	}
	a := l.Attrs()
	switch {
	case a.Xdp == nil || !a.Xdp.Attached || a.Xdp.ProgId != e.program.id:
		e.fail(fmt.Errorf("xdp: %s lost our XDP program: somebody removed or replaced it: restart", e.device.name))
	case a.MTU < e.device.mtu:
		e.fail(fmt.Errorf("xdp: the MTU of %s went from %d to %d: set it back, or restart on every node",
			e.device.name, e.device.mtu, a.MTU))
	}
	up := a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0
	if !up && w.linkUp.Load() {
		w.linkDowns.add(1)
	}
	w.linkUp.Store(up)
}

func (w *watcher) stop() {
	w.stopping.Store(true)
	signal(w.endpoint.neighbours.wake)
	<-w.done
	if w.rebuild.step == rebuildOpening {
		unix.Close(w.endpoint.fd) // no socket has it
	}
	w.close()
	w.handle.Close()
}

func (w *watcher) close() {
	for _, fd := range []int{w.events, w.timer, w.endpoint.neighbours.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// drain empties an eventfd or timerfd and says whether there was anything.
func drain(fd int) bool {
	var b [8]byte
	n, err := unix.Read(fd, b[:])
	return err == nil && n > 0
}
