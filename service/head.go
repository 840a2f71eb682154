package service

import (
	"lockstep/wire"
)

// The head begins with these.
const (
	snapshotMagic  = 0x50414e53_4b434f4c // "LOCKSNAP"
	snapshotFormat = 1
)

// maxServiceName bounds the names of services in snapshots, in bytes.
const maxServiceName = 255

// head writes the first section.
func (w *chunkWriter) head(h *SnapshotHead) {
	w.enter(sectionHead, 0)
	w.uint64(snapshotMagic)
	w.uint32(snapshotFormat)
	w.uint32(h.Version)
	w.uint64(uint64(h.Chain.Position))
	w.uint64(h.Chain.Sequence)
	w.uint64(h.Chain.Timestamp)
	w.uint32(h.Chain.Checksum)
	w.uint32(uint32(h.Chain.Term))
	w.uint64(h.Hash)
	w.uint64(h.Digest)
	w.uint64(uint64(h.Verified))
	w.uint64(h.VerifiedDigest)
	w.uint64(uint64(h.Limits.Sessions))
	w.uint64(uint64(h.Limits.KeptResponses))
	w.uint64(uint64(h.Limits.KeptBytes))
	w.uint64(uint64(h.Limits.Timers))
	w.uint32(uint32(len(h.Terms)))
	for _, t := range h.Terms {
		w.uint64(uint64(t.Start))
		w.uint32(uint32(t.Term))
	}
	w.configs(h)
	w.uint32(uint32(len(h.Passed)))
	for _, at := range h.Passed {
		w.uint64(uint64(at))
	}
	for number, name := range h.Services {
		if name == "" {
			continue
		}
		w.uint16(uint16(number))
		w.text(name)
	}
	w.uint16(None)
	w.end()
}

func (w *chunkWriter) configs(h *SnapshotHead) {
	more := byte(0)
	if h.MoreConfigs {
		more = 1
	}
	w.uint8(more)
	w.uint8(uint8(len(h.Configs)))
	var b [wire.MaxConfigSize]byte
	for i := range h.Configs {
		c := &h.Configs[i]
		n := c.Config.Put(b[:])
		w.uint64(uint64(c.End))
		w.uint16(uint16(n))
		w.Write(b[:n])
	}
}

// text writes a name with its length.
func (w *chunkWriter) text(s string) {
	w.uint8(uint8(len(s)))
	for i := range len(s) {
		w.uint8(s[i])
	}
}

// head reads the first section. What it allocates grows with what is there, not with what is said to be.
func (r *chunkReader) head(h *SnapshotHead) error {
	if r.enter(sectionHead, 0) == nil && r.uint64() != snapshotMagic {
		return r.fail("it does not begin as one")
	}
	if format := r.uint32(); format != snapshotFormat {
		return r.fail("its format is %d, and this build reads %d", format, snapshotFormat)
	}
	h.Version = r.uint32()
	h.Chain = wire.Chain{
		Position: wire.Position(r.uint64()), Sequence: r.uint64(), Timestamp: r.uint64(),
		Checksum: r.uint32(), Term: wire.Term(r.uint32()),
	}
	h.Hash, h.Digest = r.uint64(), r.uint64()
	h.Verified, h.VerifiedDigest = wire.Position(r.uint64()), r.uint64()
	h.Limits = Limits{Sessions: r.count(), KeptResponses: r.count(), KeptBytes: r.count(), Timers: r.count()}
	if p := h.Chain.Position; p == 0 || p%wire.Alignment != 0 || h.Verified >= p {
		return r.fail("it says that it was taken at position %d, when position %d was verified", p, h.Verified)
	}
	r.terms(h)
	r.configs(h)
	r.passed(h)
	r.services(h)
	return r.leave()
}

// count is a limit: what a slice may hold.
func (r *chunkReader) count() int {
	v := r.uint64()
	if v > 1<<40 {
		r.fail("a limit of %d", v)
		return 0
	}
	return int(v)
}

func (r *chunkReader) terms(h *SnapshotHead) {
	n := r.uint32()
	if n > MaxTerms {
		r.fail("%d terms, and %d are kept at most", n, MaxTerms)
	}
	var before wire.TermStart
	for i := uint32(0); i < n && r.err == nil; i++ {
		t := wire.TermStart{Start: wire.Position(r.uint64()), Term: wire.Term(r.uint32())}
		if t.Start >= h.Chain.Position || t.Term > h.Chain.Term || i > 0 && (t.Start <= before.Start || t.Term <= before.Term) {
			r.fail("term %d at position %d, behind term %d at position %d", t.Term, t.Start, before.Term, before.Start)
		}
		h.Terms, before = append(h.Terms, t), t
	}
	if before.Term != h.Chain.Term {
		r.fail("its terms end with %d, its log with %d", before.Term, h.Chain.Term)
	}
}

func (r *chunkReader) configs(h *SnapshotHead) {
	h.MoreConfigs = r.flag()
	n := r.uint8()
	if n > MaxConfigs || h.MoreConfigs && n < MaxConfigs {
		r.fail("%d config records, and %d are kept at most", n, MaxConfigs)
	}
	var b [wire.MaxConfigSize]byte
	for i := uint8(0); i < n && r.err == nil; i++ {
		c := wire.ConfigAt{End: wire.Position(r.uint64())}
		size := int(r.uint16())
		if size > len(b) || !c.Config.Decode(r.bytes(b[:size])) || c.End > h.Chain.Position ||
			i > 0 && c.End <= h.Configs[i-1].End {
			r.fail("config record %d, of %d bytes, ending at position %d", i, size, c.End)
		}
		h.Configs = append(h.Configs, c)
	}
}

func (r *chunkReader) passed(h *SnapshotHead) {
	n := r.uint32()
	var before wire.Position
	for i := uint32(0); i < n && r.err == nil; i++ {
		at := wire.Position(r.uint64())
		if at >= h.Chain.Position || i > 0 && at <= before {
			r.fail("a record at position %d was passed over, behind one at position %d", at, before)
		}
		h.Passed, before = append(h.Passed, at), at
	}
}

func (r *chunkReader) services(h *SnapshotHead) {
	var b [maxServiceName]byte
	for before := None; r.err == nil; {
		number := r.uint16()
		if number == None {
			return
		}
		name := r.bytes(b[:r.uint8()])
		if number >= MaxServices || number <= before || len(name) == 0 {
			r.fail("service %d behind service %d", number, before)
			return
		}
		h.Services[number], before = string(name), number
	}
}
