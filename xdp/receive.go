package xdp

import (
	"errors"

	"golang.org/x/sys/unix"
)

var errBroken = errors.New("xdp: the kernel returned a frame that it did not have, or gave bytes outside of it: memory " +
	"shared with the kernel can no longer be trusted: restart")

var errSeveral = errors.New("xdp: a packet in several frames (multi-buffer) has arrived although the socket did not ask " +
	"for such (XDP_USE_SG), which is not supported: the driver is broken")

// unusable says what is wrong with a descriptor of a frame that arrived.
func unusable(d *unix.XDPDesc) error {
	if d.Options&unix.XDP_PKT_CONTD != 0 {
		return errSeveral
	}
	return errBroken
}

// Receive takes up to most frames that have arrived and returns how many datagrams they were: Datagram(0) to
// Datagram(n-1). Their payloads stay until Release. 0 when nothing has arrived.
func (e *Endpoint) Receive(most int) int {
	n := e.socket.rx.available(uint32(min(most, len(e.datagrams), len(e.held)-e.heldN)))
	if e.errands.Load() != 0 && e.attend(n == 0) {
		return 0
	}
	if n == 0 {
		e.idle()
		return 0
	}
	good := 0
	for range n {
		d := e.socket.rx.pop()
		frame, ok := e.umem.received(d.Addr, d.Len)
		if !ok || d.Options != 0 {
			e.fail(unusable(&d))
			return 0
		}
		e.held[e.heldN] = frame
		e.heldN++
		reject := parse(e.umem.memory[d.Addr:d.Addr+uint64(d.Len)], &e.datagrams[good])
		if reject != RejectNone {
			e.counts.rejected[reject].add(1)
			continue
		}
		good++
	}
	e.socket.rx.publish()
	if good == 0 {
		e.Release()
		return 0
	}
	e.counts.received.add(uint64(good))
	return good
}

// Datagram is the i-th of the last Receive.
func (e *Endpoint) Datagram(i int) *Datagram { return &e.datagrams[i] }

// Release gives back to the kernel every frame that was received: all payloads are gone.
func (e *Endpoint) Release() {
	if e.heldN == 0 {
		return
	}
	for e.heldN > 0 {
		frame := e.held[e.heldN-1]
		if !e.socket.fill.push(e.umem.address(frame)) {
			break // full because the kernel has not said yet what it took: the rest goes with the next Release
		}
		e.heldN--
		if !e.umem.refill(frame) {
			e.fail(errBroken)
			return
		}
	}
	e.socket.fill.publish()
	if e.socket.fill.needsWakeup() {
		e.wakeRx()
	}
}

// idle is what there is to do when nothing arrived: run the driver if it is ours to run, and wake a driver that found
// the fill ring empty and missed that it was filled since.
func (e *Endpoint) idle() {
	if e.socket.busyPolls || e.socket.fill.needsWakeup() {
		e.wakeRx()
	}
}

func (e *Endpoint) wakeRx() {
	e.counts.rxWakeups.add(1)
	e.socketError(e.socket.kickRx())
}
