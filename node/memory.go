package node

import (
	"fmt"

	"lockstep/internal/vfs"
	"lockstep/ringbuf"
)

// mapped is memory that hot threads use, outside of the Go heap.
type mapped struct {
	what  string
	pages ringbuf.Pages
}

// openRing makes the log ring: mapped twice, or, inline, on the heap unless the machine wants it mapped.
func (n *Node) openRing() error {
	size := int(n.config.Cluster.RingBytes)
	if n.machine.Inline && !n.machine.MappedRing {
		n.ring = ringbuf.NewLogRing(make([]byte, 2*size), size, false)
		return nil
	}
	mapping, err := ringbuf.MapLog(size)
	if err != nil {
		return fmt.Errorf("node: log ring: %w", err)
	}
	n.keep("log ring", mapping)
	n.ring = ringbuf.NewLogRing(mapping.Bytes(), size, true)
	return nil
}

// memory is where a part of the node gets its memory: mapped, present, in large pages where there are some, and given back
// when the node is closed; inline, on the heap.
func (n *Node) memory(what string) func(bytes int) ([]byte, error) {
	return func(bytes int) ([]byte, error) {
		if n.machine.Inline {
			return vfs.AlignedBytes(bytes), nil
		}
		mapping, err := ringbuf.Map(bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		n.keep(what, mapping)
		return mapping.Bytes(), nil
	}
}

func (n *Node) keep(what string, m *ringbuf.Mapping) {
	n.closers = append(n.closers, m.Close)
	n.mapped = append(n.mapped, mapped{what, m.Pages()})
}

// tellMemory adds what the transport maps, tells operators what all of it is made of, and counts it. Before status is asked
// for.
func (n *Node) tellMemory() {
	if t, ok := n.transport.(interface{ Pages() ringbuf.Pages }); ok {
		n.mapped = append(n.mapped, mapped{"frames", t.Pages()})
	}
	var bytes [ringbuf.PagesPool + 1]int
	for _, m := range n.mapped {
		n.logf("memory: %s: %d KiB in %s", m.what, m.pages.Bytes>>10, m.pages)
		bytes[m.pages.Kind] += m.pages.Large
		bytes[ringbuf.PagesSmall] += m.pages.Bytes - m.pages.Large
	}
	for kind, total := range bytes {
		n.counters.Counter(fmt.Sprintf("lockstep_memory_mapped_bytes{pages=%q}", ringbuf.PageKind(kind)),
			"Memory outside of the Go heap that hot threads use.").Set(uint64(total))
	}
}

// MemoryStatus is memory that hot threads use.
type MemoryStatus struct {
	What  string `json:"what"`
	Bytes int    `json:"bytes"`
	Large int    `json:"large_bytes"` // of them in large pages
	Kind  string `json:"kind"`        // pool, transparent, small
	Pages string `json:"pages"`       // the same in words, and why there are no better ones
}

func (n *Node) memoryStatus() (list []MemoryStatus) {
	for _, m := range n.mapped {
		list = append(list, MemoryStatus{What: m.what, Bytes: m.pages.Bytes, Large: m.pages.Large, Kind: m.pages.Kind.String(),
			Pages: m.pages.String()})
	}
	return list
}
