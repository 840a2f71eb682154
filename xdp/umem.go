package xdp

import (
	"fmt"

	"lockstep/ringbuf"
)

// Owner is who has a frame. A frame has one owner at any time.
type Owner uint8

// The owners. Received frames go fill, rx, app, fill; sent ones free, app, tx, comp, free. A mark does not tell fill
// from rx nor tx from comp, since the kernel moves those; Audit does.
const (
	OwnerFree Owner = iota // in the transmit pool
	OwnerFill              // with the kernel, to be filled
	OwnerRx                // filled, in the rx ring
	OwnerApp               // with whoever uses the end point
	OwnerTx                // with the kernel, to be sent
	OwnerComp              // sent, in the completion ring
	NumOwners
)

var ownerNames = [NumOwners]string{"free", "fill", "rx", "app", "tx", "comp"}

// String is the owner's name.
func (o Owner) String() string {
	if o < NumOwners {
		return ownerNames[o]
	}
	return fmt.Sprintf("Owner(%d)", uint8(o))
}

// umem is the memory shared with the kernel, cut into frames: first those for receiving, then those for sending. It
// is mapped outside the Go heap and present from the start. The owner's thread alone changes it.
type umem struct {
	memory     []byte
	mapping    *ringbuf.Mapping // of memory
	frameBytes uint32
	frameShift uint32
	rxFrames   uint32 // frames [0, rxFrames) are received into
	txFrames   uint32 // frames [rxFrames, rxFrames+txFrames) are sent from

	owner  []Owner  // by frame
	free   []uint32 // stack of free transmit frames
	freeN  int      // how many are on it
	rxApp  int      // received frames with the user
	txApp  int      // transmit frames with the user
	txSent int      // transmit frames with the kernel
	sends  uint32   // how many frames were sent, ever; wraps
	sentAt []uint32 // by transmit frame: sends when it was last sent
}

// mapUmem maps and populates the memory, in large pages where there are some.
func mapUmem(frameBytes, rxFrames, txFrames int) (*umem, error) {
	bytes := frameBytes * (rxFrames + txFrames)
	mapping, err := ringbuf.Map(bytes)
	if err != nil {
		return nil, fmt.Errorf("xdp: map %d MiB for %d frames: %w: free memory or configure fewer frames",
			bytes>>20, rxFrames+txFrames, err)
	}
	u := &umem{
		memory:     mapping.Bytes(),
		mapping:    mapping,
		frameBytes: uint32(frameBytes),
		rxFrames:   uint32(rxFrames),
		txFrames:   uint32(txFrames),
		owner:      make([]Owner, rxFrames+txFrames),
		free:       make([]uint32, txFrames),
		sentAt:     make([]uint32, txFrames),
	}
	for 1<<u.frameShift < frameBytes {
		u.frameShift++
	}
	u.reset()
	return u, nil
}

// reset takes every frame back.
func (u *umem) reset() {
	for i := range u.owner {
		u.owner[i] = OwnerFree
	}
	for i := range u.free {
		u.free[i] = u.rxFrames + u.txFrames - 1 - uint32(i)
	}
	u.freeN = int(u.txFrames)
	u.rxApp, u.txApp, u.txSent = 0, 0, 0
}

// recall takes back what the kernel has, for a new socket, which is given every frame to receive into. What the user has
// taken to send stays the user's. It returns how many sent frames had not come back.
func (u *umem) recall() (lost int) {
	for frame := range u.rxFrames {
		u.owner[frame] = OwnerFill
	}
	u.rxApp = 0
	for frame := u.rxFrames; frame < u.rxFrames+u.txFrames; frame++ {
		if u.owner[frame] == OwnerTx {
			u.push(frame)
			lost++
		}
	}
	u.txSent = 0
	return lost
}

// overdueRounds is how often the pool must have gone out since a frame did, for it to be overdue: frames come back
// roughly in the order in which they went.
const overdueRounds = 4

// overdue is how many frames are with the kernel although they should have come back long ago.
func (u *umem) overdue() (n int) {
	if u.txSent == 0 {
		return 0
	}
	for i, at := range u.sentAt {
		if u.owner[u.rxFrames+uint32(i)] == OwnerTx && u.sends-at > overdueRounds*u.txFrames {
			n++
		}
	}
	return n
}

func (u *umem) close() error {
	u.memory = nil
	return u.mapping.Close()
}

// frameOf is the frame that an address lies in; the kernel adds headroom to the addresses it gives back.
func (u *umem) frameOf(addr uint64) uint32 { return uint32(addr >> u.frameShift) }

// address is where a frame starts.
func (u *umem) address(frame uint32) uint64 { return uint64(frame) << u.frameShift }

// received takes a frame from the rx ring; false if it was not with the kernel, or the bytes are not within it.
func (u *umem) received(addr uint64, length uint32) (frame uint32, ok bool) {
	frame = u.frameOf(addr)
	if addr>>u.frameShift >= uint64(u.rxFrames) || u.owner[frame] != OwnerFill ||
		uint64(length) > u.address(frame)+uint64(u.frameBytes)-addr {
		return 0, false
	}
	u.owner[frame] = OwnerApp
	u.rxApp++
	return frame, true
}

// refill gives a received frame back to the kernel; false if the user did not have it.
func (u *umem) refill(frame uint32) bool {
	if u.owner[frame] != OwnerApp {
		return false
	}
	u.owner[frame] = OwnerFill
	u.rxApp--
	return true
}

// take pops a free transmit frame; there must be one.
func (u *umem) take() uint32 {
	u.freeN--
	frame := u.free[u.freeN]
	u.owner[frame] = OwnerApp
	u.txApp++
	return frame
}

// give puts a taken frame back unsent; false if the user did not have it.
func (u *umem) give(frame uint32) bool {
	if !u.isTaken(frame) {
		return false
	}
	u.txApp--
	u.push(frame)
	return true
}

// isTaken says whether the user has this transmit frame.
func (u *umem) isTaken(frame uint32) bool {
	return frame-u.rxFrames < u.txFrames && u.owner[frame] == OwnerApp
}

// sent marks a taken frame as with the kernel.
func (u *umem) sent(frame uint32) {
	u.owner[frame] = OwnerTx
	u.sentAt[frame-u.rxFrames] = u.sends
	u.sends++
	u.txApp--
	u.txSent++
}

// completed takes a frame from the completion ring; false if the kernel did not have it.
func (u *umem) completed(addr uint64) bool {
	frame := u.frameOf(addr)
	if addr>>u.frameShift >= uint64(u.rxFrames+u.txFrames) || frame < u.rxFrames || u.owner[frame] != OwnerTx {
		return false
	}
	u.txSent--
	u.push(frame)
	return true
}

func (u *umem) push(frame uint32) {
	u.owner[frame] = OwnerFree
	u.free[u.freeN] = frame
	u.freeN++
}

// conserved is the cheap check: the pools' counts add up.
func (u *umem) conserved() bool {
	return u.freeN+u.txApp+u.txSent == int(u.txFrames) && u.rxApp >= 0 && u.rxApp <= int(u.rxFrames) &&
		u.txApp >= 0 && u.txSent >= 0
}
