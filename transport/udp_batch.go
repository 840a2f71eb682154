package transport

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Receive implements Transport. It looks at both sockets, in turn first at one and then at the other, so that
// neither starves the other.
func (u *UDP) Receive(rx []Received) int {
	if u.err != nil {
		return 0
	}
	u.polls++
	if u.polls%overrunEvery == 0 {
		u.countOverruns()
	}
	room := min(len(rx), len(u.receiveVec.hdrs))
	first := int(u.polls & 1)
	used, got := u.receiveFrom(first, 0, rx[:0:room])
	if used < room {
		_, got = u.receiveFrom(1-first, used, got)
	}
	if len(got) > 0 {
		u.counters.Received.Add(uint64(len(got)))
	}
	return len(got)
}

// receiveFrom takes datagrams of one socket into the entries from used on, and appends the good ones to got, which
// has room for all.
func (u *UDP) receiveFrom(socket, used int, got []Received) (int, []Received) {
	fd := u.sockets[socket]
	if fd < 0 {
		return used, got
	}
	n, errno := u.receiveVec.receive(fd, used, cap(got)-used)
	if errno != 0 {
		u.receiveError(errno)
		return used, got
	}
	to := u.local
	if socket == 1 {
		to = u.group
	}
	for i := used; i < used+n; i++ {
		h := &u.receiveVec.hdrs[i]
		if h.hdr.Flags&unix.MSG_TRUNC != 0 {
			u.counters.Truncated.Inc()
			continue
		}
		from := u.receiveVec.peer(i)
		if socket == 1 && from == u.local {
			continue // our own multicast, which loopback gives back to us
		}
		got = append(got, Received{Payload: u.receiveBuf[i][:h.n], From: from, To: to})
	}
	return used + n, got
}

// Release implements Transport. The buffers are the transport's own, so there is nothing to give back.
func (u *UDP) Release() {}

// Acquire implements Transport.
func (u *UDP) Acquire(tx []Frame) int {
	if u.err != nil {
		return 0
	}
	n := min(len(tx), len(u.free))
	for i := range n {
		slot := u.free[len(u.free)-1-i]
		tx[i] = Frame{Buf: u.transmitBuf[slot], Token: uint64(slot)}
	}
	u.free = u.free[:len(u.free)-n]
	if n < len(tx) {
		u.counters.Full.Inc()
	}
	return n
}

// Submit implements Transport.
func (u *UDP) Submit(tx []Frame) {
	for i := range tx {
		f := &tx[i]
		slot := uint32(f.Token)
		if f.Length <= 0 || f.Length > u.maxPayload || u.err != nil {
			if f.Length > u.maxPayload {
				u.counters.TooLong.Inc()
			}
			u.free = append(u.free, slot)
			continue
		}
		u.slots[u.waiting] = slot
		u.transmitVec.buffer(u.waiting, u.transmitBuf[slot][:f.Length])
		u.transmitVec.address(u.waiting, f.To)
		u.waiting++
	}
	if u.waiting > 0 {
		u.push()
	}
}

// push hands the kernel what waits. What a full socket buffer refuses stays, in order, for the next Submit.
func (u *UDP) push() {
	done, sent := 0, 0
	for done < u.waiting && u.err == nil {
		n, errno := u.transmitVec.send(u.sockets[0], done, min(u.waiting-done, maxVectors))
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 && errno != unix.EINTR {
			u.sendError(errno)
			n = 1 // the one at the head is what the kernel refused: it is gone
		} else {
			sent += n
		}
		for i := done; i < done+n; i++ {
			u.free = append(u.free, u.slots[i])
		}
		done += n
	}
	for i := done; i < u.waiting; i++ {
		u.slots[i-done] = u.slots[i]
		u.transmitVec.move(i-done, i)
	}
	u.waiting -= done
	if sent > 0 {
		u.counters.Sent.Add(uint64(sent))
	}
}

// sendError counts a datagram that the kernel refused, by reason.
func (u *UDP) sendError(errno unix.Errno) {
	switch errno {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN, unix.EHOSTDOWN:
		u.counters.Unreachable.Inc()
	case unix.EMSGSIZE:
		u.counters.TooLong.Inc()
	default:
		u.counters.Failed.Inc()
		u.checkBroken(errno)
	}
}

func (u *UDP) receiveError(errno unix.Errno) {
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return
	}
	u.counters.Failed.Inc()
	u.checkBroken(errno)
}

// checkBroken ends the transport when its sockets are gone. Everything else passes.
func (u *UDP) checkBroken(errno unix.Errno) {
	if errno == unix.EBADF || errno == unix.ENOTSOCK || errno == unix.EFAULT {
		u.err = fmt.Errorf("transport: UDP sockets of %s are gone: %w", u.local, errno)
	}
}

// countOverruns adds what the kernel dropped for want of buffer space since the last look.
func (u *UDP) countOverruns() {
	for i, fd := range u.sockets {
		if fd < 0 {
			continue
		}
		drops := socketDrops(fd)
		u.counters.Overrun.Add(uint64(drops - u.overruns[i]))
		u.overruns[i] = drops
	}
}
