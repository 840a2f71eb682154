package explore

import (
	"fmt"

	"lockstep/wire"
)

// record is one record of a log, whole: term and kind, four bits each, and for a config record the incarnation and
// run of each node. Equal records at one position are the same bytes.
type record uint32

const (
	kindTerm = 1 + iota
	kindConfig
	kindMessage
)

func newRecord(term wire.Term, kind uint8) record { return record(term)<<4 | record(kind) }

func (r record) term() wire.Term { return wire.Term(r >> 4 & 15) }

func (r record) kind() uint8 { return uint8(r & 15) }

// String is the record's letter and term: t2, c1, m2.
func (r record) String() string {
	if r == 0 {
		return "-"
	}
	return fmt.Sprintf("%c%d", ".tcm"[r.kind()], r.term())
}

// newConfig is a config record that lists what config lists.
func newConfig(term wire.Term, config *wire.Config) record {
	r := newRecord(term, kindConfig)
	for i := range config.Member[:Nodes] {
		m := &config.Member[i]
		r |= record(m.Incarnation&15) << (8 + 8*i)
		r |= record(m.Run&15) << (12 + 8*i)
	}
	return r
}

// config is what a config record lists.
func (r record) config(base wire.Config) wire.Config {
	for i := range base.Member[:Nodes] {
		base.Member[i].Incarnation = uint64(r >> (8 + 8*i) & 15)
		base.Member[i].Run = uint32(r >> (12 + 8*i) & 15)
	}
	return base
}

// rename gives the nodes of a config record other ids.
func (r record) rename(to *names) record {
	if r.kind() != kindConfig {
		return r
	}
	renamed := r & 0xff
	for i := range Nodes {
		at := 8 * (int(to[i+1]) - 1)
		renamed |= r >> (8 + 8*i) & 0xff << (8 + at)
	}
	return renamed
}

// names maps node ids to node ids.
type names [wire.MaxNodes + 1]wire.NodeID

// renamings is every way to name three nodes; the first changes nothing.
var renamings = [...]names{
	{0, 1, 2, 3}, {0, 1, 3, 2}, {0, 2, 1, 3}, {0, 2, 3, 1}, {0, 3, 1, 2}, {0, 3, 2, 1},
}

// hashes is a hash under each renaming. Those of a state are sums of those of its parts.
type hashes [len(renamings)]uint64

func (h *hashes) add(x *hashes) {
	for i := range h {
		h[i] += x[i]
	}
}

func (h *hashes) sub(x *hashes) {
	for i := range h {
		h[i] -= x[i]
	}
}

// hash chains 64-bit words.
type hash uint64

func (h *hash) word(w uint64) { *h = hash(mix(uint64(*h)*0x9e3779b97f4a7c15 ^ w)) }

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// bytes chains small numbers, eight a word.
func (h *hash) bytes(b ...uint8) {
	for len(b) > 0 {
		w, n := uint64(0), min(8, len(b))
		for i := range n {
			w |= uint64(b[i]) << (8 * i)
		}
		h.word(w)
		b = b[n:]
	}
}

func (h *hash) records(log *[maxRecords]record, to *names) {
	for i := 0; i < maxRecords; i += 2 {
		h.word(uint64(log[i].rename(to))<<32 | uint64(log[i+1].rename(to)))
	}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
