package xdp

import (
	"encoding/binary"
	"sync/atomic"
)

// neighbour is the Ethernet address to send to for one destination. All but used stays as it was published.
type neighbour struct {
	ip   uint32 // big-endian value of the destination; 0 marks an empty slot
	mac  [6]byte
	used atomic.Bool // set by the sender; the watcher asks after those that are in use
}

// neighbourTable is a hash table with open addressing, at most half full, immutable once published.
type neighbourTable struct {
	entries []neighbour
	shift   uint32 // 32 less the binary logarithm of the number of slots
	count   int
}

// newNeighbourTable has room for n entries.
func newNeighbourTable(n int) *neighbourTable {
	size, shift := 16, uint32(28)
	for size < 2*n {
		size, shift = 2*size, shift-1
	}
	return &neighbourTable{entries: make([]neighbour, size), shift: shift}
}

func (t *neighbourTable) slot(ip uint32) uint32 { return ip * 0x9e3779b1 >> t.shift }

// find returns the entry of a destination, or nil.
func (t *neighbourTable) find(ip uint32) *neighbour {
	mask := uint32(len(t.entries) - 1)
	for i := t.slot(ip); ; i = (i + 1) & mask {
		e := &t.entries[i]
		if e.ip == 0 {
			return nil
		}
		if e.ip == ip {
			return e
		}
	}
}

// add enters a destination, before the table is published. The first entry of a destination stays.
func (t *neighbourTable) add(ip uint32, mac []byte, used bool) {
	if ip == 0 || t.find(ip) != nil {
		return
	}
	mask := uint32(len(t.entries) - 1)
	i := t.slot(ip)
	for t.entries[i].ip != 0 {
		i = (i + 1) & mask
	}
	e := &t.entries[i]
	e.ip = ip
	copy(e.mac[:], mac)
	e.used.Store(used)
	t.count++
}

// neighbours is what sender and watcher share.
type neighbours struct {
	table atomic.Pointer[neighbourTable]
	asked [askSlots]atomic.Uint32 // destinations to resolve, by hash; set by the sender, cleared by the watcher
	wake  int                     // eventfd that the watcher waits on
}

const (
	askSlots = 64
	askShift = 32 - 6
)

// lookup returns the Ethernet address of a destination, or nil if it is not known now; then the watcher is asked for it.
func (n *neighbours) lookup(ip [4]byte) *[6]byte {
	key := binary.BigEndian.Uint32(ip[:])
	if e := n.table.Load().find(key); e != nil {
		if !e.used.Load() {
			e.used.Store(true)
		}
		return &e.mac
	}
	n.ask(key)
	return nil
}

// ask leaves a destination for the watcher and wakes it. A slot that is taken, by this destination or another, is left
// alone: the watcher clears it within a second, and whoever still sends asks again.
func (n *neighbours) ask(key uint32) {
	slot := &n.asked[key*0x9e3779b1>>askShift]
	if key == 0 || slot.Load() != 0 {
		return
	}
	slot.Store(key)
	signal(n.wake)
}
