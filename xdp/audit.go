package xdp

import "fmt"

// Audit says where all frames are. It walks every ring and list, checks that no frame is in two places and that all
// are accounted for, and is an error if not. It belongs to the owner's thread; the kernel may go on meanwhile.
func (e *Endpoint) Audit() (where [NumOwners]int, err error) {
	u := e.umem
	place := make([]Owner, len(u.owner))
	copy(place, u.owner)
	claim := func(frame uint32, from, to Owner) {
		if err == nil && (int(frame) >= len(place) || place[frame] != from) {
			err = fmt.Errorf("xdp: frame %d is in %s although its owner is not %s", frame, to, from)
			return
		}
		place[frame] = to
	}
	rx, comp := &e.socket.rx, &e.socket.comp
	for i, n := uint32(0), rx.queued(); i < n && err == nil; i++ {
		claim(u.frameOf(rx.entries[(rx.next+i)&rx.mask].Addr), OwnerFill, OwnerRx)
	}
	for i, n := uint32(0), comp.available(); i < n && err == nil; i++ {
		claim(u.frameOf(comp.entries[(comp.next+i)&comp.mask]), OwnerTx, OwnerComp)
	}
	listed := make(map[uint32]bool, u.freeN)
	for _, frame := range u.free[:u.freeN] {
		if listed[frame] || u.owner[frame] != OwnerFree {
			return where, fmt.Errorf("xdp: frame %d is on the free list although it is not free, or twice", frame)
		}
		listed[frame] = true
	}
	if err != nil {
		return where, err
	}
	for _, owner := range place {
		where[owner]++
	}
	return where, e.balance(&where)
}

// balance compares the places with the pools and with the running counts.
func (e *Endpoint) balance(where *[NumOwners]int) error {
	u := e.umem
	receive := where[OwnerFill] + where[OwnerRx] + u.rxApp
	transmit := where[OwnerFree] + where[OwnerTx] + where[OwnerComp] + u.txApp
	if receive != int(u.rxFrames) || transmit != int(u.txFrames) || where[OwnerApp] != u.rxApp+u.txApp ||
		where[OwnerFree] != u.freeN || u.rxApp != e.heldN || !u.conserved() {
		return fmt.Errorf("xdp: frames do not add up: %v of %d received into and %d sent from; held %d, taken %d, "+
			"free %d, sent %d", *where, u.rxFrames, u.txFrames, u.rxApp, u.txApp, u.freeN, u.txSent)
	}
	return nil
}
