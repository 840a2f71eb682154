package xdp

import "syscall"

// SendResult is what became of a datagram that was to be sent.
type SendResult uint8

// The results. Only SendQueued goes out; in all cases the frame is given away.
const (
	SendQueued      SendResult = iota // goes out with the next Flush
	SendNoNeighbour                   // the destination's Ethernet address is not known now; it is being asked for
	SendTooLong                       // longer than MaxPayload
)

// Reclaim takes back what was sent and returns how many frames Take can give, at most want. When there are fewer than
// wanted, that is counted, and the kernel is pushed to send what it has.
func (e *Endpoint) Reclaim(want int) int {
	e.drainCompletions()
	free := e.sendable(want)
	if free == 0 && want > 0 {
		e.Flush()
		e.drainCompletions()
		free = e.sendable(want)
	}
	if free < want {
		e.counts.full.add(1)
	}
	return free
}

// sendable is how many frames can be taken now, at most want, so that the tx ring has room for all that are taken.
func (e *Endpoint) sendable(want int) int {
	room := int(e.socket.tx.room(uint32(e.umem.txApp+want))) - e.umem.txApp
	return min(e.umem.freeN, room, want)
}

// Take gives a free frame, to be filled and handed to Send or Give. Reclaim has said that there is one. The buffer has
// MaxPayload bytes.
func (e *Endpoint) Take() (frame uint32, buf []byte) {
	frame = e.umem.take()
	at := e.umem.address(frame) + payloadAt
	return frame, e.umem.memory[at : at+uint64(e.maxPayload) : at+uint64(e.maxPayload)]
}

// Give returns a frame that Take gave, unsent.
func (e *Endpoint) Give(frame uint32) {
	if !e.umem.give(frame) {
		panic("xdp: Give of a frame that was not taken")
	}
}

// Send queues the first n bytes of a frame that Take gave. They go out with Flush, in order.
func (e *Endpoint) Send(frame uint32, n int, to Addr) SendResult {
	if !e.umem.isTaken(frame) {
		panic("xdp: Send of a frame that was not taken")
	}
	if n < 0 || n > e.maxPayload {
		e.counts.tooLong.add(1)
		e.umem.give(frame)
		return SendTooLong
	}
	var group [6]byte
	mac := &group
	if to.isMulticast() {
		group = multicastMAC(to.IP)
	} else if mac = e.neighbours.lookup(to.IP); mac == nil {
		e.counts.noNeighbour.add(1)
		e.umem.give(frame)
		return SendNoNeighbour
	}
	at := e.umem.address(frame) + headerAt
	e.headers.put(e.umem.memory[at:at+headerBytes], mac, to, n)
	e.umem.sent(frame)
	if !e.socket.tx.push(at, uint32(headerBytes+n)) {
		e.fail(errBroken) // Reclaim saw to it that there is room
	}
	e.staged++
	return SendQueued
}

// kickStall is how many calls in a row may leave the tx ring as it is before Flush leaves the rest to
// the next.
const kickStall = 3

// Flush hands all that Send queued to the kernel, with one system call if the kernel takes it all in one, and pushes on
// what an earlier Flush left. What the kernel does not take now stays queued for the next.
func (e *Endpoint) Flush() {
	s := e.socket
	if e.staged > 0 {
		e.counts.sent.add(uint64(e.staged))
		e.staged = 0
		s.tx.publish()
	}
	waiting := s.tx.waiting()
	if waiting == 0 || !s.tx.needsWakeup() {
		return
	}
	// Copy mode sends budget frames a call, so this is bounded even without the count of stalls.
	for stalled := 0; stalled < kickStall && waiting > 0; {
		e.counts.kicks.add(1)
		errno := s.kickTx()
		if errno != 0 && !e.kickFailed(errno) {
			return
		}
		if s.zeroCopy {
			return // the driver sends by itself once it was woken
		}
		left := s.tx.waiting()
		if left == waiting {
			stalled++
		}
		waiting = left
	}
}

// kickFailed counts a failed call and says whether to try again.
func (e *Endpoint) kickFailed(errno syscall.Errno) (again bool) {
	reason := kickOther
	switch errno {
	case syscall.EAGAIN:
		reason, again = kickAgain, true
	case syscall.EBUSY:
		reason, again = kickBusy, true
	case syscall.ENOBUFS:
		reason, again = kickNoBuffers, true
	case syscall.ENETDOWN:
		reason = kickNetDown
	}
	e.counts.kickErrors[reason].add(1)
	e.socketError(errno)
	return again
}

// socketError ends the end point on errors that will not pass.
func (e *Endpoint) socketError(errno syscall.Errno) {
	switch errno {
	case syscall.ENXIO: // the interface is gone, or the kernel let go of the socket only: the watcher looks which
		if !e.unbound.Swap(true) {
			signal(e.neighbours.wake)
		}
	case syscall.EBADF, syscall.EOPNOTSUPP, syscall.EFAULT, syscall.EINVAL:
		e.fail(errno)
	}
}

// drainCompletions takes back every frame that the kernel is done with.
func (e *Endpoint) drainCompletions() {
	comp := &e.socket.comp
	n := comp.available()
	if n == 0 {
		return
	}
	for range n {
		if !e.umem.completed(comp.pop()) {
			e.fail(errBroken)
			return
		}
	}
	comp.publish()
	e.counts.completed.add(uint64(n))
}
