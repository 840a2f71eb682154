package xdp

import "golang.org/x/sys/unix"

// exchange puts the socket that the watcher has left in swap in place of the owner's, and leaves that in given. All
// frames that the kernel had are the owner's again: what was on its way is lost, as on a wire. Frames that the user has
// taken to send stay the user's.
func (e *Endpoint) exchange() {
	next := e.swap.Swap(nil)
	if next == nil {
		return
	}
	e.drainCompletions()
	e.counts.lost.add(uint64(e.umem.recall()))
	e.heldN, e.staged = 0, 0
	old := e.socket
	e.socket = next
	e.given.Store(old)
}

// unplugged is a socket that leads nowhere: nothing arrives, and what is sent stays in it. The owner has it while its own
// is made anew, and needs no other checks for that.
func unplugged(u *umem) *socket {
	s := &socket{fd: -1, budget: standardBudget}
	s.fill.ring, s.fill.entries = heapRing(fillEntries(u)), make([]uint64, fillEntries(u))
	s.rx.ring = heapRing(u.rxFrames)
	s.comp.ring = heapRing(u.txFrames)
	s.tx.ring, s.tx.entries = heapRing(u.txFrames), make([]unix.XDPDesc, u.txFrames)
	s.fill.limit, s.tx.limit = s.fill.size, s.tx.size
	return s
}

// heapRing is a ring that no kernel knows.
func heapRing(size uint32) ring {
	words := new([3]uint32)
	return ring{producer: &words[0], consumer: &words[1], flags: &words[2], mask: size - 1, size: size}
}
