package xdp

import "fmt"

// errand is what the watcher asks the owner's thread to do, as bits: only the owner can look at its frames and rings.
type errand = uint32

const (
	errandAudit     errand = 1 << iota // audit when there is nothing else to do
	errandAuditBusy                    // audit although there is: it was never idle for a tick
	errandSwap                         // take the socket in Endpoint.swap
)

// attend does the errands that are due. idle says that nothing arrived. It is true when the socket is another one now.
func (e *Endpoint) attend(idle bool) bool {
	due := e.errands.Load()
	if due&errandSwap != 0 {
		e.errands.And(^errandSwap)
		e.exchange()
		return true
	}
	if due&errandAuditBusy != 0 || due&errandAudit != 0 && idle {
		e.errands.And(^(errandAudit | errandAuditBusy))
		e.counts.audits.add(1)
		if _, err := e.Audit(); err != nil {
			e.fail(err)
		}
		e.takeStock()
	}
	return false
}

// takeStock says what only the owner can see of frames that may not come back.
func (e *Endpoint) takeStock() {
	e.counts.overdue.set(uint64(e.umem.overdue()))
	starved := uint64(0)
	if e.umem.rxApp == 0 && e.socket.rx.waiting() == 0 && e.socket.fill.waiting() == 0 {
		starved = 1
	}
	e.counts.starved.set(starved)
}

// auditFrames is how many frames are audited a second at most: a walk takes the owner's thread about a nanosecond a frame.
const auditFrames = 16384

// auditDue asks for an audit every so many ticks, and insists on one that was asked for and not made.
func (w *watcher) auditDue() {
	e := w.endpoint
	if w.ticks%(1+len(e.umem.owner)/auditFrames) != 0 {
		return
	}
	if e.errands.Load()&errandAudit != 0 {
		e.errands.Or(errandAuditBusy)
	}
	e.errands.Or(errandAudit)
}

// placeListed marks a free frame that was found on the free list.
const placeListed = NumOwners

// Audit says where all frames are. It walks every ring and list, checks that no frame is in two places and that all
// are accounted for, and is an error if not. It belongs to the owner's thread; the kernel may go on meanwhile. It runs by
// itself about once a second, when nothing has arrived, and ends the end point if it finds anything.
func (e *Endpoint) Audit() (where [NumOwners]int, err error) {
	u := e.umem
	place := e.places
	copy(place, u.owner)
	rx, comp := &e.socket.rx, &e.socket.comp
	for i, n := uint32(0), rx.waiting(); i < n; i++ {
		frame := u.frameOf(rx.entries[(rx.next+i)&rx.mask].Addr)
		if int(frame) >= len(place) || place[frame] != OwnerFill {
			return where, misplaced(frame, OwnerRx, OwnerFill)
		}
		place[frame] = OwnerRx
	}
	for i, n := uint32(0), comp.available(); i < n; i++ {
		frame := u.frameOf(comp.entries[(comp.next+i)&comp.mask])
		if int(frame) >= len(place) || place[frame] != OwnerTx {
			return where, misplaced(frame, OwnerComp, OwnerTx)
		}
		place[frame] = OwnerComp
	}
	for _, frame := range u.free[:u.freeN] {
		if place[frame] != OwnerFree {
			return where, fmt.Errorf("xdp: frame %d is on the free list although it is not free, or twice", frame)
		}
		place[frame] = placeListed
	}
	var found [NumOwners + 1]int
	for _, owner := range place {
		found[owner]++
	}
	copy(where[:], found[:NumOwners])
	where[OwnerFree] += found[placeListed]
	if found[OwnerFree] != 0 {
		return where, fmt.Errorf("xdp: %d frames are free and not on the free list", found[OwnerFree])
	}
	return where, e.balance(&where)
}

func misplaced(frame uint32, in, want Owner) error {
	return fmt.Errorf("xdp: frame %d is in %s although its owner is not %s", frame, in, want)
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
